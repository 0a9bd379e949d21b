// Whether a model fits, and how much context it gets.
//
// Owns the decision before anything is loaded: given estimates and what the machine has, the context and the cache are chosen,
// or the model is refused with the numbers. What is asked for explicitly is given or refused, never cut down. Allocates nothing.

import { KEY_BLOCK } from '@hadal/kernels/attention';
import type { MemoryEstimate } from './memory-estimate.ts';

export interface MemoryRequest {
  /** Tokens that one sequence may have, as asked for; undefined: as many as fit comfortably. */
  readonly contextLength: number | undefined;
  /** Whether experts count, or stay on disk until they are chosen. */
  readonly experts: 'resident' | 'paged';
}

/** All in bytes but the context. */
export interface MemoryPlan {
  readonly contextLength: number;
  readonly weights: number;
  readonly tables: number;
  readonly cache: number;
  readonly scratch: number;
  readonly total: number;
}

/** A cache that serves many short sequences. */
const usualCacheBytes = 512 * 2 ** 20;

/** A context that is worth having: a model that fits only with less is refused. */
const leastContext = 2048;

/** Of the available memory; the rest is left to everything else on the machine. */
export const usableShare = 0.95;

/** Of the room beside weights, what a context that nobody asked for may take. */
const defaultShare = 0.5;

/**
 * How the model would be run; `fits` says whether `available` bytes suffice for it. `longest`: the context that the
 * configuration allows. Throws one line when a longer one is asked for.
 */
export function planMemory(
  estimate: MemoryEstimate,
  longest: number,
  request: MemoryRequest,
  available: number,
): MemoryPlan & { readonly fits: boolean } {
  const { tablesPerToken, scratch } = estimate;
  if (request.contextLength !== undefined && request.contextLength > longest) {
    throw new Error(
      `context: expected at most ${longest} tokens, which the model was made for, got ${request.contextLength}`,
    );
  }
  const weights = estimate.weights - (request.experts === 'paged' ? estimate.experts : 0);
  const usable = available * usableShare;
  const room = usable - weights - scratch;
  const perToken = tablesPerToken + estimate.cachePerToken;
  const comfortable = Math.floor((room * defaultShare) / perToken / KEY_BLOCK) * KEY_BLOCK;
  const contextLength = request.contextLength ?? Math.min(longest, Math.max(leastContext, comfortable));
  const tables = tablesPerToken * contextLength;
  const ofOneSequence = Math.ceil(contextLength / KEY_BLOCK) * KEY_BLOCK * estimate.cachePerToken;
  // More than one sequence needs is taken only from memory that is there.
  const cache = Math.max(ofOneSequence, Math.min(usualCacheBytes, room - tables));
  const total = weights + tables + cache + scratch;
  return { contextLength, weights, tables, cache, scratch, total, fits: total <= usable };
}
