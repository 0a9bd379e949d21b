// A trainer of byte-level BPE tokenizers in DeepSeek's form.
//
// Owns the choice of merges (Sennrich et al. 2016, on bytes) and the `tokenizer.json` that holds them. Knows nothing
// about where texts come from. The result depends on how often each piece occurs and on nothing else: neither the order
// of the texts nor ties can change it.

import { byteCharacters } from './byte-level.ts';
import { beginOfSentence, specialTokens as deepseekTokens, endOfSentence, padding } from './special-tokens.ts';
import { makeLibraryTokenizer } from './tokenizer-library.ts';

/** The `tokenizer.json` of Hugging Face's libraries, as far as we write it. */
export interface TokenizerJson {
  readonly version: '1.0';
  readonly truncation: null;
  readonly padding: null;
  readonly added_tokens: readonly AddedToken[];
  readonly normalizer: null;
  readonly pre_tokenizer: { readonly type: 'Sequence'; readonly pretokenizers: readonly object[] };
  readonly post_processor: object;
  readonly decoder: object;
  readonly model: {
    readonly type: 'BPE';
    readonly dropout: null;
    readonly unk_token: null;
    readonly continuing_subword_prefix: null;
    readonly end_of_word_suffix: null;
    readonly fuse_unk: false;
    readonly byte_fallback: false;
    readonly ignore_merges: false;
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly string[];
  };
}

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly single_word: false;
  readonly lstrip: false;
  readonly rstrip: false;
  readonly normalized: false;
  readonly special: boolean;
}

export interface TrainBpeOptions {
  /** Each text counts by itself; special tokens in it are cut out and separate what they stand between. */
  readonly texts: Iterable<string>;
  /** Special tokens, the 256 bytes and merges together. Fewer come out when no pair occurs twice any more. */
  readonly vocabularySize: number;
  /** Numbered from 0 in this order. */
  readonly specialTokens?: readonly string[];
  readonly splitting?: Splitting;
}

/**
 * Where merges stop. `deepseek`: DeepSeek-V3's splits, except that V3 takes up to three digits together and we take each
 * digit alone. `words`: every word by itself, every Han character and what stands between, so that a word is the same
 * tokens after a space, a quote or an underscore. Texts get longer; a small model can copy a word without knowing how it
 * is spelled. A single letter keeps the space before it, because worked solutions are full of them.
 */
export type Splitting = 'deepseek' | 'words';

const splitPatterns: Readonly<Record<Splitting, readonly string[]>> = {
  deepseek: [
    '\\p{N}',
    '[一-龥぀-ゟ゠-ヿ]+',
    '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|' +
      ' ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
  ],
  words: [
    '\\p{N}',
    '[一-龥぀-ゟ゠-ヿ]',
    ' ?\\p{L}(?![\\p{L}\\p{M}])|\\p{Lu}+(?!\\p{Ll})|\\p{Lu}?[\\p{Ll}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+',
  ],
};

function splits(splitting: Splitting): object[] {
  return splitPatterns[splitting].map((Regex) => ({
    ...{ type: 'Split', pattern: { Regex } },
    ...{ behavior: 'Isolated', invert: false },
  }));
}

/** Learns the merges of the most frequent pairs; of equally frequent ones, that with the smaller ids. */
export function trainBpe({
  texts,
  vocabularySize,
  specialTokens = deepseekTokens,
  splitting = 'deepseek',
}: TrainBpeOptions): TokenizerJson {
  const smallest = specialTokens.length + byteCharacters.length;
  if (vocabularySize < smallest) {
    throw new Error(
      `vocabulary size: expected at least ${smallest} for ${specialTokens.length} special tokens and 256 bytes, ` +
        `got ${vocabularySize}`,
    );
  }
  // By code point of the alphabet's character, as Hugging Face's trainer numbers them.
  const tokens = [...specialTokens, ...byteCharacters.toSorted()];
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const byteIds = byteCharacters.map((character) => ids.get(character) as number);

  const utf8 = new TextEncoder();
  const words: Word[] = [];
  for (const [piece, count] of countPieces(texts, specialTokens, splitting)) {
    words.push({ count, symbols: Array.from(utf8.encode(piece), (byte) => byteIds[byte] as number) });
  }

  const merges: string[] = [];
  for (const [left, right] of learnMerges(words, tokens.length, vocabularySize)) {
    merges.push(`${tokens[left]} ${tokens[right]}`);
    tokens.push(`${tokens[left]}${tokens[right]}`);
  }
  return tokenizerJson(tokens, specialTokens, merges, splitting);
}

/**
 * The `tokenizer_config.json` beside it, with which Hugging Face transformers loads the tokenizer.
 * `contextLength` in tokens.
 */
export function tokenizerConfig({ contextLength }: { readonly contextLength: number }): object {
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    bos_token: beginOfSentence,
    eos_token: endOfSentence,
    pad_token: padding,
    add_bos_token: false,
    add_eos_token: false,
    clean_up_tokenization_spaces: false,
    model_max_length: contextLength,
  };
}

