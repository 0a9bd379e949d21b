// What an engine needs beside weights and cache: activations, graphs, buffers for communication.
//
// Owns estimates, the only ones of a plan. SGLang's is the formula by which it reserves memory itself (server_args.py, "reserved
// memory" for mem_fraction_static). vLLM measures instead, at start; what it will find is put together here from the widest
// tensors of one step, and compared in the tests with what its logs say of published models. Knows no cache.

import type { Engine } from './cache-demand.ts';
import type { Gpu } from './gpu-fleet.ts';
import type { Layout } from './layout.ts';
import type { ServedModel } from './served-model.ts';

export interface WorkingMemory {
  readonly bytes: number;
  /** What it is the sum of, in the words of a report. */
  readonly parts: readonly { readonly name: string; readonly bytes: number }[];
}

export interface WorkingOptions {
  readonly engine: Engine;
  readonly gpu: Gpu;
  /** Sequences that a rank decodes at once. */
  readonly sequences: number;
  readonly predictor: 'present' | 'absent';
}

const MiB = 2 ** 20;
const GiB = 2 ** 30;

/** Tokens of a prompt that are read in one step: more where there is memory for it. */
export function stepTokens({ memoryMiB }: Gpu): number {
  const gib = memoryMiB / 1024;
  return gib < 35 ? 2048 : gib < 60 ? 4096 : 8192;
}

export function workingMemory(model: ServedModel, layout: Layout, options: WorkingOptions): WorkingMemory {
  const parts = options.engine === 'vllm' ? vllmParts(model, layout, options) : sglangParts(layout, options);
  return { bytes: parts.reduce((sum, part) => sum + part.bytes, 0), parts };
}

/** Sequences for which SGLang captures graphs, by the memory of the card. */
export function graphSequences({ memoryMiB }: Gpu, { tensor, data }: Layout, sequences: number): number {
  const gib = memoryMiB / 1024;
  const isWide = tensor * data >= 4;
  const most = gib < 20 ? 8 : gib < 35 ? (isWide ? 80 : 24) : gib < 60 ? (isWide ? 160 : 32) : isWide ? 512 : 256;
  return Math.min(most, sequences);
}

function sglangParts(layout: Layout, { gpu, sequences, predictor }: WorkingOptions): WorkingMemory['parts'] {
  const { tensor, pipeline, data } = layout;
  const graphs = graphSequences(gpu, layout, sequences);
  const groups = data > 1 ? graphs * data * (graphs > 300 ? 4.5 : 3) * MiB : 0;
  const parts = [
    { name: 'attention metadata', bytes: 512 * MiB },
    { name: 'activations', bytes: stepTokens(gpu) * 1.5 * MiB },
    { name: 'CUDA graphs', bytes: graphs * 2 * MiB },
    { name: 'communication', bytes: ((tensor * pipeline * data) / 8) * GiB + groups },
  ];
  const sum = parts.reduce((total, part) => total + part.bytes, 0);
  const least = gpu.memoryMiB > 60 * 1024 ? 10 * GiB : 0;
  if (sum < least) parts.push({ name: 'up to the least that it reserves', bytes: least - sum });
  if (predictor === 'present') parts.push({ name: 'drafting', bytes: 2 * GiB });
  return parts;
}

function vllmParts(model: ServedModel, layout: Layout, { gpu, sequences }: WorkingOptions): WorkingMemory['parts'] {
  const { tensor, pipeline, data } = layout;
  const ranks = tensor * pipeline * data;
  const exchange = model.mixture && data > 1 ? 2 * GiB : 0;
  return [
    { name: 'activations', bytes: stepTokens(gpu) * activationBytes(model, layout) + unfoldedBytes(model, layout) },
    // Logits in float32 and what sorting and sampling make of them: eight such tables at the peak.
    { name: 'sampling', bytes: sequences * model.vocabularySize * 4 * 8 },
    { name: 'CUDA graphs', bytes: Math.min(512, sequences * 2) * 2 * MiB },
    { name: 'CUDA and communication', bytes: (ranks === 1 ? 0.5 : 0.5 + 0.25 * Math.min(8, ranks)) * GiB + exchange },
  ];
}

/** Bytes for a token of the step, in bfloat16: residual stream and norms, queries and outputs, the widest inner layer. */
function activationBytes(model: ServedModel, { tensor, data }: Layout): number {
  const { width: D, heads, attention, denseWidth, mixture } = model;
  const streams = attention.kind === 'compressed' ? 8 : 4;
  const headWidth =
    attention.kind === 'latent' ? attention.nope + attention.rope + attention.vDim : attention.headDim * 2;
  const dense = (3 * denseWidth) / tensor;
  // Each chosen expert gets a copy of the token; dealt experts are hidden layers as wide as they are, on one rank of all.
  const mixed = mixture ? mixture.perToken * (D + (3 * mixture.expertWidth) / (tensor * data)) : 0;
  return 2 * (streams * D + (heads / tensor) * headWidth + Math.max(dense, mixed));
}

/** MLA reads a long prompt's prefix with keys and values of every head, at most 64 Ki tokens of it at a time. */
function unfoldedBytes({ attention, heads, contextLength }: ServedModel, { tensor }: Layout): number {
  if (attention.kind !== 'latent' || attention.indexWidth) return 0;
  const { rank, rope, nope, vDim } = attention;
  const tokens = Math.min(64 * 1024, 8 * contextLength);
  return tokens * 2 * (rank + rope + (heads / tensor) * (2 * nope + rope + vDim));
}
