// Random numbers for sampling.

/**
 * A number in [0, 1) for the `index`-th choice under `seed`: a function, not a stream, so that a choice does not depend
 * on how many were made before it or by whom. Two rounds of splitmix32's finalizer (Steele et al. 2014) over both.
 */
export function uniformAt(seed: number, index: number): number {
  return mix(mix(seed >>> 0) ^ Math.imul(index + 1, 0x9e3779b9)) / 2 ** 32;
}

function mix(value: number): number {
  let z = value >>> 0;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}
