#include "memory.h"

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace hadal {

namespace {

constexpr size_t HUGE_PAGE = size_t{2} << 20;
constexpr size_t ALIGNMENT = 64;
// A handle is generation * 2^SLOT_BITS + slot: below 2^53, so a double holds it exactly.
constexpr double SLOTS = 1 << 20;

size_t page_bytes() {
  static const size_t bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

std::string number(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", x);
  return text;
}

}  // namespace

void* reserve_pages(size_t bytes, size_t alignment, void** mapping, size_t* mapping_bytes) {
  size_t total = bytes + alignment;
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#ifdef MAP_NORESERVE
  flags |= MAP_NORESERVE;
#endif
  void* raw = mmap(nullptr, total, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  uintptr_t begin = (reinterpret_cast<uintptr_t>(raw) + alignment - 1) / alignment * alignment;
#ifdef MADV_HUGEPAGE
  // Only whole huge pages: the tail would otherwise cost up to 2 MiB more than was asked for.
  if (bytes >= HUGE_PAGE) madvise(reinterpret_cast<void*>(begin), bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
  *mapping = raw;
  *mapping_bytes = total;
  return reinterpret_cast<void*>(begin);
}

void release_pages(void* mapping, size_t mapping_bytes) { munmap(mapping, mapping_bytes); }

Memory::~Memory() {
  for (Buffer& buffer : slots_) {
    if (buffer.alive) unmap(buffer);
  }
}

double Memory::allocate(double bytes) {
  if (!(bytes >= 0 && bytes <= 1e15 && bytes == std::floor(bytes))) {
    throw Error{"allocate: expected a whole number of bytes, got " + number(bytes)};
  }
  Buffer buffer;
  buffer.bytes = static_cast<size_t>(bytes);
  // 64 spare bytes: an empty buffer still has an address.
  size_t capacity = (buffer.bytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT;
  if (capacity >= HUGE_PAGE) {
    buffer.data = static_cast<char*>(reserve_pages(capacity, HUGE_PAGE, &buffer.mapping, &buffer.mapping_bytes));
  } else {
    void* data = nullptr;
    if (posix_memalign(&data, ALIGNMENT, capacity) == 0) {
      std::memset(data, 0, capacity);
      buffer.data = static_cast<char*>(data);
    }
  }
  if (buffer.data == nullptr) throw Error{"allocate: the system has no " + number(bytes) + " bytes left"};
  return add(buffer);
}

double Memory::map_file(const char* path, double begin, double end) {
  if (!(begin >= 0 && begin <= end && end <= 9007199254740992.0 && begin == std::floor(begin) && end == std::floor(end))) {
    throw Error{"mapFile: expected a range of bytes, got " + number(begin) + " to " + number(end)};
  }
  auto failed = [&](const char* what) {
    return Error{std::string("mapFile: cannot ") + what + " " + path + ": " + std::strerror(errno)};
  };
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) throw failed("open");
  struct stat info;
  if (fstat(file, &info) != 0) {
    Error error = failed("inspect");
    close(file);
    throw error;
  }
  if (!S_ISREG(info.st_mode)) {
    close(file);
    throw Error{std::string("mapFile: ") + path + " is not a file"};
  }
  // A page past the end of the file would kill the process when it is touched.
  if (end > static_cast<double>(info.st_size)) {
    close(file);
    throw Error{std::string("mapFile: expected at least ") + number(end) + " bytes, " + path + " has " + std::to_string(info.st_size)};
  }
  if (begin == end) {
    close(file);
    double handle = allocate(0);
    slots_[static_cast<size_t>(std::fmod(handle, SLOTS))].read_only = true;
    return handle;
  }
  // A mapping begins at a page; the bytes before `begin` on it are not the buffer's.
  const size_t before = static_cast<size_t>(begin) % page_bytes();
  const off_t page = static_cast<off_t>(begin) - static_cast<off_t>(before);
  Buffer buffer;
  buffer.bytes = static_cast<size_t>(end) - static_cast<size_t>(begin);
  buffer.read_only = true;
  const size_t mapped = before + buffer.bytes;
  // Where address and offset agree within a huge page, the page cache's large folios are mapped as huge pages; addresses are
  // reserved first, to choose among them.
  const size_t spare = mapped >= HUGE_PAGE ? HUGE_PAGE : 0;
  buffer.mapping_bytes = mapped + spare;
  buffer.mapping = mmap(nullptr, buffer.mapping_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  void* data = MAP_FAILED;
  if (buffer.mapping != MAP_FAILED) {
    char* begin_at = static_cast<char*>(buffer.mapping);
    if (spare > 0) {
      const size_t wanted = static_cast<size_t>(page) % HUGE_PAGE, is = reinterpret_cast<uintptr_t>(begin_at) % HUGE_PAGE;
      begin_at += (wanted + HUGE_PAGE - is) % HUGE_PAGE;
    }
    data = mmap(begin_at, mapped, PROT_READ, MAP_SHARED | MAP_FIXED, file, page);
  }
  if (data == MAP_FAILED) {
    Error error = failed("map");
    close(file);
    if (buffer.mapping != MAP_FAILED) release_pages(buffer.mapping, buffer.mapping_bytes);
    throw error;
  }
  close(file);
  buffer.data = static_cast<char*>(data) + before;
  return add(buffer);
}

void Memory::release(double handle) {
  Buffer& buffer = const_cast<Buffer&>(find(handle));
  if (!buffer.read_only) bytes_in_use_ -= buffer.bytes;
  buffers_in_use_ -= 1;
  unmap(buffer);
  uint32_t generation = buffer.generation + 1;
  buffer = Buffer{};
  buffer.generation = generation;
  free_slots_.push_back(static_cast<uint32_t>(&buffer - slots_.data()));
}

void Memory::prefetch(double handle, double offset, double bytes) const {
  if (!find(handle).read_only) throw Error{"prefetch: expected a mapped file, got a buffer of its own memory"};
  if (bytes == 0) return;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(resolve(handle, offset, bytes, 1, false));
  const uintptr_t page = begin / page_bytes() * page_bytes();
  // Advice only: a system that refuses it loses nothing but speed.
  madvise(reinterpret_cast<void*>(page), begin + static_cast<size_t>(bytes) - page, MADV_WILLNEED);
}

size_t Memory::size(double handle) const { return find(handle).bytes; }

char* Memory::resolve(double handle, double offset, double count, size_t element_bytes, bool written) const {
  const Buffer& buffer = find(handle);
  double unit = static_cast<double>(element_bytes);
  if (!(offset >= 0 && count >= 0 && offset == std::floor(offset) && (offset + count) * unit <= buffer.bytes)) {
    throw Error{"elements " + number(offset) + " to " + number(offset + count) + " of " + number(unit) +
                " bytes are outside a buffer of " + std::to_string(buffer.bytes) + " bytes"};
  }
  if (written && buffer.read_only) throw Error{"the buffer is a mapped file and cannot be written"};
  return buffer.data + static_cast<size_t>(offset) * element_bytes;
}

double Memory::add(Buffer buffer) {
  uint32_t slot;
  if (free_slots_.empty()) {
    if (slots_.size() >= SLOTS) {
      unmap(buffer);
      throw Error{"allocate: more than " + number(SLOTS) + " buffers are alive"};
    }
    slot = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  buffer.generation = slots_[slot].generation;
  buffer.alive = true;
  slots_[slot] = buffer;
  if (!buffer.read_only) bytes_in_use_ += buffer.bytes;
  buffers_in_use_ += 1;
  return buffer.generation * SLOTS + slot;
}

const Memory::Buffer& Memory::find(double handle) const {
  if (handle >= SLOTS && handle < 9007199254740992.0) {
    uint64_t whole = static_cast<uint64_t>(handle);
    size_t slot = whole % static_cast<uint64_t>(SLOTS);
    if (slot < slots_.size() && slots_[slot].alive && slots_[slot].generation == whole / static_cast<uint64_t>(SLOTS)) {
      return slots_[slot];
    }
  }
  throw Error{"no buffer has the handle " + number(handle) + " (freed, or never allocated)"};
}

void Memory::unmap(Buffer& buffer) {
  if (buffer.mapping != nullptr) {
    release_pages(buffer.mapping, buffer.mapping_bytes);
  } else {
    std::free(buffer.data);
  }
  buffer.alive = false;
}

}  // namespace hadal
