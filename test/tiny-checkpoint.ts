// A checkpoint small enough to be made in every test that needs one.
//
// Owns its sizes and its seed: two calls write the same bytes. The weights are random, so what the model says is noise;
// everything around the saying is the real thing.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { trainBpe } from '@hadal/formats/bpe-trainer';
import { writeSafetensors } from '@hadal/formats/safetensors';
import { openTokenizer } from '@hadal/formats/tokenizer';
import { openDevice } from '@hadal/kernels/device';
import { defineModel } from '@hadal/models/architectures';
import { ParameterSet } from '@hadal/models/parameter-set';
import { collectSpecs } from '@hadal/models/weight-source';
import { initialize } from '@hadal/training/initialize';

/** As small as an architecture with every part can be: MLA with a query bottleneck, a dense layer, a mixture, MTP. */
export const tinyConfig = {
  architectures: ['DeepseekV3ForCausalLM'],
  model_type: 'deepseek_v3',
  bos_token_id: 0,
  eos_token_id: 1,
  first_k_dense_replace: 1,
  hidden_size: 32,
  intermediate_size: 48,
  kv_lora_rank: 16,
  max_position_embeddings: 512,
  moe_intermediate_size: 16,
  n_group: 2,
  n_routed_experts: 4,
  n_shared_experts: 1,
  num_attention_heads: 2,
  num_experts_per_tok: 2,
  num_hidden_layers: 2,
  num_key_value_heads: 2,
  num_nextn_predict_layers: 1,
  q_lora_rank: 24,
  qk_nope_head_dim: 8,
  qk_rope_head_dim: 8,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  routed_scaling_factor: 1.5,
  topk_group: 1,
  v_head_dim: 8,
};

/** As small as an R1 distill can be. */
export const tinyQwen2Config = {
  architectures: ['Qwen2ForCausalLM'],
  model_type: 'qwen2',
  bos_token_id: 0,
  eos_token_id: 1,
  hidden_size: 32,
  intermediate_size: 64,
  max_position_embeddings: 1024,
  num_attention_heads: 4,
  num_hidden_layers: 2,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
};

export interface TinyCheckpointOptions {
  /** All of config.json but the size of the vocabulary. */
  readonly config?: object;
  /** More files of JSON, by their names. */
  readonly files?: Readonly<Record<string, object>>;
}

/** Writes `config.json`, `generation_config.json`, `tokenizer.json` and `model.safetensors` into `directory`. */
export function writeTinyCheckpoint(directory: string, options: TinyCheckpointOptions = {}): void {
  const { config = tinyConfig, files = {} } = options;
  mkdirSync(directory, { recursive: true });
  const tokenizer = trainBpe({ texts: ['two words and two more words'], vocabularySize: 400 });
  writeFileSync(join(directory, 'tokenizer.json'), JSON.stringify(tokenizer));
  const { vocabularySize } = openTokenizer(join(directory, 'tokenizer.json'));
  const json = { ...config, vocab_size: vocabularySize };
  const definition = defineModel(json, directory);
  const whole = { form: definition.forms[0], positions: 1, predictor: 'present' } as const;
  using device = openDevice({ threads: 1 });
  using parameters = new ParameterSet(
    device,
    collectSpecs((source) => definition.assemble(source, whole)),
  );
  initialize(device, parameters, 'tiny', 0.05);
  writeSafetensors(join(directory, 'model.safetensors'), parameters.tensors('BF16'), { format: 'pt' });
  writeFileSync(join(directory, 'generation_config.json'), JSON.stringify({ temperature: 0.6, top_p: 0.95 }));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), JSON.stringify(content));
  // Last, so that a directory with a configuration is a whole checkpoint.
  writeFileSync(join(directory, 'config.json'), JSON.stringify(json));
}
