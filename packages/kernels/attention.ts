// Causal attention over packed and paged sequences, and its gradient.
//
// Owns the tables that say which rows attend to which, the kernels' contract and the plain definition of both. Knows
// nothing of caches, pages or documents beyond "64 keys lie together". Multi-head, grouped-query and absorbed latent
// attention are one kernel: they differ in sizes and strides. Invariant: an output row depends on its query, the keys and
// values up to its position, and nothing else, in bits: alone, in a batch, prefilled or decoded, wherever its blocks lie.

import type { Commands } from './commands.ts';
import { extent, type Floats, fromBf16Twin } from './elementwise.ts';
import type { Ref } from './memory.ts';
import type { RowDtype } from './rows.ts';

/** Keys in a block: rows of k and v that lie together. */
export const KEY_BLOCK = 64;

/** `S` sequences, `H` query heads, `Hkv` key and value heads (a divisor of H), widths `dk` and `dv`; strides in elements. */
export interface AttentionOptions {
  readonly S: number;
  readonly H: number;
  readonly Hkv: number;
  readonly dk: number;
  readonly dv: number;
  /** Factor on every score: 1 / sqrt(dk) as a rule. */
  readonly scale: number;
  /** Between rows. Row r's head h lies at r * stride + h * width. */
  readonly qStride: number;
  readonly kStride: number;
  readonly vStride: number;
  readonly outStride: number;
  /** Rows of q, out and lse. */
  readonly NQ: number;
  /** Form of k and v; f32 when absent. The gradient takes f32 only. */
  readonly keyDtype?: RowDtype | undefined;
}

/** A run of tokens that attend to one another. */
export interface SequenceRows {
  /** Row of q, out and lse that holds its first query. */
  readonly queryStart: number;
  /** Queries: its last tokens. */
  readonly queryCount: number;
  /** Keys: all its tokens. */
  readonly keyCount: number;
  /** Row of k and v where its b-th block of 64 keys starts, b < keyCount / 64 rounded up. */
  readonly blockStart: (b: number) => number;
}

export interface SequenceTables {
  /** [S, 4]: queryStart, queryCount, keyCount, index of the first block in `blockStarts`. */
  readonly sequences: Int32Array;
  readonly blockStarts: Int32Array;
}

/** The tables of int32 that `attention` reads. */
export function sequenceTables(rows: readonly SequenceRows[]): SequenceTables {
  const starts: number[] = [];
  const table = rows.flatMap(({ queryStart, queryCount, keyCount, blockStart }) => {
    const first = starts.length;
    for (let b = 0; b * KEY_BLOCK < keyCount; b++) starts.push(blockStart(b));
    return [queryStart, queryCount, keyCount, first];
  });
  return { sequences: Int32Array.from(table), blockStarts: Int32Array.from(starts) };
}

/** Whole documents one after another from row 0 on, as training packs them: each attends to itself alone. */
export function documentTables(lengths: readonly number[]): SequenceTables {
  let next = 0;
  return sequenceTables(
    lengths.map((length) => {
      const start = next;
      next += length;
      const blockStart = (b: number) => start + b * KEY_BLOCK;
      return { queryStart: start, queryCount: length, keyCount: length, blockStart };
    }),
  );
}

/**
 * Query i of a sequence stands at position p = keyCount - queryCount + i and sees keys 0..p:
 * s[j] = scale * q[i, h] . k[j, hk]; out[i, h] = sum_j softmax(s)[j] v[j, hk]; lse[i, h] = log sum_j exp(s[j]),
 * with hk = floor(h / (H / Hkv)).
 *
 * q [NQ, H, dk], k [rows, Hkv, dk] and v [rows, Hkv, dv] in float32 or bfloat16, out [NQ, H, dv], lse [NQ, H] without gaps, sequences int32 [S, 4],
 * blockStarts int32. Rows of no sequence become zero; a sequence that leads outside the tensors counts as none. Absorbed
 * latent attention: Hkv = 1, v = k, dv < dk. Vaswani et al. 2017; blocks and running maximum as in Dao et al. 2022,
 * arXiv 2205.14135.
 */
export function attention(
  c: Commands,
  q: Ref,
  k: Ref,
  v: Ref,
  out: Ref,
  lse: Ref,
  sequences: Ref,
  blockStarts: Ref,
  o: AttentionOptions,
): void {
  checkSizes(o);
  const keyRows = keyRowsOf(k, v, o);
  c.begin('attention');
  c.tensor(q, extent(o.NQ, o.qStride, o.H * o.dk));
  for (const dtype of ['f32', 'bf16']) {
    const isGiven = dtype === (o.keyDtype ?? 'f32');
    c.optionalTensor(isGiven ? k : undefined, extent(keyRows, o.kStride, o.Hkv * o.dk));
    c.optionalTensor(isGiven ? v : undefined, extent(keyRows, o.vStride, o.Hkv * o.dv));
  }
  c.tensor(out, extent(o.NQ, o.outStride, o.H * o.dv));
  c.tensor(lse, o.NQ * o.H);
  c.tensor(sequences, o.S * 4);
  c.tensor(blockStarts, blockStarts.length);
  recordSizes(c, o, keyRows, blockStarts.length);
  c.end();
}

