import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countParameters } from './architecture.ts';
import { parseQwen2Config, qwen2 } from './qwen2.ts';
import { checkGradients } from './testing/check-gradients.ts';
import { collectSpecs } from './weight-source.ts';

const json = {
  model_type: 'qwen2',
  hidden_size: 24,
  intermediate_size: 40,
  max_position_embeddings: 256,
  num_attention_heads: 6,
  num_hidden_layers: 2,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-6,
  sliding_window: 16,
  use_sliding_window: false,
  vocab_size: 50,
};

const variants = {
  'with grouped heads': {},
  'with one key head': { num_key_value_heads: 1 },
  'with a key head for each query head, tied embeddings': { num_key_value_heads: 6, tie_word_embeddings: true },
  'with a head width of its own and YaRN': {
    head_dim: 10,
    rope_scaling: { type: 'yarn', factor: 4, original_max_position_embeddings: 64 },
  },
};

for (const [name, change] of Object.entries(variants)) {
  test(`gradients agree with differences, for every weight and bias: ${name}`, () => {
    checkGradients(qwen2.define({ ...json, ...change }, 'config.json'));
  });
}

test('configurations that cannot be, or that ask for sliding windows, are refused with the key', () => {
  const message = (change: object) => {
    try {
      parseQwen2Config({ ...json, ...change }, 'DIR/config.json');
    } catch (error) {
      return (error as Error).message;
    }
    return '';
  };
  assert.equal(message({}), '');
  assert.match(message({ hidden_size: undefined }), /^DIR\/config\.json: hidden_size: /);
  assert.match(message({ use_sliding_window: true }), /^DIR\/config\.json: use_sliding_window: .*false/);
  assert.match(
    message({ layer_types: ['full_attention', 'sliding_attention'] }),
    /^DIR\/config\.json: layer_types\.1: /,
  );
  assert.match(message({ num_key_value_heads: 4 }), /: num_key_value_heads: expected a divisor of 6 heads, got 4$/);
  assert.match(message({ head_dim: 7 }), /: head_dim: expected an even number, got 7$/);
  assert.match(
    message({ num_attention_heads: 5, num_key_value_heads: 5 }),
    /: hidden_size \/ num_attention_heads: .* 4\.8$/,
  );
});

test('the released 1.5B distill has its 339 tensors and its 1,777,088,000 parameters', () => {
  const distill = qwen2.define(
    {
      ...json,
      hidden_size: 1536,
      intermediate_size: 8960,
      max_position_embeddings: 131072,
      num_attention_heads: 12,
      num_hidden_layers: 28,
      num_key_value_heads: 2,
      vocab_size: 151936,
    },
    'config.json',
  );
  const options = { form: 'standard', positions: 1, predictor: 'absent' } as const;
  const parts = collectSpecs((source) => distill.assemble(source, options)).flatMap((spec) => spec.parts);
  assert.equal(new Set(parts.map(({ name }) => name)).size, 339);
  assert.equal(countParameters(distill).total, 1_777_088_000);
});
