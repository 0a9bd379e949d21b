// Keys and values of multi-head latent attention in its expanded form.
//
// Owns the layout between the up-projection of the latent, which leaves each head's key and value side by side, and
// attention, which wants whole keys: the rotary part is one vector per token that all heads share. Knows nothing of the
// projections or of rotation. Invariant: the shared part's gradient adds heads in order.

import type { Commands } from './commands.ts';
import { extent, type Floats } from './elementwise.ts';
import type { Ref } from './memory.ts';

/** `N` tokens, `H` heads; widths per head: `nope` (unrotated key), `rope` (rotary key), `vDim` (value). */
export interface MlaAssembleOptions {
  readonly N: number;
  readonly H: number;
  readonly nope: number;
  readonly rope: number;
  readonly vDim: number;
  /** Elements from one token's rotary key to the next: the width of the row it lies in. */
  readonly kPeStride: number;
}

/**
 * k[n, h] = [kv[n, h, 0..nope] | kPe[n]]; v[n, h] = kv[n, h, nope..nope + vDim].
 * kv [N, H, nope + vDim], kPe [N, rope] at kPeStride, k [N, H, nope + rope], v [N, H, vDim].
 * DeepSeek-V2, arXiv 2405.04434, equations 13 to 17.
 */
export function mlaAssemble(c: Commands, kv: Ref, kPe: Ref, k: Ref, v: Ref, o: MlaAssembleOptions): void {
  c.begin('mlaAssemble');
  c.tensor(kv, o.N * o.H * (o.nope + o.vDim));
  c.tensor(kPe, extent(o.N, o.kPeStride, o.rope));
  c.tensor(k, o.N * o.H * (o.nope + o.rope));
  c.tensor(v, o.N * o.H * o.vDim);
  recordSizes(c, o);
  c.end();
}

export function mlaAssembleTwin(kv: Floats, kPe: Floats, k: Floats, v: Floats, o: MlaAssembleOptions): void {
  const { N, H, nope, rope, vDim } = o;
  for (let n = 0; n < N; n++) {
    for (let h = 0; h < H; h++) {
      const from = (n * H + h) * (nope + vDim);
      const key = (n * H + h) * (nope + rope);
      for (let d = 0; d < nope; d++) k[key + d] = kv[from + d]!;
      for (let d = 0; d < rope; d++) k[key + nope + d] = kPe[n * o.kPeStride + d]!;
      for (let d = 0; d < vDim; d++) v[(n * H + h) * vDim + d] = kv[from + nope + d]!;
    }
  }
}

/**
 * dkv[n, h] = [dk[n, h, 0..nope] | dv[n, h]]; dkPe[n] = sum_h dk[n, h, nope..nope + rope], heads in order.
 * Shapes as in `mlaAssemble`; `dkv` and `dkPe` (at kPeStride) are written.
 */
export function mlaAssembleBackward(c: Commands, dk: Ref, dv: Ref, dkv: Ref, dkPe: Ref, o: MlaAssembleOptions): void {
  c.begin('mlaAssembleBackward');
  c.tensor(dk, o.N * o.H * (o.nope + o.rope));
  c.tensor(dv, o.N * o.H * o.vDim);
  c.tensor(dkv, o.N * o.H * (o.nope + o.vDim));
  c.tensor(dkPe, extent(o.N, o.kPeStride, o.rope));
  recordSizes(c, o);
  c.end();
}

export function mlaAssembleBackwardTwin(
  dk: Floats,
  dv: Floats,
  dkv: Floats,
  dkPe: Floats,
  o: MlaAssembleOptions,
): void {
  const { N, H, nope, rope, vDim } = o;
  for (let n = 0; n < N; n++) {
    for (let h = 0; h < H; h++) {
      const to = (n * H + h) * (nope + vDim);
      for (let d = 0; d < nope; d++) dkv[to + d] = dk[(n * H + h) * (nope + rope) + d]!;
      for (let d = 0; d < vDim; d++) dkv[to + nope + d] = dv[(n * H + h) * vDim + d]!;
    }
    for (let d = 0; d < rope; d++) {
      let total = 0;
      for (let h = 0; h < H; h++) total += dk[(n * H + h) * (nope + rope) + nope + d]!;
      dkPe[n * o.kPeStride + d] = total;
    }
  }
}

function recordSizes(c: Commands, o: MlaAssembleOptions): void {
  c.int(o.N);
  c.int(o.H);
  c.int(o.nope);
  c.int(o.rope);
  c.int(o.vDim);
  c.int(o.kPeStride);
}
