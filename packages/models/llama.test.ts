import assert from 'node:assert/strict';
import { test } from 'node:test';
import { llama, parseLlamaConfig } from './llama.ts';
import { checkGradients } from './testing/check-gradients.ts';

const json = {
  model_type: 'llama',
  hidden_size: 24,
  intermediate_size: 40,
  max_position_embeddings: 256,
  num_attention_heads: 3,
  num_hidden_layers: 2,
  rms_norm_eps: 1e-6,
  vocab_size: 50,
};

const llama3 = {
  rope_type: 'llama3',
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 16,
};

const variants = {
  'without biases': {},
  'with all biases, grouped heads and a head width of its own': {
    attention_bias: true,
    mlp_bias: true,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 10,
  },
  "with Llama 3's rotation and tied embeddings": { rope_scaling: llama3, tie_word_embeddings: true },
};

for (const [name, change] of Object.entries(variants)) {
  test(`gradients agree with differences, for every weight and bias: ${name}`, () => {
    checkGradients(llama.define({ ...json, ...change }, 'config.json'));
  });
}

test('both styles of rotary parameters say the same, and null is as good as absent', () => {
  const parse = (change: object) => parseLlamaConfig({ ...json, ...change }, 'config.json');
  assert.deepEqual(
    parse({ rope_theta: 500000, rope_scaling: llama3 }),
    parse({ rope_parameters: { rope_theta: 500000, ...llama3 } }),
  );
  assert.deepEqual(parse({ num_key_value_heads: null, head_dim: null, rope_scaling: null }), parse({}));
});

test('configurations that cannot be are refused with the key', () => {
  const parse = (change: object) => () => parseLlamaConfig({ ...json, ...change }, 'DIR/config.json');
  assert.throws(parse({ hidden_act: 'gelu' }), /^Error: DIR\/config\.json: hidden_act: /);
  assert.throws(
    parse({ rope_scaling: { type: 'dynamic', factor: 2 } }),
    /rope_scaling\.type: expected .* got "dynamic"/,
  );
});
