// What an engine's cache takes of a sequence, on one GPU.
//
// Owns the arithmetic of what vLLM and SGLang keep in each kind of attention: keys and values by head, MLA's latent with the
// indexer's keys beside it (V3.2), V4's compressed entries. V4's layers also keep windows of the last tokens and the open states
// of their compressors, which every sequence has whatever its length; vLLM lends room for them in the same blocks as for
// entries and reserves it for a whole step of reading. Knows no weights. The tests hold it to block sizes and capacities that
// were published.

import type { ServedModel } from './served-model.ts';

export type Engine = 'vllm' | 'sglang';
export type CacheDtype = 'bf16' | 'fp8';

export interface CacheDemand {
  readonly perToken: number;
  /** However long it is. */
  readonly perSequence: number;
}

export interface CacheOptions {
  readonly engine: Engine;
  readonly dtype: CacheDtype;
  /** Ranks that share a sequence. */
  readonly ranks: number;
  /** Tokens of a prompt that are read in one step. */
  readonly stepTokens: number;
}

/** Layers of one stage; the prediction module's is the one after the model's last. */
export interface LayerRange {
  readonly begin: number;
  readonly end: number;
}

type Compressed = Extract<ServedModel['attention'], { kind: 'compressed' }>;

/** SGLang's pool of windows has a share of the tokens that the pool of entries has (`--swa-full-tokens-ratio`, its default). */
export const windowShare = 0.1;

/** Open states of V4's compressors are float32, a value and a score for each channel. */
const stateBytes = 2 * 4;

/** Tokens of vLLM's blocks for V4: of entries, of windows, and of the states of sparse and of dense compressors. */
const v4Blocks = { entries: 256, window: 64, sparseState: 4, denseState: 8 } as const;

/** What engines keep where nobody says: V3.2's and V4's kernels read FP8, the others what the model computes in. */
export function usualCacheDtype({ attention }: ServedModel): CacheDtype {
  return attention.kind === 'compressed' || (attention.kind === 'latent' && attention.indexWidth) ? 'fp8' : 'bf16';
}

/** Tokens of a page, which belongs to one sequence: what the engines' kernels for each kind of attention work with. */
export function pageTokens({ attention }: ServedModel): number {
  return { grouped: 16, latent: 64, compressed: v4Blocks.entries }[attention.kind];
}

export function cacheDemand(model: ServedModel, range: LayerRange, options: CacheOptions): CacheDemand {
  const { attention } = model;
  const layers = range.end - range.begin;
  const half = options.dtype === 'fp8' ? 1 : 2;
  switch (attention.kind) {
    case 'grouped': {
      // A rank has at least one head: with more ranks than heads, heads are kept more than once.
      const heads = Math.ceil(attention.keyHeads / options.ranks);
      return { perToken: layers * 2 * heads * attention.headDim * half, perSequence: 0 };
    }
    case 'latent': {
      // One latent serves all heads, so every rank has all of it.
      const { rank, rope, indexWidth } = attention;
      if (!indexWidth) return { perToken: layers * (rank + rope) * half, perSequence: 0 };
      const latent = options.dtype === 'fp8' ? rank + Math.ceil(rank / 128) * 4 + rope * 2 : (rank + rope) * 2;
      return { perToken: layers * (latent + indexKeyBytes(indexWidth, 'fp8')), perSequence: 0 };
    }
    case 'compressed':
      return options.engine === 'vllm'
        ? blockedCache(attention, range, options)
        : pooledCache(attention, range, options);
    default:
      return unreachable(attention);
  }
}

/** V4's entries and their index keys for one token: what nobody can do without. */
export function entryBytesPerToken(attention: Compressed, range: LayerRange, dtype: CacheDtype): number {
  return layersOf(attention, range).reduce((sum, { ratio, isSparse }) => {
    const index = isSparse ? indexKeyBytes(attention.indexWidth, dtype) : 0;
    return ratio === 0 ? sum : sum + (entryBytes(attention, dtype) + index) / ratio;
  }, 0);
}

