// Checkpoints as publishers lay them out, through the whole program: a chat template, advice for sampling, a GGUF file.
// The models are tiny and random; what they are asked, and how they are understood, is what a released one would be.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { TokenizerJson } from '@hadal/formats/bpe-trainer';
import { openSafetensors } from '@hadal/formats/safetensors';
import { beginOfSentence, endOfSentence, specialTokens } from '@hadal/formats/special-tokens';
import { r1Template } from '@hadal/formats/testing/chat-templates';
import { type GgufSource, writeGguf } from '@hadal/formats/testing/write-gguf';
import { openTokenizer } from '@hadal/formats/tokenizer';
import OpenAI from 'openai';
import { hadal, startHadal } from './hadal.ts';
import { tinyQwen2Config, writeTinyCheckpoint } from './tiny-checkpoint.ts';

const directory = mkdtempSync(join(tmpdir(), 'hadal-'));
after(() => rmSync(directory, { recursive: true }));
const distill = join(directory, 'Tiny-R1-Distill');
writeTinyCheckpoint(distill, {
  config: tinyQwen2Config,
  files: {
    'tokenizer_config.json': {
      // As the hub has it, and wrong: the tokenizer is byte-level.
      tokenizer_class: 'LlamaTokenizerFast',
      bos_token: { __type: 'AddedToken', content: beginOfSentence },
      eos_token: endOfSentence,
      add_bos_token: true,
      chat_template: r1Template(),
    },
    'generation_config.json': { do_sample: true, temperature: 0.6, top_p: 0.95, eos_token_id: 1 },
  },
});
const file = join(directory, 'Tiny-R1-Distill-F32.gguf');
convert(distill, file);
const tokenizer = openTokenizer(join(distill, 'tokenizer.json'));

test('serve asks a distill by its template, once with a begin token, and answers any client', async () => {
  await using server = startHadal(['serve', '--port', '0', '--threads', '1', '--model', distill]);
  const [, url] = await server.untilOutput(/^Tiny-R1-Distill \(.*\) is ready at (http:\S+)\n/);
  const { chat } = new OpenAI({ baseURL: url as string, apiKey: 'any', maxRetries: 0 });
  const question = { model: 'Tiny-R1-Distill', messages: [{ role: 'user' as const, content: 'two words?' }] };
  const tokensOf = (text: string) => tokenizer.encode(text).length;
  const prompt = `${beginOfSentence}<｜User｜>two words?<｜Assistant｜><think>\n`;

  const thought = await chat.completions.create({ ...question, max_tokens: 12, seed: 1 });
  assert.equal(thought.usage?.prompt_tokens, tokensOf(prompt));
  assert.equal(thought.usage?.completion_tokens, 12);
  // Twelve random tokens do not close the thought.
  const message = thought.choices[0]?.message as { content?: string; reasoning_content?: string } | undefined;
  assert.equal(message?.content, '');
  assert.ok((message?.reasoning_content ?? '').length > 0);
  assert.equal(thought.usage?.completion_tokens_details?.reasoning_tokens, 12);

  const calm = { thinking: { type: 'disabled' } } as object;
  const answered = await chat.completions.create({ ...question, ...calm, max_tokens: 12, seed: 1 });
  assert.equal(answered.usage?.prompt_tokens, tokensOf(`${prompt}\n</think>\n\n`));
  assert.ok((answered.choices[0]?.message.content ?? '').length > 0);

  const stream = await chat.completions.create({ ...question, max_tokens: 12, seed: 1, stream: true });
  let streamed = '';
  for await (const { choices } of stream) {
    streamed += (choices[0]?.delta as { reasoning_content?: string | null } | undefined)?.reasoning_content ?? '';
  }
  assert.equal(streamed, message?.reasoning_content);
});

test('a GGUF file of the same model is served, asked and talked with like its directory', async () => {
  const options = ['--threads', '1', '--max-tokens', '16', '--seed', '5'];
  const ask = async (model: string) => {
    const { stdout, stderr, code } = await hadal(['ask', '--model', model, ...options, '--json', 'two words?']);
    assert.deepEqual([stderr, code], ['', 0]);
    // How fast it was said is no part of what was said.
    const { model: name, time_to_first_token_ms, tokens_per_second, ...answer } = JSON.parse(stdout);
    assert.ok(time_to_first_token_ms > 0 && tokens_per_second > 0);
    return { name, answer };
  };
  const [asDirectory, asFile] = [await ask(distill), await ask(file)];
  assert.deepEqual([asDirectory.name, asFile.name], ['Tiny-R1-Distill', 'Tiny-R1-Distill-F32']);
  assert.ok(asDirectory.answer.reasoning_content.length > 0);
  // The same weights, tokens, template and advice for sampling: the same answer.
  assert.deepEqual(asFile.answer, asDirectory.answer);

  const chat = await hadal(['chat', '--model', file, ...options], { input: '/think off\ntwo words?\n' });
  assert.deepEqual([chat.stderr, chat.code], ['', 0]);
  assert.match(chat.stdout, /^It answers at once\.\n\n.+\n$/s);
});

