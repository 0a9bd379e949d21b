// From texts to bytes: UTF-8 as it stands, or as a JSON string.
//
// Owns which bytes a code point may be written with. A text of any characters may use every escape that JSON has; where a
// language tells characters apart, each has one spelling (itself, or the escape that Python's json.dumps writes), so that
// no escape smuggles in what a pattern forbids. Invariant: halves of surrogate pairs never stand alone.

import { allCodePoints, type CodePoints } from './code-points.ts';
import { type Dfa, edgesOf, stateCount } from './dfa.ts';
import { Nfa } from './nfa.ts';
import { type Rule, type Runs, unlimited } from './rule.ts';

export type Spelling = 'raw' | 'json';

/**
 * Classes of characters that automata often treat alike, the largest first: those that stand for themselves in JSON, and
 * the same without punctuation and line separators.
 */
export const slices: readonly CodePoints[] = [
  [0x20, 0x21, 0x23, 0x5b, 0x5d, 0xd7ff, 0xe000, 0x10ffff],
  [0x20, 0x20, 0x30, 0x39, 0x41, 0x5a, 0x61, 0x7a, 0x80, 0x2027, 0x202a, 0xd7ff, 0xe000, 0x10ffff],
];

/** A byte range; an index of `calls` is [256 + index, 256 + index]. */
type Range = readonly [low: number, high: number];
interface Path {
  readonly ranges: readonly Range[];
  readonly target: number;
}

const shortEscapes: Readonly<Record<number, string>> = {
  ...{ 8: 'b', 9: 't', 10: 'n', 12: 'f', 13: 'r' },
  ...{ 34: '"', 92: '\\' },
};

/** Any character beyond ASCII, in UTF-8. */
const wideCharacter: Rule = {
  dfa: pathAutomaton(1, (state) =>
    state === 0
      ? [...utf8Ranges(0x80, 0xd7ff), ...utf8Ranges(0xe000, 0x10ffff)].map((ranges) => ({ ranges, target: 1 }))
      : [],
  ),
  calls: [],
  runs: undefined,
  isCharacter: true,
};

/** Any escape: a backslash and a letter, a code unit that is no surrogate, or a surrogate pair. */
const anyEscape: Rule = makeAnyEscape();

const calls = [wideCharacter, anyEscape];
const wideCall: Range = [256, 256];
const escapeCall: Range = [257, 257];

/** Reads the texts of `language` (over code points), with their quotes in JSON. */
export function spell(language: Dfa, spelling: Spelling): Rule {
  const count = stateCount(language);
  // In JSON: state 0 reads the opening quote, the language's states follow, then the end.
  const shift = spelling === 'json' ? 1 : 0;
  const end = count + 1;
  const paths = (state: number): Path[] => {
    if (spelling === 'json' && (state === 0 || state === end)) {
      return state === 0 ? [{ ranges: [[0x22, 0x22]], target: 1 }] : [];
    }
    const inner = characterPaths(language, state - shift, spelling, shift);
    if (spelling === 'json' && language.accepting[state - shift] === 1) {
      inner.push({ ranges: [[0x22, 0x22]], target: end });
    }
    return inner;
  };
  const last = spelling === 'json' ? end : count - 1;
  const isAccepting = spelling === 'json' ? (s: number) => s === end : (s: number) => language.accepting[s] === 1;
  const dfa = pathAutomaton(last, paths, isAccepting);
  return { dfa, calls, runs: findRuns(language, shift, stateCount(dfa)), isCharacter: false };
}

function characterPaths(language: Dfa, state: number, spelling: Spelling, shift: number): Path[] {
  const edges = edgesOf(language, state);
  const isFree = edges.length === 2 && edges.every(([, , target]) => target === edges[0]![2]) && isAll(edges);
  const paths: Path[] = [];
  for (const [low, high, next] of edges) {
    const target = next + shift;
    for (const [from, to] of asciiRuns(low, Math.min(high, 0x7f), spelling)) {
      paths.push({ ranges: [[from, to]], target });
    }
    if (spelling === 'json' && !isFree) {
      for (let point = low; point <= Math.min(high, 0x5c); point++) {
        const bytes = escapeOf(point);
        if (bytes) paths.push({ ranges: bytes.map((byte) => [byte, byte]), target });
      }
    }
    if (low <= 0x80 && high === 0xd7ff && hasUpperPlanes(edges, next)) {
      paths.push({ ranges: [wideCall], target });
    } else if (high >= 0x80 && !(low === 0xe000 && high === 0x10ffff && reachesAllBelow(edges, next))) {
      for (const ranges of utf8Ranges(Math.max(low, 0x80), high)) paths.push({ ranges, target });
    }
  }
  if (spelling === 'json' && isFree) paths.push({ ranges: [escapeCall], target: edges[0]![2] + shift });
  return paths;
}

function isAll(edges: readonly (readonly [number, number, number])[]): boolean {
  return edges.every(([low, high], i) => low === allCodePoints[2 * i] && high === allCodePoints[2 * i + 1]);
}

