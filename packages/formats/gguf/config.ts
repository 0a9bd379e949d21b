// What config.json would say of a GGUF file's model.
//
// Owns the way from llama.cpp's metadata keys to Hugging Face's, for the architectures that we run: `qwen2`, `llama` and
// `deepseek2`, which is DeepSeek-V2 and V3. Whatever reads configurations learns nothing of GGUF. Where files of older
// converters leave out what a released model needs, its released value stands here, with the reason.

import type { GgufFile } from './gguf-file.ts';
import type { GgufMetadata } from './metadata.ts';

/** Architectures by llama.cpp's name. */
const configs: Readonly<Record<string, (file: GgufFile, keys: Keys) => object>> = {
  qwen2: qwen2Config,
  llama: llamaConfig,
  deepseek2: deepseekConfig,
};

/** The content of config.json; throws one line that names the file and the key. */
export function configOf(file: GgufFile): Record<string, unknown> {
  const { metadata } = file;
  const architecture = metadata.string('general.architecture');
  const config = Object.hasOwn(configs, architecture) ? configs[architecture] : undefined;
  if (config === undefined) {
    const known = Object.keys(configs).join(', ');
    throw new Error(`${file.path}: general.architecture: expected one of ${known}; found "${architecture}"`);
  }
  const keys = new Keys(metadata, architecture);
  const eos = metadata.optionalNumber('tokenizer.ggml.eos_token_id');
  const bos = metadata.optionalNumber('tokenizer.ggml.bos_token_id');
  return {
    vocab_size: file.find('token_embd.weight').shape[0],
    hidden_size: keys.number('embedding_length'),
    intermediate_size: keys.number('feed_forward_length'),
    num_attention_heads: keys.number('attention.head_count'),
    rms_norm_eps: keys.number('attention.layer_norm_rms_epsilon'),
    rope_theta: keys.optional('rope.freq_base') ?? 10_000,
    max_position_embeddings: keys.number('context_length'),
    tie_word_embeddings: !file.has('output.weight'),
    ...(bos !== undefined && { bos_token_id: bos }),
    ...(eos !== undefined && { eos_token_id: eos }),
    ...config(file, keys),
  };
}

/** Metadata keys of one architecture: `block_count` is `qwen2.block_count`. */
class Keys {
  readonly metadata: GgufMetadata;
  readonly #architecture: string;

  constructor(metadata: GgufMetadata, architecture: string) {
    this.metadata = metadata;
    this.#architecture = architecture;
  }

  name(key: string): string {
    return `${this.#architecture}.${key}`;
  }

  number(key: string): number {
    return this.metadata.number(this.name(key));
  }

  optional(key: string): number | undefined {
    return this.metadata.optionalNumber(this.name(key));
  }
}

function qwen2Config(_: GgufFile, keys: Keys): object {
  return { model_type: 'qwen2', architectures: ['Qwen2ForCausalLM'], ...denseConfig(keys), ...scaling(keys) };
}

function llamaConfig(file: GgufFile, keys: Keys): object {
  return {
    model_type: 'llama',
    architectures: ['LlamaForCausalLM'],
    ...denseConfig(keys),
    attention_bias: file.has('blk.0.attn_output.bias'),
    mlp_bias: file.has('blk.0.ffn_down.bias'),
    ...scaling(keys),
    ...(file.has('rope_freqs.weight') && { rope_scaling: llama3Scaling(file, keys) }),
  };
}

function denseConfig(keys: Keys): object {
  const heads = keys.number('attention.head_count');
  return {
    num_hidden_layers: keys.number('block_count'),
    num_key_value_heads: keys.optional('attention.head_count_kv') ?? heads,
    head_dim: headDim(keys),
  };
}

function headDim(keys: Keys): number {
  return keys.optional('attention.key_length') ?? keys.number('embedding_length') / keys.number('attention.head_count');
}

function deepseekConfig(file: GgufFile, keys: Keys): object {
  const predictors = keys.optional('nextn_predict_layers') ?? 0;
  const layers = keys.number('block_count') - predictors;
  const rope = keys.number('rope.dimension_count');
  // Files with attention over the latent give the heads' own lengths a name of their own.
  const keyLength = keys.optional('attention.key_length_mla') ?? keys.number('attention.key_length');
  const valueLength = keys.optional('attention.value_length_mla') ?? keys.number('attention.value_length');
  const scores = scoring(file, keys);
  const { groups, topkGroups } = expertGroups(keys);
  return {
    num_hidden_layers: layers,
    num_key_value_heads: keys.number('attention.head_count'),
    moe_intermediate_size: keys.number('expert_feed_forward_length'),
    first_k_dense_replace: keys.optional('leading_dense_block_count') ?? 0,
    n_routed_experts: keys.number('expert_count'),
    n_shared_experts: keys.optional('expert_shared_count') ?? 0,
    num_experts_per_tok: keys.number('expert_used_count'),
    n_group: groups,
    topk_group: topkGroups,
    routed_scaling_factor: keys.optional('expert_weights_scale') ?? 1,
    q_lora_rank: keys.optional('attention.q_lora_rank') ?? null,
    kv_lora_rank: keys.number('attention.kv_lora_rank'),
    qk_nope_head_dim: keyLength - rope,
    qk_rope_head_dim: rope,
    v_head_dim: valueLength,
    ...(scores === 'sigmoid' ? v3Routing(keys) : v2Routing(groups)),
    ...scaling(keys),
  };
}

