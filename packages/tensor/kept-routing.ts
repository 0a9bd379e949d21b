// Experts that stay chosen.
//
// Owns what every router chose in each pass of a training step, outside of the step's own memory: the first time a pass is
// recorded the routers choose freely and their choice is written here, and from then on they are given it back ("Keep Routing",
// DeepSeek-V3.2, arXiv 2512.02556, section 3.1). Knows nothing of how experts are chosen. A router is known by its counter.

import type { NativeMemory } from '@hadal/kernels/memory';
import { Arena } from './arena.ts';
import type { Tensor } from './tensor.ts';

/** i32 [tokens, K] of one pass by the counters of its routers. */
export type RoutersChoices = Map<Tensor, Tensor>;

/** What a graph needs of it: the choices of its pass, and room for more of them. */
export interface PassRouting {
  readonly choices: RoutersChoices;
  readonly take: (tokens: number, perToken: number) => Tensor;
}

/** A choice is small beside activations: a few numbers for each token and layer. */
const blockBytes = 2 ** 18;

export class KeptRouting implements Disposable {
  readonly #arena: Arena;
  readonly #passes = new Map<number, RoutersChoices>();

  constructor(memory: NativeMemory) {
    this.#arena = new Arena(memory, blockBytes);
  }

  /** Of one pass, that is one row of a step: the same tokens in the same order every time. */
  ofPass(index: number): PassRouting {
    const choices = this.#passes.get(index) ?? new Map<Tensor, Tensor>();
    this.#passes.set(index, choices);
    return { choices, take: (tokens, perToken) => this.#arena.take([tokens, perToken], 'i32') };
  }

  [Symbol.dispose](): void {
    this.#arena[Symbol.dispose]();
    this.#passes.clear();
  }
}
