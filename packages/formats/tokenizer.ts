// Text to token ids and back.
//
// Owns the reading of `tokenizer.json`. Encoding is the work of @huggingface/tokenizers; decoding is done here on bytes,
// because a stream of tokens may end in the middle of a character. Knows nothing about chat. Decoding a stream, token
// after token, gives the text of the whole.

import { readFileSync } from 'node:fs';
import { tokenBytes } from './byte-level.ts';
import { type LibraryTokenizer, makeLibraryTokenizer } from './tokenizer-library.ts';

export interface Tokenizer {
  /** One more than the largest id. */
  readonly vocabularySize: number;
  /** Special tokens in the text become their ids; none are added. */
  encode(text: string): number[];
  /** Bytes that are not UTF-8 decode to U+FFFD. Special tokens decode to their text, ids without a token to nothing. */
  decode(ids: Iterable<number>): string;
  /** Ids of added tokens, special ones among them: what they mean is not in their text. */
  readonly addedIds: ReadonlySet<number>;
  /** The id of a token in the vocabulary's spelling, special tokens included. */
  tokenId(token: string): number | undefined;
  /** The UTF-8 bytes of one token: perhaps part of a character. Empty for an id without a token. */
  bytes(id: number): Uint8Array;
  decoder(): StreamDecoder;
}

/** Decodes ids one at a time. A character whose bytes are spread over tokens comes with the last of them. */
export interface StreamDecoder {
  push(id: number): string;
  /** What is left: U+FFFD when the ids ended inside a character. The decoder is then as new. */
  end(): string;
}

/** Reads a byte-level `tokenizer.json`. Throws an Error of one line when it is not one. */
export function openTokenizer(path: string): Tokenizer {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(`${path}: expected a tokenizer in JSON, ${error instanceof Error ? error.message : String(error)}`);
  }
  return makeTokenizer(json, path);
}

/** The tokenizer that parsed JSON describes; `name` is for errors. */
export function makeTokenizer(json: unknown, name: string): Tokenizer {
  const { addedTokens } = checkTokenizer(json, name);
  const library = openLibrary(json as object, name);
  const ids = library.get_vocab();
  // No spreading into Math.max: large vocabularies exceed the number of arguments that a call may have.
  const vocabularySize = ids.values().reduce((largest, id) => Math.max(largest, id), -1) + 1;
  const bytesById = new Array<Uint8Array>(vocabularySize).fill(new Uint8Array(0));
  const addedIds = new Set<number>();
  const utf8 = new TextEncoder();
  for (const [token, id] of ids) {
    if (addedTokens.has(token)) addedIds.add(id);
    // Added tokens are spelled in plain text, all others in the byte-level alphabet.
    bytesById[id] = (addedTokens.has(token) ? undefined : tokenBytes(token)) ?? utf8.encode(token);
  }

  function bytes(id: number): Uint8Array {
    // Checkpoints pad their vocabulary, so a model may produce ids that the tokenizer does not know.
    return bytesById[id] ?? new Uint8Array(0);
  }

  function decoder(): StreamDecoder {
    const text = new TextDecoder('utf-8', { ignoreBOM: true });
    return {
      push: (id) => text.decode(bytes(id), { stream: true }),
      end: () => text.decode(),
    };
  }

  return {
    vocabularySize,
    encode: (text) => library.encode(text, { add_special_tokens: false }).ids,
    decode(ids) {
      const parts = Array.from(ids, bytes);
      return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(parts));
    },
    addedIds,
    tokenId: (token) => library.token_to_id(token),
    bytes,
    decoder,
  };
}

/** What decoding on bytes relies on, checked before the library sees the file. */
function checkTokenizer(json: unknown, name: string): { addedTokens: Set<string> } {
  const { model, decoder, added_tokens: added } = (json ?? {}) as Record<string, unknown>;
  const modelType = (model as { type?: unknown } | undefined)?.type;
  if (modelType !== 'BPE') throw new Error(`${name}: expected a model of type BPE, found ${JSON.stringify(modelType)}`);
  if (!mentionsByteLevel(decoder)) {
    const found = JSON.stringify((decoder as { type?: unknown } | null | undefined)?.type);
    throw new Error(`${name}: expected a ByteLevel decoder, found ${found}`);
  }
  if (!Array.isArray(added)) throw new Error(`${name}: expected added_tokens to be a list, found ${typeof added}`);
  return { addedTokens: new Set(added.map((token: { content: string }) => token.content)) };
}

function mentionsByteLevel(decoder: unknown): boolean {
  const { type, decoders } = (decoder ?? {}) as { type?: unknown; decoders?: unknown };
  return type === 'ByteLevel' || (Array.isArray(decoders) && decoders.some(mentionsByteLevel));
}

function openLibrary(json: object, name: string): LibraryTokenizer {
  try {
    return makeLibraryTokenizer(json);
  } catch (error) {
    throw new Error(`${name}: expected a tokenizer, ${error instanceof Error ? error.message : String(error)}`);
  }
}
