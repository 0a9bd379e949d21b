// What Hadal uses of @huggingface/tokenizers, typed.
//
// Owns the one call into the library. Its own declarations import without file extensions, which Node's module resolution
// does not follow, so that everything in them comes out untyped; the interface below states what version 0.2 does.

import { Tokenizer } from '@huggingface/tokenizers';

export interface LibraryTokenizer {
  encode(text: string, options: { readonly add_special_tokens: boolean }): { readonly ids: number[] };
  token_to_id(token: string): number | undefined;
  /** Ids of all tokens, added ones included. */
  get_vocab(): Map<string, number>;
  /** Cuts text into the pieces that merges do not cross. */
  readonly pre_tokenizer: { pre_tokenize_text(text: string): string[] } | null;
}

/** The tokenizer that the content of a `tokenizer.json` describes. Throws where the library cannot make sense of it. */
export function makeLibraryTokenizer(json: object): LibraryTokenizer {
  return new Tokenizer(withUnicodeDigits(json), { clean_up_tokenization_spaces: false });
}

/** DeepSeek-V2 cuts out every digit with `Digits`, which means any number of Unicode there and only 0 to 9 in the library. */
function withUnicodeDigits(json: object): object {
  const { pre_tokenizer: stage } = json as { pre_tokenizer?: unknown };
  return { ...json, pre_tokenizer: rewritten(stage) };

  function rewritten(value: unknown): unknown {
    const { type, pretokenizers, individual_digits: isEach } = (value ?? {}) as Record<string, unknown>;
    if (Array.isArray(pretokenizers)) return { ...(value as object), pretokenizers: pretokenizers.map(rewritten) };
    if (type !== 'Digits') return value;
    return {
      type: 'Split',
      pattern: { Regex: isEach === true ? '\\p{N}' : '\\p{N}+' },
      behavior: 'Isolated',
      invert: false,
    };
  }
}