function v3Routing(keys: Keys): object {
  return {
    model_type: 'deepseek_v3',
    architectures: ['DeepseekV3ForCausalLM'],
    scoring_func: 'sigmoid',
    topk_method: 'noaux_tc',
    norm_topk_prob: keys.metadata.optionalBoolean(keys.name('expert_weights_norm')) ?? true,
  };
}

function v2Routing(groups: number): object {
  return {
    model_type: 'deepseek_v2',
    architectures: ['DeepseekV2ForCausalLM'],
    scoring_func: 'softmax',
    topk_method: groups > 1 ? 'group_limited_greedy' : 'greedy',
    norm_topk_prob: false,
  };
}

/** 1 and 2 in the file; files of V2 from before there was a V3 do not say. Only V3 has a bias beside the router. */
function scoring(file: GgufFile, keys: Keys): 'softmax' | 'sigmoid' {
  const layer = keys.optional('leading_dense_block_count') ?? 0;
  const isV3 = file.has(`blk.${layer}.exp_probs_b.bias`);
  const found = keys.optional('expert_gating_func') ?? (isV3 ? 2 : 1);
  if (found === 1) return 'softmax';
  if (found === 2) return 'sigmoid';
  throw new Error(
    `${file.path}: ${keys.name('expert_gating_func')}: expected 1 (softmax) or 2 (sigmoid), found ${found}`,
  );
}

/** Converters wrote no groups until late in 2025. The released models that have them are known by their experts. */
function expertGroups(keys: Keys): { groups: number; topkGroups: number } {
  const released = { 160: [8, 3], 256: [8, 4] }[keys.number('expert_count')] ?? [1, 1];
  const [groups, topkGroups] = released as [number, number];
  return {
    groups: keys.optional('expert_group_count') ?? groups,
    topkGroups: keys.optional('expert_group_used_count') ?? topkGroups,
  };
}

/** Linear and YaRN scaling, which both layouts write as parameters. */
function scaling(keys: Keys): { rope_scaling?: object } {
  const type = keys.metadata.optionalString(keys.name('rope.scaling.type')) ?? 'none';
  if (type === 'none') return {};
  const common = { type, factor: keys.number('rope.scaling.factor') };
  if (type !== 'yarn') return { rope_scaling: common };
  // DeepSeek's two mscales are one in every released model; the file has a tenth of it.
  const tenth = keys.optional('rope.scaling.yarn_log_multiplier');
  const mscale = tenth === undefined ? undefined : Number((10 * tenth).toPrecision(7));
  return {
    rope_scaling: {
      ...common,
      original_max_position_embeddings: keys.number('rope.scaling.original_context_length'),
      beta_fast: keys.optional('rope.scaling.yarn_beta_fast') ?? 32,
      beta_slow: keys.optional('rope.scaling.yarn_beta_slow') ?? 1,
      ...(mscale !== undefined && { mscale, mscale_all_dim: mscale }),
    },
  };
}

/** Those of Llama 3.1, 3.2 and 3.3. */
const [lowFactor, highFactor] = [1, 4] as const;

/**
 * Llama 3's scaling, which files write out: a divisor for each frequency, 1 for the high ones, `factor` for the low ones,
 * between them a mean by how the wavelength compares to the original context (arXiv 2407.21783, section 3.4.3, as released).
 * The parameters are found back from the divisors, and must make them again.
 */
function llama3Scaling(file: GgufFile, keys: Keys): object {
  const dim = headDim(keys);
  const theta = keys.optional('rope.freq_base') ?? 10_000;
  const tensor = file.find('rope_freqs.weight');
  const divisors = new Float32Array(file.read(tensor, 0, tensor.end - tensor.begin).buffer);
  if (tensor.type !== 'F32' || divisors.length !== dim / 2) {
    throw new Error(
      `${tensor.path}: rope_freqs.weight: expected F32 [${dim / 2}], found ${tensor.type} [${tensor.shape}]`,
    );
  }
  const factor = Math.max(...divisors);
  const wavelengths = Array.from(divisors, (_, i) => 2 * Math.PI * theta ** ((2 * i) / dim));
  const between = divisors.findIndex((divisor) => divisor > 1 && divisor < factor);
  // The share of the unscaled frequency in the mean, from 1 / divisor = (1 - share) / factor + share.
  const share = (1 / (divisors[between] ?? 1) - 1 / factor) / (1 - 1 / factor);
  const original =
    between < 0 ? 8192 : Math.round((wavelengths[between] as number) * (share * (highFactor - lowFactor) + lowFactor));
  const remade = wavelengths.map((wavelength) => {
    const smooth = (original / wavelength - lowFactor) / (highFactor - lowFactor);
    return 1 / ((1 - clamp(smooth)) / factor + clamp(smooth));
  });
  const wrong = divisors.findIndex((divisor, i) => Math.abs(divisor / (remade[i] as number) - 1) > 1e-3);
  if (wrong >= 0) {
    const expected = `${remade[wrong]?.toPrecision(5)} of Llama 3's scaling by ${factor}`;
    throw new Error(
      `${tensor.path}: rope_freqs.weight: element ${wrong}: expected ${expected}, found ${divisors[wrong]}`,
    );
  }
  return {
    rope_type: 'llama3',
    factor,
    low_freq_factor: lowFactor,
    high_freq_factor: highFactor,
    original_max_position_embeddings: original,
  };
}

function clamp(share: number): number {
  return Math.min(1, Math.max(0, share));
}
