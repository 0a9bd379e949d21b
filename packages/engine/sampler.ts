// From rows of logits to chosen tokens.
//
// Owns what a request may ask of a choice (biases, penalties, what is allowed, the set it is drawn from, log-probabilities)
// and how the rows of many requests become a few kernel calls. Knows nothing of sequences: the caller says what each row's
// completion holds so far. Invariant: a row's choice depends on that row alone, and its log-probability is the model's own,
// before any bias, penalty or restriction.

import { crossEntropyForward } from '@hadal/kernels/cross-entropy';
import type { Device } from '@hadal/kernels/device';
import { copyColumns, scale } from '@hadal/kernels/elementwise';
import { maskLogits } from '@hadal/kernels/masking';
import { adjustLogits, sample, topLogprobs } from '@hadal/kernels/sampling';
import type { Arena } from '@hadal/tensor/arena';
import type { Tensor } from '@hadal/tensor/tensor';

/** How a request wants its tokens chosen. */
export interface Sampling {
  /** 0 is greedy. */
  readonly temperature: number;
  /** Mass of the nucleus, in (0, 1]. */
  readonly topP: number;
  /** Most probable tokens to draw from; 0: all. */
  readonly topK: number;
  /** Tokens less probable than this share of the most probable one are left out; 0: none. */
  readonly minP: number;
  /** Subtracted from a token's logit once for each time, or once if ever, the completion holds it. */
  readonly frequencyPenalty: number;
  readonly presencePenalty: number;
  /** Added to logits: token id and bias. */
  readonly logitBias: readonly (readonly [id: number, bias: number])[];
  /** undefined: no log-probabilities; else 0 to 20. */
  readonly topLogprobs: number | undefined;
}

/** One choice to be made. */
export interface ChoiceRow {
  readonly sampling: Sampling;
  /** In [0, 1): decides the draw. */
  readonly uniform: number;
  /** How often the completion holds each token so far; read only where there are penalties. */
  readonly counts: ReadonlyMap<number, number>;
  /** The token that it must be, whatever the logits say. */
  readonly forced: number | undefined;
  /** A bit for each token that it may be, and at least one of them; undefined: any. Stronger than everything else. */
  readonly allowed: Uint32Array | undefined;
}

export interface TokenLogprob {
  readonly id: number;
  readonly logprob: number;
}

export interface Choice extends TokenLogprob {
  readonly top: readonly TokenLogprob[];
}

/** The `count` likeliest tokens of some rows, best first: `ids` and `logprobs` are [rows, count]. */
export interface TopTokens {
  readonly count: number;
  readonly ids: Int32Array;
  readonly logprobs: Float32Array;
}

/** A choice for each of `rows`, from logits [N, V], which stay as they are. Runs the device's commands. */
export function chooseTokens(device: Device, arena: Arena, logits: Tensor, rows: readonly ChoiceRow[]): Choice[] {
  const [N, V] = [rows.length, logits.dim(-1)];
  const floats = (of: (row: ChoiceRow) => number) => arena.floats(Float32Array.from(rows, of));
  const draws = {
    temperature: floats(({ sampling }) => sampling.temperature),
    minP: floats(({ sampling }) => sampling.minP),
    topK: arena.integers(Int32Array.from(rows, ({ sampling }) => sampling.topK)),
    topP: floats(({ sampling }) => sampling.topP),
    uniform: floats(({ uniform }) => uniform),
  };
  const ids = arena.take([N], 'i32');
  const logprobs = arena.take([N]);
  const adjusted = adjust(device, arena, logits, rows);
  sample(device.commands, adjusted, draws, ids, logprobs, { N, V });
  if (adjusted !== logits) scoreInto(device, logits, ids, logprobs);
  return readChoices(
    ...([device, arena, logits, ids, logprobs] as const),
    rows.map(({ sampling }) => sampling.topLogprobs ?? 0),
  );
}

/** `targets` as choices that were made already: their log-probabilities, and the `top` likeliest beside them. */
export function scoreTokens(
  device: Device,
  arena: Arena,
  logits: Tensor,
  targets: readonly number[],
  top: number,
): Choice[] {
  const ids = arena.integers(Int32Array.from(targets));
  const logprobs = arena.take([targets.length]);
  scoreInto(device, logits, ids, logprobs);
  return readChoices(
    ...([device, arena, logits, ids, logprobs] as const),
    targets.map(() => top),
  );
}

