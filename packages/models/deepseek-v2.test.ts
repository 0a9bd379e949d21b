import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deepseekV2, parseDeepseekV2Config } from './deepseek-v2.ts';
import { checkGradients } from './testing/check-gradients.ts';

const json = {
  model_type: 'deepseek_v2',
  first_k_dense_replace: 1,
  hidden_size: 24,
  intermediate_size: 40,
  kv_lora_rank: 12,
  max_position_embeddings: 256,
  moe_intermediate_size: 20,
  n_group: null,
  n_routed_experts: 6,
  n_shared_experts: 2,
  norm_topk_prob: false,
  num_attention_heads: 3,
  num_experts_per_tok: 6,
  num_hidden_layers: 2,
  q_lora_rank: null,
  qk_nope_head_dim: 10,
  qk_rope_head_dim: 6,
  rms_norm_eps: 1e-6,
  routed_scaling_factor: 4,
  topk_group: null,
  topk_method: 'greedy',
  v_head_dim: 7,
  vocab_size: 50,
};

const groups = { topk_method: 'group_limited_greedy', n_group: 3, topk_group: 3 };
const yarn = { type: 'yarn', factor: 4, original_max_position_embeddings: 64, mscale: 0.7, mscale_all_dim: 0.7 };

const variants = {
  'as V2-Lite': {},
  'as V2: groups, a query bottleneck, YaRN': { ...groups, q_lora_rank: 20, rope_scaling: yarn },
  'without shared experts, with tied embeddings': { n_shared_experts: 0, tie_word_embeddings: true },
};

// Every expert takes every token, as in deepseek-v3.test.ts.
for (const [name, change] of Object.entries(variants)) {
  test(`gradients agree with differences, for every weight: ${name}`, () => {
    checkGradients(deepseekV2.define({ ...json, ...change }, 'config.json'));
  });
}

test('groups limit the choice only where topk_method says so', () => {
  const routing = (change: object) => parseDeepseekV2Config({ ...json, ...change }, 'config.json').mixture.routing;
  assert.deepEqual(
    [routing({ n_group: 3, topk_group: 2 }).groups, routing({ n_group: 3, topk_group: 2 }).topkGroups],
    [1, 1],
  );
  const limited = routing({ ...groups, topk_group: 2, num_experts_per_tok: 3 });
  assert.deepEqual([limited.groups, limited.topkGroups, limited.scale], [3, 2, 4]);
});

test('configurations that cannot be are refused with the key', () => {
  const parse = (change: object) => () => parseDeepseekV2Config({ ...json, ...change }, 'DIR/config.json');
  assert.throws(parse({ topk_method: 'noaux_tc' }), /^Error: DIR\/config\.json: topk_method: /);
  assert.throws(parse({ scoring_func: 'sigmoid' }), /^Error: DIR\/config\.json: scoring_func: /);
  assert.throws(parse({ norm_topk_prob: true }), /^Error: DIR\/config\.json: norm_topk_prob: /);
  assert.throws(parse({ ...groups, topk_group: 1 }), /: num_experts_per_tok: expected at most 2, got 6$/);
  assert.throws(parse({ ...groups, n_group: 4 }), /: n_group: expected a divisor of 6 experts, got 4$/);
});
