import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cacheDemand, entryBytesPerToken } from './cache-demand.ts';
import { findPublishedModel } from './published-models.ts';
import { type ServedModel, servedModel } from './served-model.ts';

const step = { ranks: 1, stepTokens: 8192 } as const;

test('latent attention keeps 576 values of a token in a layer, whole on every rank', () => {
  for (const ranks of [1, 8, 16]) {
    const demand = whole('V3', { engine: 'vllm', dtype: 'bf16', ranks });
    assert.deepEqual(demand, { perToken: 61 * 576 * 2, perSequence: 0 });
  }
  // R1 at 128 Ki tokens: 9.2 GB.
  assert.equal(whole('R1', { engine: 'sglang', dtype: 'bf16' }).perToken * 131_072, 9_210_691_584);
  assert.equal(whole('V3', { engine: 'vllm', dtype: 'fp8' }).perToken, 61 * 576);
});

test("V3.2 keeps FlashMLA's 656 bytes and an index key of 128 with its scale", () => {
  assert.equal(whole('V3.2', { engine: 'vllm', dtype: 'fp8' }).perToken, 61 * (656 + 132));
});

test('key heads are divided among ranks, and repeated where there are more ranks than heads', () => {
  const perToken = (ranks: number) => whole('R1-Distill-Qwen-32B', { engine: 'vllm', dtype: 'bf16', ranks }).perToken;
  assert.equal(perToken(1), 64 * 2 * 8 * 128 * 2);
  assert.deepEqual([perToken(2), perToken(8), perToken(40)], [perToken(1) / 2, perToken(1) / 8, perToken(1) / 8]);
});

test("V4-Pro's entries take the 9.62 GiB that vLLM's authors count for a million tokens in bfloat16", () => {
  const { attention, layers } = modelOf('V4-Pro');
  assert.ok(attention.kind === 'compressed');
  const perToken = entryBytesPerToken(attention, { begin: 0, end: layers }, 'bf16');
  assert.equal(((perToken * 2 ** 20) / 2 ** 30).toFixed(2), '9.62');
});

test('V4-Flash has the block of 1,002,240 bytes that vLLM reports, and its groups of windows and states', () => {
  // vLLM issue 54703: groups of 22 and 21 windowed layers, one of sparse states, one of dense ones.
  const { perToken, perSequence } = whole('V4-Flash', { engine: 'vllm', dtype: 'fp8' });
  const block = 1_002_240;
  assert.equal(perToken * 256, block);
  const inBlocks = (before: number, tokens: number) => Math.ceil((before - 1 + 8192) / tokens) + 1;
  assert.equal(perSequence / block, 2 * inBlocks(128, 64) + inBlocks(8, 4) + inBlocks(128, 8));
});

test('SGLang keeps V4 in pools: entries, a tenth as many windows, and open states for each sequence', () => {
  const { perToken, perSequence } = whole('V4-Flash', { engine: 'sglang', dtype: 'fp8' });
  const entries = 21 * ((584 + 132) / 4) + 20 * (584 / 128);
  assert.ok(Math.abs(perToken - (entries + 0.1 * 43 * 584)) < 1e-6);
  assert.equal(perSequence, 21 * 8 * 2 * (512 + 128) * 8 + 20 * 128 * 512 * 8);
});

test('a prediction module has a cache of its own: one more layer like the others, or a windowed one', () => {
  const withModule = (name: string, dtype: 'bf16' | 'fp8') => {
    const model = modelOf(name);
    return cacheDemand(model, { begin: 0, end: model.layers + 1 }, { ...step, engine: 'vllm', dtype });
  };
  assert.equal(withModule('V3', 'bf16').perToken, 62 * 576 * 2);
  assert.equal(withModule('V4-Flash', 'fp8').perToken, whole('V4-Flash', { engine: 'vllm', dtype: 'fp8' }).perToken);
});

function modelOf(name: string): ServedModel {
  const { repository, config } = findPublishedModel(name) ?? assert.fail(name);
  return servedModel(repository, config, repository);
}

function whole(
  name: string,
  options: { readonly engine: 'vllm' | 'sglang'; readonly dtype: 'bf16' | 'fp8'; readonly ranks?: number },
) {
  const model = modelOf(name);
  return cacheDemand(model, { begin: 0, end: model.layers }, { ...step, ...options });
}
