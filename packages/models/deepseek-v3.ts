// DeepSeek-V3 (arXiv 2412.19437).
//
// Owns the configuration, the table of weights and the forward pass of DeepseekV3ForCausalLM and of its multi-token
// prediction module; knows nothing of files, requests or optimizers. Training and inference run the same code: what
// differs (form of attention, memory of keys, tape) arrives as arguments.

import { z } from 'zod';
import type { Architecture, AssembleOptions, ModelDefinition, Network, Predictor } from './architecture.ts';
import { parseConfig } from './configuration.ts';
import { type Block, type Decoder, type DecoderConfig, decoder, forwardBlock } from './layers/decoder.ts';
import { gatedFeedForward, type MixtureConfig, mixtureOfExperts } from './layers/feed-forward.ts';
import { latentAttention, type MlaConfig, type MlaForm, mlaCache, preferredMlaForm } from './layers/mla.ts';
import { type RopeTables, ropeTables } from './layers/rotary.ts';
import { type RopeParameters, ropeParameters } from './rope-parameters.ts';
import { type WeightSource, whole } from './weight-source.ts';

export const deepseekV3: Architecture = {
  className: 'DeepseekV3ForCausalLM',
  define: (json, where) => define(parseDeepseekV3Config(json, where)),
};

export interface DeepseekV3Config extends DecoderConfig {
  /** Layers at the bottom with a dense feed-forward network. */
  readonly denseLayers: number;
  readonly denseWidth: number;
  readonly mixture: MixtureConfig;
  readonly mla: MlaConfig;
  readonly rope: RopeParameters;
  readonly ropeStyle: RopeTables['style'];
  readonly contextLength: number;
  /** Multi-token prediction modules; 0 or 1. */
  readonly predictors: number;
  readonly initializerRange: number;
}

const wireConfig = z.object({
  vocab_size: z.int().positive(),
  hidden_size: z.int().positive(),
  intermediate_size: z.int().positive(),
  moe_intermediate_size: z.int().positive(),
  num_hidden_layers: z.int().positive(),
  num_attention_heads: z.int().positive(),
  n_shared_experts: z.int().nonnegative().nullish(),
  n_routed_experts: z.int().positive(),
  num_experts_per_tok: z.int().positive(),
  n_group: z.int().positive().default(1),
  topk_group: z.int().positive().default(1),
  routed_scaling_factor: z.number().default(1),
  norm_topk_prob: z.boolean().default(true),
  scoring_func: z.literal('sigmoid').default('sigmoid'),
  topk_method: z.literal('noaux_tc').default('noaux_tc'),
  moe_layer_freq: z.literal(1).default(1),
  first_k_dense_replace: z.int().nonnegative().default(0),
  q_lora_rank: z.int().positive().nullish(),
  kv_lora_rank: z.int().positive(),
  qk_nope_head_dim: z.int().positive(),
  qk_rope_head_dim: z.int().positive().multipleOf(2),
  v_head_dim: z.int().positive(),
  rope_interleave: z.boolean().default(true),
  max_position_embeddings: z.int().positive(),
  rms_norm_eps: z.number().positive(),
  hidden_act: z.literal('silu').default('silu'),
  attention_bias: z.literal(false).default(false),
  tie_word_embeddings: z.boolean().default(false),
  num_nextn_predict_layers: z.int().min(0).max(1).default(0),
  initializer_range: z.number().positive().default(0.02),
});

/** Reads config.json; throws an error that names `where` and the key. */
export function parseDeepseekV3Config(json: unknown, where: string): DeepseekV3Config {
  const c = parseConfig(wireConfig, json, where);
  if (c.n_routed_experts % c.n_group !== 0) {
    throw new Error(`${where}: n_group: expected a divisor of ${c.n_routed_experts} experts, got ${c.n_group}`);
  }
  const choosable = (c.n_routed_experts / c.n_group) * Math.min(c.topk_group, c.n_group);
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
        K: c.num_experts_per_tok,
        groups: c.n_group,
        topkGroups: Math.min(c.topk_group, c.n_group),
        scoring: 'sigmoid',
        groupScore: 'top2sum',
        normalize: c.norm_topk_prob,
        scale: c.routed_scaling_factor,
      },
      bias: 'byLoad',
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
    ropeStyle: c.rope_interleave ? 'interleaved' : 'half',
    contextLength: c.max_position_embeddings,
    eps: c.rms_norm_eps,
    tiedEmbeddings: c.tie_word_embeddings,
    predictors: c.num_nextn_predict_layers,
    initializerRange: c.initializer_range,
  };
}

