// What a model will take of memory, said before it is loaded.
//
// Owns the sum: weights in their run-time forms, tables and cache for a context, and the largest step of the engine, which is
// recorded on a device that only counts. Works for every architecture, because it asks the model itself. Reads no weight.

import { KEY_BLOCK } from '@hadal/kernels/attention';
import { openDryDevice } from '@hadal/kernels/dry-device';
import type { AttentionForm, ModelDefinition } from '@hadal/models/architecture';
import { cacheDtypeFor, cacheLayoutOf, type Holdings } from '@hadal/models/language-model';
import { type RunTimeWeight, runTimeWeights } from '@hadal/models/run-time-weights';
import { matrixShape, recordRequests, type WeightSource } from '@hadal/models/weight-source';
import { Arena } from '@hadal/tensor/arena';
import { Graph } from '@hadal/tensor/graph';
import { type PackedDtype, PackedMatrix } from '@hadal/tensor/packed-matrix';
import { Tensor } from '@hadal/tensor/tensor';
import { KvCache, pageBytes } from './kv-cache.ts';

/** In bytes. */
export interface MemoryEstimate {
  readonly weights: number;
  /** Of `weights`, those that can stay on disk until they are chosen. */
  readonly experts: number;
  /** Of rotary tables, for one position of context. */
  readonly tablesPerToken: number;
  readonly cachePerToken: number;
  /** The engine's largest step, and what kernels hold between them. */
  readonly scratch: number;
}

export interface EstimateOptions {
  readonly form: AttentionForm;
  /** What the checkpoint has of what is optional: it is loaded too. */
  readonly holdings: Holdings;
  /** Tokens of the largest step. */
  readonly stepTokens: number;
}

/** Sequences that are taken to choose a token in one step; more would need a row of logits each. */
const choosingSequences = 16;

/** What the kernels' threads share, as far as it is used (native/pool.cc), and the files and rows in flight while loading. */
const kernelBytes = 128 * 2 ** 20;

/** The estimate for each dtype that the model may be opened as. */
export function memoryEstimator(
  definition: ModelDefinition,
  options: EstimateOptions,
): (dtype: PackedDtype) => MemoryEstimate {
  const { form, holdings } = options;
  const { predictor, has } = holdings;
  const requestsFor = (positions: number) =>
    recordRequests((source) => definition.assemble(source, { form, positions, predictor }), has);
  const { weights: requests, otherElements } = requestsFor(1);
  const tablesPerToken = (requestsFor(2).otherElements - otherElements) * 4;
  const scratch = stepBytes(definition, options) + kernelBytes;
  const total = (list: readonly RunTimeWeight[]) => list.reduce((sum, { bytes }) => sum + bytes, 0);
  return (dtype) => {
    const weights = runTimeWeights(requests, dtype);
    return {
      weights: total(weights) + otherElements * 4,
      experts: total(weights.filter(({ spec }) => spec.kind === 'experts')),
      tablesPerToken,
      cachePerToken: pageBytes(cacheLayoutOf(definition, form, cacheDtypeFor(dtype), predictor)) / KEY_BLOCK,
      scratch,
    };
  };
}

/** Memory of everything that one step computes. */
function stepBytes(definition: ModelDefinition, { form, stepTokens }: EstimateOptions): number {
  const tokens = Math.min(stepTokens, definition.contextLength);
  using device = openDryDevice();
  // Blocks of no least size: what they hold is what was asked for.
  using arena = new Arena(device.memory, 0);
  const layout = definition.cacheLayout(form, 'f32');
  using cache = new KvCache(device, layout, Math.ceil(tokens / KEY_BLOCK) * pageBytes(layout));
  const lease = { pages: Array.from({ length: cache.pageCount }, (_, page) => page), length: 0 };
  const network = definition.assemble(absentWeights, { form, positions: tokens, predictor: 'absent' });
  const g = new Graph(device, arena, 'inference');
  const { memory, positions } = cache.extend(arena, [{ lease, count: tokens }]);
  const hidden = network.forward(g, arena.integers(new Int32Array(tokens)), positions, memory);
  g.linear(g.embedding(hidden, arena.integers(new Int32Array(Math.min(tokens, choosingSequences)))), network.head);
  return arena.bytes;
}

const nowhere = { handle: 0, offset: 0 };

/** Weights of the right shapes, packed as at run time, that lie nowhere. */
const absentWeights: WeightSource = {
  matrix: (spec) => new PackedMatrix(nowhere, { ...matrixShape(spec), dtype: 'bf16' }),
  tensor: ({ shape }) => new Tensor(nowhere.handle, nowhere.offset, shape),
  counter: (experts) => new Tensor(nowhere.handle, nowhere.offset, [experts]),
  constant: (shape) => new Tensor(nowhere.handle, nowhere.offset, shape),
  has: () => false,
};
