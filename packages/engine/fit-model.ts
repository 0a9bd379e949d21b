// A checkpoint, and whether this machine can run it as asked.
//
// Owns what is decided before weights are read: the dtype, the form of attention, the context and the cache; and the line that
// refuses a model with its numbers. Reads configuration and headers, never weights.

import type { Checkpoint } from '@hadal/formats/checkpoint';
import type { AttentionForm, ModelDefinition } from '@hadal/models/architecture';
import { type Holdings, holdingsOf, readDefinition, readPacked, runTimeDtype } from '@hadal/models/language-model';
import type { Manifest } from '@hadal/models/packed/manifest';
import { type PackedDtype, packedDtypes } from '@hadal/tensor/packed-matrix';
import { availableMemory } from './available-memory.ts';
import { type MemoryEstimate, memoryEstimator } from './memory-estimate.ts';
import { type MemoryPlan, type MemoryRequest, planMemory, usableShare } from './memory-plan.ts';

/** Tokens in one pass through the model, prompts and completions together. */
export const stepTokens = 512;

export interface FitOptions {
  /** undefined: what the checkpoint is stored in, bf16 at most. */
  readonly dtype?: PackedDtype | undefined;
  /** undefined: as much as fits comfortably, up to what the model was made for. */
  readonly contextLength?: number | undefined;
  /** `paged`: the experts of a converted checkpoint stay on disk until they are chosen. */
  readonly experts?: MemoryRequest['experts'] | undefined;
}

export interface Fit {
  readonly dtype: PackedDtype;
  readonly form: AttentionForm;
  readonly experts: MemoryRequest['experts'];
  readonly plan: MemoryPlan;
}

/** Throws one line, with the numbers, when the model does not fit into `available` bytes as asked. */
export function fitModel(checkpoint: Checkpoint, options: FitOptions, available = availableMemory()): Fit {
  const { packed, form, estimate, plan } = prospectOf(checkpoint, options.contextLength, 'present', available);
  const { experts = 'resident' } = options;
  const dtype = runTimeDtype(checkpoint, options.dtype);
  const isMixture = estimate(dtype).experts > 0;
  if (experts === 'paged' && !(packed && isMixture)) {
    const found = isMixture
      ? `one as it was published: hadal convert ${checkpoint.path} OUT`
      : 'a model without experts';
    throw new Error(`${checkpoint.path}: expected a converted mixture of experts to page them from, found ${found}`);
  }
  const chosen = plan(dtype, experts);
  if (chosen.fits) return { dtype, form, experts, plan: chosen };

  const needs = (what: string, { total }: MemoryPlan) => `; ${what} needs ${gigabytes(total)}`;
  const narrower = packedDtypes.filter((other) => estimate(other).weights < estimate(dtype).weights);
  const others = narrower.map((other) => needs(other, plan(other, experts))).join('');
  const paged = experts === 'resident' && isMixture ? needs('--page, with experts on disk,', plan(dtype, 'paged')) : '';
  const room = `${gigabytes(available * usableShare)} of the ${gigabytes(available)} available`;
  throw new Error(
    `${checkpoint.path}: expected to fit into ${room}, needs ${gigabytes(chosen.total)} in ${dtype} (${parts(chosen)})${others}${paged}`,
  );
}

/** What can be said of a checkpoint on a machine with `available` bytes. */
export interface Prospect {
  readonly definition: ModelDefinition;
  /** Where it is converted. */
  readonly packed: Manifest | undefined;
  readonly form: AttentionForm;
  estimate(dtype: PackedDtype): MemoryEstimate;
  plan(dtype: PackedDtype, experts: MemoryRequest['experts']): MemoryPlan & { readonly fits: boolean };
}

/** `weights`: whether they are there, so that what is optional of them can be counted. */
export function prospectOf(
  checkpoint: Checkpoint,
  contextLength: number | undefined,
  weights: 'present' | 'absent',
  available = availableMemory(),
): Prospect {
  const definition = readDefinition(checkpoint);
  const packed = readPacked(checkpoint);
  const form = packed?.attention ?? definition.preferredForm;
  const holdings = weights === 'present' ? holdingsOf(checkpoint, form) : noHoldings;
  const estimate = memoryEstimator(definition, { form, holdings, stepTokens });
  return {
    ...{ definition, packed, form, estimate },
    plan: (dtype, experts) =>
      planMemory(estimate(dtype), definition.contextLength, { contextLength, experts }, available),
  };
}

const noHoldings: Holdings = { has: () => false, predictor: 'absent' };

function parts({ weights, tables, cache, scratch, contextLength }: MemoryPlan): string {
  const context = `cache and tables of ${contextLength} tokens ${gigabytes(cache + tables)}`;
  return `weights ${gigabytes(weights)}, ${context}, scratch ${gigabytes(scratch)}`;
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(bytes < 1e10 ? 2 : 1)} GB`;
}
