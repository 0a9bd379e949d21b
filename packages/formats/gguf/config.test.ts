import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type GgufValue, writeGguf } from '../testing/write-gguf.ts';
import { configOf } from './config.ts';
import { openGguf } from './gguf-file.ts';

const directory = mkdtempSync(join(tmpdir(), 'hadal-gguf-'));
after(() => rmSync(directory, { recursive: true }));
const path = join(directory, 'model.gguf');

/** The configuration of a file with these keys of `architecture` and F32 tensors of zeros. */
async function config(
  architecture: string,
  keys: Record<string, GgufValue>,
  tensors: Record<string, Float32Array> = {},
) {
  const common = {
    ...{ embedding_length: 64, feed_forward_length: 96, block_count: 3, context_length: 4096 },
    ...{ 'attention.head_count': 4, 'attention.layer_norm_rms_epsilon': 1e-6, 'rope.freq_base': 10_000 },
  };
  const named = Object.entries({ ...common, ...keys }).map(([key, value]) => [`${architecture}.${key}`, value]);
  writeGguf(path, {
    metadata: { 'general.architecture': architecture, ...Object.fromEntries(named), 'tokenizer.ggml.eos_token_id': 7 },
    tensors: Object.entries({ 'token_embd.weight': new Float32Array(64), ...tensors }).map(([name, values]) => ({
      ...{ name, type: 0, data: new Uint8Array(values.buffer) },
      shape: name === 'token_embd.weight' ? [2, 32] : [values.length],
    })),
  });
  return configOf(await openGguf(path));
}

const latent = {
  ...{ 'attention.kv_lora_rank': 24, 'attention.key_length': 24, 'attention.value_length': 16, expert_used_count: 2 },
  ...{ 'rope.dimension_count': 8, expert_feed_forward_length: 32, expert_count: 8 },
};

test('a dense model is described in the keys that its architecture reads', async () => {
  assert.deepEqual(await config('qwen2', { 'attention.head_count_kv': 2 }), {
    model_type: 'qwen2',
    architectures: ['Qwen2ForCausalLM'],
    vocab_size: 2,
    hidden_size: 64,
    intermediate_size: 96,
    num_hidden_layers: 3,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 16,
    rms_norm_eps: 1e-6,
    rope_theta: 10_000,
    max_position_embeddings: 4096,
    tie_word_embeddings: true,
    eos_token_id: 7,
  });
});

test("Llama 3's scaling is found back from its divisors, and other divisors are refused", async () => {
  // R1-Distill-Llama-8B: 64 frequencies, theta 500000, factor 8, 1, 4, original context 8192; arXiv 2407.21783.
  const divisorsOf = (factor: number, original: number) =>
    Float32Array.from({ length: 64 }, (_, i) => {
      const wavelength = 2 * Math.PI * 500_000 ** (i / 64);
      const smooth = Math.min(1, Math.max(0, (original / wavelength - 1) / 3));
      return 1 / ((1 - smooth) / factor + smooth);
    });
  const keys = { 'attention.key_length': 128, 'rope.freq_base': 500_000 };
  for (const [factor, original] of [
    [8, 8192],
    [32, 8192],
    [8, 1000],
  ] as const) {
    const { rope_scaling } = await config('llama', keys, { 'rope_freqs.weight': divisorsOf(factor, original) });
    assert.deepEqual(rope_scaling, {
      ...{ rope_type: 'llama3', factor, low_freq_factor: 1, high_freq_factor: 4 },
      original_max_position_embeddings: original,
    });
  }
  const wrong = divisorsOf(8, 8192).with(40, 5);
  await assert.rejects(
    config('llama', keys, { 'rope_freqs.weight': wrong }),
    /model\.gguf: rope_freqs\.weight: element \d+: expected [\d.]+ of Llama 3's scaling by 8, found/,
  );
});

test('linear and YaRN scaling are read, with the mscale of DeepSeek', async () => {
  const linear = { 'rope.scaling.type': 'linear', 'rope.scaling.factor': 4 };
  assert.deepEqual((await config('llama', linear)).rope_scaling, { type: 'linear', factor: 4 });
  const yarn = {
    ...{ 'rope.scaling.type': 'yarn', 'rope.scaling.factor': 40, 'rope.scaling.original_context_length': 4096 },
    'rope.scaling.yarn_log_multiplier': 0.075,
  };
  assert.deepEqual((await config('deepseek2', { ...latent, ...yarn })).rope_scaling, {
    ...{ type: 'yarn', factor: 40, original_max_position_embeddings: 4096, beta_fast: 32, beta_slow: 1 },
    ...{ mscale: 0.75, mscale_all_dim: 0.75 },
  });
});

test('deepseek2 is V2 or V3, as its router scores, in files old and new', async () => {
  const lite = await config('deepseek2', latent);
  assert.deepEqual(
    [lite.model_type, lite.topk_method, lite.q_lora_rank, lite.qk_nope_head_dim, lite.v_head_dim],
    ['deepseek_v2', 'greedy', null, 16, 16],
  );
  const absorbed = { 'attention.key_length': 32, 'attention.value_length': 24, 'attention.head_count_kv': 1 };
  const names = { 'attention.key_length_mla': 24, 'attention.value_length_mla': 16 };
  assert.deepEqual(await config('deepseek2', { ...latent, ...absorbed, ...names }), lite);
  for (const [keys, tensors] of [
    [{ expert_gating_func: 2 }, {}],
    [{}, { 'blk.0.exp_probs_b.bias': new Float32Array(8) }],
  ] as const) {
    const v3 = await config('deepseek2', { ...latent, ...keys }, tensors);
    assert.deepEqual(
      [v3.model_type, v3.topk_method, v3.scoring_func, v3.norm_topk_prob],
      ['deepseek_v3', 'noaux_tc', 'sigmoid', true],
    );
  }
});

test('the groups of released models are known where the file does not say', async () => {
  const groups = async (keys: Record<string, GgufValue>) => {
    const { n_group, topk_group, topk_method } = await config('deepseek2', { ...latent, ...keys });
    return [n_group, topk_group, topk_method];
  };
  assert.deepEqual(await groups({ expert_count: 160 }), [8, 3, 'group_limited_greedy']);
  assert.deepEqual(await groups({ expert_count: 256, expert_gating_func: 2 }), [8, 4, 'noaux_tc']);
  assert.deepEqual(await groups({ expert_group_count: 4, expert_group_used_count: 2 }), [4, 2, 'group_limited_greedy']);
});

test('an architecture that we do not run, and a missing key, are refused with file and key', async () => {
  await assert.rejects(
    config('gemma3', {}),
    /model\.gguf: general\.architecture: expected one of qwen2, llama, deepseek2; found "gemma3"$/,
  );
  await assert.rejects(
    config('deepseek2', {}),
    /model\.gguf: deepseek2\.rope\.dimension_count: expected a number, found nothing$/,
  );
  await assert.rejects(
    config('deepseek2', { ...latent, expert_gating_func: 3 }),
    /expert_gating_func: expected 1 .*found 3$/,
  );
});
