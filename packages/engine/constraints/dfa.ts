// Finite automata over ranges of integers.
//
// Owns the one representation of a deterministic automaton and its algebra: from a nondeterministic one, intersection,
// complement, trimming. What a symbol means (a byte, a code point, a call of a rule) is the caller's. Invariants: state 0
// is the start; a state's edges are sorted and disjoint; whatever is built here can still reach acceptance from every
// state, except that the automaton of the empty language is one state that does not accept.

import { Refusal } from './refusal.ts';

/** Edges of state s are those from first[s] up to first[s + 1]: symbols from[e] to to[e], both included, lead to target[e]. */
export interface Dfa {
  readonly first: Uint32Array;
  readonly from: Uint32Array;
  readonly to: Uint32Array;
  readonly target: Uint32Array;
  /** 1 where the word read so far belongs to the language. */
  readonly accepting: Uint8Array;
}

/** One edge: the first and the last symbol, and where they lead. */
export type Edge<T> = readonly [from: number, to: number, target: T];

export function stateCount(dfa: Dfa): number {
  return dfa.accepting.length;
}

/** The state after `symbol`, or -1. */
export function step(dfa: Dfa, state: number, symbol: number): number {
  const end = dfa.first[state + 1]!;
  for (let e = dfa.first[state]!; e < end; e++) {
    if (symbol < dfa.from[e]!) return -1;
    if (symbol <= dfa.to[e]!) return dfa.target[e]!;
  }
  return -1;
}

export function edgesOf(dfa: Dfa, state: number): Edge<number>[] {
  const edges: Edge<number>[] = [];
  for (let e = dfa.first[state]!; e < dfa.first[state + 1]!; e++) {
    edges.push([dfa.from[e]!, dfa.to[e]!, dfa.target[e]!]);
  }
  return edges;
}

export function accepts(dfa: Dfa, word: Iterable<number>): boolean {
  let state = 0;
  for (const symbol of word) {
    state = step(dfa, state, symbol);
    if (state < 0) return false;
  }
  return dfa.accepting[state] === 1;
}

/** Whether the language has no word at all. */
export function isEmpty(dfa: Dfa): boolean {
  return stateCount(dfa) === 1 && dfa.accepting[0] === 0;
}

export interface Exploration<S> {
  readonly start: S;
  /** Equal keys mean the same state. */
  readonly key: (state: S) => string | number;
  /** Sorted and disjoint. */
  readonly edges: (state: S) => Iterable<Edge<S>>;
  readonly isAccepting: (state: S) => boolean;
}

/** The automaton of everything reachable from a start. Refused past `limit` states. */
export function explore<S>({ start, key, edges, isAccepting }: Exploration<S>, limit: number): Dfa {
  const states: S[] = [start];
  const ids = new Map<string | number, number>([[key(start), 0]]);
  const [first, from, to, target]: number[][] = [[0], [], [], []];
  const accepting: number[] = [];
  for (let s = 0; s < states.length; s++) {
    const state = states[s] as S;
    accepting.push(isAccepting(state) ? 1 : 0);
    for (const [low, high, next] of edges(state)) {
      const name = key(next);
      let id = ids.get(name);
      if (id === undefined) {
        id = states.length;
        if (id >= limit) throw new Refusal(`expected at most ${limit} states, it needs more`);
        ids.set(name, id);
        states.push(next);
      }
      const last = target!.length - 1;
      // Neighbouring ranges with one target are one edge.
      if (last >= first![s]! && to![last] === low - 1 && target![last] === id) {
        to![last] = high;
      } else {
        from!.push(low);
        to!.push(high);
        target!.push(id);
      }
    }
    first!.push(target!.length);
  }
  return trim({
    first: Uint32Array.from(first!),
    from: Uint32Array.from(from!),
    to: Uint32Array.from(to!),
    target: Uint32Array.from(target!),
    accepting: Uint8Array.from(accepting),
  });
}

