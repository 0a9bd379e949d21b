// DeepSeek-V3 (arXiv 2412.19437).
//
// Owns the configuration, the table of weights and the forward pass of DeepseekV3ForCausalLM and of its multi-token
// prediction module; knows nothing of files, requests or optimizers. Training and inference run the same code: what
// differs (form of attention, memory of keys, tape) arrives as arguments.

import type { Graph } from '@hadal/tensor/graph';
import type { Weight } from '@hadal/tensor/packed-matrix';
import type { Tensor } from '@hadal/tensor/tensor';
import { z } from 'zod';
import type { Architecture, AssembleOptions, ModelDefinition, Network } from './architecture.ts';
import { parseConfig } from './configuration.ts';
import type { AttentionMemory } from './layers/attention-memory.ts';
import {
  type FeedForwardWeights,
  feedForward,
  gatedWeights,
  type MixtureConfig,
  mixtureWeights,
} from './layers/feed-forward.ts';
import {
  type Mla,
  type MlaConfig,
  type MlaForm,
  type MlaWeights,
  mlaCache,
  mlaForms,
  mlaWeights,
  preferredMlaForm,
} from './layers/mla.ts';
import { type RopeTables, ropeTables } from './layers/rotary.ts';
import { type RopeParameters, ropeParameters } from './rope-parameters.ts';
import { type WeightSource, whole } from './weight-source.ts';

export const deepseekV3: Architecture = {
  className: 'DeepseekV3ForCausalLM',
  define: (json, where) => define(parseDeepseekV3Config(json, where)),
};

