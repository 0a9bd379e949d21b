// Where a model's weights come from.
//
// An architecture describes its weights once, by asking a source for each; the source decides what that means: a
// trainer makes trainable tensors, a checkpoint reads and packs them, a writer only learns the names. So names, shapes
// and layout stand in one place for loading, training and saving.

import type { AdaptedMatrix } from '@hadal/tensor/low-rank';
import type { PackedMatrixShape, Weight } from '@hadal/tensor/packed-matrix';
import { type Dtype, Tensor } from '@hadal/tensor/tensor';

/** A stretch of rows of one checkpoint tensor; `rows` absent means all of it. */
export interface Part {
  readonly name: string;
  /** The whole checkpoint tensor's shape. */
  readonly shape: readonly number[];
  readonly rows?: readonly [begin: number, end: number];
}

/**
 * What a weight is for, which decides how it is stored. `mixer`: a small one that chooses keys or mixes streams; `pooling`:
 * one that weighs the tokens of a compressed entry; `table`: whole numbers (i32), which are not trained.
 */
export type WeightKind =
  | 'matrix'
  | 'experts'
  | 'head'
  | 'router'
  | 'mixer'
  | 'pooling'
  | 'embedding'
  | 'norm'
  | 'bias'
  | 'routerBias'
  | 'table';

/** One weight of the architecture: the parts follow one another in its memory. */
export interface WeightSpec {
  readonly kind: WeightKind;
  /** [out, in], [experts, out, in], [vocabulary, width] or [width]. */
  readonly shape: readonly number[];
  readonly parts: readonly Part[];
}

export interface WeightSource {
  /** Multiplied from the right, x [N, in] to x wT [N, out], or read row by row; three axes for experts. */
  matrix(spec: WeightSpec): Weight;
  /** Read element by element, never packed; i32 of a table. */
  tensor(spec: WeightSpec): Tensor;
  /** What adapters add to products with a matrix that is read by `tensor`; absent where there are no adapters. */
  lowRanks?(spec: WeightSpec): AdaptedMatrix['lowRanks'] | undefined;
  /** i32 [experts], zero: the load of each expert since someone last cleared it. */
  counter(experts: number): Tensor;
  /** Values that follow from the configuration, such as rotary tables; `values` runs only if they are needed. */
  constant(shape: readonly number[], values: () => Float32Array): Tensor;
  /** Whether the checkpoint holds a tensor; a source that makes weights says no to whatever is optional. */
  has(name: string): boolean;
}

/** A weight that is one checkpoint tensor, whole. */
export function whole(kind: WeightSpec['kind'], name: string, ...shape: readonly number[]): WeightSpec {
  return { kind, shape, parts: [{ name, shape }] };
}

/** The matrices of a weight that is asked for as one, [out, in] or [experts, out, in]. */
export function matrixShape(spec: WeightSpec): Omit<PackedMatrixShape, 'dtype'> {
  const [N, K] = [spec.shape.at(-2) as number, spec.shape.at(-1) as number];
  return { count: elementsOf(spec) / (N * K), N, K };
}

export function elementsOf({ shape }: Pick<WeightSpec, 'shape'>): number {
  return shape.reduce((product, n) => product * n, 1);
}

export function dtypeOf({ kind }: Pick<WeightSpec, 'kind'>): Dtype {
  return kind === 'table' ? 'i32' : 'f32';
}

/** How many rows of its checkpoint tensor a part takes. */
export function rowsOf({ rows, shape }: Part): number {
  return rows ? rows[1] - rows[0] : (shape[0] as number);
}

/** The rows of a checkpoint tensor that a part takes, as elements. */
export function partRange(part: Part): { begin: number; end: number } {
  const total = elementsOf(part);
  if (!part.rows) return { begin: 0, end: total };
  const row = total / (part.shape[0] as number);
  return { begin: part.rows[0] * row, end: part.rows[1] * row };
}

/** The specs that an architecture asks for, each once, in order: weights that share memory are one. */
export function collectSpecs(
  describe: (source: WeightSource) => unknown,
  has: (name: string) => boolean = () => false,
): WeightSpec[] {
  const specs = new Map<string, WeightSpec>();
  for (const spec of everySpec(describe, has)) {
    const key = specKey(spec);
    if (!specs.has(key)) specs.set(key, spec);
  }
  return [...specs.values()];
}

/** Every spec asked for, in order. */
export function everySpec(
  describe: (source: WeightSource) => unknown,
  has: (name: string) => boolean = () => false,
): WeightSpec[] {
  return recordRequests(describe, has).weights.map(({ spec }) => spec);
}

/** One call of a source. */
export interface WeightRequest {
  readonly spec: WeightSpec;
  readonly as: 'matrix' | 'tensor';
}

export interface Requests {
  /** In order; a weight that two parts of the model share is asked for twice. */
  readonly weights: readonly WeightRequest[];
  /** Elements of counters and constants, four bytes each. */
  readonly otherElements: number;
}

/** All that an architecture asks for: `describe` is handed a source that makes nothing. */
export function recordRequests(
  describe: (source: WeightSource) => unknown,
  has: (name: string) => boolean = () => false,
): Requests {
  const weights: WeightRequest[] = [];
  let otherElements = 0;
  const note = (as: WeightRequest['as']) => (spec: WeightSpec) => {
    weights.push({ spec, as });
    return new Tensor(-1, 0, spec.shape, dtypeOf(spec));
  };
  const other = (shape: readonly number[], dtype: 'f32' | 'i32') => {
    otherElements += elementsOf({ shape });
    return new Tensor(-1, 0, shape, dtype);
  };
  describe({
    matrix: note('matrix'),
    tensor: note('tensor'),
    counter: (experts) => other([experts], 'i32'),
    constant: (shape) => other(shape, 'f32'),
    has,
  });
  return { weights, otherElements };
}

/** Tells weights apart; those that share memory (tied embeddings) have the same key. */
export function specKey(spec: WeightSpec): string {
  const [first] = spec.parts as readonly [Part, ...Part[]];
  return `${first.name}:${first.rows?.[0] ?? 0}`;
}
