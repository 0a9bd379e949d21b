// A tokenizer's vocabulary as constraints need it.
//
// Owns the spelling of every token in the bytes of grammars, the tree of all tokens, and the classes of tokens that can be
// allowed at once (slices). Special tokens are spelled 0xff and their id, so that no text can be mistaken for one and none
// appears where a grammar does not name it. Knows nothing of grammars. Built once for a model; never changes.

import type { Tokenizer } from '@hadal/formats/tokenizer';
import type { CodePoints } from './code-points.ts';
import { slices } from './text-spelling.ts';
import { makeTokenTrie, type SpelledToken, type TokenTrie } from './token-trie.ts';

export interface Vocabulary {
  /** Tokens in a row of logits: one more than the largest id, or more where the checkpoint pads. */
  readonly size: number;
  /** Words of a mask. */
  readonly maskLength: number;
  /** Tokens that end a completion, the one to be generated first. */
  readonly stopTokens: readonly number[];
  readonly trie: TokenTrie;
  /** By index of `slices`. */
  readonly slices: readonly Slice[];
  /** Empty for what no grammar can contain: padding, and tokens with bytes that UTF-8 does not have. */
  spelling(id: number): Uint8Array;
  /** How a grammar names a special token; undefined where the tokenizer has no such token. */
  specialSpelling(text: string): Uint8Array | undefined;
  /** Natural tokens for a text in which nothing is special. */
  encode(text: string): number[];
}

/** The tokens made of one class of characters, and the tree of all others. */
export interface Slice {
  /** masks[n]: tokens of at most n characters, up to the length of this array less one. */
  readonly masks: readonly Uint32Array[];
  /** Longer tokens, by length. */
  readonly longer: readonly { readonly id: number; readonly length: number }[];
  readonly rest: TokenTrie;
  /** Nodes of the whole tree that spell a token of the class, in order. */
  readonly nodes: Int32Array;
  /** 1 for nodes of the whole tree below which (and at which) no token is of another class. */
  readonly isPure: Uint8Array;
}

export interface VocabularyOptions {
  readonly tokenizer: Tokenizer;
  readonly stopTokens: readonly number[];
  /** The model's vocabulary, where it is larger than the tokenizer's. */
  readonly size?: number;
}

/** Lengths up to which a slice keeps whole masks. */
const maskedLengths = 24;

export function makeVocabulary({
  tokenizer,
  stopTokens,
  size = tokenizer.vocabularySize,
}: VocabularyOptions): Vocabulary {
  const spellings = Array.from({ length: size }, (_, id) => {
    if (id >= tokenizer.vocabularySize) return noBytes;
    return tokenizer.addedIds.has(id) ? specialBytes(id) : textBytes(tokenizer.bytes(id));
  });
  const tokens = spellings.map((bytes, id) => ({ id, bytes })).filter(({ bytes }) => bytes.length > 0);
  const trie = makeTokenTrie(tokens);
  return {
    size,
    maskLength: Math.ceil(size / 32),
    stopTokens,
    trie,
    slices: slices.map((characters) => makeSlice(tokens, trie, characters, Math.ceil(size / 32))),
    spelling: (id) => spellings[id] ?? noBytes,
    specialSpelling(text) {
      const id = tokenizer.tokenId(text);
      return id !== undefined && tokenizer.addedIds.has(id) ? specialBytes(id) : undefined;
    },
    encode: (text) => tokenizer.encode(text),
  };
}

const noBytes = new Uint8Array(0);

function specialBytes(id: number): Uint8Array {
  return Uint8Array.of(0xff, (id >> 16) & 0xff, (id >> 8) & 0xff, id & 0xff);
}

/** The bytes of a token that is text, or none when it holds a byte that is never part of UTF-8. */
function textBytes(bytes: Uint8Array): Uint8Array {
  return bytes.some((byte) => byte === 0xc0 || byte === 0xc1 || byte > 0xf4) ? noBytes : bytes;
}

function makeSlice(
  tokens: readonly SpelledToken[],
  trie: TokenTrie,
  characters: CodePoints,
  maskLength: number,
): Slice {
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const masks = Array.from({ length: maskedLengths + 1 }, () => new Uint32Array(maskLength));
  const longer: { id: number; length: number }[] = [];
  const rest: SpelledToken[] = [];
  const isMember = new Set<number>();
  for (const token of tokens) {
    const length = lengthInSlice(token.bytes, characters, text);
    if (length < 0) rest.push(token);
    else isMember.add(token.id);
    if (length > maskedLengths) longer.push({ id: token.id, length });
    for (let n = length; n >= 0 && n <= maskedLengths; n++) masks[n]![token.id >>> 5]! |= 1 << (token.id & 31);
  }
  const nodes = Int32Array.from(trie.token.keys().filter((node) => isMember.has(trie.token[node]!)));
  const isPure = new Uint8Array(trie.token.length).fill(1);
  // Backwards: children before their parents.
  for (let node = trie.token.length - 1; node >= 0; node--) {
    const isOther = trie.token[node]! >= 0 && !isMember.has(trie.token[node]!);
    let child = node + 1;
    while (child < trie.end[node]! && isPure[child] === 1) child = trie.end[child]!;
    if (isOther || child < trie.end[node]!) isPure[node] = 0;
  }
  return { masks, longer, rest: makeTokenTrie(rest), nodes, isPure };
}

/** How many characters of the class the token is made of; -1 when it is not made of them alone. */
function lengthInSlice(bytes: Uint8Array, characters: CodePoints, text: InstanceType<typeof TextDecoder>): number {
  let decoded: string;
  try {
    decoded = text.decode(bytes);
  } catch {
    return -1; // ends inside a character, or is special
  }
  let length = 0;
  for (const character of decoded) {
    const point = character.codePointAt(0)!;
    let i = 0;
    while (i < characters.length && characters[i + 1]! < point) i += 2;
    if (i >= characters.length || characters[i]! > point) return -1;
    length++;
  }
  return length;
}
