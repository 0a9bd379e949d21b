// What DeepSeek-V2 (arXiv 2405.04434), V3 (arXiv 2412.19437) and V3.2 have in common.
//
// Owns the keys of config.json that all have, and the blocks: latent attention, then a dense feed-forward network at the
// bottom and a mixture of experts above. How experts are scored and chosen is the architecture's, as a value of the
// configuration, and so is whether attention's keys are picked; nothing here asks which of them it is.

import { z } from 'zod';
import type { AssembleOptions, ModelDefinition, Network, RowStore } from './architecture.ts';
import type { Block, DecoderConfig } from './layers/decoder.ts';
import { gatedFeedForward, type MixtureConfig, mixtureOfExperts } from './layers/feed-forward.ts';
import type { MakeKeyPicker } from './layers/indexer.ts';
import { latentAttention, type MlaConfig, type MlaForm, mlaCache, preferredMlaForm } from './layers/mla.ts';
import { type RopeTables, ropeTables } from './layers/rotary.ts';
import { type RopeParameters, ropeParameters } from './rope-parameters.ts';
import { type WeightSource, whole } from './weight-source.ts';

export interface LatentMixtureConfig extends DecoderConfig {
  /** Layers at the bottom with a dense feed-forward network. */
  readonly denseLayers: number;
  readonly denseWidth: number;
  readonly mixture: MixtureConfig;
  readonly mla: MlaConfig;
  readonly rope: RopeParameters;
  readonly ropeStyle: RopeTables['style'];
  readonly contextLength: number;
  readonly initializerRange: number;
}

/** A part of both schemas, to be spread into `z.object`. */
export const latentMixtureKeys = {
  vocab_size: z.int().positive(),
  hidden_size: z.int().positive(),
  intermediate_size: z.int().positive(),
  moe_intermediate_size: z.int().positive(),
  num_hidden_layers: z.int().positive(),
  num_attention_heads: z.int().positive(),
  n_shared_experts: z.int().nonnegative().nullish(),
  n_routed_experts: z.int().positive(),
  num_experts_per_tok: z.int().positive(),
  n_group: z.int().positive().nullish(),
  topk_group: z.int().positive().nullish(),
  routed_scaling_factor: z.number().default(1),
  moe_layer_freq: z.literal(1).default(1),
  first_k_dense_replace: z.int().nonnegative().default(0),
  q_lora_rank: z.int().positive().nullish(),
  kv_lora_rank: z.int().positive(),
  qk_nope_head_dim: z.int().positive(),
  qk_rope_head_dim: z.int().positive().multipleOf(2),
  v_head_dim: z.int().positive(),
  max_position_embeddings: z.int().positive(),
  rms_norm_eps: z.number().positive(),
  hidden_act: z.literal('silu').default('silu'),
  attention_bias: z.literal(false).default(false),
  tie_word_embeddings: z.boolean().default(false),
  initializer_range: z.number().positive().default(0.02),
} as const;

type LatentMixtureWire = z.output<z.ZodObject<typeof latentMixtureKeys>>;

export interface RouterChoice {
  /** Whether experts are chosen group by group, as `n_group` and `topk_group` say. */
  readonly grouping: 'limited' | 'none';
  readonly scoring: 'sigmoid' | 'softmax';
  readonly groupScore: 'top2sum' | 'max';
  readonly normalize: boolean;
  readonly bias: MixtureConfig['bias'];
}

