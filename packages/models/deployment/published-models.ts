// Configurations of DeepSeek's published models, so that a deployment can be planned before anything is downloaded.
//
// Owns the few keys of each config.json that sizes follow from, under the names of the repositories. They are facts that the
// publishers state in the files of the same name and in the reports named beside them; the tests hold the parameter counts
// that come of them to those that were published. Knows no tokenizer and no weights.

export interface PublishedModel {
  /** `OWNER/NAME`, which vLLM and SGLang download from. */
  readonly repository: string;
  /** What config.json says, as far as sizes depend on it. */
  readonly config: Readonly<Record<string, unknown>>;
}

const latent = {
  ...{ kv_lora_rank: 512, qk_nope_head_dim: 128, qk_rope_head_dim: 64, v_head_dim: 128 },
  ...{ rms_norm_eps: 1e-6, max_position_embeddings: 163_840, tie_word_embeddings: false },
};

const fp8Blocks = { quant_method: 'fp8', fmt: 'e4m3', activation_scheme: 'dynamic', weight_block_size: [128, 128] };

/** arXiv 2405.04434. */
const v2Lite = {
  ...{ model_type: 'deepseek_v2', ...latent, vocab_size: 102_400, hidden_size: 2048, num_hidden_layers: 27 },
  ...{ intermediate_size: 10_944, moe_intermediate_size: 1408, num_attention_heads: 16, q_lora_rank: null },
  ...{ n_routed_experts: 64, n_shared_experts: 2, num_experts_per_tok: 6, first_k_dense_replace: 1 },
  ...{ topk_method: 'greedy', torch_dtype: 'bfloat16' },
};

const v2 = {
  ...{ ...v2Lite, hidden_size: 5120, num_hidden_layers: 60, intermediate_size: 12_288, moe_intermediate_size: 1536 },
  ...{ num_attention_heads: 128, q_lora_rank: 1536, n_routed_experts: 160, n_group: 8, topk_group: 3 },
  topk_method: 'group_limited_greedy',
};

/** arXiv 2412.19437. R1 has the same architecture (arXiv 2501.12948). */
const v3 = {
  ...{ model_type: 'deepseek_v3', ...latent, vocab_size: 129_280, hidden_size: 7168, num_hidden_layers: 61 },
  ...{ intermediate_size: 18_432, moe_intermediate_size: 2048, num_attention_heads: 128, q_lora_rank: 1536 },
  ...{ n_routed_experts: 256, n_shared_experts: 1, num_experts_per_tok: 8, first_k_dense_replace: 3 },
  ...{ n_group: 8, topk_group: 4, num_nextn_predict_layers: 1, torch_dtype: 'bfloat16' },
  quantization_config: fp8Blocks,
};

/** arXiv 2512.02556. */
const v32 = { ...v3, model_type: 'deepseek_v32', index_n_heads: 64, index_head_dim: 128, index_topk: 2048 };

/** arXiv 2606.19348. The last ratio is the prediction module's. */
const v4Flash = {
  ...{ model_type: 'deepseek_v4', vocab_size: 129_280, hidden_size: 4096, moe_intermediate_size: 2048 },
  ...{ num_hidden_layers: 43, num_attention_heads: 64, num_key_value_heads: 1, head_dim: 512, q_lora_rank: 1024 },
  ...{ o_groups: 8, o_lora_rank: 1024, qk_rope_head_dim: 64, sliding_window: 128, num_hash_layers: 3 },
  ...{ index_n_heads: 64, index_head_dim: 128, index_topk: 512, hc_mult: 4, hc_sinkhorn_iters: 20, hc_eps: 1e-6 },
  ...{ n_routed_experts: 256, n_shared_experts: 1, num_experts_per_tok: 6, swiglu_limit: 10, rms_norm_eps: 1e-6 },
  ...{ max_position_embeddings: 1_048_576, num_nextn_predict_layers: 1, torch_dtype: 'bfloat16', expert_dtype: 'fp4' },
  compress_ratios: [0, 0, ...alternating(41, 4, 128), 0],
  quantization_config: { ...fp8Blocks, scale_fmt: 'ue8m0' },
};

const v4Pro = {
  ...{ ...v4Flash, hidden_size: 7168, moe_intermediate_size: 3072, num_hidden_layers: 61, num_attention_heads: 128 },
  ...{ q_lora_rank: 1536, o_groups: 16, n_routed_experts: 384, index_topk: 1024 },
  compress_ratios: [128, 128, ...alternating(59, 4, 128), 0],
};

/** Qwen2.5 and Llama 3 in the sizes that R1 was distilled into (arXiv 2501.12948). */
const qwen = {
  ...{ model_type: 'qwen2', vocab_size: 152_064, max_position_embeddings: 131_072, rms_norm_eps: 1e-6 },
  ...{ tie_word_embeddings: false, use_sliding_window: false, torch_dtype: 'bfloat16' },
};
const llama = {
  ...{ model_type: 'llama', vocab_size: 128_256, max_position_embeddings: 131_072, rms_norm_eps: 1e-5 },
  ...{ tie_word_embeddings: false, torch_dtype: 'bfloat16' },
};

export const publishedModels: readonly PublishedModel[] = [
  model('DeepSeek-V4-Flash', v4Flash),
  model('DeepSeek-V4-Pro', v4Pro),
  model('DeepSeek-V3.2', v32),
  model('DeepSeek-V3.1', v3),
  model('DeepSeek-V3', v3),
  model('DeepSeek-R1', v3),
  model('DeepSeek-R1-0528', v3),
  model('DeepSeek-R1-Distill-Qwen-1.5B', { ...qwen, vocab_size: 151_936, ...dense(1536, 8960, 28, 12, 2) }),
  model('DeepSeek-R1-Distill-Qwen-7B', { ...qwen, ...dense(3584, 18_944, 28, 28, 4) }),
  model('DeepSeek-R1-Distill-Qwen-14B', { ...qwen, ...dense(5120, 13_824, 48, 40, 8) }),
  model('DeepSeek-R1-Distill-Qwen-32B', { ...qwen, ...dense(5120, 27_648, 64, 40, 8) }),
  model('DeepSeek-R1-Distill-Llama-8B', { ...llama, ...dense(4096, 14_336, 32, 32, 8) }),
  model('DeepSeek-R1-Distill-Llama-70B', { ...llama, ...dense(8192, 28_672, 80, 64, 8) }),
  model('DeepSeek-V2-Lite', v2Lite),
  model('DeepSeek-V2', v2),
];

/** By its name, with or without the owner and `DeepSeek-`, in any case. */
export function findPublishedModel(name: string): PublishedModel | undefined {
  const plain = (text: string) =>
    text
      .toLowerCase()
      .replace(/^.*\//, '')
      .replace(/^deepseek-/, '');
  return publishedModels.find(({ repository }) => plain(repository) === plain(name));
}

function model(name: string, config: Readonly<Record<string, unknown>>): PublishedModel {
  return { repository: `deepseek-ai/${name}`, config };
}

function dense(width: number, inner: number, layers: number, heads: number, keyHeads: number) {
  return {
    ...{ hidden_size: width, intermediate_size: inner, num_hidden_layers: layers },
    ...{ num_attention_heads: heads, num_key_value_heads: keyHeads },
  };
}

function alternating(count: number, first: number, second: number): number[] {
  return Array.from({ length: count }, (_, i) => (i % 2 === 0 ? first : second));
}
