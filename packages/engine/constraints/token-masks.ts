// Which tokens may come next, for a position of the pushdown automaton.
//
// Owns the walk of the vocabulary against a grammar and the caches that make it cheap. What a token does inside one rule
// does not depend on the stack below, so it is computed once for each state of each rule; only tokens that leave the rule
// are followed down the stack (XGrammar, Dong et al. 2024, section 3.1). Where a rule reads any characters of a class, the
// class's tokens are allowed as a whole. Shared by all constraints of a vocabulary; memory is bounded.

import { addString, type FreeString, freeString } from './free-string.ts';
import type { Position, Pushdown, Stack } from './pushdown.ts';
import type { Rule } from './rule.ts';
import type { TokenTrie } from './token-trie.ts';
import type { Slice, Vocabulary } from './vocabulary.ts';

/** Tokens, as bits when they are many and listed when they are few. */
type TokenSet = { readonly bits: Uint32Array } | { readonly list: Uint32Array };

interface StateTokens {
  /** Allowed whatever is below on the stack. */
  readonly tokens: TokenSet;
  /** Where the rule is done inside of tokens: what follows depends on the stack. */
  readonly exits: readonly Exit[];
  readonly trie: TokenTrie;
  readonly bytes: number;
}

/** Nodes below the end of the rule, by the byte that leads to them. */
interface Exit {
  readonly byte: number;
  readonly nodes: Int32Array;
}

export interface TokenMasksOptions {
  /** Of cached tokens, all constraints together; 64 MiB when absent. */
  readonly cacheBytes?: number;
}

/** Nodes below which walking costs no more than asking. */
const smallSubtree = 16;
const noNodes = new Uint8Array(0);
/** What a position keeps in memory besides its mask, roughly. */
const positionBytes = 3000;

export class TokenMasks {
  readonly #vocabulary: Vocabulary;
  readonly #budget: number;
  /** Least recently used first. */
  #byRule = new Map<Rule, (StateTokens | undefined)[]>();
  #byPosition = new Map<Position, TokenSet>();
  #bytes = 0;
  readonly #scratch: Uint32Array;
  #strings: FreeString | undefined;
  /** The position after each byte of the token that is being walked. */
  readonly #path: Position[] = [];

  constructor(vocabulary: Vocabulary, { cacheBytes = 64 * 2 ** 20 }: TokenMasksOptions = {}) {
    this.#vocabulary = vocabulary;
    this.#budget = cacheBytes;
    this.#scratch = new Uint32Array(vocabulary.maskLength);
  }

  /** into = the tokens that may follow, without stop tokens. */
  fill(pushdown: Pushdown, position: Position, into: Uint32Array): void {
    into.fill(0);
    let set = this.#byPosition.get(position);
    if (set === undefined) {
      for (const { rule, state, stack } of position.configurations) {
        const inside = this.#stateTokens(pushdown, rule, state);
        addTo(into, inside.tokens);
        if (inside.exits.length > 0) this.#follow(pushdown, inside, stack, into);
      }
      set = compact(into);
      this.#remember(bytesOf(set) + positionBytes);
      this.#byPosition.set(position, set);
      return;
    }
    addTo(into, set);
  }

  /** Whether some token's spelling begins with the path to `node` and goes on in a way that may follow `position`. */
  hasLonger(pushdown: Pushdown, position: Position, node: number): boolean {
    return this.#walk(pushdown, this.#vocabulary.trie, node, position, undefined);
  }