function hasUpperPlanes(edges: readonly (readonly [number, number, number])[], target: number): boolean {
  return edges.some(([low, high, next]) => low === 0xe000 && high === 0x10ffff && next === target);
}

function reachesAllBelow(edges: readonly (readonly [number, number, number])[], target: number): boolean {
  return edges.some(([low, high, next]) => low <= 0x80 && high === 0xd7ff && next === target);
}

/** The ASCII characters of a range that stand for themselves. */
function asciiRuns(low: number, high: number, spelling: Spelling): Range[] {
  if (spelling === 'raw') return low <= high ? [[low, high]] : [];
  return (
    [
      [0x20, 0x21],
      [0x23, 0x5b],
      [0x5d, 0x7f],
    ] as const
  ).flatMap(([from, to]) => {
    const run: Range = [Math.max(low, from), Math.min(high, to)];
    return run[0] <= run[1] ? [run] : [];
  });
}

/** The bytes of the escape that a character must have in a JSON string. */
function escapeOf(point: number): number[] | undefined {
  if (point >= 0x20 && point !== 0x22 && point !== 0x5c) return undefined;
  const letters = shortEscapes[point] ?? `u${point.toString(16).padStart(4, '0')}`;
  return [...`\\${letters}`].map((letter) => letter.charCodeAt(0));
}

/** The byte sequences of the code points from `low` to `high`, none of them a surrogate. */
function utf8Ranges(low: number, high: number): Range[][] {
  for (const limit of [0x7f, 0x7ff, 0xffff]) {
    if (low <= limit && high > limit) return [...utf8Ranges(low, limit), ...utf8Ranges(limit + 1, high)];
  }
  if (high < 0x80) return [[[low, high]]];
  const size = high < 0x800 ? 2 : high < 0x10000 ? 3 : 4;
  // Cut so that all continuation bytes below some place run from 0x80 to 0xbf.
  for (let i = 1; i < size; i++) {
    const mask = (1 << (6 * i)) - 1;
    if (low >> (6 * i) === high >> (6 * i)) continue;
    if ((low & mask) !== 0) return [...utf8Ranges(low, low | mask), ...utf8Ranges((low | mask) + 1, high)];
    if ((high & mask) !== mask) {
      const cut = high & ~mask;
      return [...utf8Ranges(low, cut - 1), ...utf8Ranges(cut, high)];
    }
  }
  const [first, last] = [encode(low, size), encode(high, size)];
  return [first.map((byte, i) => [byte, last[i]!])];
}

function encode(point: number, size: number): number[] {
  const lead = [0, 0, 0xc0, 0xe0, 0xf0][size]!;
  return Array.from({ length: size }, (_, i) =>
    i === 0 ? lead | (point >> (6 * (size - 1))) : 0x80 | ((point >> (6 * (size - 1 - i))) & 0x3f),
  );
}

/**
 * The automaton of states 0 to `last`, whose edges are the paths' first ranges; states inside of paths are added and
 * shared. Paths of one state are prefix-free, and first ranges are equal or disjoint.
 */
function pathAutomaton(
  last: number,
  pathsOf: (state: number) => readonly Path[],
  isAccepting: (state: number) => boolean = (state) => state === last,
): Dfa {
  const inner = new Map<string, number>();
  const queue: (readonly Path[])[] = [];
  const [first, from, to, target]: number[][] = [[0], [], [], []];
  const stateFor = (paths: readonly Path[]): number => {
    if (paths.length === 1 && paths[0]!.ranges.length === 0) return paths[0]!.target;
    const key = paths.map(({ ranges, target: t }) => `${ranges.flat().join(',')}:${t}`).join(';');
    let id = inner.get(key);
    if (id === undefined) {
      id = last + queue.push(paths);
      inner.set(key, id);
    }
    return id;
  };
  const add = (paths: readonly Path[]) => {
    const groups = new Map<number, Path[]>();
    for (const path of paths) {
      const name = path.ranges[0]![0] * 512 + path.ranges[0]![1];
      const group = groups.get(name);
      if (group) group.push(path);
      else groups.set(name, [path]);
    }
    for (const [name, group] of [...groups].sort((a, b) => a[0] - b[0])) {
      const id = stateFor(group.map((path) => ({ ranges: path.ranges.slice(1), target: path.target })));
      const [low, high, edge] = [Math.floor(name / 512), name % 512, target!.length - 1];
      if (edge >= first!.at(-1)! && to![edge] === low - 1 && target![edge] === id && low < 256) {
        to![edge] = high;
      } else {
        from!.push(low);
        to!.push(high);
        target!.push(id);
      }
    }
    first!.push(target!.length);
  };
  for (let state = 0; state <= last; state++) add(pathsOf(state));
  for (const paths of queue) add(paths);
  return {
    first: Uint32Array.from(first!),
    from: Uint32Array.from(from!),
    to: Uint32Array.from(to!),
    target: Uint32Array.from(target!),
    accepting: Uint8Array.from({ length: last + 1 + queue.length }, (_, s) => (s <= last && isAccepting(s) ? 1 : 0)),
  };
}

/**
 * For each state the first slice whose characters all lead the same way, and for how long they do. None where the text may
 * end: there a token can go on after the end with any character.
 */