/** The same language without the states and edges from which nothing can be accepted. `keeps` may drop more edges. */
export function trim(dfa: Dfa, keeps: (symbol: number) => boolean = () => true): Dfa {
  const count = stateCount(dfa);
  const sources: number[][] = Array.from({ length: count }, () => []);
  for (let s = 0; s < count; s++) {
    for (let e = dfa.first[s]!; e < dfa.first[s + 1]!; e++) {
      if (keeps(dfa.from[e]!)) sources[dfa.target[e]!]!.push(s);
    }
  }
  const isAlive = new Uint8Array(count);
  const pending = [...dfa.accepting.keys()].filter((s) => dfa.accepting[s] === 1);
  for (const s of pending) isAlive[s] = 1;
  for (let s = pending.pop(); s !== undefined; s = pending.pop()) {
    for (const source of sources[s]!) {
      if (isAlive[source] === 0) {
        isAlive[source] = 1;
        pending.push(source);
      }
    }
  }
  if (isAlive[0] === 0) return emptyDfa;
  // Dropping edges can leave states that nothing leads to; they are left out as well.
  const isReached = new Uint8Array(count);
  isReached[0] = 1;
  const queue = [0];
  for (let s = queue.pop(); s !== undefined; s = queue.pop()) {
    for (let e = dfa.first[s]!; e < dfa.first[s + 1]!; e++) {
      const next = dfa.target[e]!;
      if (isAlive[next] === 0 || isReached[next] === 1 || !keeps(dfa.from[e]!)) continue;
      isReached[next] = 1;
      queue.push(next);
    }
  }
  const renumbered = new Int32Array(count).fill(-1);
  let kept = 0;
  for (let s = 0; s < count; s++) if (isReached[s]) renumbered[s] = kept++;
  if (kept === count && sources.reduce((n, list) => n + list.length, 0) === dfa.target.length) return dfa;
  const [first, from, to, target]: number[][] = [[0], [], [], []];
  for (let s = 0; s < count; s++) {
    if (!isReached[s]) continue;
    for (let e = dfa.first[s]!; e < dfa.first[s + 1]!; e++) {
      if (isAlive[dfa.target[e]!] === 0 || !keeps(dfa.from[e]!)) continue;
      from!.push(dfa.from[e]!);
      to!.push(dfa.to[e]!);
      target!.push(renumbered[dfa.target[e]!]!);
    }
    first!.push(target!.length);
  }
  return {
    first: Uint32Array.from(first!),
    from: Uint32Array.from(from!),
    to: Uint32Array.from(to!),
    target: Uint32Array.from(target!),
    accepting: dfa.accepting.filter((_, s) => isReached[s]),
  };
}

/** The automaton that accepts nothing. */
export const emptyDfa: Dfa = {
  first: new Uint32Array(2),
  from: new Uint32Array(0),
  to: new Uint32Array(0),
  target: new Uint32Array(0),
  accepting: new Uint8Array(1),
};

/** Words of both languages. */
export function intersect(a: Dfa, b: Dfa, limit: number): Dfa {
  const width = stateCount(b);
  return explore<number>(
    {
      start: 0,
      key: (pair) => pair,
      *edges(pair) {
        const [s, t] = [Math.floor(pair / width), pair % width];
        let [e, f] = [a.first[s]!, b.first[t]!];
        const [lastE, lastF] = [a.first[s + 1]!, b.first[t + 1]!];
        while (e < lastE && f < lastF) {
          const low = Math.max(a.from[e]!, b.from[f]!);
          const high = Math.min(a.to[e]!, b.to[f]!);
          if (low <= high) yield [low, high, a.target[e]! * width + b.target[f]!];
          if (a.to[e]! < b.to[f]!) e++;
          else f++;
        }
      },
      isAccepting: (pair) => a.accepting[Math.floor(pair / width)] === 1 && b.accepting[pair % width] === 1,
    },
    limit,
  );
}

/** Words over `alphabet` (flat, sorted ranges) that are not in the language. */
export function complement(dfa: Dfa, alphabet: readonly number[]): Dfa {
  const sink = stateCount(dfa);
  return explore<number>(
    {
      start: 0,
      key: (state) => state,
      *edges(state) {
        const edges = state === sink ? [] : edgesOf(dfa, state);
        let e = 0;
        for (let i = 0; i < alphabet.length; i += 2) {
          let low = alphabet[i]!;
          const high = alphabet[i + 1]!;
          while (low <= high) {
            while (e < edges.length && edges[e]![1] < low) e++;
            const edge = edges[e];
            if (edge === undefined || edge[0] > high) {
              yield [low, high, sink];
              low = high + 1;
            } else if (edge[0] > low) {
              yield [low, edge[0] - 1, sink];
              low = edge[0];
            } else {
              const until = Math.min(high, edge[1]);
              yield [low, until, edge[2]];
              low = until + 1;
            }
          }
        }
      },
      isAccepting: (state) => state === sink || dfa.accepting[state] === 0,
    },
    sink + 2,
  );
}
