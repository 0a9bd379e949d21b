// The models that engines are compared on: sizes of released checkpoints, filled with random weights.
//
// Owns each shape twice, as Hadal reads it (the checkpoint's own config.json) and as llama.cpp does (GGUF metadata and
// tensors, with the types that its quantizer gives a released file: norms, biases and routers in float32, and in a Q4_0
// file an output matrix in Q6_K). Knows neither engine. Both descriptions must name the same number of weights.

import { byteCharacters } from '@hadal/formats/byte-level';
import type { BlockType, GgufTensor, MetadataValue } from '../peers/llama-cpp/gguf.ts';

export type Format = 'int8' | 'int4';

export interface Shape {
  /** For people. */
  readonly name: string;
  readonly vocabularySize: number;
  /** config.json of the release, as far as it concerns arithmetic. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly gguf: (format: Format) => {
    readonly metadata: Readonly<Record<string, MetadataValue>>;
    readonly tensors: readonly GgufTensor[];
  };
}

/** DeepSeek-R1-Distill-Qwen-1.5B. */
const qwen = {
  architectures: ['Qwen2ForCausalLM'],
  model_type: 'qwen2',
  vocab_size: 151_936,
  hidden_size: 1536,
  intermediate_size: 8960,
  num_hidden_layers: 28,
  num_attention_heads: 12,
  num_key_value_heads: 2,
  max_position_embeddings: 131_072,
  rms_norm_eps: 1e-6,
  rope_theta: 10_000,
  hidden_act: 'silu',
  tie_word_embeddings: false,
  use_sliding_window: false,
} as const;

/** DeepSeek-V2-Lite, without YaRN: it changes the tables of cosines, not the work. */
const lite = {
  architectures: ['DeepseekV2ForCausalLM'],
  model_type: 'deepseek_v2',
  vocab_size: 102_400,
  hidden_size: 2048,
  intermediate_size: 10_944,
  moe_intermediate_size: 1408,
  num_hidden_layers: 27,
  first_k_dense_replace: 1,
  num_attention_heads: 16,
  num_key_value_heads: 16,
  n_routed_experts: 64,
  n_shared_experts: 2,
  num_experts_per_tok: 6,
  n_group: 1,
  topk_group: 1,
  topk_method: 'greedy',
  scoring_func: 'softmax',
  norm_topk_prob: false,
  routed_scaling_factor: 1,
  moe_layer_freq: 1,
  q_lora_rank: null,
  kv_lora_rank: 512,
  qk_nope_head_dim: 128,
  qk_rope_head_dim: 64,
  v_head_dim: 128,
  max_position_embeddings: 163_840,
  rms_norm_eps: 1e-6,
  rope_theta: 10_000,
  hidden_act: 'silu',
  attention_bias: false,
  tie_word_embeddings: false,
} as const;

export const shapes: Readonly<Record<'qwen' | 'lite', Shape>> = {
  qwen: { name: 'R1-Distill-Qwen-1.5B', vocabularySize: qwen.vocab_size, config: qwen, gguf: qwenGguf },
  lite: { name: 'DeepSeek-V2-Lite', vocabularySize: lite.vocab_size, config: lite, gguf: liteGguf },
};

function qwenGguf(format: Format): ReturnType<Shape['gguf']> {
  const { hidden_size: D, intermediate_size: F, num_attention_heads: H, num_key_value_heads: Hkv } = qwen;
  const kv = (D / H) * Hkv;
  const { matrix, vector } = tensorsOf(format);
  const block = (i: number): GgufTensor[] => [
    vector(`blk.${i}.attn_norm.weight`, D),
    matrix(`blk.${i}.attn_q.weight`, D, D),
    vector(`blk.${i}.attn_q.bias`, D, 0.02),
    matrix(`blk.${i}.attn_k.weight`, D, kv),
    vector(`blk.${i}.attn_k.bias`, kv, 0.02),
    matrix(`blk.${i}.attn_v.weight`, D, kv),
    vector(`blk.${i}.attn_v.bias`, kv, 0.02),
    matrix(`blk.${i}.attn_output.weight`, D, D),
    vector(`blk.${i}.ffn_norm.weight`, D),
    matrix(`blk.${i}.ffn_gate.weight`, D, F),
    matrix(`blk.${i}.ffn_up.weight`, D, F),
    matrix(`blk.${i}.ffn_down.weight`, F, D),
  ];
  return {
    metadata: {
      ...metadataOf('qwen2', qwen),
      'qwen2.attention.head_count_kv': integer(Hkv),
    },
    tensors: [...ends(format, qwen), ...Array.from({ length: qwen.num_hidden_layers }, (_, i) => block(i)).flat()],
  };
}

function liteGguf(format: Format): ReturnType<Shape['gguf']> {
  const { hidden_size: D, intermediate_size: F, num_attention_heads: H, kv_lora_rank: rank } = lite;
  const { qk_nope_head_dim: nope, qk_rope_head_dim: rope, v_head_dim: vDim } = lite;
  const { moe_intermediate_size: expertF, n_routed_experts: E, n_shared_experts: shared } = lite;
  const { matrix, vector } = tensorsOf(format);
  const feedForward = (i: number): GgufTensor[] =>
    i < lite.first_k_dense_replace
      ? [
          matrix(`blk.${i}.ffn_gate.weight`, D, F),
          matrix(`blk.${i}.ffn_up.weight`, D, F),
          matrix(`blk.${i}.ffn_down.weight`, F, D),
        ]
      : [
          { name: `blk.${i}.ffn_gate_inp.weight`, shape: [D, E], type: 'F32', content: { deviation: 0.02 } },
          matrix(`blk.${i}.ffn_gate_exps.weight`, D, expertF, E),
          matrix(`blk.${i}.ffn_up_exps.weight`, D, expertF, E),
          matrix(`blk.${i}.ffn_down_exps.weight`, expertF, D, E),
          matrix(`blk.${i}.ffn_gate_shexp.weight`, D, shared * expertF),
          matrix(`blk.${i}.ffn_up_shexp.weight`, D, shared * expertF),
          matrix(`blk.${i}.ffn_down_shexp.weight`, shared * expertF, D),
        ];
  const block = (i: number): GgufTensor[] => [
    vector(`blk.${i}.attn_norm.weight`, D),
    matrix(`blk.${i}.attn_q.weight`, D, H * (nope + rope)),
    matrix(`blk.${i}.attn_kv_a_mqa.weight`, D, rank + rope),
    vector(`blk.${i}.attn_kv_a_norm.weight`, rank),
    matrix(`blk.${i}.attn_k_b.weight`, nope, rank, H),
    matrix(`blk.${i}.attn_v_b.weight`, rank, vDim, H),
    matrix(`blk.${i}.attn_output.weight`, H * vDim, D),
    vector(`blk.${i}.ffn_norm.weight`, D),
    ...feedForward(i),
  ];
  return {
    metadata: {
      ...metadataOf('deepseek2', lite),
      // The absorbed form has one key head, of the latent and the rotary part.
      'deepseek2.attention.head_count_kv': integer(1),
      'deepseek2.attention.key_length': integer(rank + rope),
      'deepseek2.attention.value_length': integer(rank),
      'deepseek2.attention.key_length_mla': integer(nope + rope),
      'deepseek2.attention.value_length_mla': integer(vDim),
      'deepseek2.attention.kv_lora_rank': integer(rank),
      'deepseek2.rope.dimension_count': integer(rope),
      'deepseek2.leading_dense_block_count': integer(lite.first_k_dense_replace),
      'deepseek2.expert_count': integer(E),
      'deepseek2.expert_used_count': integer(lite.num_experts_per_tok),
      'deepseek2.expert_shared_count': integer(shared),
      'deepseek2.expert_feed_forward_length': integer(expertF),
      'deepseek2.expert_weights_scale': real(lite.routed_scaling_factor),
      'deepseek2.expert_gating_func': integer(1),
    },
    tensors: [...ends(format, lite), ...Array.from({ length: lite.num_hidden_layers }, (_, i) => block(i)).flat()],
  };
}

function tensorsOf(format: Format) {
  const type: BlockType = format === 'int8' ? 'Q8_0' : 'Q4_0';
  return {
    matrix: (name: string, ...shape: readonly number[]): GgufTensor => ({
      ...{ name, shape, type, content: { deviation: 0.02 } },
    }),
    vector: (name: string, width: number, deviation?: number): GgufTensor => ({
      ...{ name, shape: [width], type: 'F32', content: deviation === undefined ? 'ones' : { deviation } },
    }),
  };
}

/** Embedding, last norm and output matrix. */
function ends(format: Format, { hidden_size: D, vocab_size: V }: { hidden_size: number; vocab_size: number }) {
  const { matrix, vector } = tensorsOf(format);
  return [
    { ...matrix('token_embd.weight', D, V), content: { deviation: 1 } },
    vector('output_norm.weight', D),
    { ...matrix('output.weight', D, V), ...(format === 'int4' && { type: 'Q6_K' as const }) },
  ];
}

function metadataOf(architecture: string, c: typeof qwen | typeof lite): Record<string, MetadataValue> {
  return {
    'general.architecture': text(architecture),
    'general.name': text('random weights'),
    // llama.cpp opens no model without a tokenizer; nothing is tokenized.
    'tokenizer.ggml.model': text('gpt2'),
    'tokenizer.ggml.pre': text('qwen2'),
    'tokenizer.ggml.tokens': {
      type: 'strings',
      value: Array.from({ length: c.vocab_size }, (_, id) => spellToken(id)),
    },
    'tokenizer.ggml.merges': { type: 'strings', value: ['a b'] },
    [`${architecture}.block_count`]: integer(c.num_hidden_layers),
    [`${architecture}.context_length`]: integer(c.max_position_embeddings),
    [`${architecture}.embedding_length`]: integer(c.hidden_size),
    [`${architecture}.feed_forward_length`]: integer(c.intermediate_size),
    [`${architecture}.attention.head_count`]: integer(c.num_attention_heads),
    [`${architecture}.attention.layer_norm_rms_epsilon`]: real(c.rms_norm_eps),
    [`${architecture}.rope.freq_base`]: real(c.rope_theta),
  };
}

/** The bytes, then names of as many tokens as there have to be. */
function spellToken(id: number): string {
  return byteCharacters[id] ?? (id === byteCharacters.length ? 'ab' : `t${id}`);
}

function text(value: string): MetadataValue {
  return { type: 'string', value };
}

function integer(value: number): MetadataValue {
  return { type: 'uint32', value };
}

function real(value: number): MetadataValue {
  return { type: 'float32', value };
}
