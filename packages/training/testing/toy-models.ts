// Models small enough to be trained within a test.

import type { Tokenizer } from '@hadal/formats/tokenizer';
import { defineModel } from '@hadal/models/architectures';
import { type OptimizerSettings, steepIterations } from '@hadal/tensor/optimizer';

export const toyVocabulary = 64;

/** A DeepSeek-V3 with a dense layer, a mixture and a prediction module. */
export const toyMixtureConfig = {
  model_type: 'deepseek_v3',
  first_k_dense_replace: 1,
  hidden_size: 32,
  intermediate_size: 48,
  kv_lora_rank: 16,
  max_position_embeddings: 128,
  moe_intermediate_size: 16,
  n_routed_experts: 4,
  n_shared_experts: 1,
  num_attention_heads: 2,
  num_experts_per_tok: 2,
  num_hidden_layers: 2,
  num_nextn_predict_layers: 1,
  qk_nope_head_dim: 8,
  qk_rope_head_dim: 8,
  rms_norm_eps: 1e-6,
  v_head_dim: 16,
  vocab_size: toyVocabulary,
};

export const toyMixture = defineModel(toyMixtureConfig, 'config.json');

/** Query, key and value projections of different heights in one weight, and biases. */
export const toyQwen2 = defineModel(
  {
    model_type: 'qwen2',
    hidden_size: 32,
    intermediate_size: 48,
    max_position_embeddings: 128,
    num_attention_heads: 4,
    num_hidden_layers: 2,
    num_key_value_heads: 1,
    rms_norm_eps: 1e-6,
    vocab_size: toyVocabulary,
  },
  'config.json',
);

export const toyOptimizer: OptimizerSettings = {
  adamw: { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 },
  muon: { momentum: 0.95, weightDecay: 0.1, updateRms: 0.2, iterations: steepIterations },
};

/** Token i is the character with code point i. */
export const characterTokenizer: Tokenizer = {
  vocabularySize: toyVocabulary,
  encode: (text) => [...text].map((character) => character.codePointAt(0) as number),
  decode: (ids) => String.fromCodePoint(...ids),
  addedIds: new Set(),
  tokenId: (token) => token.codePointAt(0),
  bytes: (id) => Uint8Array.of(id),
  decoder: () => ({ push: (id) => String.fromCodePoint(id), end: () => '' }),
};