/** SGLang has pools of their own for entries and windows; open states are rings, one for each sequence. */
function pooledCache(attention: Compressed, range: LayerRange, { dtype }: CacheOptions): CacheDemand {
  const layers = layersOf(attention, range);
  const windows = windowShare * layers.length * entryBytes(attention, dtype);
  const perSequence = layers.reduce((sum, { ratio, isSparse }) => {
    const { window, channels } = compressorOf(attention, ratio, isSparse);
    return sum + window * channels * stateBytes;
  }, 0);
  return { perToken: entryBytesPerToken(attention, range, dtype) + windows, perSequence };
}

/**
 * vLLM's blocks are all of one size, that of 256 tokens' entries of all layers. Windows and states take such blocks too, as many
 * as hold one step's tokens with what was before them: it admits a sequence when all of them are free.
 */
function blockedCache(attention: Compressed, range: LayerRange, { dtype, stepTokens }: CacheOptions): CacheDemand {
  const { indexWidth, headDim, window } = attention;
  const layers = layersOf(attention, range);
  const pad = (bytes: number) => (dtype === 'fp8' ? Math.ceil(bytes / 576) * 576 : bytes);
  const entry = entryBytes(attention, dtype);
  const total = (of: (layer: Compressed['layers'][number]) => number) =>
    layers.reduce((sum, layer) => sum + of(layer), 0);
  const entries = total(({ ratio, isSparse }) => {
    if (ratio === 0) return 0;
    const count = v4Blocks.entries / ratio;
    return pad(count * entry) + (isSparse ? pad(count * indexKeyBytes(indexWidth, dtype)) : 0);
  });
  const windows = layers.length * pad(v4Blocks.window * entry);
  const state = (width: number, series: number, tokens: number) => pad(tokens * series * width * stateBytes);
  const sparse = state(headDim, 2, v4Blocks.sparseState) + state(indexWidth, 2, v4Blocks.sparseState);
  const sparseStates = total(({ isSparse }) => (isSparse ? sparse : 0));
  const denseStates = total(({ ratio, isSparse }) => {
    return ratio > 0 && !isSparse ? state(headDim, 1, v4Blocks.denseState) : 0;
  });
  const block = Math.max(entries, pad(v4Blocks.window * entry));
  // Layers of a kind are put into as many groups as have room in a block.
  const blocks = (bytes: number, before: number, tokens: number) =>
    Math.ceil(bytes / block) * (Math.ceil((before - 1 + stepTokens) / tokens) + 1);
  const ratioOf = (wanted: boolean) =>
    layers.find(({ ratio, isSparse }) => ratio > 0 && isSparse === wanted)?.ratio ?? 0;
  const reserved =
    blocks(windows, window, v4Blocks.window) +
    blocks(sparseStates, 2 * ratioOf(true), v4Blocks.sparseState) +
    blocks(denseStates, ratioOf(false), v4Blocks.denseState);
  return { perToken: entries === 0 ? 0 : block / v4Blocks.entries, perSequence: reserved * block };
}

function layersOf(attention: Compressed, { begin, end }: LayerRange): Compressed['layers'] {
  // The prediction module's block is windowed.
  return Array.from({ length: end - begin }, (_, i) => attention.layers[begin + i] ?? { ratio: 0, isSparse: false });
}

/** In FP8 with a scale for 64 values and one byte for alignment, the rotated part in bfloat16. */
function entryBytes({ headDim, rope }: Compressed, dtype: CacheDtype): number {
  const nope = headDim - rope;
  return dtype === 'fp8' ? nope + Math.ceil(nope / 64) + 1 + rope * 2 : headDim * 2;
}

/** With one scale in float32 for a key in FP8. */
function indexKeyBytes(width: number, dtype: CacheDtype): number {
  return dtype === 'fp8' ? width + 4 : width * 2;
}

/** Tokens that are not yet in an entry, and channels: a sparse layer's entries overlap, in two series, and have index keys. */
function compressorOf({ headDim, indexWidth }: Compressed, ratio: number, isSparse: boolean) {
  const series = isSparse ? 2 : 1;
  return { window: series * ratio, channels: series * (headDim + (isSparse ? indexWidth : 0)) };
}

function unreachable(value: never): never {
  throw new Error(`expected a known attention, got ${JSON.stringify(value)}`);
}
