// hadal-nano: the model that Hadal ships.
//
// A DeepSeek-V3 of 7.0 million parameters, made from this repository's own tasks on two CPU cores. Repeat it with
// `npx hadal train recipes/hadal-nano.ts`; the model card in models/hadal-nano says what came of it.

import { steepIterations } from '@hadal/tensor/optimizer';
import type { Mixture } from '@hadal/training/documents';
import type { Recipe, Stage } from '@hadal/training/recipe';

/**
 * Shares of documents while copying is learned: whatever stands in the prompt, to be said again. Answers of a
 * conversation's earlier turns stand there without their reasoning, so conversations wait for the second stage.
 */
const copying: Mixture = {
  'repeat-text': 50,
  'compare-decimals': 4,
  'count-letters': 6,
  'add-and-subtract': 6,
  multiply: 3,
  countdown: 3,
  'word-problems': 6,
  'extract-json': 10,
  'use-tools': 6,
  introduce: 4,
  'fill-middle': 2,
};

/** Shares of documents afterwards. Tool use has the longest by far: a sixteenth of the documents is a quarter of the tokens. */
const solving: Mixture = {
  'repeat-text': 14,
  'compare-decimals': 11,
  'count-letters': 18,
  'add-and-subtract': 10,
  multiply: 5,
  countdown: 7,
  'word-problems': 14,
  'extract-json': 16,
  'use-tools': 7,
  introduce: 5,
  'fill-middle': 2,
  conversation: 3,
};

/** Shares while the rate falls: more of what is learned last, spelling and the choice of values from JSON and tools. */
const finishing: Mixture = {
  'repeat-text': 10,
  'compare-decimals': 9,
  'count-letters': 24,
  'add-and-subtract': 8,
  multiply: 4,
  countdown: 7,
  'word-problems': 14,
  'extract-json': 18,
  'use-tools': 9,
  introduce: 4,
  'fill-middle': 1,
  conversation: 3,
};

/** Shares of the second round: most of what the first left unsure, tools above all, and enough of the rest to keep it. */
const mending: Mixture = {
  'repeat-text': 8,
  'compare-decimals': 11,
  'count-letters': 9,
  'add-and-subtract': 5,
  multiply: 2,
  countdown: 12,
  'word-problems': 11,
  'extract-json': 22,
  'use-tools': 18,
  introduce: 6,
  'fill-middle': 1,
  conversation: 3,
};

/** Small steps and many of them: at this size 4,096 tokens a step learn more from each token than 8,192. */
const common = {
  learningRates: { adamw: 0.005, muon: 0.005 },
  rows: 2,
  rowTokens: 2048,
  balanceRate: 0.005,
} satisfies Partial<Stage>;

export const recipe: Recipe = {
  name: 'hadal-nano',
  seed: 'hadal-nano-3',
  config: {
    architectures: ['DeepseekV3ForCausalLM'],
    model_type: 'deepseek_v3',
    attention_bias: false,
    attention_dropout: 0,
    bos_token_id: 0,
    eos_token_id: 1,
    pad_token_id: 2,
    first_k_dense_replace: 1,
    head_dim: 32,
    hidden_act: 'silu',
    hidden_size: 256,
    initializer_range: 0.02,
    intermediate_size: 512,
    kv_lora_rank: 128,
    max_position_embeddings: 2048,
    moe_intermediate_size: 128,
    n_group: 1,
    n_routed_experts: 8,
    n_shared_experts: 1,
    norm_topk_prob: true,
    num_attention_heads: 4,
    num_experts_per_tok: 2,
    num_hidden_layers: 5,
    num_key_value_heads: 4,
    num_nextn_predict_layers: 1,
    q_lora_rank: null,
    qk_head_dim: 64,
    qk_nope_head_dim: 48,
    qk_rope_head_dim: 32,
    rms_norm_eps: 1e-6,
    rope_interleave: true,
    rope_theta: 500,
    routed_scaling_factor: 1,
    scoring_func: 'sigmoid',
    tie_word_embeddings: true,
    topk_group: 1,
    topk_method: 'noaux_tc',
    torch_dtype: 'bfloat16',
    v_head_dim: 64,
    vocab_size: 2048,
  },
  generation: { bos_token_id: 0, eos_token_id: 1, pad_token_id: 2, do_sample: false },
  tokenizer: { documents: 20_000, mixture: solving, splitting: 'words' },
  optimizer: {
    adamw: { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 },
    muon: { momentum: 0.95, weightDecay: 0.1, updateRms: 0.2, iterations: steepIterations },
  },
  clipNorm: 1,
  stages: [
    // Every token, prompts too: the language of the tasks, and copying.
    {
      ...common,
      method: 'pretrain',
      schedule: { steps: 300, warmupSteps: 50, decayShare: 0 },
      predictorWeight: 0,
      mixture: copying,
    },
    // The assistant's tokens, at full rate.
    {
      ...common,
      method: 'sft',
      schedule: { steps: 2700, warmupSteps: 0, decayShare: 0 },
      predictorWeight: 0,
      mixture: solving,
    },
    // The same while the rate falls to zero; the predictor learns beside a model that is nearly done.
    {
      ...common,
      method: 'sft',
      schedule: { steps: 2600, warmupSteps: 0, decayShare: 1 },
      predictorWeight: 0.3,
      mixture: finishing,
    },
    // Up once more and down again (Loshchilov & Hutter 2017): what the falling rate had settled is settled better.
    {
      ...common,
      method: 'sft',
      learningRates: { adamw: 0.003, muon: 0.003 },
      schedule: { steps: 2000, warmupSteps: 50, decayShare: 1 },
      predictorWeight: 0.3,
      mixture: mending,
    },
  ],
};
