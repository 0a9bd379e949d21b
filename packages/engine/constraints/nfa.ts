// Nondeterministic automata, as they are put together piece by piece.
//
// Owns states, edges, silent edges and the two assertions of regular expressions (start and end of the text). Knows
// nothing of what symbols mean. `determinize` is its only reader.

import { type Dfa, type Edge, explore } from './dfa.ts';

/** Where a silent edge may be taken. */
export type When = 'always' | 'at-start' | 'at-end';

/** Edges of one state, flat: first symbol, last symbol, target. */
type FlatEdges = number[];

export class Nfa {
  readonly #edges: FlatEdges[] = [];
  readonly #silent: { readonly target: number; readonly when: When }[][] = [];

  get size(): number {
    return this.#edges.length;
  }

  state(): number {
    this.#silent.push([]);
    return this.#edges.push([]) - 1;
  }

  edge(source: number, from: number, to: number, target: number): void {
    this.#edges[source]!.push(from, to, target);
  }

  silent(source: number, target: number, when: When = 'always'): void {
    this.#silent[source]!.push({ target, when });
  }

  /** Reads the symbols one after another; returns where they lead, which is `target` when given. */
  word(source: number, symbols: Iterable<number>, target?: number): number {
    const all = [...symbols];
    let at = source;
    for (const [i, symbol] of all.entries()) {
      const next = target !== undefined && i === all.length - 1 ? target : this.state();
      this.edge(at, symbol, symbol, next);
      at = next;
    }
    if (target !== undefined && all.length === 0) this.silent(source, target);
    return target ?? at;
  }

  /** Trimmed, not minimal. Refused past `limit` states. Rabin & Scott 1959. */
  determinize(start: number, accept: number, limit: number): Dfa {
    return explore<NfaSet>(this.#subsets(start, accept), limit);
  }

  #subsets(start: number, accept: number) {
    const closed = (states: Iterable<number>, isStart: boolean): NfaSet => {
      const members = this.#closure(states, (when) => when === 'always' || (isStart && when === 'at-start'));
      const sorted = [...members].sort((a, b) => a - b);
      return { states: sorted, isStart, key: `${isStart ? '^' : ''}${sorted.join(',')}` };
    };
    return {
      start: closed([start], true),
      key: (set: NfaSet) => set.key,
      edges: (set: NfaSet) => this.#edgesOf(set, (states) => closed(states, false)),
      isAccepting: ({ states, isStart }: NfaSet) =>
        this.#closure(states, (when) => when !== 'at-start' || isStart).has(accept),
    };
  }

  #closure(states: Iterable<number>, mayTake: (when: When) => boolean): Set<number> {
    const members = new Set(states);
    // A set yields what is added while it is walked.
    for (const state of members) {
      for (const { target, when } of this.#silent[state]!) if (mayTake(when)) members.add(target);
    }
    return members;
  }

  /** The set's edges cut at every boundary, so that one range has one set of targets. */
  #edgesOf({ states }: NfaSet, closed: (states: Iterable<number>) => NfaSet): Edge<NfaSet>[] {
    const flat = states.flatMap((state) => this.#edges[state]!);
    if (flat.length === 0) return [];
    if (flat.length === 3) return [[flat[0]!, flat[1]!, closed([flat[2]!])]];
    const bounds = new Set<number>();
    for (let i = 0; i < flat.length; i += 3) bounds.add(flat[i]!).add(flat[i + 1]! + 1);
    const cuts = [...bounds].sort((a, b) => a - b);
    const indexOf = new Map(cuts.map((cut, i) => [cut, i]));
    const targets: (number[] | undefined)[] = new Array(cuts.length);
    for (let i = 0; i < flat.length; i += 3) {
      const last = indexOf.get(flat[i + 1]! + 1)!;
      for (let c = indexOf.get(flat[i]!)!; c < last; c++) {
        targets[c] ??= [];
        targets[c]!.push(flat[i + 2]!);
      }
    }
    // Many ranges lead to the same set: close it once.
    const known = new Map<string, NfaSet>();
    const edges: Edge<NfaSet>[] = [];
    for (const [c, group] of targets.entries()) {
      if (group === undefined) continue;
      const name = group.join(',');
      let set = known.get(name);
      if (set === undefined) {
        set = closed(group);
        known.set(name, set);
      }
      edges.push([cuts[c]!, cuts[c + 1]! - 1, set]);
    }
    return edges;
  }
}

interface NfaSet {
  readonly states: readonly number[];
  readonly isStart: boolean;
  readonly key: string;
}
