// Commands: decoded, checked, then run by all threads.
//
// Owns the command buffer's layout (the other half is commands.ts) and the table of kernels. A record is an opcode and its
// arguments in the order of the kernel's signature: three numbers for a tensor (handle, offset, length in elements; handle
// 0 when absent), one for an integer or a float. Invariant: nothing runs unless every command of the buffer is valid.
#pragma once

#include <string>
#include <vector>

#include "kernel.h"
#include "memory.h"
#include "pool.h"

namespace hadal {

/** An instruction set this addon was built for, best first. */
struct Isa {
  const char* name;
  const Kernel* table;
  bool (*supported)();
};

extern const std::vector<Isa> isas;
/** Of kernel number i, as operations.ts has them. */
extern const std::vector<const char*> kernel_names;
extern const std::vector<const char*> kernel_signatures;

class Executor {
 public:
  Executor(const Isa& isa, int threads);

  /** `alone`: on the calling thread only. */
  void run(const double* buffer, size_t length, bool alone);

  Memory memory;

 private:
  struct Argument {
    std::string name;
    char kind;  // t, h, b, i or f
    unsigned element_bytes;
    bool written;
    bool optional;
  };
  struct Command {
    Kernel kernel;
    size_t first_argument;
  };

  void decode(const double* buffer, size_t length);
  static void walk(Context& context, void* self);
  static std::vector<Argument> parse(const char* signature);

  const Isa& isa_;
  Pool pool_;
  std::vector<std::vector<Argument>> signatures_;
  std::vector<Command> commands_;
  std::vector<Arg> arguments_;
};

}  // namespace hadal
