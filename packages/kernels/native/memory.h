// Buffers behind integer handles.
//
// Owns every byte a kernel may touch: allocation, read-only file mappings, and the check that a handle is alive and a
// range lies inside it. Knows no kernel and no JavaScript. Invariant: a handle is never reused, so one kept after `free`
// is found out instead of reaching someone else's buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace hadal {

/** A failure described for the caller: what was expected, what came. */
struct Error {
  std::string message;
};

class Memory {
 public:
  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory();

  /** Zeroed bytes, 64-byte aligned, in huge pages from 2 MiB on where the system offers them. */
  double allocate(double bytes);
  /** Bytes `begin` to `end` of a file, read only; refused unless the file has them. */
  double map_file(const char* path, double begin, double end);
  void release(double handle);

  /** Asks the system to read bytes of a mapped file in, without waiting for them. */
  void prefetch(double handle, double offset, double bytes) const;

  size_t size(double handle) const;
  /** Of allocated buffers: mapped files have the system's memory. */
  size_t bytes_in_use() const { return bytes_in_use_; }
  size_t buffers() const { return buffers_in_use_; }

  /** The address of `count` elements at `offset`, both in units of `element_bytes`. */
  char* resolve(double handle, double offset, double count, size_t element_bytes, bool written) const;

 private:
  struct Buffer {
    char* data = nullptr;
    size_t bytes = 0;
    void* mapping = nullptr;
    size_t mapping_bytes = 0;
    uint32_t generation = 1;
    bool alive = false;
    bool read_only = false;
  };

  double add(Buffer buffer);
  const Buffer& find(double handle) const;
  void unmap(Buffer& buffer);

  std::vector<Buffer> slots_;
  std::vector<uint32_t> free_slots_;
  size_t bytes_in_use_ = 0;
  size_t buffers_in_use_ = 0;
};

/** Zeroed pages from the system, aligned to `alignment`, committed on first touch; null when there are none. */
void* reserve_pages(size_t bytes, size_t alignment, void** mapping, size_t* mapping_bytes);
void release_pages(void* mapping, size_t mapping_bytes);

}  // namespace hadal
