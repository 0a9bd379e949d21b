// Attention over chosen keys: a window of the last tokens, and rows that a list picks.
//
// Owns the kernel's contract and its plain definition. Two sources of keys, each of which may be absent: `near`, the
// tokens just before the query, and `far`, windows of tokens that one row stands for, all of them or those picked. Knows
// nothing of who picks. Inference only. Invariant: an output row depends on its query and its own keys, in bits.

import type { Commands } from './commands.ts';
import { extent, type Floats } from './elementwise.ts';
import type { Ref } from './memory.ts';
import { placedQueries, windowRow, windowsAmong } from './windows.ts';

/** Sizes and strides as in `attention`; the strides of keys and values are those of both sources. */
export interface SparseAttentionOptions {
  readonly S: number;
  readonly NQ: number;
  readonly H: number;
  readonly Hkv: number;
  readonly dk: number;
  readonly dv: number;
  readonly scale: number;
  readonly qStride: number;
  readonly kStride: number;
  readonly vStride: number;
  readonly outStride: number;
  /** Tokens that a query sees of `near`, itself the last. */
  readonly window: number;
  /** Length of a list of picks. */
  readonly K: number;
  /** Tokens that a row of `far` stands for. */
  readonly tokensPerRow: number;
}

/** Rows of keys and values (the same tensor where they are the same), and the row where each block of 64 tokens begins. */
export interface KeySource {
  readonly keys: Ref;
  readonly values: Ref;
  readonly blockStarts: Ref;
}

export interface SparseTensors {
  readonly q: Ref;
  readonly near?: KeySource | undefined;
  readonly far?: KeySource | undefined;
  /** int32 [NQ, K]: windows of `far`, ascending, a list ends at its first -1. Absent: every whole window. */
  readonly picks?: Ref | undefined;
  /** [H]: a score that takes part in each head's softmax and has no value. */
  readonly sinks?: Ref | undefined;
  readonly out: Ref;
  /** int32 [S, 4], as `attention` defines it. */
  readonly sequences: Ref;
}

/**
 * out[i, h] = sum_j p[j] v[j, hk], p = softmax over the query's keys j of scale * q[i, h] . k[j, hk], and over sinks[h].
 *
 * A query at position p sees the tokens from p - window + 1 to p of `near` and those of the picked windows of `far` that
 * end by p. q [NQ, H, dk], out [NQ, H, dv]; rows of no sequence become zero, a key whose row lies outside is not seen.
 * DeepSeek-V3.2 (arXiv 2512.02556, section 2.1); DeepSeek-V4 (arXiv 2606.19348, section 2.3); sinks as in Xiao et al.
 * 2023, arXiv 2309.17453.
 */
export function sparseAttention(c: Commands, t: SparseTensors, o: SparseAttentionOptions): void {
  checkSizes(o);
  const sides = [t.near, t.far] as const;
  const rows = sides.map((side) => (side ? rowsOf(side, o) : 0));
  const blockCount = Math.min(...sides.map((side) => side?.blockStarts.length ?? Number.POSITIVE_INFINITY));
  c.begin('sparseAttention');
  c.tensor(t.q, extent(o.NQ, o.qStride, o.H * o.dk));
  for (const [i, side] of sides.entries()) {
    c.optionalTensor(side?.keys, extent(rows[i]!, o.kStride, o.Hkv * o.dk));
    c.optionalTensor(side?.values, extent(rows[i]!, o.vStride, o.Hkv * o.dv));
  }
  c.optionalTensor(t.picks, o.NQ * o.K);
  c.optionalTensor(t.sinks, o.H);
  c.tensor(t.out, extent(o.NQ, o.outStride, o.H * o.dv));
  c.tensor(t.sequences, o.S * 4);
  for (const side of sides) c.optionalTensor(side?.blockStarts, blockCount);
  for (const n of [o.S, o.NQ, o.H, o.Hkv, o.dk, o.dv, o.qStride, o.kStride, o.vStride, o.outStride]) c.int(n);
  for (const n of [rows[0]!, rows[1]!, blockCount, o.window, o.K, o.tokensPerRow]) c.int(n);
  c.float(o.scale);
  c.end();
}

