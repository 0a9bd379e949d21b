#include "pool.h"

#include <chrono>
#include <sched.h>

#include "memory.h"

namespace hadal {

namespace {

constexpr size_t SCRATCH_BYTES = size_t{8} << 20;
constexpr size_t SHARED_BYTES = size_t{256} << 20;
constexpr size_t PAGE_ALIGNMENT = size_t{2} << 20;
// Waking a sleeping thread costs about as much as this.
constexpr std::chrono::microseconds SPIN_BEFORE_SLEEP{60};
// About 20 microseconds: past that the peer has probably lost its core, and may need ours.
constexpr int SPINS_BEFORE_YIELD = 500;

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/** One turn of a loop that waits for another thread. */
inline void wait(int spins) {
  if (spins < SPINS_BEFORE_YIELD) {
    pause();
  } else {
    sched_yield();
  }
}

}  // namespace

void Context::barrier() { static_cast<Pool*>(pool)->barrier(); }

long long Context::claim() { return static_cast<Pool*>(pool)->claim(); }

void Context::await(const int* counter, int least) {
  for (int spins = 0; __atomic_load_n(counter, __ATOMIC_ACQUIRE) < least; spins++) wait(spins);
}

Pool::Pool(int threads) : threads_(threads), contexts_(threads), pages_(threads + 1), active_(threads) {
  try {
    start();
  } catch (...) {
    stop();
    throw;
  }
}

Pool::~Pool() { stop(); }

void Pool::start() {
  for (size_t i = 0; i < pages_.size(); i++) {
    Pages& pages = pages_[i];
    size_t bytes = i < contexts_.size() ? SCRATCH_BYTES : SHARED_BYTES;
    pages.data = reserve_pages(bytes, PAGE_ALIGNMENT, &pages.mapping, &pages.mapping_bytes);
    if (pages.data == nullptr) throw Error{"the system has no memory left for the threads' scratch"};
  }
  for (int thread = 0; thread < threads_; thread++) {
    Context& context = contexts_[thread];
    context.thread = thread;
    context.threads = threads_;
    context.scratch = static_cast<char*>(pages_[thread].data);
    context.scratch_bytes = SCRATCH_BYTES;
    context.shared = static_cast<char*>(pages_[threads_].data);
    context.shared_bytes = SHARED_BYTES;
    context.pool = this;
  }
  for (int thread = 1; thread < threads_; thread++) workers_.emplace_back(&Pool::work_until_stopped, this, thread);
}

void Pool::stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    step_.fetch_add(1);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
  for (Pages& pages : pages_) {
    if (pages.mapping != nullptr) release_pages(pages.mapping, pages.mapping_bytes);
  }
}

void Pool::run(Work work, void* data, bool alone) {
  // Workers look at it inside a step only, and none is inside one now.
  active_ = alone ? 1 : threads_;
  contexts_[0].threads = active_;
  claimed_.store(0, std::memory_order_relaxed);
  if (alone) {
    work(contexts_[0], data);
    return;
  }
  work_ = work;
  data_ = data;
  // Sequentially consistent with the sleeper's own pair of accesses: either we see the sleeper, or it sees the step.
  step_.fetch_add(1);
  if (sleepers_.load() > 0) {
    std::lock_guard<std::mutex> lock(mutex_);
    wake_.notify_all();
  }
  work(contexts_[0], data);
  barrier();
}

void Pool::barrier() {
  if (active_ == 1) {
    claimed_.store(0, std::memory_order_relaxed);
    return;
  }
  unsigned phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == threads_ - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    claimed_.store(0, std::memory_order_relaxed);
    phase_.store(phase + 1, std::memory_order_release);
    return;
  }
  for (int spins = 0; phase_.load(std::memory_order_acquire) == phase; spins++) wait(spins);
}

void Pool::work_until_stopped(int thread) {
  unsigned seen = 0;
  for (;;) {
    seen = await_step(seen);
    if (stopping_) return;
    work_(contexts_[thread], data_);
    barrier();
  }
}

unsigned Pool::await_step(unsigned seen) {
  auto deadline = std::chrono::steady_clock::now() + SPIN_BEFORE_SLEEP;
  do {
    for (int spins = 0; spins < 16; spins++) {
      unsigned step = step_.load(std::memory_order_acquire);
      if (step != seen) return step;
      pause();
    }
  } while (std::chrono::steady_clock::now() < deadline);

  std::unique_lock<std::mutex> lock(mutex_);
  sleepers_.fetch_add(1);
  while (step_.load() == seen) wake_.wait(lock);
  sleepers_.fetch_sub(1);
  return step_.load();
}

}  // namespace hadal
