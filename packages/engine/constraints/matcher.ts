// One sequence's way through a constraint.
//
// Owns where a sequence stands and how it got there, so that drafted tokens can be taken back. A text that has only one
// continuation is written in natural tokens, and then exactly those are allowed: emitting them without a forward pass and
// sampling them under the mask come to the same tokens. Knows nothing of logits.

import { edgesOf } from './dfa.ts';
import type { Position, Pushdown } from './pushdown.ts';
import { setBit, type TokenMasks } from './token-masks.ts';
import { findNode } from './token-trie.ts';
import type { Vocabulary } from './vocabulary.ts';

export interface Matcher {
  /** Words of a mask. */
  readonly maskLength: number;
  /** into = one bit for each token that may come next (token t is bit t mod 32 of word t div 32); never all 0 before the end. */
  mask(into: Uint32Array): void;
  /** Takes a token, or changes nothing and returns false when it may not come next. */
  accept(token: number): boolean;
  /** Takes back the last `count` accepted tokens. */
  rollback(count: number): void;
  /** Whether the text is complete as it stands. */
  readonly canEnd: boolean;
  /** Whether a stop token was accepted. */
  readonly isOver: boolean;
  /** The tokens that come next whatever is sampled; often none. */
  forced(): readonly number[];
}

/** Places in a sequence. While tokens are forced, `position` is where the last of them leads. */
interface Place {
  readonly position: Position;
  readonly forced: readonly number[];
  readonly isOver: boolean;
}

/** Bytes of forced text that are looked at together. */
const maxForcedBytes = 4096;

/** Forced tokens by position; shared by all matchers of a constraint. */
export type ForcedCache = WeakMap<Position, readonly number[]>;

export function makeMatcher(
  pushdown: Pushdown,
  vocabulary: Vocabulary,
  masks: TokenMasks,
  cache: ForcedCache,
): Matcher {
  const places: Place[] = [arrive(pushdown.start)];

  function arrive(position: Position): Place {
    let forced = cache.get(position);
    if (forced === undefined) {
      forced = findForced(pushdown, vocabulary, masks, position);
      cache.set(position, forced);
    }
    return { position, forced, isOver: false };
  }

  function here(): Place {
    return places.at(-1)!;
  }

  function after(token: number): Place | undefined {
    const { position, forced, isOver } = here();
    if (isOver) return undefined;
    if (forced.length > 0 && token !== forced[0]) return undefined;
    if (vocabulary.stopTokens.includes(token)) {
      return position.isEnd ? { position: pushdown.dead, forced: [], isOver: true } : undefined;
    }
    const next = read(pushdown, position, vocabulary.spelling(token));
    if (next === undefined) return undefined;
    return forced.length > 1 ? { position: next, forced: forced.slice(1), isOver: false } : arrive(next);
  }

  return {
    maskLength: vocabulary.maskLength,
    mask(into) {
      const { position, forced, isOver } = here();
      if (forced.length > 0 || isOver) {
        into.fill(0);
        if (!isOver) setBit(into, forced[0]!);
        return;
      }
      masks.fill(pushdown, position, into);
      if (position.isEnd) for (const token of vocabulary.stopTokens) setBit(into, token);
    },
    accept(token) {
      const next = after(token);
      if (next) places.push(next);
      return next !== undefined;
    },
    rollback(count) {
      if (count < 0 || count >= places.length) {
        throw new Error(`rollback: expected 0 to ${places.length - 1} tokens, got ${count}`);
      }
      places.length -= count;
    },
    get canEnd() {
      return here().position.isEnd;
    },
    get isOver() {
      return here().isOver;
    },
    forced: () => here().forced,
  };
}

function read(pushdown: Pushdown, begin: Position, bytes: Uint8Array): Position | undefined {
  if (bytes.length === 0) return undefined;
  let position = begin;
  for (const byte of bytes) {
    position = pushdown.step(position, byte);
    if (position === pushdown.dead) return undefined;
  }
  return position;
}

