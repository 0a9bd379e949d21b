// An adapter that can be trained (LoRA, Hu et al. 2021, arXiv 2106.09685).
//
// Owns the pairs of matrices and their gradients; the weights below them are another source's, in whatever form that has them,
// and stay as they are. To whoever trains it is what `ParameterSet` is. Knows which weights have pairs and nothing of how they
// are trained. Invariant: nothing of the base is written, and no gradient is made for it.

import type { TensorSource } from '@hadal/formats/safetensors';
import type { StoredWeights } from '@hadal/formats/stored-weights';
import type { Device } from '@hadal/kernels/device';
import { AdaptedMatrix, type LowRank } from '@hadal/tensor/low-rank';
import type { OptimizerTarget } from '@hadal/tensor/optimizer';
import { PackedMatrix, type PlainWeight, type Weight } from '@hadal/tensor/packed-matrix';
import { Tensor } from '@hadal/tensor/tensor';
import { type CheckpointTensor, type Parameter, ParameterSet } from '../parameter-set.ts';
import { specKey, type WeightSource, type WeightSpec } from '../weight-source.ts';
import { type AdapterConfig, isNamed, targetPair } from './adapter-config.ts';
import { isAdaptable, type LowRankSpec, lowRankSpecs, makeLowRank, moduleOf } from './low-rank-specs.ts';
import { uniforms } from './uniforms.ts';

export class AdapterSet implements WeightSource, Disposable {
  readonly config: AdapterConfig;
  /** Whether the base is a mixture of experts, with pairs for them or without. */
  readonly hasExperts: boolean;
  readonly #device: Device;
  readonly #base: WeightSource;
  readonly #trained: ParameterSet;
  /** Of the weights that have pairs, by `specKey`. */
  readonly #lowRanks = new Map<string, readonly LowRank[]>();

  /**
   * `specs`: all weights that the architecture will ask for (`collectSpecs`); `base` must outlive this. The pairs add nothing
   * until `initialize` or `load`, and a step. Throws where a target names no module.
   */
  constructor(device: Device, base: WeightSource, specs: readonly WeightSpec[], config: AdapterConfig) {
    this.config = config;
    this.hasExperts = specs.some(({ kind }) => kind === 'experts');
    this.#device = device;
    this.#base = base;
    checkTargets(specs, config);
    const adapted = specs
      .map((spec) => ({ spec, pairs: lowRankSpecs(spec, (module) => targetPair(config, module)) }))
      .filter(({ pairs }) => pairs.length > 0);
    this.#trained = new ParameterSet(device, uniqueSpecs(adapted.flatMap(({ pairs }) => pairs)));
    for (const { spec, pairs } of adapted) {
      this.#lowRanks.set(
        specKey(spec),
        pairs.map((pair) => makeLowRank(pair, (each) => this.#trained.tensor(each))),
      );
    }
  }

  /** The pairs' matrices; those of parts that share a weight lie in one. */
  get parameters(): readonly Parameter[] {
    return this.#trained.parameters;
  }

  /** All gradients as one tensor. */
  get gradients(): Tensor {
    return this.#trained.gradients;
  }

  /** How many numbers there are to train. */
  get count(): number {
    return this.#trained.count;
  }

  /** How the pairs move: all by AdamW, for each is half of a product, and the nearest orthogonal matrix of a half means little. */
  optimizerTargets(): OptimizerTarget[] {
    return this.parameters.map(({ spec, value }) => ({
      ...{ name: specKey(spec), value, method: 'adamw', rows: value.rows, cols: value.dim(-1), decays: true },
    }));
  }

  /**
   * A uniform within 1 / sqrt(in) (Kaiming's for a slope of sqrt(5)) and B zero, as PEFT begins: the model is the base. Each
   * matrix draws from a stream of its own.
   */
  initialize(seed: string): void {
    for (const { spec, value } of this.parameters) {
      const values = new Float32Array(value.length);
      if (isDown(spec)) {
        let begin = 0;
        for (const part of spec.parts) {
          const [rank, into] = part.shape as readonly [number, number];
          const bound = into ** -0.5;
          values.set(
            uniforms(`${seed}/${part.name}`, rank * into).map((u) => bound * (2 * u - 1)),
            begin,
          );
          begin += rank * into;
        }
      }
      this.#device.memory.write(value, values);
    }
  }

  matrix(spec: WeightSpec): Weight {
    const base = frozen(this.#base.matrix(spec));
    const lowRanks = this.#lowRanks.get(specKey(spec));
    return lowRanks ? new AdaptedMatrix(base, new Map([[undefined, lowRanks]])) : base;
  }

  tensor(spec: WeightSpec): Tensor {
    return frozen(this.#base.tensor(spec)) as Tensor;
  }

  lowRanks(spec: WeightSpec): AdaptedMatrix['lowRanks'] | undefined {
    const lowRanks = this.#lowRanks.get(specKey(spec));
    return lowRanks && new Map([[undefined, lowRanks]]);
  }

  counter(experts: number): Tensor {
    return this.#base.counter(experts);
  }

  constant(shape: readonly number[], values: () => Float32Array): Tensor {
    return this.#base.constant(shape, values);
  }

  has(name: string): boolean {
    return this.#base.has(name);
  }

  /** Takes every value from an adapter, under PEFT's names. */
  load(weights: StoredWeights): void {
    this.#trained.load(weights);
  }

  /** The pairs as PEFT names and shapes them, ready to be written. */
  tensors(dtype: 'F32' | 'BF16'): TensorSource[] {
    return this.#trained.tensors(dtype);
  }

  /** The gradients under the same names. */
  gradientTensors(): CheckpointTensor[] {
    return this.#trained.gradientTensors();
  }

  /** The base stays. */
  [Symbol.dispose](): void {
    this.#trained[Symbol.dispose]();
  }
}

function isDown({ parts }: WeightSpec): boolean {
  return parts.every(({ name }) => name.endsWith('.lora_A.weight'));
}

/** One checkpoint tensor that is cut in two weights has one A, which both share. */
function uniqueSpecs(pairs: readonly LowRankSpec[]): WeightSpec[] {
  const all = pairs.flatMap(({ down, parts }) => [down, ...parts.map(({ up }) => up)]);
  return [...new Map(all.map((spec) => [specKey(spec), spec])).values()];
}

/** The same memory, without a gradient. */
function frozen(w: Weight): PlainWeight {
  if (w instanceof PackedMatrix) return w;
  if (w instanceof AdaptedMatrix) throw new Error('adapter: expected a base without adapters');
  return new Tensor(w.handle, w.offset, w.shape, w.dtype);
}

function checkTargets(specs: readonly WeightSpec[], { targets, rank }: AdapterConfig): void {
  const modules = specs.filter(isAdaptable).flatMap(({ parts }) => parts.map(moduleOf));
  if (targets === 'all-linear') return;
  const stray = targets.find((target) => !modules.some((module) => isNamed(module, target)));
  if (stray === undefined && targets.length > 0) return;
  const known = [...new Set(modules.map((module) => module.slice(module.lastIndexOf('.') + 1)))].join(', ');
  throw new Error(`adapter of rank ${rank}: expected targets among ${known}, got ${stray ?? 'none'}`);
}
