// The tokenizer of a GGUF file as the `tokenizer.json` that it was made from.
//
// Owns the way from `tokenizer.ggml.*` to Hugging Face's layout, for byte-level BPE: vocabulary, merges, special tokens,
// and the pre-tokenizer that the file names. Encoding and decoding are then those of every other checkpoint.

import type { GgufMetadata } from './metadata.ts';
import { preTokenizers } from './pre-tokenizers.ts';

/** What `tokenizer.ggml.token_type` says of a token; all other values are tokens like any other. */
const tokenTypes = { control: 3, userDefined: 4 } as const;

/** The content of tokenizer.json; throws one line that names the file and the key. */
export function tokenizerJsonOf(metadata: GgufMetadata): object {
  const model = metadata.string('tokenizer.ggml.model');
  if (model !== 'gpt2') {
    throw new Error(`${metadata.path}: tokenizer.ggml.model: expected gpt2 (byte-level BPE), found "${model}"`);
  }
  const name = metadata.string('tokenizer.ggml.pre');
  const preTokenizer = Object.hasOwn(preTokenizers, name) ? preTokenizers[name] : undefined;
  if (preTokenizer === undefined) {
    const known = Object.keys(preTokenizers).join(', ');
    throw new Error(`${metadata.path}: tokenizer.ggml.pre: expected one of ${known}; found "${name}"`);
  }
  const tokens = metadata.strings('tokenizer.ggml.tokens');
  const types = metadata.numbers('tokenizer.ggml.token_type');
  const splits = preTokenizer.patterns.map((Regex) => ({
    ...{ type: 'Split', pattern: { Regex } },
    ...{ behavior: 'Isolated', invert: false },
  }));
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
  return {
    version: '1.0',
    added_tokens: tokens.flatMap((content, id) => addedToken(content, id, types[id])),
    normalizer: preTokenizer.normalizer,
    pre_tokenizer: { type: 'Sequence', pretokenizers: [...splits, byteLevel] },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: preTokenizer.ignoresMerges,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: metadata.strings('tokenizer.ggml.merges'),
    },
  };
}

/** What tokenizer_config.json would say: the tokens around a prompt, and the chat template. */
export function tokenizerConfigOf(metadata: GgufMetadata): object {
  const tokens = metadata.strings('tokenizer.ggml.tokens');
  const tokenOf = (key: string) => {
    const id = metadata.optionalNumber(`tokenizer.ggml.${key}_token_id`);
    return id === undefined ? null : (tokens[id] ?? null);
  };
  const template = metadata.optionalString('tokenizer.chat_template');
  const toolTemplate = metadata.optionalString('tokenizer.chat_template.tool_use');
  const named = [
    { name: 'default', template },
    { name: 'tool_use', template: toolTemplate },
  ].filter((one) => one.template !== undefined);
  return {
    bos_token: tokenOf('bos'),
    eos_token: tokenOf('eos'),
    add_bos_token: metadata.optionalBoolean('tokenizer.ggml.add_bos_token') ?? false,
    ...(named.length > 0 && { chat_template: named }),
  };
}

function addedToken(content: string, id: number, type: number | undefined): object[] {
  if (type !== tokenTypes.control && type !== tokenTypes.userDefined) return [];
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  return [{ id, content, ...flags, special: type === tokenTypes.control }];
}