export interface DeepseekV3Config {
  readonly vocabularySize: number;
  readonly width: number;
  readonly layers: number;
  /** Layers at the bottom with a dense feed-forward network. */
  readonly denseLayers: number;
  readonly denseWidth: number;
  readonly mixture: MixtureConfig;
  readonly mla: MlaConfig;
  readonly rope: RopeParameters;
  readonly ropeStyle: RopeTables['style'];
  readonly contextLength: number;
  readonly eps: number;
  readonly tiedEmbeddings: boolean;
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
    },
    mla: {
      width: c.hidden_size,
      queryRank: c.q_lora_rank ?? undefined,
      heads: c.num_attention_heads,
      nope: c.qk_nope_head_dim,
      rope: c.qk_rope_head_dim,
      vDim: c.v_head_dim,
      kvRank: c.kv_lora_rank,
      eps: c.rms_norm_eps,
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

interface BlockWeights {
  readonly attentionNorm: Tensor;
  readonly attention: MlaWeights;
  readonly feedForwardNorm: Tensor;
  readonly feedForward: FeedForwardWeights;
}

/** Predicts the token after the next (section 2.2): one more block over the hidden state and the next token. */
interface PredictorWeights {
  readonly embedding: Tensor;
  readonly embeddingNorm: Tensor;
  readonly hiddenNorm: Tensor;
  readonly join: Weight;
  readonly block: BlockWeights;
  readonly norm: Tensor;
  readonly head: Weight;
}

interface Weights {
  readonly embedding: Tensor;
  readonly blocks: readonly BlockWeights[];
  readonly norm: Tensor;
  readonly head: Weight;
  readonly predictor: PredictorWeights | undefined;
}

/** The table of weights: every name, shape and place, asked of `source` in checkpoint order. */
function describe(config: DeepseekV3Config, source: WeightSource, form: MlaForm, predictors: number): Weights {
  const { vocabularySize: V, width: D } = config;
  const norm = (name: string) => source.tensor(whole('norm', name, D));
  const table = (name: string) => source.tensor(whole('embedding', name, V, D));
  const head = (name: string) => source.matrix(whole('head', name, V, D));

  const embedding = table('model.embed_tokens.weight');
  const blocks = Array.from({ length: config.layers }, (_, layer) => describeBlock(config, source, form, layer));
  const finalNorm = norm('model.norm.weight');
  const mainHead = head(config.tiedEmbeddings ? 'model.embed_tokens.weight' : 'lm_head.weight');
  if (predictors === 0) return { embedding, blocks, norm: finalNorm, head: mainHead, predictor: undefined };

  // Released checkpoints repeat the embedding and the head here; ours share them and leave the copies out.
  const at = `model.layers.${config.layers}`;
  const predictor = {
    embedding: source.has(`${at}.embed_tokens.weight`) ? table(`${at}.embed_tokens.weight`) : embedding,
    embeddingNorm: norm(`${at}.enorm.weight`),
    hiddenNorm: norm(`${at}.hnorm.weight`),
    join: source.matrix(whole('matrix', `${at}.eh_proj.weight`, D, 2 * D)),
    block: describeBlock(config, source, form, config.layers),
    norm: norm(`${at}.shared_head.norm.weight`),
    head: source.has(`${at}.shared_head.head.weight`) ? head(`${at}.shared_head.head.weight`) : mainHead,
  };
  return { embedding, blocks, norm: finalNorm, head: mainHead, predictor };
}

function describeBlock(config: DeepseekV3Config, source: WeightSource, form: MlaForm, layer: number): BlockWeights {
  const at = `model.layers.${layer}`;
  const { width: D, denseLayers, denseWidth, mixture, mla } = config;
  return {
    attentionNorm: source.tensor(whole('norm', `${at}.input_layernorm.weight`, D)),
    attention: mlaWeights(source, `${at}.self_attn`, mla, form),
    feedForwardNorm: source.tensor(whole('norm', `${at}.post_attention_layernorm.weight`, D)),
    feedForward:
      layer < denseLayers
        ? { kind: 'dense', dense: gatedWeights(source, `${at}.mlp`, D, denseWidth) }
        : { kind: 'mixture', mixture: mixtureWeights(source, `${at}.mlp`, mixture) },
  };
}

interface Model {
  readonly config: DeepseekV3Config;
  readonly weights: Weights;
  readonly tables: RopeTables;
  readonly mla: Mla;
}

function assemble(config: DeepseekV3Config, source: WeightSource, options: AssembleOptions): Network {
  const form = options.form as MlaForm;
  const weights = describe(config, source, form, options.predictor === 'present' ? config.predictors : 0);
  const tables = ropeTables(source, config.rope, config.ropeStyle, options.positions);
  const model = { config, weights, tables, mla: mlaForms[form] };
  const { blocks, predictor } = weights;
  return {
    head: weights.head,
    routers: [...blocks, ...(predictor ? [predictor.block] : [])].flatMap((block) =>
      block.feedForward.kind === 'mixture'
        ? { counts: block.feedForward.mixture.counts, bias: block.feedForward.mixture.routerBias }
        : [],
    ),
    forward: (g, ids, positions, memory, observe) => forward(g, model, ids, positions, memory, observe),
    predictor: predictor && {
      prefix: `model.layers.${config.layers}.`,
      head: predictor.head,
      forward: (g, hidden, nextIds, positions, memory) =>
        forwardPredictor(g, model, predictor, hidden, nextIds, positions, memory),
    },
  };
}

function forward(
  g: Graph,
  model: Model,
  ids: Tensor,
  positions: Tensor,
  memory: AttentionMemory,
  observe?: (x: Tensor) => void,
): Tensor {
  const { config, weights } = model;
  let x = g.embedding(weights.embedding, ids);
  weights.blocks.forEach((block, layer) => {
    observe?.(x);
    x = forwardBlock(g, model, layer, block, x, positions, memory);
  });
  return g.rmsNorm(x, weights.norm, config.eps);
}

/**
 * We take the hidden state after the final norm, as the golden does; the report leaves it open (DeepSeek-V3 issue 839).
 */
function forwardPredictor(
  g: Graph,
  model: Model,
  w: PredictorWeights,
  hidden: Tensor,
  nextIds: Tensor,
  positions: Tensor,
  memory: AttentionMemory,
): Tensor {
  const { eps, layers } = model.config;
  const next = g.rmsNorm(g.embedding(w.embedding, nextIds), w.embeddingNorm, eps);
  const here = g.rmsNorm(hidden, w.hiddenNorm, eps);
  const x = g.linear(g.concat(next, here), w.join);
  const y = forwardBlock(g, model, layers, w.block, x, positions, memory);
  return g.rmsNorm(y, w.norm, eps);
}

function forwardBlock(
  g: Graph,
  { config, mla, tables }: Model,
  layer: number,
  w: BlockWeights,
  x: Tensor,
  positions: Tensor,
  memory: AttentionMemory,
): Tensor {
  const normed = g.rmsNorm(x, w.attentionNorm, config.eps);
  const h = g.residual(x, mla(g, layer, w.attention, normed, positions, tables, memory, config.mla));
  const { routing } = config.mixture;
  return g.residual(h, feedForward(g, w.feedForward, g.rmsNorm(h, w.feedForwardNorm, config.eps), routing));
}
