// The parts of a weight, found in a checkpoint.
//
// Owns the check that a checkpoint has what a configuration asks for: every tensor is there, in an encoding that can be read,
// with the shape expected. Whoever reads a part found here may trust it. Knows nothing of how weights are laid out in memory.

import type { StoredWeight, StoredWeights } from '@hadal/formats/stored-weights';
import type { Part, WeightSpec } from './weight-source.ts';

/** Rows `begin` to `end` (exclusive, along the first axis) of a stored weight. */
export interface StoredPart {
  readonly weights: StoredWeights;
  readonly weight: StoredWeight;
  readonly begin: number;
  readonly end: number;
}

/** Where the parts of `spec` are, in order. Throws a line that says what was expected and what the file has instead. */
export function findParts(weights: StoredWeights, spec: WeightSpec): StoredPart[] {
  return spec.parts.map((part) => findPart(weights, part));
}

/** The values of each part in order, by plain reading: float32, or whole numbers of a table. */
export function* readParts(weights: StoredWeights, spec: WeightSpec): Generator<Float32Array | Int32Array> {
  if (spec.kind === 'table') yield readTable(weights, spec);
  else for (const { weight, begin, end } of findParts(weights, spec)) yield weights.readFloat32(weight, [begin, end]);
}

/** The whole numbers of a table, which is one tensor. */
export function readTable(weights: StoredWeights, { parts }: WeightSpec): Int32Array {
  const [part] = parts as readonly [Part];
  checkPresence(weights, part);
  const { shape, entry, values } = weights.readIntegers(part.name);
  checkShape(part, shape, entry.path);
  return values;
}

function findPart(weights: StoredWeights, part: Part): StoredPart {
  checkPresence(weights, part);
  const weight = weights.find(part.name);
  checkShape(part, weight.shape, weight.entry.path);
  const [begin, end] = part.rows ?? [0, part.shape[0] as number];
  return { weights, weight, begin, end };
}

function checkPresence(weights: StoredWeights, part: Part): void {
  if (!weights.has(part.name)) throw new Error(`${expected(part)}, absent in ${weights.path}`);
}

function checkShape(part: Part, shape: readonly number[], path: string): void {
  if (shape.join() !== part.shape.join()) throw new Error(`${expected(part)}, ${path} has [${shape.join(', ')}]`);
}

function expected({ name, shape }: Part): string {
  return `${name}: expected [${shape.join(', ')}] from config`;
}

/** Bytes that a part takes in its file, scales aside; of a rearranged weight, about. */
export function partBytes({ weight, begin, end }: StoredPart): number {
  const { entry, shape } = weight;
  return ((entry.end - entry.begin) * (end - begin)) / Math.max(1, shape[0] as number);
}

/** Bytes that a weight takes in the checkpoint, having found all of it; of a table, nothing worth counting. */
export function storedBytes(weights: StoredWeights, spec: WeightSpec): number {
  if (spec.kind !== 'table') return findParts(weights, spec).reduce((sum, part) => sum + partBytes(part), 0);
  readTable(weights, spec);
  return 0;
}