/**
 * The tokens of the only continuation. Not all of it may be told yet: at a place from which a token could also reach
 * beyond the forced text, the choice is the model's.
 */
function findForced(pushdown: Pushdown, vocabulary: Vocabulary, masks: TokenMasks, begin: Position): readonly number[] {
  const bytes: number[] = [];
  let position = begin;
  while (!position.isEnd && bytes.length < maxForcedBytes) {
    const byte = onlyByte(position);
    if (byte === undefined) break;
    bytes.push(byte);
    position = pushdown.step(position, byte);
  }
  const isComplete = position.isEnd && position.configurations.length === 0;
  const tokens = naturalTokens(vocabulary, bytes);
  const kept: number[] = [];
  // The first place from which a token reads all that follows and more.
  const limit = isComplete ? bytes.length : firstOverreach(pushdown, vocabulary, masks, bytes, position);
  let length = 0;
  for (const token of tokens) {
    length += vocabulary.spelling(token).length;
    if (length > limit) break;
    kept.push(token);
  }
  if (isComplete && length === bytes.length && vocabulary.stopTokens.length > 0) kept.push(vocabulary.stopTokens[0]!);
  return kept;
}

function firstOverreach(
  pushdown: Pushdown,
  { trie }: Vocabulary,
  masks: TokenMasks,
  bytes: readonly number[],
  after: Position,
): number {
  for (let i = Math.max(0, bytes.length - trie.maxDepth); i < bytes.length; i++) {
    const node = findNode(trie, bytes, i);
    if (node >= 0 && masks.hasLonger(pushdown, after, node)) return i;
  }
  return bytes.length;
}

/** The byte with which every continuation begins; undefined where there are several. */
function onlyByte({ configurations }: Position): number | undefined {
  let only: number | undefined;
  for (const { rule, state } of configurations) {
    for (const [from, to] of edgesOf(rule.dfa, state)) {
      // Other calls are positions of their own.
      if (from >= 256 && !rule.calls[from - 256]!.isCharacter) continue;
      if (from >= 256 || from !== to) return undefined;
      if (only !== undefined && only !== from) return undefined;
      only = from;
    }
  }
  return only;
}

/** Tokens of the longest prefix that is whole characters; none where the text begins inside of one. */
function naturalTokens(vocabulary: Vocabulary, bytes: readonly number[]): number[] {
  const tokens: number[] = [];
  let begin = 0;
  while (begin < bytes.length) {
    const special = bytes[begin] === 0xff;
    const end = special ? begin + 4 : nextSpecial(bytes, begin);
    const piece = Uint8Array.from(bytes.slice(begin, end));
    if (special) {
      if (piece.length < 4) return tokens;
      tokens.push((piece[1]! << 16) | (piece[2]! << 8) | piece[3]!);
    } else {
      const text = wholeCharacters(piece);
      const encoded = text === '' ? [] : vocabulary.encode(text);
      tokens.push(...encoded);
      // Where the tokenizer does not give back these very bytes (text that looks like a special token), stop.
      const spelled = encoded.flatMap((token) => [...vocabulary.spelling(token)]);
      const isExact = spelled.length === piece.length && spelled.every((byte, i) => byte === piece[i]);
      if (!isExact) return isPrefix(spelled, piece) ? tokens : tokens.slice(0, tokens.length - encoded.length);
    }
    begin = end;
  }
  return tokens;
}

function nextSpecial(bytes: readonly number[], begin: number): number {
  const index = bytes.indexOf(0xff, begin);
  return index < 0 ? bytes.length : index;
}

function isPrefix(part: readonly number[], whole: Uint8Array): boolean {
  return part.length <= whole.length && part.every((byte, i) => byte === whole[i]);
}

function wholeCharacters(bytes: Uint8Array): string {
  if (bytes.length > 0 && bytes[0]! >= 0x80 && bytes[0]! < 0xc0) return '';
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  return decoder.decode(bytes, { stream: true });
}
