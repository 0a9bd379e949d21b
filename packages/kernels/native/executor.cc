#include "executor.h"

#include <cmath>
#include <sstream>

namespace hadal {

#define DECLARE(isa)           \
  namespace isa {              \
  extern const Kernel table[]; \
  }
#if defined(__x86_64__)
DECLARE(avx512)
DECLARE(avx2)
#elif defined(__aarch64__)
DECLARE(neon)
#endif
DECLARE(portable)
#undef DECLARE

namespace {

bool always() { return true; }

#if defined(__x86_64__)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"); }
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
}
#endif

}  // namespace

const std::vector<Isa> isas = {
#if defined(__x86_64__)
    {"avx512", avx512::table, has_avx512},
    {"avx2", avx2::table, has_avx2},
#elif defined(__aarch64__)
    {"neon", neon::table, always},
#endif
    {"portable", portable::table, always},
};

const std::vector<const char*> kernel_names = {
#define KERNEL(name, symbol, signature) #name,
#include "kernels.def"
#undef KERNEL
};

const std::vector<const char*> kernel_signatures = {
#define KERNEL(name, symbol, signature) signature,
#include "kernels.def"
#undef KERNEL
};

Executor::Executor(const Isa& isa, int threads) : isa_(isa), pool_(threads) {
  for (const char* signature : kernel_signatures) signatures_.push_back(parse(signature));
}

void Executor::run(const double* buffer, size_t length, bool alone) {
  decode(buffer, length);
  if (!commands_.empty()) pool_.run(walk, this, alone);
}

void Executor::walk(Context& context, void* self) {
  const Executor& executor = *static_cast<Executor*>(self);
  const size_t count = executor.commands_.size();
  for (size_t i = 0; i < count; i++) {
    // The last command's barrier is the pool's own.
    if (i > 0) context.barrier();
    const Command& command = executor.commands_[i];
    command.kernel(context, executor.arguments_.data() + command.first_argument);
  }
}

void Executor::decode(const double* buffer, size_t length) {
  commands_.clear();
  arguments_.clear();
  size_t at = 0;
  while (at < length) {
    double opcode = buffer[at++];
    if (!(opcode >= 0 && opcode < signatures_.size())) throw Error{"no kernel has the opcode " + std::to_string(opcode)};
    size_t kernel = static_cast<size_t>(opcode);
    commands_.push_back({isa_.table[kernel], arguments_.size()});
    for (const Argument& argument : signatures_[kernel]) {
      auto failed = [&](const std::string& why) { return Error{std::string(kernel_names[kernel]) + ": " + argument.name + ": " + why}; };
      size_t slots = argument.element_bytes > 0 ? 3 : 1;
      if (at + slots > length) throw failed("the command buffer ends before it");
      Arg value;
      if (argument.element_bytes > 0) {
        if (argument.optional && buffer[at] == 0) {
          value.p = nullptr;
        } else {
          try {
            value.p = memory.resolve(buffer[at], buffer[at + 1], buffer[at + 2], argument.element_bytes, argument.written);
          } catch (const Error& error) {
            throw failed(error.message);
          }
        }
      } else if (argument.kind == 'i') {
        double x = buffer[at];
        if (!(std::fabs(x) < 9007199254740992.0) || x != std::floor(x)) throw failed("expected an integer, got " + std::to_string(x));
        value.i = static_cast<long long>(x);
      } else {
        value.f = buffer[at];
      }
      arguments_.push_back(value);
      at += slots;
    }
  }
}

std::vector<Executor::Argument> Executor::parse(const char* signature) {
  std::vector<Argument> parsed;
  std::istringstream words(signature);
  for (std::string word; words >> word;) {
    size_t colon = word.find(':');
    if (colon == std::string::npos || colon + 1 >= word.size()) throw Error{"operations.ts: cannot read the argument " + word};
    char letter = word[colon + 1];
    Argument argument;
    argument.name = word.substr(0, colon);
    argument.kind = static_cast<char>(letter | 0x20);
    argument.written = letter < 'a';
    argument.optional = word.size() > colon + 2 && word[colon + 2] == '?';
    switch (letter) {
      case 't': case 'T': argument.element_bytes = 4; break;
      case 'h': case 'H': argument.element_bytes = 2; break;
      case 'b': case 'B': argument.element_bytes = 1; break;
      case 'i': case 'f': argument.element_bytes = 0; break;
      default: throw Error{"operations.ts: unknown kind in the argument " + word};
    }
    parsed.push_back(argument);
  }
  return parsed;
}

}  // namespace hadal
