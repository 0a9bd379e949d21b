import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDevice } from '@hadal/kernels/device';
import { normals } from '@hadal/kernels/parity';
import { Arena } from '@hadal/tensor/arena';
import { Graph } from '@hadal/tensor/graph';
import { Tensor } from '@hadal/tensor/tensor';
import { deepseekV3Weights, forward, forwardPredictor, parseDeepseekV3Config, ropeTables } from './deepseek-v3.ts';
import { PackedDocuments } from './layers/attention-memory.ts';
import { expandedMla } from './layers/mla.ts';
import { ParameterSet } from './parameter-set.ts';
import { collectSpecs } from './weight-source.ts';

const json = {
  architectures: ['DeepseekV3ForCausalLM'],
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
    using device = openDevice({ threads: 2 });
    using arena = new Arena(device.memory, 2 ** 20);
    using tablesArena = new Arena(device.memory, 2 ** 16);
    const config = parseDeepseekV3Config({ ...json, ...change });
    const describe = (source: Parameters<typeof deepseekV3Weights>[1]) => deepseekV3Weights(config, source);
    using parameters = new ParameterSet(device, collectSpecs(describe));
    for (const [i, { spec, value }] of parameters.parameters.entries()) {
      const scale = spec.kind === 'norm' ? 0.1 : 0.3;
      const center = spec.kind === 'norm' ? 1 : 0;
      device.memory.write(
        value,
        normals(value.length, i + 1).map((x) => center + scale * x),
      );
    }
    const weights = describe(parameters);
    const { cos, sin } = ropeTables(config, 256);
    const tables = { cos: tablesArena.floats(cos), sin: tablesArena.floats(sin), style: config.ropeStyle };
    const model = { config, weights, tables, mla: expandedMla };
    const lengths = [5, 1, 70, 3];
    const ids = Int32Array.from({ length: 79 }, (_, i) => (i * 17 + 3) % 50);
    const targets = ids.map((id, i) => (i % 3 === 0 ? -1 : (id * 7 + 1) % 50));
    const weight = Float32Array.from(targets, (target) => (target === -1 ? 0 : 1 / 50));

    /** Sum of the two weighted losses; with gradients when training. */
    const loss = (mode: 'training' | 'inference') => {
      arena.reset();
      const g = new Graph(device, arena, mode);
      const documents = new PackedDocuments(arena, lengths);
      const tokens = arena.integers(ids);
      const hidden = forward(g, model, tokens, documents.positions, documents);
      const { predictor } = weights;
      if (!predictor || !(weights.head instanceof Tensor) || !(predictor.head instanceof Tensor))
        throw new Error('plain');
      const next = arena.integers(ids.map((_, i) => ids[i + 1] ?? 0));
      const ahead = forwardPredictor(g, model, hidden, next, documents.positions, documents);
      const w = arena.floats(weight);
      const both = [
        g.linearCrossEntropy(hidden, weights.head, arena.integers(targets), w),
        g.linearCrossEntropy(ahead, predictor.head, arena.integers(targets), w),
      ];
      if (mode === 'training') g.backward();
      g.run();
      return both.reduce((sum, nll) => {
        const values = new Float32Array(nll.length);
        device.memory.read(nll, values);
        return sum + values.reduce((s, value, i) => s + value * (weight[i] as number), 0);
      }, 0);
    };

    new Graph(device, arena, 'inference').fill(parameters.gradients, 0);
    loss('training');
    for (const { spec, value } of parameters.parameters) {
      if (!value.grad) continue;
      const gradient = new Float32Array(value.length);
      device.memory.read(value.grad, gradient);
      const original = new Float32Array(value.length);
      device.memory.read(value, original);
      // Along the gradient itself the derivative is its norm: the strongest signal against float32's rounding.
      const norm = Math.hypot(...gradient);
      const at = (t: number) => {
        device.memory.write(
          value,
          original.map((x, i) => x + (t * (gradient[i] as number)) / norm),
        );
        return loss('inference');
      };
      const eps = 0.004 * Math.min(1, Math.hypot(...original) / 4);
      const difference = (at(eps) - at(-eps)) / (2 * eps);
      device.memory.write(value, original);
      const name = spec.parts[0]?.name;
      assert.ok(norm > 0, `${name}: no gradient`);
      assert.ok(
        Math.abs(difference - norm) < 0.03 * norm + 2e-4,
        `${name}: |gradient| ${norm}, difference ${difference}`,
      );
    }
  });
}

test('configurations that cannot be are refused with the key', () => {
  const message = (change: object) => {
    try {
      parseDeepseekV3Config({ ...json, ...change });
    } catch (error) {
      return (error as Error).message;
    }
    return '';
  };
  assert.match(message({ hidden_size: undefined }), /^config.json: hidden_size: /);
  assert.match(
    message({ n_group: 4, num_experts_per_tok: 1 }),
    /^config.json: n_group: expected a divisor of 6 experts, got 4/,
  );
  const limited = { n_group: 2, topk_group: 1, num_experts_per_tok: 4 };
  assert.match(message(limited), /^config.json: num_experts_per_tok: expected at most 3, got 4/);
  assert.match(message({ scoring_func: 'softmax' }), /^config.json: scoring_func: /);
  assert.match(message({ rope_scaling: { type: 'su' } }), /^config.json: rope_scaling.type: expected .* got "su"/);
  assert.match(message({ rope_scaling: { type: 'yarn' } }), /^config.json: rope_scaling.factor: expected /);
});

test('both styles of rotary parameters say the same', () => {
  const scaling = { factor: 40, original_max_position_embeddings: 4096, mscale: 1, mscale_all_dim: 1 };
  const released = parseDeepseekV3Config({ ...json, rope_theta: 5000, rope_scaling: { type: 'yarn', ...scaling } });
  const transformers = parseDeepseekV3Config({
    ...json,
    rope_theta: undefined,
    rope_parameters: { rope_type: 'yarn', rope_theta: 5000, ...scaling },
  });
  assert.deepEqual(released, transformers);
  assert.ok(Math.abs(released.rope.softmaxScale - 1.3688879454 ** 2) < 1e-6);
});
