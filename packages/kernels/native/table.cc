// The kernels of one instruction set, in the order of operations.ts.
//
// Compiled once for each instruction set. kernels.def is written by the build script from operations.ts, which is the
// only list of kernels there is; a kernel that no unit defines fails when the addon is loaded.
#include "kernel.h"

namespace hadal {
namespace HADAL_ISA {

#define KERNEL(name, symbol, signature) void symbol(Context& c, const Arg* a);
#include "kernels.def"
#undef KERNEL

extern const Kernel table[];
const Kernel table[] = {
#define KERNEL(name, symbol, signature) symbol,
#include "kernels.def"
#undef KERNEL
};

}  // namespace HADAL_ISA
}  // namespace hadal
