// Central finite differences: the check of a gradient twin against the function it differentiates.
//
// Owns the differences and the comparison; knows no kernel. Used by tests only. Everything is float64, so a right gradient
// agrees to about seven digits and a wrong one does not.

import assert from 'node:assert/strict';

/**
 * Checks that `gradient` is the gradient of `loss` at `x`: every entry within `tolerance` of the central difference,
 * as a share of the largest one (or of 1). `loss` must not keep or change its argument.
 */
export function assertGradient(
  loss: (x: Float64Array) => number,
  x: Float64Array,
  gradient: Float64Array,
  what: string,
  tolerance = 1e-6,
): void {
  const step = 1e-5;
  const differences = x.map((value, i) => {
    const above = loss(x.with(i, value + step));
    const below = loss(x.with(i, value - step));
    return (above - below) / (2 * step);
  });
  assert.equal(gradient.length, x.length, `${what}: length`);
  const limit = tolerance * differences.reduce((most, d) => Math.max(most, Math.abs(d)), 1);
  differences.forEach((difference, i) => {
    const error = Math.abs(gradient[i]! - difference);
    assert.ok(error <= limit, `${what}[${i}]: finite differences give ${difference}, the gradient is ${gradient[i]}`);
  });
}

/** sum of a[i] * b[i]: the loss whose gradient in `a` is `b`. */
export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i]! * b[i]!;
  return total;
}
