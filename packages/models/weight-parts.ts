// The parts of a weight, found in a checkpoint.
//
// Owns the check that a checkpoint has what a configuration asks for: every tensor is there, in an encoding that can be read,
// with the shape expected. Whoever reads a part found here may trust it. Knows nothing of how weights are laid out in memory.

import type { StoredWeight, StoredWeights } from '@hadal/formats/stored-weights';
import type { Part, WeightSpec } from './weight-source.ts';

/** Rows `begin` to `end` (exclusive, along the first axis) of a stored weight. */
export interface StoredPart {
  readonly weight: StoredWeight;
  readonly begin: number;
  readonly end: number;
}

/** Where the parts of `spec` are, in order. Throws a line that says what was expected and what the file has instead. */
export function findParts(weights: StoredWeights, spec: WeightSpec): StoredPart[] {
  return spec.parts.map((part) => findPart(weights, part));
}

function findPart(weights: StoredWeights, part: Part): StoredPart {
  const expected = `${part.name}: expected [${part.shape.join(', ')}] from config`;
  if (!weights.has(part.name)) throw new Error(`${expected}, absent in ${weights.path}`);
  const weight = weights.find(part.name);
  if (weight.shape.join() !== part.shape.join()) {
    throw new Error(`${expected}, ${weight.entry.path} has [${weight.shape.join(', ')}]`);
  }
  const [begin, end] = part.rows ?? [0, part.shape[0] as number];
  return { weight, begin, end };
}

/** Bytes that a part takes in its file, scales aside. */
export function partBytes({ weight, begin, end }: StoredPart): number {
  const { entry, shape } = weight;
  return ((entry.end - entry.begin) * (end - begin)) / Math.max(1, shape[0] as number);
}
