// Guessing ahead (speculative decoding).
//
// Owns what a caller may ask of it, what a drafter is to the runner, and how many tokens are worth guessing. A guess is read
// together with the token before it and accepted where it is what the model itself chooses there: with random choices a
// function of seed and place, that is the token it would have chosen without any guess. So drafters decide how fast an
// answer comes and never what it says (Leviathan et al. 2023 accept by a ratio of probabilities instead, and need no seed).

import type { Graph } from '@hadal/tensor/graph';
import type { Tensor } from '@hadal/tensor/tensor';
import type { Sequence } from './sequence.ts';

/** `mtp`: the model's own prediction module; `ngram`: what followed when the last tokens stood together before; `draft`: a smaller model. */
export const drafterNames = ['mtp', 'ngram', 'draft'] as const;
export type DrafterName = (typeof drafterNames)[number];

export type Speculation =
  | { readonly method: 'none' }
  /** `adaptive`: as many as are worth it, by how often guesses have been right so far. */
  | { readonly method: DrafterName; readonly draftTokens: number | 'adaptive' };

export const maxDraftTokens = 16;

/** What a step has read of one sequence, all of it accepted. */
export interface ReadSpan {
  readonly sequence: Sequence;
  /** First row of the step, position of its token in the sequence, and how many rows. */
  readonly row: number;
  readonly position: number;
  readonly count: number;
  /** Guesses wanted; 0 while the sequence is still reading. */
  readonly wanted: number;
}

export interface Drafter extends Disposable {
  /** Of a step's time, what one more guess takes, to be made and to be verified. */
  readonly cost: number;
  /**
   * Sets `draft` of each sequence, to `wanted` guesses at most. Called after every step that read one of its sequences, in
   * the step's arena; `hidden` [N, D] are the step's final states.
   */
  draft(g: Graph, hidden: Tensor, spans: readonly ReadSpan[]): void;
  /** The sequence's pages are gone, or it is over. */
  forget(sequence: Sequence): void;
}

/** Weight of the newest step in the share of guesses that come true. */
const freshness = 0.15;

/** Steps without a guess before one is tried again. */
const patience = 16;

/** How many tokens to guess for one sequence. */
export class DraftDepth {
  /** Of the guesses that were reached, the share that was right; hopeful at first. */
  #rate = 0.8;
  #idleSteps = 0;

  note(accepted: number, rejected: number): void {
    // What stands behind the first wrong guess was never put to the test.
    const tested = accepted + Math.min(1, rejected);
    if (tested === 0) return;
    const weight = 1 - (1 - freshness) ** tested;
    this.#rate = this.#rate * (1 - weight) + (accepted / tested) * weight;
  }

  /**
   * The guess at depth k comes true with probability rate^k: it is worth making while that is more than it costs. Where
   * none is, one is made now and then all the same: the text may have become easier.
   */
  tokens(cost: number): number {
    const rate = Math.min(this.#rate, 0.995);
    if (rate > cost) return Math.min(maxDraftTokens, Math.floor(Math.log(cost) / Math.log(rate)));
    this.#idleSteps = (this.#idleSteps + 1) % patience;
    return this.#idleSteps === 0 ? 1 : 0;
  }
}