export function attentionTwin(
  q: Floats,
  keys: Floats | Uint16Array,
  values: Floats | Uint16Array,
  out: Floats,
  lse: Floats,
  sequences: Int32Array,
  blockStarts: Int32Array,
  o: AttentionOptions,
): void {
  const [k, v] = [widened(keys), widened(values)];
  for (let r = 0; r < o.NQ; r++) {
    out.fill(0, r * o.outStride, r * o.outStride + o.H * o.dv);
    lse.fill(0, r * o.H, (r + 1) * o.H);
  }
  for (const { row, head, keyHead, keys: seen } of queriesOf(sequences, blockStarts, o)) {
    const scores = scoresOf(q, k, row, head, keyHead, seen, o);
    const max = scores.reduce((best, s) => Math.max(best, s), -Infinity);
    const total = scores.reduce((sum, s) => sum + Math.exp(s - max), 0);
    lse[row * o.H + head] = max + Math.log(total);
    for (let d = 0; d < o.dv; d++) {
      let sum = 0;
      for (const [j, key] of seen.entries()) {
        sum += (Math.exp(scores[j]! - max) / total) * v[key * o.vStride + keyHead * o.dv + d]!;
      }
      out[row * o.outStride + head * o.dv + d] = sum;
    }
  }
}

/**
 * With p = exp(s - lse) and dp[j] = dOut[i, h] . v[j, hk]: ds[j] = p[j] (dp[j] - dOut[i, h] . out[i, h]);
 * dq[i, h] = scale * sum_j ds[j] k[j]; dk[j] = scale * sum_{h, i} ds[j] q[i, h]; dv[j] = sum_{h, i} p[j] dOut[i, h].
 *
 * Every sequence has queryCount = keyCount (others count as none), and no two share a row. Shapes and strides as in the
 * forward pass: dOut as out, dq as q, dk as k, dv as v; the three are written, rows of no sequence with zeros.
 */
export function attentionBackward(
  c: Commands,
  q: Ref,
  k: Ref,
  v: Ref,
  out: Ref,
  dOut: Ref,
  lse: Ref,
  dq: Ref,
  dk: Ref,
  dv: Ref,
  sequences: Ref,
  blockStarts: Ref,
  o: AttentionOptions,
): void {
  checkSizes(o);
  const keyRows = keyRowsOf(k, v, o);
  // The kernel keeps one float for each query row and head, and one turn for each block of queries, in shared memory.
  const sharedBytes = 4 * o.H * (o.NQ + blockStarts.length);
  if (sharedBytes > MOST_SHARED_BYTES) {
    throw new Error(`attentionBackward: ${o.NQ} rows of ${o.H} heads need ${sharedBytes} bytes of shared memory`);
  }
  c.begin('attentionBackward');
  c.tensor(q, extent(o.NQ, o.qStride, o.H * o.dk));
  c.tensor(k, extent(keyRows, o.kStride, o.Hkv * o.dk));
  c.tensor(v, extent(keyRows, o.vStride, o.Hkv * o.dv));
  c.tensor(out, extent(o.NQ, o.outStride, o.H * o.dv));
  c.tensor(dOut, extent(o.NQ, o.outStride, o.H * o.dv));
  c.tensor(lse, o.NQ * o.H);
  c.tensor(dq, extent(o.NQ, o.qStride, o.H * o.dk));
  c.tensor(dk, extent(keyRows, o.kStride, o.Hkv * o.dk));
  c.tensor(dv, extent(keyRows, o.vStride, o.Hkv * o.dv));
  c.tensor(sequences, o.S * 4);
  c.tensor(blockStarts, blockStarts.length);
  recordSizes(c, o, keyRows, blockStarts.length);
  c.end();
}