  #follow(pushdown: Pushdown, { exits, trie }: StateTokens, stack: Stack, into: Uint32Array): void {
    const popped = pushdown.pop(stack);
    if (popped.configurations.length === 0) return;
    for (const { byte, nodes } of exits) {
      const position = pushdown.step(popped, byte);
      if (position === pushdown.dead) continue;
      for (const node of nodes) {
        setTokens(into, trie, node);
        this.#walk(pushdown, trie, node, position, into);
      }
    }
  }

  #stateTokens(pushdown: Pushdown, rule: Rule, state: number): StateTokens {
    let states = this.#byRule.get(rule);
    if (states) this.#byRule.delete(rule);
    else states = [];
    this.#byRule.set(rule, states); // moves it to the recently used end
    let known = states[state];
    if (known === undefined) {
      known = this.#computeState(pushdown, rule, state);
      states[state] = known;
      this.#remember(known.bytes);
    }
    return known;
  }

  #computeState(pushdown: Pushdown, rule: Rule, state: number): StateTokens {
    const bits = this.#scratch.fill(0);
    const byByte: number[][] = [];
    let { trie } = this.#vocabulary;
    const slice = this.#vocabulary.slices[rule.runs?.slice[state] ?? -1];
    const length = rule.runs?.length[state] ?? 0;
    const least = rule.runs?.least[state] ?? -1;
    if (slice) {
      addTo(bits, { bits: slice.masks[Math.min(length, slice.masks.length - 1)]! });
      for (const token of slice.longer) if (token.length <= length) setBit(bits, token.id);
      trie = slice.rest;
    }
    if (slice && least >= 0 && rule.runs?.slice[state] === 0) {
      this.#strings ??= freeString(trie);
      addString(this.#strings, least, length, bits, byByte);
    } else {
      this.#walk(pushdown, trie, 0, pushdown.alone(rule, state), bits, byByte);
    }
    const tokens = compact(bits);
    const exits = byByte.flatMap((nodes, byte) => [{ byte, nodes: Int32Array.from(nodes) }]);
    const bytes = exits.reduce((total, { nodes }) => total + 100 + 4 * nodes.length, bytesOf(tokens));
    return { tokens, trie, exits, bytes };
  }

  /**
   * Sets the tokens below `root` that can be read from `begin`, and collects where they leave the rule. Without a set: whether
   * there is one. Most of the time that masks take is spent here.
   */
  #walk(
    pushdown: Pushdown,
    trie: TokenTrie,
    root: number,
    begin: Position,
    into: Uint32Array | undefined,
    exits?: number[][],
  ): boolean {
    const { byte, end, depth, token } = trie;
    const { dead } = pushdown;
    const path = this.#path;
    const last = end[root]!;
    path[depth[root]!] = begin;
    // Nodes before `bulkEnd` were reached in a run, whose tokens are set already; pure ones hold no others.
    let bulkEnd = 0;
    let isPure: Uint8Array = noNodes;
    const mayBulk = trie === this.#vocabulary.trie && into !== undefined;
    for (let node = root + 1; node < last; ) {
      if (node < bulkEnd && isPure[node] === 1) {
        node = end[node]!;
        continue;
      }
      const level = depth[node]!;
      const above = path[level - 1]!;
      const position = above.next[byte[node]!] ?? pushdown.step(above, byte[node]!);
      if (position === dead) {
        node = end[node]!;
        continue;
      }
      if (token[node]! >= 0) {
        if (into === undefined) return true;
        setTokens(into, trie, node);
      }
      if (position.isEnd && exits !== undefined) collectExits(trie, node, exits);
      path[level] = position;
      if (position.slice >= 0 && mayBulk && node >= bulkEnd && end[node]! - node > smallSubtree) {
        setRun(into, trie, this.#vocabulary.slices[position.slice]!, node, position.runLength);
        bulkEnd = end[node]!;
        isPure = this.#vocabulary.slices[position.slice]!.isPure;
      }
      node = position.configurations.length === 0 ? end[node]! : node + 1;
    }
    return false;
  }

  /** Makes room: the oldest half goes when the budget is spent. */
  #remember(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes <= this.#budget) return;
    for (const position of this.#byPosition.keys()) {
      if (this.#bytes <= this.#budget / 2) return;
      this.#bytes -= bytesOf(this.#byPosition.get(position)!) + positionBytes;
      this.#byPosition.delete(position);
    }
    for (const [rule, states] of this.#byRule) {
      if (this.#bytes <= this.#budget / 2) return;
      for (const known of states) this.#bytes -= known?.bytes ?? 0;
      this.#byRule.delete(rule);
    }
  }
}

/** Sets the tokens of a slice below a node that are at most `length` characters longer. */
function setRun(into: Uint32Array, trie: TokenTrie, { nodes }: Slice, node: number, length: number): void {
  const longest = trie.characters[node]! + length;
  const end = trie.end[node]!;
  for (let i = lowerBound(nodes, node + 1); i < nodes.length && nodes[i]! < end; i++) {
    if (trie.characters[nodes[i]!]! <= longest) setTokens(into, trie, nodes[i]!);
  }
}

function lowerBound(sorted: Int32Array, value: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The children of a node at which a rule ends, by their byte. */
function collectExits({ byte, end }: TokenTrie, node: number, exits: number[][]): void {
  for (let child = node + 1; child < end[node]!; child = end[child]!) {
    exits[byte[child]!] ??= [];
    exits[byte[child]!]!.push(child);
  }
}

function setTokens(bits: Uint32Array, { token, doubles }: TokenTrie, node: number): void {
  if (token[node]! < 0) return;
  setBit(bits, token[node]!);
  if (doubles.size > 0) for (const id of doubles.get(node) ?? []) setBit(bits, id);
}

export function setBit(bits: Uint32Array, id: number): void {
  bits[id >>> 5]! |= 1 << (id & 31);
}

export function hasBit(bits: Uint32Array, id: number): boolean {
  return ((bits[id >>> 5]! >>> (id & 31)) & 1) === 1;
}

function addTo(into: Uint32Array, set: TokenSet): void {
  if ('list' in set) for (const id of set.list) setBit(into, id);
  else for (let i = 0; i < into.length; i++) into[i]! |= set.bits[i]!;
}

/** The form that takes less memory. */
function compact(bits: Uint32Array): TokenSet {
  const list: number[] = [];
  for (let i = 0; i < bits.length; i++) {
    for (let word = bits[i]!; word !== 0; word &= word - 1) {
      if (list.length >= bits.length) return { bits: bits.slice() };
      list.push(32 * i + 31 - Math.clz32(word & -word));
    }
  }
  return { list: Uint32Array.from(list) };
}

function bytesOf(set: TokenSet): number {
  return 64 + 4 * ('list' in set ? set.list.length : set.bits.length);
}
