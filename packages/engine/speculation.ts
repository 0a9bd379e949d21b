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
  /** Of a step's time, what one more guess takes, to be made and to be verified, before it has been measured. */
  readonly cost: number;
  /** Whether it has to see every row that is read, so that it costs time also where it makes no guess. */
  readonly followsEveryRow: boolean;
  /**
   * Sets `draft` of each sequence, to `wanted` guesses at most. Called after every step that read one of its sequences, in
   * the step's arena; `hidden` [N, D] are the step's final states.
   */
  draft(g: Graph, hidden: Tensor, spans: readonly ReadSpan[]): void;
  /** The sequence's pages are gone, or it is over. */
  forget(sequence: Sequence): void;
}

/** Weight of the newest guess in the share of those that come true. */
const freshness = 0.1;

/** The share before anything is known: hopeful, or nothing would ever be tried. */
const hope = 0.8;

/** Steps without a guess before one is tried again. */
const patience = 16;

/** How many tokens to guess for one sequence. */
export class DraftDepth {
  /** For each depth: of the guesses there, with all before them right, the share that was right. */
  readonly #rates: number[];
  #idleSteps = 0;

  /** `before`: how guesses have fared elsewhere; undefined: nothing is known. */
  constructor(before?: DraftDepth) {
    this.#rates = before ? [...before.#rates] : [];
  }

  note(accepted: number, rejected: number): void {
    for (let depth = 0; depth < accepted; depth++) this.#note(depth, 1);
    // What stands behind the first wrong guess was never put to the test.
    if (rejected > 0) this.#note(accepted, 0);
  }

  /**
   * As many as bring the most tokens for their time: with d guesses a step brings 1 + r1 + r1 r2 + ... tokens and takes
   * 1 + d `cost`. Where none pays, one is made now and then all the same: the text may have become easier.
   */
  tokens(cost: number): number {
    let [best, most] = [0, 1];
    let [reach, brings] = [1, 1];
    for (let depth = 0; depth < maxDraftTokens; depth++) {
      reach *= this.#rate(depth);
      brings += reach;
      const value = brings / (1 + cost * (depth + 1));
      if (value > most) [best, most] = [depth + 1, value];
    }
    if (best > 0) return best;
    this.#idleSteps = (this.#idleSteps + 1) % patience;
    return this.#idleSteps === 0 ? 1 : 0;
  }

  #note(depth: number, isRight: number): void {
    this.#rates[depth] = this.#rate(depth) * (1 - freshness) + isRight * freshness;
  }

  /** Further than anything was tried, guesses are as good as at the last depth that was. */
  #rate(depth: number): number {
    return this.#rates[Math.min(depth, this.#rates.length - 1)] ?? hope;
  }
}
