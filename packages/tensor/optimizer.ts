// How weights move: AdamW, and Muon for hidden matrices.
//
// Owns the optimizers' state (moments), which lives in native memory beside the weights and can be written to and read
// from a checkpoint. Does not know what a layer is: the caller says which weights are matrices, and of which size.
// Invariant: a step is a pure function of weights, gradients, state and step number, so a resumed run repeats its bits.

import type { Device } from '@hadal/kernels/device';
import { axpy, fill, scale } from '@hadal/kernels/elementwise';
import { matmul } from '@hadal/kernels/matmul';
import { rmsNorm } from '@hadal/kernels/norm';
import { adamw } from '@hadal/kernels/optimizer';
import { Arena } from './arena.ts';
import { Tensor } from './tensor.ts';

export interface AdamwSettings {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
}

export interface MuonSettings {
  readonly momentum: number;
  readonly weightDecay: number;
  /** Root mean square of an update before the learning rate: 0.2 makes AdamW's rates fit (Liu et al. 2025). */
  readonly updateRms: number;
  /** Coefficients of each Newton-Schulz iteration x <- a x + b (x xT) x + c (x xT)^2 x. */
  readonly iterations: readonly (readonly [a: number, b: number, c: number])[];
}

/** Jordan et al. 2024: five steep iterations bring singular values near 1, not to it. */
export const steepIterations: MuonSettings['iterations'] = Array.from({ length: 5 }, () => [3.4445, -4.775, 2.0315]);

/** DeepSeek-V4: eight steep iterations, then two that settle at 1. */
export const settledIterations: MuonSettings['iterations'] = [
  ...Array.from({ length: 8 }, () => [3.4445, -4.775, 2.0315] as const),
  ...Array.from({ length: 2 }, () => [2, -1.5, 0.5] as const),
];

/** One weight, or several matrices of one size that lie one after another. */
export interface OptimizerTarget {
  readonly name: string;
  readonly value: Tensor;
  readonly method: 'adamw' | 'muon';
  /** Of each matrix; for Muon only. */
  readonly rows: number;
  readonly cols: number;
  /** Norms and embeddings are commonly spared. */
  readonly decays: boolean;
}

export interface OptimizerSettings {
  readonly adamw: AdamwSettings;
  readonly muon: MuonSettings;
}

export class Optimizer {
  readonly #device: Device;
  readonly #settings: OptimizerSettings;
  readonly #targets: readonly OptimizerTarget[];
  /** First and second moment of AdamW; Muon keeps the first only. */
  readonly #state = new Map<string, { readonly m: Tensor; readonly v: Tensor | undefined }>();
  readonly #scratch: Arena;

  constructor(device: Device, targets: readonly OptimizerTarget[], settings: OptimizerSettings) {
    this.#device = device;
    this.#settings = settings;
    this.#targets = targets;
    this.#scratch = new Arena(device.memory, 64 * 2 ** 20);
    for (const { name, value, method } of targets) {
      const moment = () => new Tensor(device.memory.allocate(value.length * 4), 0, [value.length]);
      this.#state.set(name, { m: moment(), v: method === 'adamw' ? moment() : undefined });
    }
  }

  /**
   * Records one update. `step` counts from 1; `learningRates` by method; `gradientScale` multiplies every gradient
   * first (clipping); targets that `rest` stay as they are, undecayed.
   */
  step(
    step: number,
    learningRates: { readonly adamw: number; readonly muon: number },
    gradientScale: number,
    rest: (name: string) => boolean = () => false,
  ): void {
    this.#scratch.reset();
    for (const target of this.#targets) {
      if (rest(target.name)) continue;
      if (!target.value.grad) throw new Error(`${target.name}: no gradient to step by`);
      if (target.method === 'adamw') this.#adamw(target, step, learningRates.adamw, gradientScale);
      else this.#muon(target, learningRates.muon, gradientScale);
    }
  }