function define(config: DeepseekV3Config): ModelDefinition {
  const { vocabularySize, contextLength, layers, initializerRange, mla, mixture } = config;
  return {
    ...{ vocabularySize, contextLength, layers, initializerRange },
    forms: ['expanded', 'absorbed'],
    preferredForm: preferredMlaForm(mla),
    activeShare: mixture.routing.K / mixture.experts,
    cacheLayout: (form) => Array.from({ length: layers }, () => mlaCache(mla, form as MlaForm)),
    assemble: (source, options) => assemble(config, source, options),
  };
}

function assemble(config: DeepseekV3Config, source: WeightSource, options: AssembleOptions): Network {
  const form = options.form as MlaForm;
  const { width: D, denseLayers, denseWidth, mla, mixture } = config;
  const tables = ropeTables(source, config.rope, config.ropeStyle, options.positions);
  const block = (layer: number): Block => {
    const at = `model.layers.${layer}`;
    return {
      attentionNorm: source.tensor(whole('norm', `${at}.input_layernorm.weight`, D)),
      attention: latentAttention(source, `${at}.self_attn`, layer, mla, form, tables),
      feedForwardNorm: source.tensor(whole('norm', `${at}.post_attention_layernorm.weight`, D)),
      feedForward:
        layer < denseLayers
          ? gatedFeedForward(source, `${at}.mlp`, D, denseWidth)
          : mixtureOfExperts(source, `${at}.mlp`, mixture),
    };
  };
  const main = decoder(source, config, block);
  const isAhead = options.predictor === 'present' && config.predictors > 0;
  const predictor = isAhead ? assemblePredictor(config, source, main, block) : undefined;
  const blocks = predictor ? [...main.blocks, predictor.block] : main.blocks;
  return {
    head: main.head,
    forward: main.forward,
    predictor: predictor?.module,
    routers: blocks.flatMap(({ feedForward }) => feedForward.router ?? []),
  };
}

/**
 * The module that predicts the token after the next (section 2.2): one more block over the hidden state and the next
 * token. We take the hidden state after the final norm, as the golden does; the report leaves it open (DeepSeek-V3
 * issue 839).
 */
function assemblePredictor(
  { width: D, vocabularySize: V, layers, eps }: DeepseekV3Config,
  source: WeightSource,
  main: Decoder,
  makeBlock: (layer: number) => Block,
): { module: Predictor; block: Block } {
  const at = `model.layers.${layers}`;
  const norm = (name: string) => source.tensor(whole('norm', `${at}.${name}.weight`, D));
  // Released checkpoints repeat the embedding and the head here; ours share them and leave the copies out.
  const embeddingName = `${at}.embed_tokens.weight`;
  const headName = `${at}.shared_head.head.weight`;
  const embedding = source.has(embeddingName) ? source.matrix(whole('embedding', embeddingName, V, D)) : main.embedding;
  const embeddingNorm = norm('enorm');
  const hiddenNorm = norm('hnorm');
  const join = source.matrix(whole('matrix', `${at}.eh_proj.weight`, D, 2 * D));
  const block = makeBlock(layers);
  const lastNorm = norm('shared_head.norm');
  const head = source.has(headName) ? source.matrix(whole('head', headName, V, D)) : main.head;
  const module: Predictor = {
    prefix: `${at}.`,
    head,
    forward(g, hidden, nextIds, positions, memory) {
      const next = g.rmsNorm(g.embedding(embedding, nextIds), embeddingNorm, eps);
      const here = g.rmsNorm(hidden, hiddenNorm, eps);
      const x = g.linear(g.concat(next, here), join);
      return g.rmsNorm(forwardBlock(g, block, x, positions, memory, eps), lastNorm, eps);
    },
  };
  return { module, block };
}
