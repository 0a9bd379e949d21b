// What tokens do inside of a JSON string of any characters.
//
// Owns, for every token that is not plain text, how many characters of the string it reads and where it leaves the string,
// found in one walk. Strings with a least and a greatest length then select from that, instead of walking the vocabulary
// again at each of their lengths.

import { stringRule } from './json-rules.ts';
import { type Position, Pushdown } from './pushdown.ts';
import type { TokenTrie } from './token-trie.ts';

/** Parallel lists; `characters` counts those that are read or begun. */
interface Counted {
  readonly what: number[];
  readonly characters: number[];
}

export interface FreeString {
  /** Tokens that end inside of the string. */
  readonly inside: Counted;
  /** Tokens that end with its quote. */
  readonly closing: Counted;
  /** Nodes below the quote, by their byte. */
  readonly beyond: ReadonlyMap<number, Counted>;
}

/** Walks a tree of tokens from inside a string. */
export function freeString({ byte, end, depth, token, doubles }: TokenTrie): FreeString {
  const pushdown = new Pushdown(stringRule);
  const begin = pushdown.alone(stringRule, 1);
  const inside: Counted = { what: [], characters: [] };
  const closing: Counted = { what: [], characters: [] };
  const beyond = new Map<number, Counted>();
  const path: Position[] = [begin];
  const whole: number[] = [0];
  for (let node = 1; node < byte.length; ) {
    const level = depth[node]!;
    const position = pushdown.step(path[level - 1]!, byte[node]!);
    if (position === pushdown.dead) {
      node = end[node]!;
      continue;
    }
    const characters = whole[level - 1]! + (position === begin ? 1 : 0);
    path[level] = position;
    whole[level] = characters;
    const ids = token[node]! < 0 ? [] : [token[node]!, ...(doubles.get(node) ?? [])];
    for (const id of ids) {
      const isWhole = position === begin || position.isEnd;
      add(position.isEnd ? closing : inside, id, isWhole ? characters : characters + 1);
    }
    if (!position.isEnd) {
      node++;
      continue;
    }
    for (let child = node + 1; child < end[node]!; child = end[child]!) {
      let list = beyond.get(byte[child]!);
      if (list === undefined) {
        list = { what: [], characters: [] };
        beyond.set(byte[child]!, list);
      }
      add(list, child, characters);
    }
    node = end[node]!;
  }
  return { inside, closing, beyond };
}

/** Adds what a string allows that needs at least `least` characters more and takes at most `most`. */
export function addString(
  { inside, closing, beyond }: FreeString,
  least: number,
  most: number,
  bits: Uint32Array,
  exits: number[][],
): void {
  for (const [i, id] of inside.what.entries()) {
    if (inside.characters[i]! <= most) bits[id >>> 5]! |= 1 << (id & 31);
  }
  for (const [i, id] of closing.what.entries()) {
    const count = closing.characters[i]!;
    if (count >= least && count <= most) bits[id >>> 5]! |= 1 << (id & 31);
  }
  for (const [byte, { what, characters }] of beyond) {
    const nodes = what.filter((_, i) => characters[i]! >= least && characters[i]! <= most);
    if (nodes.length > 0) exits[byte] = nodes;
  }
}

function add({ what, characters }: Counted, value: number, count: number): void {
  what.push(value);
  characters.push(count);
}
