// A checkpoint with an adapter merged into it: W + scale B A.
//
// Owns the sum, row by row, in float64 rounded once. To whoever reads it, it is a checkpoint like any other, so a merged model is
// loaded, packed, converted or written as one that was published. It is the same model as base and adapter together, and not the
// same bits: there the two products are added, here the weights.

import type { StoredWeight, StoredWeights } from '@hadal/formats/stored-weights';
import type { Adapter } from './adapter-files.ts';
import { downName, type ModulePair, upName } from './low-rank-specs.ts';

export function mergedWeights(
  base: StoredWeights,
  { weights, pairOf }: Pick<Adapter, 'weights' | 'pairOf'>,
): StoredWeights {
  const pairOfWeight = (name: string) => {
    const module = name.replace(/\.weight$/, '');
    const pair = module === name ? undefined : pairOf(module);
    return pair && { ...pair, module };
  };
  return {
    path: base.path,
    has: (name) => base.has(name),
    find(name) {
      const found = base.find(name);
      return pairOfWeight(name) ? { ...found, encoding: { kind: 'rearranged' } } : found;
    },
    readFloat32(weight, rows) {
      const pair = pairOfWeight(weight.name);
      const values = base.readFloat32(pair ? base.find(weight.name) : weight, rows);
      if (pair) addProduct(values, weight, weights, pair, rows?.[0] ?? 0);
      return values;
    },
    readIntegers: (name) => base.readIntegers(name),
  };
}

/** values[n, i] += scale sum_r B[first + n, r] A[r, i]. */
function addProduct(
  values: Float32Array,
  { shape }: StoredWeight,
  weights: StoredWeights,
  { module, rank, scale }: ModulePair & { readonly module: string },
  first: number,
): void {
  const I = shape.at(-1) as number;
  const rows = values.length / I;
  const down = weights.readFloat32(weights.find(downName(module)));
  const up = weights.readFloat32(weights.find(upName(module)), [first, first + rows]);
  const sums = new Float64Array(I);
  for (let n = 0; n < rows; n++) {
    sums.fill(0);
    for (let r = 0; r < rank; r++) {
      const b = up[n * rank + r] as number;
      for (let i = 0; i < I; i++) (sums[i] as number) += b * (down[r * I + i] as number);
    }
    for (let i = 0; i < I; i++) values[n * I + i] = (values[n * I + i] as number) + scale * (sums[i] as number);
  }
}