function findRuns(language: Dfa, shift: number, size: number): Runs {
  const count = stateCount(language);
  const runs = {
    slice: new Int8Array(size).fill(-1),
    length: new Int32Array(size),
    least: new Int32Array(size).fill(-1),
  };
  if (shift > 0) runs.least.set(leastLengths(language), shift);
  for (const [k, characters] of slices.entries()) {
    const next = Int32Array.from({ length: count }, (_, state) => sliceTarget(language, state, characters));
    const length = runLengths(next);
    for (let state = 0; state < count; state++) {
      const mayEnd = shift === 0 && language.accepting[state] === 1;
      if (runs.slice[state + shift] !== -1 || length[state]! <= 0 || mayEnd) continue;
      runs.slice[state + shift] = k;
      runs.length[state + shift] = length[state]!;
    }
  }
  return runs;
}

/** For states from which all characters lead one way: characters until the text may end, and from there on always; or -1. */
function leastLengths(language: Dfa): Int32Array {
  const least = new Int32Array(stateCount(language)).fill(-1);
  // States of a text that counts are numbered in the order of its length.
  for (let state = least.length - 1; state >= 0; state--) {
    const edges = edgesOf(language, state);
    const next = edges[0]?.[2] ?? state;
    const isFree = edges.length === 0 || (isAll(edges) && edges.every(([, , target]) => target === next));
    if (!isFree || next < state) continue;
    const isAccepting = language.accepting[state] === 1;
    if (isAccepting && (next === state || least[next] === 0)) least[state] = 0;
    else if (!isAccepting && least[next]! >= 0 && next !== state) least[state] = least[next]! + 1;
  }
  return least;
}

/** The state to which all characters lead; -1: there is no edge for any of them; -2: they differ. */
function sliceTarget(language: Dfa, state: number, characters: CodePoints): number {
  let found: number | undefined;
  for (let i = 0; i < characters.length; i += 2) {
    let at = characters[i]!;
    const last = characters[i + 1]!;
    for (let e = language.first[state]!; e < language.first[state + 1]! && at <= last; e++) {
      if (language.to[e]! < at) continue;
      if (language.from[e]! > last) break;
      if (language.from[e]! > at || (found !== undefined && found !== language.target[e]!)) return -2;
      found = language.target[e]!;
      at = language.to[e]! + 1;
    }
    if (at === characters[i]!) {
      if (found !== undefined && found !== -1) return -2;
      found = -1;
    } else if (at <= last) {
      return -2;
    }
  }
  return found ?? -1;
}

/** How many steps lead from each state to one without a next; `unlimited` in a cycle, -1 before one that differs. */
function runLengths(next: Int32Array): Int32Array {
  const length = new Int32Array(next.length).fill(-2);
  for (const start of next.keys()) {
    const path: number[] = [];
    const isOnPath = new Set<number>();
    let state = start;
    while (state >= 0 && length[state] === -2 && !isOnPath.has(state)) {
      isOnPath.add(state);
      path.push(state);
      state = next[state]!;
    }
    // What is known of the end of the path, then backwards along it.
    let ahead = state === -1 ? -1 : state === -2 ? -2 : isOnPath.has(state) ? unlimited : length[state]!;
    for (const passed of path.reverse()) {
      const isEnd = next[passed]! < 0;
      ahead = isEnd ? (next[passed] === -1 ? 0 : -1) : ahead === unlimited || ahead < 0 ? ahead : ahead + 1;
      length[passed] = ahead;
    }
  }
  return length;
}

function makeAnyEscape(): Rule {
  const nfa = new Nfa();
  const start = nfa.state();
  const accept = nfa.state();
  const backslash = nfa.word(start, [0x5c]);
  for (const letter of '"\\/bfnrt') nfa.edge(backslash, letter.charCodeAt(0), letter.charCodeAt(0), accept);
  const hexadecimal = (source: number, digits: string, target: number) => {
    for (const digit of digits + digits.replace(/\d/g, '').toUpperCase()) {
      nfa.edge(source, digit.charCodeAt(0), digit.charCodeAt(0), target);
    }
  };
  const all = '0123456789abcdef';
  const [unit, three, two, one] = [nfa.word(backslash, [0x75]), nfa.state(), nfa.state(), nfa.state()];
  hexadecimal(unit, '0123456789abcef', three);
  hexadecimal(three, all, two);
  hexadecimal(two, all, one);
  hexadecimal(one, all, accept);
  const d = nfa.state();
  hexadecimal(unit, 'd', d);
  hexadecimal(d, '01234567', two);
  const [high, second, third] = [nfa.state(), nfa.state(), nfa.state()];
  hexadecimal(d, '89ab', high);
  hexadecimal(high, all, second);
  hexadecimal(second, all, third);
  const low = nfa.word(third, [0x5c, 0x75]);
  const lowD = nfa.state();
  hexadecimal(low, 'd', lowD);
  hexadecimal(lowD, 'cdef', two);
  return { dfa: nfa.determinize(start, accept, 1000), calls: [], runs: undefined, isCharacter: true };
}
