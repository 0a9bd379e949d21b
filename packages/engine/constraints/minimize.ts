// The smallest automaton of a language.
//
// Owns partition refinement by the smaller half (Hopcroft 1971). Fewer states mean fewer masks to compute later. Very
// large automata are returned as they are: theirs are counters, which are minimal as built.

import { type Dfa, stateCount } from './dfa.ts';

/** States times symbol classes past which the tables would cost more than they save. */
const maxCells = 300_000;

export function minimize(dfa: Dfa): Dfa {
  const count = stateCount(dfa);
  const { classOf, classes } = symbolClasses(dfa);
  if (count < 2 || (count + 1) * classes > maxCells) return dfa;

  // Predecessors by class, as linked lists; `count` is the sink that missing edges lead to.
  const cells = (count + 1) * classes;
  const head = new Int32Array(cells).fill(-1);
  const next: number[] = [];
  const source: number[] = [];
  const table = new Int32Array(cells).fill(count);
  for (let s = 0; s < count; s++) {
    for (let e = dfa.first[s]!; e < dfa.first[s + 1]!; e++) {
      const last = classOf.get(dfa.to[e]! + 1)!;
      for (let c = classOf.get(dfa.from[e]!)!; c < last; c++) table[s * classes + c] = dfa.target[e]!;
    }
  }
  for (let s = 0; s <= count; s++) {
    for (let c = 0; c < classes; c++) {
      const cell = table[s * classes + c]! * classes + c;
      next.push(head[cell]!);
      head[cell] = source.push(s) - 1;
    }
  }

  // Blocks are stretches of `order`.
  const accepting = (s: number) => s < count && dfa.accepting[s] === 1;
  const all = Array.from({ length: count + 1 }, (_, s) => s);
  const order = [...all.filter((s) => !accepting(s)), ...all.filter(accepting)];
  const place = new Int32Array(count + 1);
  for (const [i, s] of order.entries()) place[s] = i;
  const rejecting = all.length - all.filter(accepting).length;
  const begin = [0, rejecting];
  const end = [rejecting, all.length];
  const block = new Int32Array(count + 1);
  for (const s of all) block[s] = accepting(s) ? 1 : 0;
  const marked: number[] = [0, 0];
  const pending = [0, 1].flatMap((b) => Array.from({ length: classes }, (_, c) => [b, c] as const));

  for (let job = pending.pop(); job !== undefined; job = pending.pop()) {
    const [splitter, c] = job;
    const touched: number[] = [];
    for (const member of order.slice(begin[splitter]!, end[splitter]!)) {
      for (let i = head[member * classes + c]!; i >= 0; i = next[i]!) {
        const s = source[i]!;
        const b = block[s]!;
        const to = begin[b]! + marked[b]!;
        if (place[s]! < to) continue; // marked already
        if (marked[b] === 0) touched.push(b);
        swap(order, place, place[s]!, to);
        marked[b]!++;
      }
    }
    for (const b of touched) {
      const size = end[b]! - begin[b]!;
      const split = marked[b]!;
      marked[b] = 0;
      if (split === size) continue;
      // The smaller part becomes a block of its own. What is pending for b stays pending for the rest of it.
      const fresh = begin.length;
      const middle = begin[b]! + split;
      marked.push(0);
      if (split <= size - split) {
        begin.push(begin[b]!);
        end.push(middle);
        begin[b] = middle;
      } else {
        begin.push(middle);
        end.push(end[b]!);
        end[b] = middle;
      }
      for (let i = begin[fresh]!; i < end[fresh]!; i++) block[order[i]!] = fresh;
      for (let k = 0; k < classes; k++) pending.push([fresh, k]);
    }
  }
  return merge(dfa, block, begin.length);
}

function swap(order: number[], place: Int32Array, i: number, j: number): void {
  const [a, b] = [order[i]!, order[j]!];
  order[i] = b;
  order[j] = a;
  place[b] = i;
  place[a] = j;
}

/** Boundaries of all ranges, numbered: a class is the symbols between two neighbours. */
function symbolClasses(dfa: Dfa): { classOf: Map<number, number>; classes: number } {
  const bounds = new Set<number>();
  for (const symbol of dfa.from) bounds.add(symbol);
  for (const symbol of dfa.to) bounds.add(symbol + 1);
  const cuts = [...bounds].sort((a, b) => a - b);
  return { classOf: new Map(cuts.map((cut, i) => [cut, i])), classes: cuts.length };
}

/** One state for each block that has a state; the start's block comes first, the others in order of their first state. */
function merge(dfa: Dfa, block: Int32Array, blocks: number): Dfa {
  const count = stateCount(dfa);
  const sinkBlock = block[count]!;
  const renumbered = new Int32Array(blocks).fill(-1);
  const representative: number[] = [];
  for (let s = 0; s < count; s++) {
    const b = block[s]!;
    // Nothing here is dead, so only the empty language shares the sink's block.
    if (renumbered[b] === -1 && (b !== sinkBlock || s === 0)) renumbered[b] = representative.push(s) - 1;
  }
  if (representative.length === count) return dfa;
  const [first, from, to, target]: number[][] = [[0], [], [], []];
  for (const s of representative) {
    for (let e = dfa.first[s]!; e < dfa.first[s + 1]!; e++) {
      const id = renumbered[block[dfa.target[e]!]!]!;
      const last = target!.length - 1;
      if (last >= first!.at(-1)! && to![last] === dfa.from[e]! - 1 && target![last] === id) {
        to![last] = dfa.to[e]!;
      } else {
        from!.push(dfa.from[e]!);
        to!.push(dfa.to[e]!);
        target!.push(id);
      }
    }
    first!.push(target!.length);
  }
  return {
    first: Uint32Array.from(first!),
    from: Uint32Array.from(from!),
    to: Uint32Array.from(to!),
    target: Uint32Array.from(target!),
    accepting: Uint8Array.from(representative, (s) => dfa.accepting[s]!),
  };
}
