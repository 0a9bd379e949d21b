import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { type PackedDtype, packedDtypes } from '@hadal/tensor/packed-matrix';
import { defineModel } from './architectures.ts';
import { readDefinition } from './language-model.ts';
import { packedDtypeOf, runTimeWeights } from './run-time-weights.ts';
import { recordRequests, type WeightKind, type WeightSource } from './weight-source.ts';

function requestsOf(name: string) {
  const directory = fileURLToPath(new URL(`../../test/golden/${name}`, import.meta.url));
  const definition = readDefinition(openCheckpointDirectory(directory));
  const form = definition.preferredForm;
  return recordRequests((source) => definition.assemble(source, { form, positions: 8, predictor: 'absent' })).weights;
}

test('whatever form a model is opened in, what chooses and mixes stays float32, and what pools stops at bfloat16', () => {
  const requests = requestsOf('deepseek-v4-fp4');
  for (const dtype of packedDtypes) {
    const forms = new Map<WeightKind, Set<string>>();
    for (const { spec, form } of runTimeWeights(requests, dtype)) {
      if (form.kind === 'packed') forms.set(spec.kind, (forms.get(spec.kind) ?? new Set()).add(form.dtype));
    }
    assert.deepEqual(Object.fromEntries([...forms].map(([kind, dtypes]) => [kind, [...dtypes]])), {
      ...{ matrix: [dtype], experts: [dtype], router: ['f32'], mixer: ['f32'] },
      ...{ pooling: [dtype === 'f32' ? 'f32' : 'bf16'] },
      ...{ head: [dtype === 'int4' ? 'int8' : dtype], embedding: [dtype === 'int4' ? 'int8' : dtype] },
    });
  }
});

test('weights that share memory are one, in every form, and each has a name of its own', () => {
  for (const dtype of packedDtypes) {
    const requests = requestsOf('qwen2-one-key-head-tied');
    const weights = runTimeWeights(requests, dtype);
    assert.equal(weights.length, requests.length - 1);
    assert.equal(new Set(weights.map(({ name }) => name)).size, weights.length);
    assert.equal(packedDtypeOf('embedding', dtype), packedDtypeOf('head', dtype));
  }
});

test('int8 takes at most 51 % of what bfloat16 takes, scales and all, and int4 at most 29 % of a mixture', () => {
  const bytesOf = (json: object, dtype: PackedDtype) => {
    const definition = defineModel(json, 'config.json');
    const form = definition.preferredForm;
    const describe = (source: WeightSource) => definition.assemble(source, { form, positions: 1, predictor: 'absent' });
    return runTimeWeights(recordRequests(describe).weights, dtype).reduce((sum, { bytes }) => sum + bytes, 0);
  };
  for (const json of [distill1B5, distill8B, r1]) {
    const bf16 = bytesOf(json, 'bf16');
    assert.ok(bytesOf(json, 'int8') <= 0.51 * bf16, `${json.model_type}: ${bytesOf(json, 'int8') / bf16}`);
  }
  assert.ok(bytesOf(r1, 'int4') <= 0.29 * bytesOf(r1, 'bf16'));
});

/** The sizes of DeepSeek-R1-Distill-Qwen-1.5B. */
const distill1B5 = {
  ...{ model_type: 'qwen2', vocab_size: 151936, hidden_size: 1536, intermediate_size: 8960, num_hidden_layers: 28 },
  ...{ num_attention_heads: 12, num_key_value_heads: 2, max_position_embeddings: 131072, rms_norm_eps: 1e-6 },
};

/** Of DeepSeek-R1-Distill-Llama-8B. */
const distill8B = {
  ...{ model_type: 'llama', vocab_size: 128256, hidden_size: 4096, intermediate_size: 14336, num_hidden_layers: 32 },
  ...{ num_attention_heads: 32, num_key_value_heads: 8, max_position_embeddings: 131072, rms_norm_eps: 1e-5 },
};

/** Of DeepSeek-V3 and R1. */
const r1 = {
  ...{ model_type: 'deepseek_v3', vocab_size: 129280, hidden_size: 7168, intermediate_size: 18432 },
  ...{ moe_intermediate_size: 2048, num_hidden_layers: 61, num_attention_heads: 128, num_key_value_heads: 128 },
  ...{ n_shared_experts: 1, n_routed_experts: 256, num_experts_per_tok: 8, n_group: 8, topk_group: 4 },
  ...{ first_k_dense_replace: 3, q_lora_rank: 1536, kv_lora_rank: 512, qk_nope_head_dim: 128, qk_rope_head_dim: 64 },
  ...{ v_head_dim: 128, max_position_embeddings: 163840, rms_norm_eps: 1e-6, num_nextn_predict_layers: 1 },
};