/** The configuration of `c`, which `json` became; throws an error that names `where` and the key. */
export function latentMixtureConfig(
  c: LatentMixtureWire,
  { grouping, scoring, groupScore, normalize, bias }: RouterChoice,
  ropeStyle: RopeTables['style'],
  json: unknown,
  where: string,
): LatentMixtureConfig {
  const groups = grouping === 'limited' ? (c.n_group ?? 1) : 1;
  const topkGroups = grouping === 'limited' ? Math.min(c.topk_group ?? 1, groups) : 1;
  if (c.n_routed_experts % groups !== 0) {
    throw new Error(`${where}: n_group: expected a divisor of ${c.n_routed_experts} experts, got ${groups}`);
  }
  const choosable = (c.n_routed_experts / groups) * topkGroups;
  if (c.num_experts_per_tok > choosable) {
    throw new Error(`${where}: num_experts_per_tok: expected at most ${choosable}, got ${c.num_experts_per_tok}`);
  }
  const rope = ropeParameters(json, c.qk_rope_head_dim, c.max_position_embeddings, where);
  return {
    vocabularySize: c.vocab_size,
    width: c.hidden_size,
    layers: c.num_hidden_layers,
    denseLayers: Math.min(c.first_k_dense_replace, c.num_hidden_layers),
    denseWidth: c.intermediate_size,
    mixture: {
      width: c.hidden_size,
      experts: c.n_routed_experts,
      expertWidth: c.moe_intermediate_size,
      sharedExperts: c.n_shared_experts ?? 0,
      routing: {
        ...{ K: c.num_experts_per_tok, groups, topkGroups },
        ...{ scoring, groupScore, normalize, scale: c.routed_scaling_factor },
      },
      bias,
    },
    mla: {
      width: c.hidden_size,
      queryRank: c.q_lora_rank ?? undefined,
      heads: c.num_attention_heads,
      nope: c.qk_nope_head_dim,
      rope: c.qk_rope_head_dim,
      vDim: c.v_head_dim,
      kvRank: c.kv_lora_rank,
      softmaxScale: (c.qk_nope_head_dim + c.qk_rope_head_dim) ** -0.5 * rope.softmaxScale,
    },
    rope,
    ropeStyle,
    contextLength: c.max_position_embeddings,
    eps: c.rms_norm_eps,
    tiedEmbeddings: c.tie_word_embeddings,
    initializerRange: c.initializer_range,
  };
}

export function latentMixtureModel<C extends LatentMixtureConfig>(
  config: C,
  assemble: (config: C, source: WeightSource, options: AssembleOptions) => Network,
  /** What a layer keeps of a token beside the rows of latent attention. */
  moreRows: Readonly<Record<string, RowStore>> = {},
): ModelDefinition {
  const { vocabularySize, contextLength, layers, initializerRange, mla, mixture } = config;
  return {
    ...{ vocabularySize, contextLength, layers, initializerRange },
    forms: ['expanded', 'absorbed'],
    preferredForm: preferredMlaForm(mla),
    activeShare: mixture.routing.K / mixture.experts,
    cacheLayout: (form, dtype) => {
      // Attention to picked keys gathers them as float32.
      const rows = mlaCache(mla, form as MlaForm, Object.keys(moreRows).length > 0 ? 'f32' : dtype);
      return Array.from({ length: layers }, () => ({ ...rows, ...moreRows }));
    },
    assemble: (source, options) => assemble(config, source, options),
  };
}

/** Makes a block, asking `source` for the weights of its layer. */
export function latentMixtureBlocks(
  { width: D, denseLayers, denseWidth, mla, mixture, rope, ropeStyle }: LatentMixtureConfig,
  source: WeightSource,
  { form, positions }: AssembleOptions,
  makeKeyPicker?: MakeKeyPicker,
): (layer: number) => Block {
  const tables = ropeTables(source, rope, ropeStyle, positions);
  return (layer) => {
    const at = `model.layers.${layer}`;
    return {
      attentionNorm: source.tensor(whole('norm', `${at}.input_layernorm.weight`, D)),
      attention: latentAttention(source, `${at}.self_attn`, layer, mla, form as MlaForm, tables, makeKeyPicker),
      feedForwardNorm: source.tensor(whole('norm', `${at}.post_attention_layernorm.weight`, D)),
      feedForward:
        layer < denseLayers
          ? gatedFeedForward(source, `${at}.mlp`, D, denseWidth)
          : mixtureOfExperts(source, `${at}.mlp`, mixture),
    };
  };
}
