// The threads that run a step together.
//
// Owns the worker threads, their scratch memory, the barrier and the task counter. Knows no kernel: a step is one function
// that every thread calls. The calling thread is thread 0. Workers spin inside a step and for a moment after it (the next
// step often follows within microseconds), then sleep. Invariant: `run` returns when no worker is inside the step any more.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "kernel.h"

namespace hadal {

class Pool {
 public:
  typedef void (*Work)(Context& context, void* data);

  explicit Pool(int threads);
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool();

  int threads() const { return threads_; }
  /** A step of all threads, or of the calling one alone. */
  void run(Work work, void* data, bool alone);

  void barrier();
  long long claim() { return claimed_.fetch_add(1, std::memory_order_relaxed); }

 private:
  struct Pages {
    void* data = nullptr;
    void* mapping = nullptr;
    size_t mapping_bytes = 0;
  };

  void start();
  void stop();
  void work_until_stopped(int thread);
  /** Returns the next step's number once there is one. */
  unsigned await_step(unsigned seen);

  const int threads_;
  std::vector<Context> contexts_;
  std::vector<Pages> pages_;
  std::vector<std::thread> workers_;
  /** Threads of the step; the others sleep through it. */
  int active_;
  Work work_ = nullptr;
  void* data_ = nullptr;
  bool stopping_ = false;

  std::mutex mutex_;
  std::condition_variable wake_;

  // Each on cache lines of its own: they are written by one thread while the others spin on a neighbour.
  alignas(128) std::atomic<unsigned> step_{0};
  alignas(128) std::atomic<int> sleepers_{0};
  alignas(128) std::atomic<int> arrived_{0};
  alignas(128) std::atomic<unsigned> phase_{0};
  alignas(128) std::atomic<long long> claimed_{0};
};

}  // namespace hadal
