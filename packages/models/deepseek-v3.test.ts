import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deepseekV3, parseDeepseekV3Config } from './deepseek-v3.ts';
import { checkGradients } from './testing/check-gradients.ts';

const json = {
  model_type: 'deepseek_v3',
  first_k_dense_replace: 1,
  hidden_size: 24,
  intermediate_size: 40,
  kv_lora_rank: 12,
  max_position_embeddings: 256,
  moe_intermediate_size: 20,
  n_group: 1,
  n_routed_experts: 6,
  n_shared_experts: 2,
  num_attention_heads: 3,
  num_experts_per_tok: 6,
  num_hidden_layers: 3,
  num_nextn_predict_layers: 1,
  q_lora_rank: 20,
  qk_nope_head_dim: 10,
  qk_rope_head_dim: 6,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  routed_scaling_factor: 1.5,
  topk_group: 1,
  v_head_dim: 7,
  vocab_size: 50,
};

const variants = {
  'with the query bottleneck': {},
  'without it': { q_lora_rank: null },
  'without shared experts, weights not normalized': { n_shared_experts: null, norm_topk_prob: false },
  'with YaRN and half-split rotation': {
    rope_interleave: false,
    rope_scaling: { type: 'yarn', factor: 4, original_max_position_embeddings: 64, mscale: 1, mscale_all_dim: 1 },
  },
  'with tied embeddings': { tie_word_embeddings: true },
};

// Every expert takes every token here: a choice that flips between two points has no derivative to compare with. The
// gradient through a choice is compared with the reference's in engine/verify.test.ts.
for (const [name, change] of Object.entries(variants)) {
  test(`gradients of both losses agree with differences, for every weight: ${name}`, () => {
    checkGradients(deepseekV3.define({ ...json, ...change }, 'config.json'));
  });
}

test('configurations that cannot be are refused with the key', () => {
  const message = (change: object) => {
    try {
      parseDeepseekV3Config({ ...json, ...change }, 'DIR/config.json');
    } catch (error) {
      return (error as Error).message;
    }
    return '';
  };
  assert.match(message({ hidden_size: undefined }), /^DIR\/config.json: hidden_size: /);
  assert.match(
    message({ n_group: 4, num_experts_per_tok: 1 }),
    /^DIR\/config.json: n_group: expected a divisor of 6 experts, got 4/,
  );
  const limited = { n_group: 2, topk_group: 1, num_experts_per_tok: 4 };
  assert.match(message(limited), /^DIR\/config.json: num_experts_per_tok: expected at most 3, got 4/);
  assert.match(message({ scoring_func: 'softmax' }), /^DIR\/config.json: scoring_func: /);
  assert.match(message({ rope_scaling: { type: 'su' } }), /^DIR\/config.json: rope_scaling.type: expected .* got "su"/);
  assert.match(message({ rope_scaling: { type: 'yarn' } }), /^DIR\/config.json: rope_scaling.factor: expected /);
});

test('both styles of rotary parameters say the same', () => {
  const scaling = { factor: 40, original_max_position_embeddings: 4096, mscale: 1, mscale_all_dim: 1 };
  const parse = (change: object) => parseDeepseekV3Config({ ...json, ...change }, 'config.json');
  const released = parse({ rope_theta: 5000, rope_scaling: { type: 'yarn', ...scaling } });
  const transformers = parse({
    rope_theta: undefined,
    rope_parameters: { rope_type: 'yarn', rope_theta: 5000, ...scaling },
  });
  assert.deepEqual(released, transformers);
  assert.ok(Math.abs(released.rope.softmaxScale - 1.3688879454 ** 2) < 1e-6);
});
