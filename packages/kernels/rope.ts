// Rotary position embedding: the rotation, its inverse, and the tables of angles with their context extensions.
//
// Owns the kernel that rotates pairs of a head's elements by an angle that grows with the position, and the arithmetic
// that turns a model's theta and scaling into cosines and sines. Does not know configuration files: who reads one names
// the scaling in our terms. Invariant: the inverse rotation undoes the rotation, so it is also the gradient.

import type { Commands } from './commands.ts';
import { extent, type Floats } from './elementwise.ts';
import type { Ref } from './memory.ts';

/** Which elements form pair i of `ropeDim / 2`: `interleaved` (2i, 2i + 1), `half` (i, i + ropeDim / 2). */
export type RopeStyle = 'interleaved' | 'half';

/** `N` rows (tokens) of `H` heads, of which `ropeDim` elements are rotated; x and y already point at those elements. */
export interface RopeOptions {
  readonly N: number;
  readonly H: number;
  /** Even. */
  readonly ropeDim: number;
  readonly xRowStride: number;
  readonly xHeadStride: number;
  readonly yRowStride: number;
  readonly yHeadStride: number;
  readonly style: RopeStyle;
  /** Rotates by the negative angle: the gradient of the rotation. */
  readonly inverse: boolean;
}

/**
 * With (a, b) pair i of x[n, h] and c, s = cos, sin[positions[n], i]: y's pair i = (a c - b s, a s + b c), and for the
 * inverse (a c + b s, b c - a s). x, y [N, H, ropeDim] at their strides (may be the same place), cos, sin
 * [positions, ropeDim / 2], positions int32 [N]. A position beyond the table takes the table's nearest row.
 * Su et al. 2021, arXiv 2104.09864.
 */
export function rope(c: Commands, x: Ref, y: Ref, cos: Ref, sin: Ref, positions: Ref, o: RopeOptions): void {
  const half = halfOf(o.ropeDim);
  const rows = Math.floor(Math.min(cos.length, sin.length) / half);
  c.begin('rope');
  c.tensor(x, extent(o.N, o.xRowStride, extent(o.H, o.xHeadStride, o.ropeDim)));
  c.tensor(y, extent(o.N, o.yRowStride, extent(o.H, o.yHeadStride, o.ropeDim)));
  c.tensor(cos, Math.max(rows, 1) * half);
  c.tensor(sin, Math.max(rows, 1) * half);
  c.tensor(positions, o.N);
  c.int(o.N);
  c.int(o.H);
  c.int(half);
  c.int(o.xRowStride);
  c.int(o.xHeadStride);
  c.int(o.yRowStride);
  c.int(o.yHeadStride);
  c.int(o.style === 'interleaved' ? 1 : 0);
  c.int(o.inverse ? 1 : 0);
  c.int(rows);
  c.end();
}

export function ropeTwin(x: Floats, y: Floats, cos: Floats, sin: Floats, positions: Int32Array, o: RopeOptions): void {
  const half = halfOf(o.ropeDim);
  const rows = Math.floor(Math.min(cos.length, sin.length) / half);
  const [step, apart] = o.style === 'interleaved' ? [2, 1] : [1, half];
  for (let n = 0; n < o.N; n++) {
    const row = Math.min(Math.max(positions[n]!, 0), rows - 1);
    for (let h = 0; h < o.H; h++) {
      for (let i = 0; i < half; i++) {
        const from = n * o.xRowStride + h * o.xHeadStride + i * step;
        const to = n * o.yRowStride + h * o.yHeadStride + i * step;
        const [a, b] = [x[from]!, x[from + apart]!];
        const cosine = cos[row * half + i]!;
        const sine = o.inverse ? -sin[row * half + i]! : sin[row * half + i]!;
        y[to] = a * cosine - b * sine;
        y[to + apart] = a * sine + b * cosine;
      }
    }
  }
}

/** How a model trained on short contexts reaches long ones. Lengths are in tokens. */
export type RopeScaling =
  /** Positions divided by `factor`. Chen et al. 2023, arXiv 2306.15595. */
  | { readonly type: 'linear'; readonly factor: number }
  /** Low frequencies divided by `factor`, high ones kept, those between blended by wavelength. Llama 3.1. */
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalMaxPositions: number;
    }
  /** As llama3 but blended by dimension, and the logits sharpened. Peng et al. 2023, arXiv 2309.00071. */
  | {
      readonly type: 'yarn';
      readonly factor: number;
      readonly originalMaxPositions: number;
      /** Rotations within the original context above which a frequency is kept; 32 by default. */
      readonly betaFast?: number;
      /** Rotations below which it is divided by `factor`; 1 by default. */
      readonly betaSlow?: number;
      /** DeepSeek's split of the sharpening between the rotated parts (`mscale`) and the whole logit (`mscaleAllDim`). */
      readonly mscale?: number;
      readonly mscaleAllDim?: number;
      /** Replaces the factor on cosines and sines that would follow from the above. */
      readonly attentionFactor?: number;
    };