/** The `top` likeliest tokens after each row of logits [N, V], or V where there are fewer. Runs the device's commands. */
export function topTokens(device: Device, arena: Arena, logits: Tensor, top: number): TopTokens {
  const read = recordTop(device, arena, logits, top);
  device.commands.run();
  return read();
}

/** Records logprobs[n] = log-softmax of logits[n] at ids[n], in the bits that `sample` gives. */
function scoreInto({ commands }: Device, logits: Tensor, ids: Tensor, logprobs: Tensor): void {
  crossEntropyForward(commands, logits, ids, logprobs, { N: ids.length, V: logits.dim(-1) });
  scale(commands, logprobs, logprobs, -1);
}

/** Runs the commands and reads what they chose, with as many of the likeliest tokens as each row wants. */
function readChoices(
  device: Device,
  arena: Arena,
  logits: Tensor,
  ids: Tensor,
  logprobs: Tensor,
  wanted: readonly number[],
): Choice[] {
  const { commands, memory } = device;
  const N = ids.length;
  const readTop = recordTop(device, arena, logits, Math.max(...wanted));
  commands.run();
  const [idValues, logprobValues] = [new Int32Array(N), new Float32Array(N)];
  memory.read(ids, idValues);
  memory.read(logprobs, logprobValues);
  const top = readTop();
  return wanted.map((count, n) => ({
    id: idValues[n] as number,
    logprob: logprobValues[n] as number,
    top: Array.from({ length: Math.min(top.count, count) }, (_, k) => ({
      id: top.ids[n * top.count + k] as number,
      logprob: top.logprobs[n * top.count + k] as number,
    })),
  }));
}

/** Records the choice of the likeliest tokens. Returns what reads them once it has been made. */
function recordTop({ commands, memory }: Device, arena: Arena, logits: Tensor, top: number): () => TopTokens {
  const [N, V] = [logits.rows, logits.dim(-1)];
  const count = Math.min(V, top);
  if (count === 0) return () => ({ count, ids: new Int32Array(), logprobs: new Float32Array() });
  const [ids, logprobs] = [arena.take([N, count], 'i32'), arena.take([N, count])];
  topLogprobs(commands, logits, ids, logprobs, { N, V, top: count });
  return () => {
    const read = { count, ids: new Int32Array(N * count), logprobs: new Float32Array(N * count) };
    memory.read(ids, read.ids);
    memory.read(logprobs, read.logprobs);
    return read;
  };
}

/** Records biases, penalties and what is allowed on a copy of the logits; the logits themselves where no row has any. */
function adjust(device: Device, arena: Arena, logits: Tensor, rows: readonly ChoiceRow[]): Tensor {
  const [N, V] = [rows.length, logits.dim(-1)];
  const row: number[] = [];
  const token: number[] = [];
  const delta: number[] = [];
  for (const [n, { sampling, counts, forced }] of rows.entries()) {
    const { frequencyPenalty, presencePenalty, logitBias } = sampling;
    if (forced !== undefined) {
      row.push(n);
      token.push(forced);
      delta.push(Number.POSITIVE_INFINITY);
    }
    for (const [id, bias] of logitBias) {
      // A smaller model with the same tokens may have fewer rows beyond them.
      if (id >= V) continue;
      row.push(n);
      token.push(id);
      delta.push(bias);
    }
    if (frequencyPenalty === 0 && presencePenalty === 0) continue;
    for (const [id, count] of counts) {
      row.push(n);
      token.push(id);
      delta.push(-(frequencyPenalty * count + presencePenalty));
    }
  }
  const masks = rows.flatMap(({ allowed }) => allowed ?? []);
  if (row.length === 0 && masks.length === 0) return logits;
  const copy = arena.take([N, V]);
  copyColumns(device.commands, logits, copy, { rows: N, cols: V, srcStride: V, dstStride: V, accumulate: false });
  const places = [arena.integers(Int32Array.from(row)), arena.integers(Int32Array.from(token))] as const;
  const deltas = arena.floats(Float32Array.from(delta));
  if (row.length > 0) adjustLogits(device.commands, copy, ...places, deltas, { N, V, count: row.length });
  if (masks.length > 0) {
    const words = Math.ceil(V / 32);
    const bits = new Int32Array(masks.length * words);
    for (const [m, mask] of masks.entries()) bits.set(mask.subarray(0, words), m * words);
    let next = 0;
    const which = Int32Array.from(rows, ({ allowed }) => (allowed ? next++ : -1));
    maskLogits(device.commands, copy, arena.integers(bits), arena.integers(which), { N, V, M: masks.length });
  }
  return copy;
}
