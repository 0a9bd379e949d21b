import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { trainBpe } from '../bpe-trainer.ts';
import { tokenBytes } from '../byte-level.ts';
import { specialTokens } from '../special-tokens.ts';
import { makeTokenizer } from '../tokenizer.ts';
import { makeLibraryTokenizer } from '../tokenizer-library.ts';
import { GgufMetadata } from './metadata.ts';
import { tokenizerConfigOf, tokenizerJsonOf } from './tokenizer.ts';

const texts = [
  '9.11 and 9.8, which is greater? The greater is 9.8.',
  '今天天气怎么样？今天晴。',
  "It's 1234½, isn't it?",
];
const json = trainBpe({ texts, vocabularySize: 340 });
const original = makeTokenizer(json, 'trained');
const tokens = Object.entries(json.model.vocab)
  .sort(([, a], [, b]) => a - b)
  .map(([token]) => token);
const metadata = (more: Record<string, unknown> = {}) =>
  new GgufMetadata('model.gguf', {
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': 'deepseek-v3',
    'tokenizer.ggml.tokens': tokens,
    'tokenizer.ggml.token_type': tokens.map((_, id) => (id >= specialTokens.length ? 1 : id < 3 ? 3 : 4)),
    'tokenizer.ggml.merges': json.model.merges,
    'tokenizer.ggml.bos_token_id': 0,
    'tokenizer.ggml.eos_token_id': 1,
    ...more,
  });

test('the tokenizer of the metadata is the one that it was made from', () => {
  const tokenizer = makeTokenizer(tokenizerJsonOf(metadata()), 'model.gguf');
  assert.equal(tokenizer.vocabularySize, original.vocabularySize);
  const anyText = fc.array(fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom(...texts, ...specialTokens)));
  fc.assert(
    fc.property(anyText, (parts) => {
      const text = parts.join('');
      assert.deepEqual(tokenizer.encode(text), original.encode(text));
      assert.equal(tokenizer.decode(tokenizer.encode(text)), text);
    }),
  );
});

test('each pre-tokenizer cuts as its own tokenizer does', () => {
  // As llama.cpp's own binary cuts it: checked with a vocabulary of merges that cross every border.
  const text = "I'LL see 1234½ Ωμ\n\n今天 ok";
  const pieces = (pre: string) => {
    const library = makeLibraryTokenizer(tokenizerJsonOf(metadata({ 'tokenizer.ggml.pre': pre })));
    const spelled = library.pre_tokenizer?.pre_tokenize_text(text) ?? [];
    return spelled.map((piece) => Buffer.from(tokenBytes(piece) ?? []).toString());
  };
  assert.deepEqual(pieces('qwen2'), ['I', "'LL", ' see', ' ', '1', '2', '3', '4', '½', ' Ωμ', '\n\n', '今天', ' ok']);
  assert.deepEqual(pieces('llama-bpe'), ['I', "'LL", ' see', ' ', '123', '4½', ' Ωμ', '\n\n', '今天', ' ok']);
  assert.deepEqual(pieces('deepseek-v3'), ['I', "'LL", ' see', ' ', '123', '4½', ' Ωμ', '\n\n', '今天', ' ok']);
  const digitsAlone = ['I', "'", 'LL', ' see', ' ', '1', '2', '3', '4', '½', ' Ωμ', '\n', '\n', '今天', ' ok'];
  assert.deepEqual(pieces('deepseek-llm'), digitsAlone);
  assert.deepEqual(pieces('deepseek-coder'), digitsAlone);
});

test('what is special stays special: the begin and end tokens, and the text around a prompt', () => {
  const { added_tokens } = tokenizerJsonOf(metadata()) as { added_tokens: { content: string; special: boolean }[] };
  assert.deepEqual(
    added_tokens.filter(({ special }) => special).map(({ content }) => content),
    specialTokens.slice(0, 3),
  );
  assert.equal(added_tokens.length, specialTokens.length);
  assert.deepEqual(tokenizerConfigOf(metadata()), {
    bos_token: specialTokens[0],
    eos_token: specialTokens[1],
    add_bos_token: false,
  });
  const templates = { 'tokenizer.chat_template': 'a', 'tokenizer.chat_template.tool_use': 'b' };
  assert.deepEqual(tokenizerConfigOf(metadata({ ...templates, 'tokenizer.ggml.add_bos_token': true })), {
    bos_token: specialTokens[0],
    eos_token: specialTokens[1],
    add_bos_token: true,
    chat_template: [
      { name: 'default', template: 'a' },
      { name: 'tool_use', template: 'b' },
    ],
  });
});

test('another kind of tokenizer, and splits that we do not know, are refused with file and key', () => {
  assert.throws(
    () => tokenizerJsonOf(metadata({ 'tokenizer.ggml.model': 'llama' })),
    /model\.gguf: tokenizer\.ggml\.model: expected gpt2 \(byte-level BPE\), found "llama"$/,
  );
  assert.throws(
    () => tokenizerJsonOf(metadata({ 'tokenizer.ggml.pre': 'default' })),
    /model\.gguf: tokenizer\.ggml\.pre: expected one of qwen2, .*deepseek-v3; found "default"$/,
  );
});