export interface RopeTableOptions {
  /** Rotated elements of a head; even. */
  readonly dim: number;
  /** Base of the wavelengths: 10000 in DeepSeek's models. */
  readonly theta: number;
  /** Rows of the table. */
  readonly maxPositions: number;
  readonly scaling?: RopeScaling | undefined;
}

export interface RopeTable {
  /** [maxPositions, dim / 2], with `attentionFactor` multiplied in; computed in float64 and rounded once. */
  readonly cos: Float32Array;
  readonly sin: Float32Array;
  /** [dim / 2], radians per position. */
  readonly frequencies: Float64Array;
  /** Factor on cosines and sines. */
  readonly attentionFactor: number;
  /** Factor on attention's softmax scale, 1 / sqrt(dk): DeepSeek's YaRN sharpens all of the logit here. */
  readonly softmaxFactor: number;
}

/** Angles are position * frequency, frequency i = theta^(-2i / dim) before scaling. Throws for an odd `dim`. */
export function ropeTable({ dim, theta, maxPositions, scaling }: RopeTableOptions): RopeTable {
  const half = halfOf(dim);
  const frequencies = scaledFrequencies(dim, theta, scaling);
  const attentionFactor = yarnAttentionFactor(scaling);
  const cos = new Float32Array(maxPositions * half);
  const sin = new Float32Array(maxPositions * half);
  for (let position = 0; position < maxPositions; position++) {
    for (let i = 0; i < half; i++) {
      const angle = position * frequencies[i]!;
      cos[position * half + i] = Math.cos(angle) * attentionFactor;
      sin[position * half + i] = Math.sin(angle) * attentionFactor;
    }
  }
  return { cos, sin, frequencies, attentionFactor, softmaxFactor: yarnSoftmaxFactor(scaling) };
}

function scaledFrequencies(dim: number, theta: number, scaling: RopeScaling | undefined): Float64Array {
  const plain = Float64Array.from({ length: dim / 2 }, (_, i) => theta ** ((-2 * i) / dim));
  switch (scaling?.type) {
    case undefined:
      return plain;
    case 'linear':
      return plain.map((frequency) => frequency / scaling.factor);
    case 'llama3': {
      const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalMaxPositions } = scaling;
      return plain.map((frequency) => {
        const rotations = (originalMaxPositions * frequency) / (2 * Math.PI);
        return blend(frequency / factor, frequency, (rotations - low) / (high - low));
      });
    }
    case 'yarn': {
      const { factor, originalMaxPositions, betaFast = 32, betaSlow = 1 } = scaling;
      const dimensionOf = (rotations: number): number =>
        (dim * Math.log(originalMaxPositions / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
      const low = Math.max(Math.floor(dimensionOf(betaFast)), 0);
      const high = Math.min(Math.ceil(dimensionOf(betaSlow)), dim - 1);
      // The reference widens an empty ramp by a thousandth rather than divide by zero.
      const width = high === low ? 0.001 : high - low;
      return plain.map((frequency, i) => blend(frequency, frequency / factor, (i - low) / width));
    }
    default:
      return unreachable(scaling);
  }
}

/** `from` at t <= 0, `to` at t >= 1, linear between. */
function blend(from: number, to: number, t: number): number {
  const share = Math.min(Math.max(t, 0), 1);
  return from * (1 - share) + to * share;
}

function yarnAttentionFactor(scaling: RopeScaling | undefined): number {
  if (scaling?.type !== 'yarn') return 1;
  const { factor, mscale, mscaleAllDim, attentionFactor } = scaling;
  if (attentionFactor !== undefined) return attentionFactor;
  if (mscale && mscaleAllDim) return magnitude(factor, mscale) / magnitude(factor, mscaleAllDim);
  return magnitude(factor, 1);
}

function yarnSoftmaxFactor(scaling: RopeScaling | undefined): number {
  if (scaling?.type !== 'yarn' || !scaling.mscaleAllDim) return 1;
  return magnitude(scaling.factor, scaling.mscaleAllDim) ** 2;
}

function magnitude(factor: number, mscale: number): number {
  return factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1;
}

function halfOf(ropeDim: number): number {
  if (ropeDim % 2 !== 0) throw new Error(`rope: expected an even number of rotated elements, got ${ropeDim}`);
  return ropeDim / 2;
}

function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`);
}