export interface KeySourceArrays {
  readonly keys: Floats;
  readonly values: Floats;
  readonly blockStarts: Int32Array;
}

export interface SparseArrays {
  readonly q: Floats;
  readonly near?: KeySourceArrays | undefined;
  readonly far?: KeySourceArrays | undefined;
  readonly picks?: Int32Array | undefined;
  readonly sinks?: Floats | undefined;
  readonly out: Floats;
  readonly sequences: Int32Array;
}

export function sparseAttentionTwin(t: SparseArrays, o: SparseAttentionOptions): void {
  for (let r = 0; r < o.NQ; r++) t.out.fill(0, r * o.outStride, r * o.outStride + o.H * o.dv);
  for (const { row, position, blockStart } of placedQueries(t.sequences, o.S)) {
    const seen: { side: KeySourceArrays; at: number }[] = [];
    const see = (side: KeySourceArrays, window: number, tokensPerRow: number) =>
      seen.push({ side, at: windowRow(window, tokensPerRow, (b) => blockStart(side.blockStarts, b)) });
    if (t.far) {
      const whole = windowsAmong(position + 1, o.tokensPerRow);
      const list = t.picks
        ? t.picks.subarray(row * o.K, (row + 1) * o.K)
        : Int32Array.from({ length: whole }, (_, i) => i);
      for (const window of list) {
        if (window < 0 || window >= whole) break;
        see(t.far, window, o.tokensPerRow);
      }
    }
    if (t.near) for (let p = Math.max(0, position + 1 - o.window); p <= position; p++) see(t.near, p, 1);
    for (let head = 0; head < o.H; head++) {
      const keyHead = Math.floor(head / (o.H / o.Hkv));
      const scores = seen.map(({ side, at }) => {
        let dot = 0;
        for (let d = 0; d < o.dk; d++) {
          dot += t.q[row * o.qStride + head * o.dk + d]! * side.keys[at * o.kStride + keyHead * o.dk + d]!;
        }
        return o.scale * dot;
      });
      const sink = t.sinks ? t.sinks[head]! : -Infinity;
      const max = scores.reduce((best, s) => Math.max(best, s), sink);
      const total = scores.reduce((sum, s) => sum + Math.exp(s - max), Math.exp(sink - max));
      for (let d = 0; d < o.dv; d++) {
        let sum = 0;
        for (const [j, { side, at }] of seen.entries()) {
          sum += (Math.exp(scores[j]! - max) / total) * side.values[at * o.vStride + keyHead * o.dv + d]!;
        }
        t.out[row * o.outStride + head * o.dv + d] = sum;
      }
    }
  }
}

/** Widest key or value head: a thread's scratch holds four blocks of it. */
const WIDEST_HEAD = 1024;

function checkSizes({ H, Hkv, dk, dv, window, tokensPerRow }: SparseAttentionOptions): void {
  if (!(Hkv >= 1 && H % Hkv === 0)) throw new Error(`sparseAttention: expected Hkv to divide H = ${H}, got ${Hkv}`);
  if (!(dk >= 1 && dk <= WIDEST_HEAD && dv >= 1 && dv <= WIDEST_HEAD)) {
    throw new Error(`sparseAttention: expected dk and dv from 1 to ${WIDEST_HEAD}, got ${dk} and ${dv}`);
  }
  if (!(window >= 1 && tokensPerRow >= 1)) {
    throw new Error(
      `sparseAttention: expected a window and tokens per row of 1 or more, got ${window}, ${tokensPerRow}`,
    );
  }
}

/** Rows that keys and values both hold whole. */
function rowsOf({ keys, values }: KeySource, o: SparseAttentionOptions): number {
  const rows = (length: number, stride: number, width: number) =>
    length < width ? 0 : Math.floor((length - width) / stride) + 1;
  return Math.min(rows(keys.length, o.kStride, o.Hkv * o.dk), rows(values.length, o.vStride, o.Hkv * o.dv));
}
