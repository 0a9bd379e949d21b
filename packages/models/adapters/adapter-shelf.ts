// Adapters beside a loaded model, to be served.
//
// Owns the matrices of every adapter that is loaded and puts them where the model's weights look for them, so that adapters come
// and go between two steps while the base lies in memory once. Knows nothing of who uses an adapter: it must not be unloaded
// under a step that still names it. Invariant: an adapter is loaded whole, every pair of it in its place, or not at all.

import type { Device } from '@hadal/kernels/device';
import { scale as scaleBy } from '@hadal/kernels/elementwise';
import { AdaptedMatrix, type AdapterName, type LowRank } from '@hadal/tensor/low-rank';
import { PackedMatrix, type PlainWeight, type Weight } from '@hadal/tensor/packed-matrix';
import { Tensor } from '@hadal/tensor/tensor';
import { CheckpointWeights } from '../checkpoint-weights.ts';
import { elementsOf, specKey, type WeightSource, type WeightSpec } from '../weight-source.ts';
import type { Adapter } from './adapter-files.ts';
import { isAdaptable, lowRankSpecs, moduleOf } from './low-rank-specs.ts';

/** A weight of the model, and what the adapters add to products with it. */
interface Place {
  readonly spec: WeightSpec;
  readonly lowRanks: Map<AdapterName, readonly LowRank[]>;
  /** `plain`: where the weight itself is read element by element. */
  readonly form: 'packed' | 'plain';
}

export class AdapterShelf implements Disposable {
  readonly #device: Device;
  readonly #places: Place[] = [];
  /** The memory of each adapter, by its key. */
  readonly #loaded = new Map<string, readonly number[]>();

  constructor(device: Device) {
    this.#device = device;
  }

  /** `base`, with room for adapters on all weights that they may add to. */
  over(base: WeightSource): WeightSource {
    const placeOf = (spec: WeightSpec, form: Place['form']): Place['lowRanks'] => {
      const lowRanks: Place['lowRanks'] = new Map();
      this.#places.push({ spec, lowRanks, form });
      return lowRanks;
    };
    return {
      matrix: (spec): Weight => {
        const weight = base.matrix(spec);
        return isAdaptable(spec) ? new AdaptedMatrix(plain(weight), placeOf(spec, 'packed')) : weight;
      },
      tensor: (spec) => base.tensor(spec),
      lowRanks: (spec) => (isAdaptable(spec) ? placeOf(spec, 'plain') : undefined),
      counter: (experts) => base.counter(experts),
      constant: (shape, values) => base.constant(shape, values),
      has: (name) => base.has(name),
    };
  }

  /**
   * Puts an adapter where rows that name `key` find it. Returns how many numbers it has. Throws one line, and changes nothing,
   * where it has a pair that fits no weight of the model.
   */
  load(key: string, adapter: Adapter): number {
    if (this.#loaded.has(key)) throw new Error(`adapter ${key}: expected a key that is not in use`);
    const modules = new Set(this.#places.flatMap(({ spec }) => spec.parts.map(moduleOf)));
    const stray = adapter.modules.find((module) => !modules.has(module));
    if (stray !== undefined) {
      throw new Error(`${adapter.path}: expected pairs for matrices of this model, found one for ${stray}`);
    }
    const handles: number[] = [];
    /** One checkpoint tensor that is cut in two weights has one A, which both share. */
    const made = new Map<string, PlainWeight>();
    let parameters = 0;
    const make = (spec: WeightSpec, scale: number, form: Place['form']): PlainWeight => {
      const known = made.get(specKey(spec));
      if (known) return known;
      const matrix = this.#read(adapter, spec, scale, form);
      handles.push(matrix.handle);
      made.set(specKey(spec), matrix);
      parameters += elementsOf(spec);
      return matrix;
    };
    try {
      const found = this.#places.map(({ spec, lowRanks, form }) => ({
        lowRanks,
        pairs: lowRankSpecs(spec, adapter.pairOf).map(({ down, parts, scale }) => ({
          down: make(down, scale, form),
          parts: parts.map(({ up, column }) => ({ up: make(up, 1, form), column })),
          scale: 1,
        })),
      }));
      for (const { lowRanks, pairs } of found) if (pairs.length > 0) lowRanks.set(key, pairs);
      this.#loaded.set(key, handles);
      return parameters;
    } catch (error) {
      for (const handle of handles) this.#device.memory.free(handle);
      throw error;
    }
  }

  /** Takes an adapter away; no step may name it any more. */
  unload(key: string): void {
    const handles = this.#loaded.get(key);
    if (!handles) throw new Error(`adapter ${key}: expected one that is loaded`);
    for (const { lowRanks } of this.#places) lowRanks.delete(key);
    this.#loaded.delete(key);
    for (const handle of handles) this.#device.memory.free(handle);
  }

  [Symbol.dispose](): void {
    for (const key of [...this.#loaded.keys()]) this.unload(key);
  }

  /** scale times a matrix of the adapter, in memory of its own: the bits that training multiplies by. */
  #read({ weights }: Adapter, spec: WeightSpec, scale: number, form: Place['form']): PlainWeight {
    const { memory, commands } = this.#device;
    using source = new CheckpointWeights(this.#device, weights, { dtype: 'f32' });
    const read = source.tensor(spec);
    if (scale !== 1) scaleBy(commands, read, read, scale);
    if (form === 'packed') return PackedMatrix.pack(this.#device, read, 'f32');
    const kept = new Tensor(memory.allocate(read.length * 4), 0, read.shape);
    scaleBy(commands, read, kept, 1);
    commands.run();
    return kept;
  }
}

function plain(w: Weight): PlainWeight {
  if (w instanceof Tensor || w instanceof PackedMatrix) return w;
  throw new Error('adapter: expected a base without adapters');
}