  /** Every moment by name, for a checkpoint: `NAME.m` and `NAME.v`. */
  state(): { name: string; tensor: Tensor }[] {
    return [...this.#state].flatMap(([name, { m, v }]) => [
      { name: `${name}.m`, tensor: m },
      ...(v ? [{ name: `${name}.v`, tensor: v }] : []),
    ]);
  }

  [Symbol.dispose](): void {
    for (const { tensor } of this.state()) this.#device.memory.free(tensor.handle);
    this.#scratch[Symbol.dispose]();
  }

  #adamw(target: OptimizerTarget, step: number, lr: number, gradScale: number): void {
    const { value, name, decays } = target;
    const { m, v } = this.#state.get(name) as { m: Tensor; v: Tensor };
    const { beta1, beta2, eps, weightDecay } = this.#settings.adamw;
    adamw(this.#device.commands, value, value.grad as Tensor, m, v, {
      ...{ n: value.length, lr, beta1, beta2, eps, weightDecay: decays ? weightDecay : 0, step, gradScale },
    });
  }

  /**
   * Momentum, then the nearest semi-orthogonal matrix by Newton-Schulz, then the step. Keller Jordan et al. 2024; scaled
   * to a fixed root mean square as in Moonlight (arXiv 2502.16982, section 2.2).
   */
  #muon(target: OptimizerTarget, lr: number, gradScale: number): void {
    const { commands } = this.#device;
    const { momentum, weightDecay, updateRms, iterations } = this.#settings.muon;
    const { value, name, rows, cols } = target;
    const { m } = this.#state.get(name) as { m: Tensor };
    const size = rows * cols;
    const count = value.length / size;

    // m <- momentum m + g, and Nesterov's look ahead g + momentum m.
    const flat = { handle: value.handle, offset: value.offset, length: value.length };
    const g = value.grad as Tensor;
    scale(commands, m, m, momentum);
    axpy(commands, gradScale, g, m);
    const x = this.#scratch.take([count, size]);
    scale(commands, m, x, momentum);
    axpy(commands, gradScale, g, x);

    // Divided by the Frobenius norm: a row of length n scaled to unit root mean square has norm sqrt(n).
    const ones = this.#scratch.take([size]);
    fill(commands, ones, size ** -0.5);
    rmsNorm(commands, x, ones, x, { N: count, D: size, eps: 1e-20 });

    // Each iteration needs the Gram matrix of the shorter side only.
    const side = Math.min(rows, cols);
    const gram = this.#scratch.take([count, side * side]);
    const gram2 = this.#scratch.take([count, side * side]);
    let [now, next] = [x, this.#scratch.take([count, size])];
    const batch = { batch: count };
    const square = { strideA: side * side, strideB: side * side, strideC: side * side };
    for (const [a, b, c] of iterations) {
      const gramShape = { M: side, N: side, K: Math.max(rows, cols), ...batch, strideA: size, strideB: size };
      const orientation = rows <= cols ? { transB: true } : { transA: true };
      matmul(commands, now, now, gram, { ...gramShape, ...orientation, strideC: side * side });
      matmul(commands, gram, gram, gram2, { M: side, N: side, K: side, ...batch, ...square });
      scale(commands, gram2, gram2, c);
      axpy(commands, b, gram, gram2);
      scale(commands, now, next, a);
      const product = { M: rows, N: cols, ...batch, strideC: size, accumulate: true };
      if (rows <= cols) {
        matmul(commands, gram2, now, next, { ...product, K: rows, strideA: side * side, strideB: size });
      } else {
        matmul(commands, now, gram2, next, { ...product, K: cols, strideA: size, strideB: side * side });
      }
      [now, next] = [next, now];
    }
    if (weightDecay > 0 && target.decays) scale(commands, flat, flat, 1 - lr * weightDecay);
    axpy(commands, -lr * updateRms * Math.sqrt(Math.max(rows, cols)), now, flat);
    this.#scratch.reset();
  }
}