test('a broken GGUF file is one line that says what was expected, what was found and where', async () => {
  const cases: [change: (source: Source) => Source, message: RegExp][] = [
    [
      (source) => ({ ...source, metadata: { ...source.metadata, 'general.architecture': 'gemma3' } }),
      /general\.architecture: expected one of qwen2, .* found "gemma3"/,
    ],
    [
      (source) => ({ ...source, tensors: source.tensors.filter(({ name }) => name !== 'blk.1.ffn_up.weight') }),
      /model\.layers\.1\.mlp\.up_proj\.weight: expected .*broken\.gguf/,
    ],
    [
      (source) => ({
        ...source,
        tensors: source.tensors.map((t) => (t.name === 'output.weight' ? { ...t, type: 16 } : t)),
      }),
      /broken\.gguf: output\.weight: expected one of the types F32, .* found IQ2_XXS/,
    ],
    [
      (source) => ({ ...source, metadata: { ...source.metadata, 'qwen2.embedding_length': 64 } }),
      /expected \[\d+, 64\].*broken\.gguf has \[\d+, 32\]/,
    ],
  ];
  const broken = join(directory, 'broken.gguf');
  for (const [change, message] of cases) {
    writeGguf(broken, change(convert(distill, broken)));
    const { code, stdout, stderr } = await hadal(['ask', '--threads', '1', '--model', broken, 'hi']);
    assert.match(stderr, /^hadal: [^\n]+\n$/);
    assert.match(stderr, message);
    assert.deepEqual([code, stdout], [1, '']);
  }
});

type Source = Required<GgufSource>;

/** The checkpoint of a tiny Qwen2 as a GGUF file in float32, as llama.cpp's converter names things. */
function convert(from: string, to: string): Source {
  const json = (name: string) => JSON.parse(readFileSync(join(from, name), 'utf8'));
  const config = json('config.json');
  const { model } = json('tokenizer.json') as TokenizerJson;
  const tokens = Object.entries(model.vocab)
    .sort(([, a], [, b]) => a - b)
    .map(([token]) => token);
  const weights = openSafetensors(join(from, 'model.safetensors'));
  const names: Record<string, string> = {
    ...{ embed_tokens: 'token_embd', norm: 'output_norm', lm_head: 'output', input_layernorm: 'attn_norm' },
    ...{ post_attention_layernorm: 'ffn_norm', q_proj: 'attn_q', k_proj: 'attn_k', v_proj: 'attn_v' },
    ...{ o_proj: 'attn_output', gate_proj: 'ffn_gate', up_proj: 'ffn_up', down_proj: 'ffn_down' },
  };
  const source: Source = {
    metadata: {
      'general.architecture': 'qwen2',
      'general.name': 'Tiny R1 Distill',
      'qwen2.block_count': config.num_hidden_layers,
      'qwen2.context_length': config.max_position_embeddings,
      'qwen2.embedding_length': config.hidden_size,
      'qwen2.feed_forward_length': config.intermediate_size,
      'qwen2.attention.head_count': config.num_attention_heads,
      'qwen2.attention.head_count_kv': config.num_key_value_heads,
      'qwen2.attention.layer_norm_rms_epsilon': config.rms_norm_eps,
      'qwen2.rope.freq_base': config.rope_theta,
      'tokenizer.ggml.model': 'gpt2',
      // The tokenizer splits as V3's does, but for groups of digits, of which it has none.
      'tokenizer.ggml.pre': 'deepseek-v3',
      'tokenizer.ggml.tokens': tokens,
      'tokenizer.ggml.token_type': tokens.map((_, id) => (id < 3 ? 3 : id < specialTokens.length ? 4 : 1)),
      'tokenizer.ggml.merges': model.merges,
      'tokenizer.ggml.bos_token_id': 0,
      'tokenizer.ggml.eos_token_id': 1,
      'tokenizer.ggml.add_bos_token': true,
      'tokenizer.chat_template': r1Template(),
    },
    tensors: [...weights.tensors].map(([key, { shape }]) => {
      const [, layer] = /layers\.(\d+)\./.exec(key) ?? [];
      const [module, parameter] = key.split('.').slice(-2) as [string, string];
      return {
        name: `${layer === undefined ? '' : `blk.${layer}.`}${names[module]}.${parameter}`,
        ...{ type: 0, shape, data: new Uint8Array(weights.readFloat32(key).buffer) },
      };
    }),
  };
  writeGguf(to, source);
  return source;
}
