// Guesses of the model's own prediction module (DeepSeek-V3, arXiv 2412.19437, section 2.2).
//
// Owns the module's rows in the cache, which lie in the sequences' own pages, and the recursion that guesses more than one
// token ahead: what the module makes of one token stands in for the model's hidden state at the next. Row p comes of the
// hidden state at p and the token after it. At the end of a shared page that token may be another sequence's: a row there can
// be of another continuation, which makes a guess a little worse and an answer no different.

import type { Device } from '@hadal/kernels/device';
import type { Predictor } from '@hadal/models/architecture';
import type { Graph } from '@hadal/tensor/graph';
import type { Tensor } from '@hadal/tensor/tensor';
import type { KvCache, PageLease } from '../kv-cache.ts';
import { chooseTokens } from '../sampler.ts';
import { choiceRow, type Sequence } from '../sequence.ts';
import { adapterRowsOf } from '../served-adapters.ts';
import type { Drafter, ReadSpan } from '../speculation.ts';

/** One row that the module reads next: the state it goes on from, and where it stands. */
interface Place {
  readonly sequence: Sequence;
  readonly wanted: number;
  readonly row: number;
  readonly position: number;
  readonly count: number;
  readonly nextIds: readonly number[];
}

export class MtpDrafter implements Drafter {
  readonly cost = 0.25;
  readonly followsEveryRow = true;
  readonly #device: Device;
  readonly #predictor: Predictor;
  readonly #cache: KvCache;

  /** `cache` is the model's, with the module's rows as its last layer. */
  constructor(device: Device, predictor: Predictor, cache: KvCache) {
    this.#device = device;
    this.#predictor = predictor;
    this.#cache = cache;
  }

  draft(g: Graph, hidden: Tensor, spans: readonly ReadSpan[]): void {
    let places = spans.map(({ sequence, row, position, count, wanted }): Place => {
      const nextIds = sequence.tokens.slice(position + 1, position + 1 + count);
      return { sequence, wanted, row, position, count, nextIds };
    });
    let state = hidden;
    for (let depth = 0; places.length > 0; depth++) {
      const made = this.#predict(g, state, places);
      // Of every sequence that wants one more guess, the last row that was made for it.
      const guessing: Place[] = [];
      let end = 0;
      for (const place of places) {
        end += place.count;
        if (place.wanted > depth) guessing.push({ ...place, row: end - 1, position: place.position + place.count });
      }
      if (guessing.length === 0) {
        g.run();
        return;
      }
      const rows = g.arena.integers(Int32Array.from(guessing, ({ row }) => row));
      const logits = g.linear(g.embedding(made, rows), this.#predictor.head);
      const choices = guessing.map(({ sequence }) => choiceRow(sequence, depth));
      const guesses = chooseTokens(this.#device, g.arena, logits, choices);
      for (const [i, { sequence }] of guessing.entries())
        sequence.draft = [...sequence.draft, guesses[i]?.id as number];
      state = made;
      // The last guess is read by nobody here.
      places = guessing.flatMap((place, i) =>
        place.wanted > depth + 1 ? [{ ...place, count: 1, nextIds: [guesses[i]?.id as number] }] : [],
      );
    }
  }

  forget(): void {}

  [Symbol.dispose](): void {}

  #predict(g: Graph, state: Tensor, places: readonly Place[]): Tensor {
    const rows = places.flatMap(({ row, count }) => Array.from({ length: count }, (_, i) => row + i));
    const extensions = places.map(({ sequence, position, count }) => ({ lease: leaseAt(sequence, position), count }));
    const { memory, positions } = this.#cache.extend(g.arena, extensions);
    const nextIds = g.arena.integers(Int32Array.from(places.flatMap(({ nextIds }) => nextIds)));
    const hidden = g.embedding(state, g.arena.integers(Int32Array.from(rows)));
    const adapted = places.map(({ sequence: { adapter }, count }) => ({ adapter, count }));
    return g.withAdapters(adapterRowsOf(adapted), () => this.#predictor.forward(g, hidden, nextIds, positions, memory));
  }
}

/** The sequence's pages, written up to `length`. */
function leaseAt({ pages }: Sequence, length: number): PageLease {
  if (!pages) throw new Error('mtp: a sequence without pages was read');
  return { pages: pages.pages, length };
}