export function attentionBackwardTwin(
  q: Floats,
  k: Floats,
  v: Floats,
  out: Floats,
  dOut: Floats,
  lse: Floats,
  dq: Floats,
  dk: Floats,
  dv: Floats,
  sequences: Int32Array,
  blockStarts: Int32Array,
  o: AttentionOptions,
): void {
  const [dqTotal, dkTotal, dvTotal] = [
    new Float64Array(dq.length),
    new Float64Array(dk.length),
    new Float64Array(dv.length),
  ];
  for (const { row, head, keyHead, keys } of queriesOf(sequences, blockStarts, o)) {
    const scores = scoresOf(q, k, row, head, keyHead, keys, o);
    const [atQ, atOut] = [row * o.qStride + head * o.dk, row * o.outStride + head * o.dv];
    let along = 0;
    for (let d = 0; d < o.dv; d++) along += dOut[atOut + d]! * out[atOut + d]!;
    for (const [j, key] of keys.entries()) {
      const [atK, atV] = [key * o.kStride + keyHead * o.dk, key * o.vStride + keyHead * o.dv];
      const p = Math.exp(scores[j]! - lse[row * o.H + head]!);
      let dp = 0;
      for (let d = 0; d < o.dv; d++) dp += dOut[atOut + d]! * v[atV + d]!;
      const ds = p * (dp - along) * o.scale;
      for (let d = 0; d < o.dk; d++) dqTotal[atQ + d] = dqTotal[atQ + d]! + ds * k[atK + d]!;
      for (let d = 0; d < o.dk; d++) dkTotal[atK + d] = dkTotal[atK + d]! + ds * q[atQ + d]!;
      for (let d = 0; d < o.dv; d++) dvTotal[atV + d] = dvTotal[atV + d]! + p * dOut[atOut + d]!;
    }
  }
  const copyRows = (from: Float64Array, to: Floats, rows: number, stride: number, width: number) => {
    for (let r = 0; r < rows; r++) to.set(from.subarray(r * stride, r * stride + width), r * stride);
  };
  const keyRows = keyRowsOf(k, v, o);
  copyRows(dqTotal, dq, o.NQ, o.qStride, o.H * o.dk);
  copyRows(dkTotal, dk, keyRows, o.kStride, o.Hkv * o.dk);
  copyRows(dvTotal, dv, keyRows, o.vStride, o.Hkv * o.dv);
}

/** What the backward pass may ask of the memory that all threads share. */
const MOST_SHARED_BYTES = 64 * 2 ** 20;
/** Widest key or value head: a thread's scratch holds seven blocks of 64 rows of it. */
const WIDEST_HEAD = 1024;

function checkSizes({ H, Hkv, dk, dv }: AttentionOptions): void {
  if (!(Hkv >= 1 && H % Hkv === 0)) throw new Error(`attention: expected Hkv to divide H = ${H}, got ${Hkv}`);
  if (!(dk >= 1 && dk <= WIDEST_HEAD && dv >= 1 && dv <= WIDEST_HEAD)) {
    throw new Error(`attention: expected dk and dv from 1 to ${WIDEST_HEAD}, got ${dk} and ${dv}`);
  }
}

/** Rows that both k and v hold whole. */
function keyRowsOf(k: { readonly length: number }, v: { readonly length: number }, o: AttentionOptions): number {
  const rows = (length: number, stride: number, width: number) =>
    length < width ? 0 : Math.floor((length - width) / stride) + 1;
  return Math.min(rows(k.length, o.kStride, o.Hkv * o.dk), rows(v.length, o.vStride, o.Hkv * o.dv));
}

function recordSizes(c: Commands, o: AttentionOptions, keyRows: number, blockCount: number): void {
  c.int(o.S);
  c.int(o.H);
  c.int(o.Hkv);
  c.int(o.dk);
  c.int(o.dv);
  c.int(o.qStride);
  c.int(o.kStride);
  c.int(o.vStride);
  c.int(o.outStride);
  c.int(o.NQ);
  c.int(keyRows);
  c.int(blockCount);
  c.float(o.scale);
}

function widened(x: Floats | Uint16Array): Floats {
  if (!(x instanceof Uint16Array)) return x;
  const y = new Float32Array(x.length);
  fromBf16Twin(x, y);
  return y;
}

interface Query {
  readonly row: number;
  readonly head: number;
  readonly keyHead: number;
  /** Rows of k and v that the query sees, in order of position. */
  readonly keys: readonly number[];
}

function* queriesOf(sequences: Int32Array, blockStarts: Int32Array, o: AttentionOptions): Generator<Query> {
  for (let s = 0; s < o.S; s++) {
    const [queryStart, queryCount, keyCount, firstBlock] = sequences.subarray(4 * s, 4 * s + 4) as unknown as Four;
    const rowOf = (key: number) => blockStarts[firstBlock + Math.floor(key / KEY_BLOCK)]! + (key % KEY_BLOCK);
    for (let i = 0; i < queryCount; i++) {
      const keys = Array.from({ length: keyCount - queryCount + i + 1 }, (_, key) => rowOf(key));
      for (let head = 0; head < o.H; head++) {
        yield { row: queryStart + i, head, keyHead: Math.floor(head / (o.H / o.Hkv)), keys };
      }
    }
  }
}

type Four = readonly [number, number, number, number];

function scoresOf(
  q: Floats,
  k: Floats,
  row: number,
  head: number,
  keyHead: number,
  keys: readonly number[],
  o: AttentionOptions,
): Float64Array {
  return Float64Array.from(keys, (key) => {
    let dot = 0;
    for (let d = 0; d < o.dk; d++) {
      dot += q[row * o.qStride + head * o.dk + d]! * k[key * o.kStride + keyHead * o.dk + d]!;
    }
    return o.scale * dot;
  });
}
