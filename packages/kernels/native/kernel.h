// What a kernel sees of the machine around it.
//
// Owns the calling convention between the executor and every kernel: resolved arguments, the thread's place among its
// peers, scratch memory, the barrier and the task counter. Includes no standard header, because kernel units are compiled
// once for each instruction set and an inline function of the library compiled for AVX-512 could be linked into the
// portable path. Invariant: a kernel's output bits depend on its arguments, never on `threads`.
#pragma once

namespace hadal {

/** One argument of a command: a tensor (its offset already applied; null when optional and absent), an integer, or a float. */
union Arg {
  void* p;
  long long i;
  double f;
};

/** One thread's view of a running command. All threads call the kernel; each takes its share by `thread` of `threads`. */
struct Context {
  int thread;
  int threads;
  char* scratch;                // this thread's own, 64-byte aligned
  unsigned long scratch_bytes;  // at least 4 MiB
  char* shared;                 // one block that all threads see, 64-byte aligned, pages touched on first use
  unsigned long shared_bytes;   // at least 64 MiB
  void* pool;

  /** Returns once every thread of the step has arrived. All threads must call it equally often. */
  void barrier();

  /** Takes the next task of this phase: 0, 1, 2, ... over all threads together, from 0 again after every barrier. */
  long long claim();

  /** Returns once *counter >= least. Only for what an earlier task raises (atomically): a later one may not have begun. */
  void await(const int* counter, int least);
};

typedef void (*Kernel)(Context& c, const Arg* a);

}  // namespace hadal
