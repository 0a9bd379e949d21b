// Choosing the largest few of a sequence of floats.
//
// Owns the order: larger first, equal values as they came, NaN as if it were -infinity. Knows nothing of what is chosen.
#pragma once

#include "vector.h"

namespace hadal {
namespace HADAL_ISA {

constexpr float LOWEST = -__builtin_inff();

HADAL_INLINE float rankable(float x) { return x == x ? x : LOWEST; }

/** Unsigned integers in the order of the floats they come from; -0 counts as 0. */
HADAL_INLINE unsigned radix(float x) {
  float positive_zero = x + 0.0f;
  unsigned bits;
  __builtin_memcpy(&bits, &positive_zero, 4);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}

/** The best few of a sequence: values falling, equal ones in the order they came. */
struct Best {
  float* values;
  int* items;
  long long capacity, count;

  __attribute__((always_inline)) void offer(float value, int item) {
    if (count == capacity && !(value > values[count - 1])) return;
    long long at = count < capacity ? count++ : count - 1;
    for (; at > 0 && value > values[at - 1]; at--) {
      values[at] = values[at - 1];
      items[at] = items[at - 1];
    }
    values[at] = value;
    items[at] = item;
  }
};

}  // namespace HADAL_ISA
}  // namespace hadal
