import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countParameters } from './architecture.ts';
import { deepseekV3 } from './deepseek-v3.ts';
import { deepseekV32, parseDeepseekV32Config } from './deepseek-v32.ts';
import { collectSpecs } from './weight-source.ts';

const json = {
  model_type: 'deepseek_v32',
  first_k_dense_replace: 1,
  hidden_size: 24,
  index_head_dim: 8,
  index_n_heads: 4,
  index_topk: 16,
  intermediate_size: 40,
  kv_lora_rank: 12,
  max_position_embeddings: 256,
  moe_intermediate_size: 20,
  n_routed_experts: 6,
  num_attention_heads: 3,
  num_experts_per_tok: 2,
  num_hidden_layers: 3,
  num_nextn_predict_layers: 1,
  q_lora_rank: 20,
  qk_nope_head_dim: 10,
  qk_rope_head_dim: 6,
  rms_norm_eps: 1e-6,
  v_head_dim: 7,
  vocab_size: 50,
};

test('beside the weights and rows of V3 there are those of the indexer, in the prediction module too', () => {
  const [v32, v3] = [deepseekV32.define(json, 'x'), deepseekV3.define(json, 'x')];
  const names = (model: typeof v3) =>
    collectSpecs((source) => model.assemble(source, { form: 'absorbed', positions: 1, predictor: 'present' })).flatMap(
      ({ parts }) => parts.map(({ name }) => name),
    );
  const added = names(v32).filter((name) => !names(v3).includes(name));
  assert.equal(added.length, 4 * 5);
  assert.ok(added.every((name) => /^model\.layers\.[0-3]\.self_attn\.indexer\./.test(name)));
  const perLayer = 4 * 8 * 20 + 8 * 24 + 2 * 8 + 4 * 24;
  assert.equal(countParameters(v32).total - countParameters(v3).total, 4 * perLayer);
  for (const form of ['expanded', 'absorbed'] as const) {
    const [theirs, ours] = [v3.cacheLayout(form, 'f32'), v32.cacheLayout(form, 'f32')];
    assert.deepEqual(
      ours,
      theirs.map((stores) => ({ ...stores, indexKeys: { width: 8 } })),
    );
  }
});

test('configurations that cannot be are refused with the key', () => {
  const parse = (change: object) => () => parseDeepseekV32Config({ ...json, ...change }, 'DIR/config.json');
  assert.throws(parse({ index_topk: undefined }), /^Error: DIR\/config\.json: index_topk: /);
  assert.throws(parse({ q_lora_rank: null }), /^Error: DIR\/config\.json: q_lora_rank: /);
  assert.throws(parse({ index_head_dim: 4 }), /: index_head_dim: expected at least qk_rope_head_dim = 6, got 4$/);
  assert.throws(parse({ n_group: 4 }), /: n_group: expected a divisor of 6 experts, got 4$/);
});