/** How often each piece occurs that merges may not reach beyond. */
function countPieces(
  texts: Iterable<string>,
  specialTokens: readonly string[],
  splitting: Splitting,
): Map<string, number> {
  // The library's own splitter, so that training cuts where encoding will; without its last stage, which spells bytes.
  const empty = tokenizerJson([], [], [], splitting);
  const splitter = makeLibraryTokenizer({
    ...empty,
    pre_tokenizer: { type: 'Sequence', pretokenizers: splits(splitting) },
  });
  const escaped = specialTokens.map((token) => token.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'));
  const special = new RegExp(escaped.join('|') || '(?!)', 'u');
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const section of text.split(special)) {
      if (section === '') continue;
      const pieces = splitter.pre_tokenizer?.pre_tokenize_text(section) ?? [];
      for (const piece of pieces) counts.set(piece, (counts.get(piece) ?? 0) + 1);
    }
  }
  return counts;
}

/** A piece of text, how often it occurs, and the tokens it is made of so far. */
interface Word {
  readonly count: number;
  readonly symbols: number[];
}

interface Pair {
  readonly left: number;
  readonly right: number;
  count: number;
  /** Indices of words that held the pair when it was counted; some may hold it no longer. */
  readonly words: number[];
}

/** Yields pairs of ids; the n-th makes the token `firstId + n`. Merges inside `words` as it goes. */
function* learnMerges(words: readonly Word[], firstId: number, vocabularySize: number): Iterable<[number, number]> {
  const pairs = new Map<number, Pair>();
  let changed = new Set<Pair>();

  function change(left: number, right: number, by: number, word: number): void {
    const key = left * vocabularySize + right;
    let pair = pairs.get(key);
    if (pair === undefined) {
      pair = { left, right, count: 0, words: [] };
      pairs.set(key, pair);
    }
    pair.count += by;
    if (by > 0) {
      changed.add(pair);
      if (pair.words.at(-1) !== word) pair.words.push(word);
    }
  }

  words.forEach(({ symbols, count }, word) => {
    for (let i = 1; i < symbols.length; i++) change(symbols[i - 1] as number, symbols[i] as number, count, word);
  });
  const queue = new PairQueue();
  for (let id = firstId; id < vocabularySize; id++) {
    for (const pair of changed) queue.push(pair);
    changed = new Set();
    const best = queue.pop();
    if (best === undefined || best.count < 2) return;
    for (const index of best.words) mergeInWord(words[index] as Word, best, id, (l, r, by) => change(l, r, by, index));
    best.count = 0;
    pairs.delete(best.left * vocabularySize + best.right);
    yield [best.left, best.right];
  }
}

/** Replaces the pair by `id` in place, left to right, and reports by how much that changes the neighbouring pairs. */
function mergeInWord(
  { symbols, count }: Word,
  { left, right }: Pair,
  id: number,
  change: (left: number, right: number, by: number) => void,
): void {
  let written = 0;
  for (let read = 0; read < symbols.length; read++, written++) {
    const symbol = symbols[read] as number;
    if (symbol !== left || symbols[read + 1] !== right) {
      symbols[written] = symbol;
      continue;
    }
    const before = symbols[written - 1];
    const after = symbols[read + 2];
    if (before !== undefined) {
      change(before, left, -count);
      change(before, id, count);
    }
    if (after !== undefined) {
      change(right, after, -count);
      change(id, after, count);
    }
    symbols[written] = id;
    read++;
  }
  symbols.length = written;
}

/**
 * A binary heap of pairs by count, ties to the smaller ids. Counts change while pairs wait: a pair is pushed anew when its
 * count grows, and an entry that has since shrunk goes back with its true count when it comes up. So what `pop` returns is
 * the largest of all true counts.
 */
class PairQueue {
  readonly #heap: { readonly pair: Pair; readonly count: number }[] = [];

  push(pair: Pair): void {
    const heap = this.#heap;
    const entry = { pair, count: pair.count };
    let index = heap.length;
    heap.push(entry);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.#isBefore(index, parent)) break;
      this.#swap(index, parent);
      index = parent;
    }
  }

  pop(): Pair | undefined {
    for (;;) {
      const top = this.#takeTop();
      if (top === undefined || top.count === top.pair.count) return top?.pair;
      // A smaller entry than the truth has a newer one in the heap.
      if (top.count > top.pair.count && top.pair.count > 0) this.push(top.pair);
    }
  }

  #takeTop(): { readonly pair: Pair; readonly count: number } | undefined {
    const heap = this.#heap;
    if (heap.length <= 1) return heap.pop();
    this.#swap(0, heap.length - 1);
    const top = heap.pop();
    for (let index = 0; ; ) {
      let first = index;
      for (const child of [2 * index + 1, 2 * index + 2]) {
        if (child < heap.length && this.#isBefore(child, first)) first = child;
      }
      if (first === index) return top;
      this.#swap(index, first);
      index = first;
    }
  }

  #isBefore(i: number, j: number): boolean {
    const a = this.#heap[i]!;
    const b = this.#heap[j]!;
    if (a.count !== b.count) return a.count > b.count;
    return a.pair.left !== b.pair.left ? a.pair.left < b.pair.left : a.pair.right < b.pair.right;
  }

  #swap(i: number, j: number): void {
    const heap = this.#heap;
    [heap[i], heap[j]] = [heap[j]!, heap[i]!];
  }
}

function tokenizerJson(
  tokens: readonly string[],
  specialTokens: readonly string[],
  merges: readonly string[],
  splitting: Splitting,
): TokenizerJson {
  // As in DeepSeek's files, only these three vanish when a library decodes without special tokens: the others carry
  // meaning that whoever reads the text needs.
  const vanishing = new Set([beginOfSentence, endOfSentence, padding]);
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: vanishing.has(content),
    })),
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        ...splits(splitting),
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false, use_regex: true },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
}
