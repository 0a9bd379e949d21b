// Guesses of a smaller model with the same tokenizer (Leviathan et al. 2023).
//
// Owns that model's cache and how far it has read each sequence. It reads what the large model has read or chosen, guesses
// token by token, and where a guess was wrong goes back to the last token that was right. With too little memory, or while
// it is still behind with a long prompt, it guesses nothing.

import type { Device } from '@hadal/kernels/device';
import type { LanguageModel } from '@hadal/models/language-model';
import type { Graph } from '@hadal/tensor/graph';
import type { Tensor } from '@hadal/tensor/tensor';
import { KvCache } from '../kv-cache.ts';
import { PrefixTree } from '../prefix-tree.ts';
import { chooseTokens } from '../sampler.ts';
import { choiceRow, type Sequence } from '../sequence.ts';
import { SequencePages } from '../sequence-pages.ts';
import { type Drafter, maxDraftTokens, type ReadSpan } from '../speculation.ts';

/** Tokens that it reads of all sequences in one step, so that catching up holds nobody up. */
const catchUpTokens = 256;

interface Reader {
  readonly pages: SequencePages;
  /** Whose rows are in the pages, guesses included. */
  readonly read: number[];
}

interface Turn {
  readonly sequence: Sequence;
  readonly reader: Reader;
  readonly tokens: readonly number[];
  readonly wanted: number;
}

export class ModelDrafter implements Drafter {
  readonly cost = 0.4;
  readonly followsEveryRow = false;
  readonly #device: Device;
  readonly #model: LanguageModel;
  readonly #cache: KvCache;
  readonly #tree: PrefixTree;
  readonly #readers = new Map<Sequence, Reader>();

  /** The model belongs to the drafter from now on. */
  constructor(device: Device, model: LanguageModel, cacheBytes: number) {
    this.#device = device;
    this.#model = model;
    this.#cache = new KvCache(device, model.cache, cacheBytes);
    this.#tree = new PrefixTree(this.#cache.pageCount, this.#cache.pageTokens);
  }

  draft(g: Graph, _hidden: Tensor, spans: readonly ReadSpan[]): void {
    let left = catchUpTokens;
    let turns = spans.flatMap(({ sequence, wanted }): Turn[] => {
      if (wanted === 0) return [];
      const reader = this.#readerOf(sequence);
      const { pages } = reader;
      if (sequence.tokens.length + wanted > this.#model.contextLength) return [];
      const behind = sequence.tokens.length - pages.length;
      const tokens = sequence.tokens.slice(pages.length, pages.length + Math.max(0, left));
      if (tokens.length === 0 || !pages.reserve(tokens.length + wanted)) return [];
      left -= tokens.length;
      return [{ sequence, reader, tokens, wanted: tokens.length === behind ? wanted : 0 }];
    });
    for (let depth = 0; turns.length > 0; depth++) {
      const guessing = turns.filter(({ wanted }) => wanted > depth);
      const guesses = this.#read(g, turns, guessing, depth);
      for (const { sequence, reader, tokens } of turns) {
        reader.read.push(...tokens);
        reader.pages.length += tokens.length;
        if (depth === 0) reader.pages.keepFull(sequence.tokens);
      }
      for (const [i, { sequence }] of guessing.entries()) sequence.draft = [...sequence.draft, guesses[i] as number];
      // The last guess is read by nobody here.
      turns = guessing.flatMap((turn, i) =>
        turn.wanted > depth + 1 ? [{ ...turn, tokens: [guesses[i] as number] }] : [],
      );
    }
  }

  forget(sequence: Sequence): void {
    this.#readers.get(sequence)?.pages.release();
    this.#readers.delete(sequence);
  }

  [Symbol.dispose](): void {
    this.#cache[Symbol.dispose]();
    this.#model[Symbol.dispose]();
  }

  #read(g: Graph, turns: readonly Turn[], guessing: readonly Turn[], depth: number): number[] {
    const ids = g.arena.integers(Int32Array.from(turns.flatMap(({ tokens }) => tokens)));
    const extensions = turns.map(({ reader, tokens }) => ({ lease: reader.pages, count: tokens.length }));
    const { memory, positions } = this.#cache.extend(g.arena, extensions);
    const hidden = this.#model.forward(g, ids, positions, memory);
    const last: number[] = [];
    let end = 0;
    for (const turn of turns) {
      end += turn.tokens.length;
      if (guessing.includes(turn)) last.push(end - 1);
    }
    if (last.length === 0) {
      g.run();
      return [];
    }
    const logits = g.linear(g.embedding(hidden, g.arena.integers(Int32Array.from(last))), this.#model.head);
    const choices = guessing.map(({ sequence }) => choiceRow(sequence, depth));
    return chooseTokens(this.#device, g.arena, logits, choices).map(({ id }) => id);
  }

  /** What the model has read of a sequence and what still holds of it: guesses that were wrong are forgotten. */
  #readerOf(sequence: Sequence): Reader {
    const { tokens, namespace } = sequence;
    const known = this.#readers.get(sequence);
    if (!known) {
      const pages = new SequencePages(this.#tree, namespace);
      pages.adopt(tokens, tokens.length - 1);
      const reader = { pages, read: tokens.slice(0, pages.length) };
      this.#readers.set(sequence, reader);
      return reader;
    }
    const { read, pages } = known;
    // Only guesses can be wrong, and they are the last of what was read.
    let right = Math.max(0, read.length - maxDraftTokens);
    const end = Math.min(read.length, tokens.length - 1);
    while (right < end && read[right] === tokens[right]) right++;
    read.length = right;
    pages.length = right;
    return known;
  }
}
