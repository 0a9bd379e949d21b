// DeepSeek-V3 (arXiv 2412.19437).
//
// Owns the configuration, the table of weights and the forward pass of DeepseekV3ForCausalLM and of its multi-token
// prediction module; knows nothing of files, requests or optimizers. Training and inference run the same code: what
// differs (form of attention, memory of keys, tape) arrives as arguments.

import { ropeTable } from '@hadal/kernels/rope';
import type { Routing } from '@hadal/tensor/gradients';
import type { Graph } from '@hadal/tensor/graph';
import type { Weight } from '@hadal/tensor/packed-matrix';
import type { Tensor } from '@hadal/tensor/tensor';
import { z } from 'zod';
import type { AttentionMemory } from './layers/attention-memory.ts';
import { type FeedForwardWeights, type GatedWeights, gated, mixture } from './layers/feed-forward.ts';
import type { Mla, MlaConfig, MlaWeights, RopeTables } from './layers/mla.ts';
import { type RopeParameters, ropeParameters } from './rope-parameters.ts';
import type { Part, WeightSource } from './weight-source.ts';

export interface DeepseekV3Config {
  readonly vocabularySize: number;
  readonly width: number;
  readonly layers: number;
  /** Layers at the bottom with a dense feed-forward network. */
  readonly denseLayers: number;
  readonly denseWidth: number;
  readonly expertWidth: number;
  readonly experts: number;
  readonly sharedExperts: number;
  readonly routing: Routing;
  readonly queryRank: number | undefined;
  readonly mla: MlaConfig;
  readonly rope: RopeParameters;
  readonly ropeStyle: 'interleaved' | 'half';
  readonly contextLength: number;
  readonly eps: number;
  readonly tiedEmbeddings: boolean;
  /** Multi-token prediction modules; 0 or 1. */
  readonly predictors: number;
  readonly initializerRange: number;
}

const wireConfig = z.object({
  architectures: z.array(z.string()).optional(),
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

/** Reads `config.json` of a DeepseekV3ForCausalLM; throws an error that names the key. */
export function parseDeepseekV3Config(json: unknown): DeepseekV3Config {
  const parsed = wireConfig.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new Error(`config.json: ${issue?.path.join('.')}: ${issue?.message}`);
  }
  const c = parsed.data;
  if (c.n_routed_experts % c.n_group !== 0) {
    throw new Error(`config.json: n_group: expected a divisor of ${c.n_routed_experts} experts, got ${c.n_group}`);
  }
  const choosable = (c.n_routed_experts / c.n_group) * Math.min(c.topk_group, c.n_group);
  if (c.num_experts_per_tok > choosable) {
    throw new Error(`config.json: num_experts_per_tok: expected at most ${choosable}, got ${c.num_experts_per_tok}`);
  }
  const rope = ropeParameters(json, c.qk_rope_head_dim, c.max_position_embeddings);
  return {
    vocabularySize: c.vocab_size,
    width: c.hidden_size,
    layers: c.num_hidden_layers,
    denseLayers: Math.min(c.first_k_dense_replace, c.num_hidden_layers),
    denseWidth: c.intermediate_size,
    expertWidth: c.moe_intermediate_size,
    experts: c.n_routed_experts,
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
    queryRank: c.q_lora_rank ?? undefined,
    mla: {
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

export interface BlockWeights {
  readonly attentionNorm: Tensor;
  readonly attention: MlaWeights;
  readonly feedForwardNorm: Tensor;
  readonly feedForward: FeedForwardWeights;
}

/** Predicts the token after the next (section 2.2): one more block over the hidden state and the next token. */
export interface PredictorWeights {
  readonly embedding: Tensor;
  readonly embeddingNorm: Tensor;
  readonly hiddenNorm: Tensor;
  readonly join: Weight;
  readonly block: BlockWeights;
  readonly norm: Tensor;
  readonly head: Weight;
}

export interface DeepseekV3Weights {
  readonly embedding: Tensor;
  readonly blocks: readonly BlockWeights[];
  readonly norm: Tensor;
  readonly head: Weight;
  readonly predictor: PredictorWeights | undefined;
}

/** The table of weights: every name, shape and place, asked of `source` in checkpoint order. */
export function deepseekV3Weights(config: DeepseekV3Config, source: WeightSource): DeepseekV3Weights {
  const { vocabularySize: V, width: D } = config;
  const named = (name: string, ...shape: number[]) => ({ shape, parts: [{ name, shape }] });
  const norm = (name: string, width = D) => source.tensor({ kind: 'norm', ...named(name, width) });
  const table = (name: string) => source.tensor({ kind: 'embedding', ...named(name, V, D) });
  const head = (name: string) => source.matrix({ kind: 'head', ...named(name, V, D) });

  const embedding = table('model.embed_tokens.weight');
  const blocks = Array.from({ length: config.layers }, (_, layer) => blockWeights(config, source, layer));
  const finalNorm = norm('model.norm.weight');
  const mainHead = head(config.tiedEmbeddings ? 'model.embed_tokens.weight' : 'lm_head.weight');
  if (config.predictors === 0) return { embedding, blocks, norm: finalNorm, head: mainHead, predictor: undefined };

  // Released checkpoints repeat the embedding and the head here; ours share them and leave the copies out.
  const at = `model.layers.${config.layers}`;
  const predictor = {
    embedding: source.has(`${at}.embed_tokens.weight`) ? table(`${at}.embed_tokens.weight`) : embedding,
    embeddingNorm: norm(`${at}.enorm.weight`),
    hiddenNorm: norm(`${at}.hnorm.weight`),
    join: source.matrix({ kind: 'matrix', ...named(`${at}.eh_proj.weight`, D, 2 * D) }),
    block: blockWeights(config, source, config.layers),
    norm: norm(`${at}.shared_head.norm.weight`),
    head: source.has(`${at}.shared_head.head.weight`) ? head(`${at}.shared_head.head.weight`) : mainHead,
  };
  return { embedding, blocks, norm: finalNorm, head: mainHead, predictor };
}

function blockWeights(config: DeepseekV3Config, source: WeightSource, layer: number): BlockWeights {
  const at = `model.layers.${layer}`;
  const { width: D, experts: E, expertWidth: F } = config;
  const norm = (name: string, width: number) =>
    source.tensor({ kind: 'norm', shape: [width], parts: [{ name: `${at}.${name}.weight`, shape: [width] }] });
  const part = (name: string, out: number, into: number): Part => ({
    name: `${at}.${name}.weight`,
    shape: [out, into],
  });
  const gatedWeights = (name: string, width: number): GatedWeights => ({
    gateUp: source.matrix({
      kind: 'matrix',
      shape: [2 * width, D],
      parts: [part(`${name}.gate_proj`, width, D), part(`${name}.up_proj`, width, D)],
    }),
    down: source.matrix({ kind: 'matrix', shape: [D, width], parts: [part(`${name}.down_proj`, D, width)] }),
  });
  const mixtureWeights = (): FeedForwardWeights => {
    const expert = (e: number, name: string) => `mlp.experts.${e}.${name}`;
    const indices = Array.from({ length: E }, (_, e) => e);
    const bias = `${at}.mlp.gate.e_score_correction_bias`;
    return {
      kind: 'mixture',
      mixture: {
        router: source.matrix({ kind: 'router', shape: [E, D], parts: [part('mlp.gate', E, D)] }),
        routerBias: source.tensor({ kind: 'routerBias', shape: [E], parts: [{ name: bias, shape: [E] }] }),
        counts: source.counter(E),
        experts: {
          gateUp: source.matrix({
            kind: 'experts',
            shape: [E, 2 * F, D],
            parts: indices.flatMap((e) => [part(expert(e, 'gate_proj'), F, D), part(expert(e, 'up_proj'), F, D)]),
          }),
          down: source.matrix({
            kind: 'experts',
            shape: [E, D, F],
            parts: indices.map((e) => part(expert(e, 'down_proj'), D, F)),
          }),
        },
        shared: config.sharedExperts > 0 ? gatedWeights('mlp.shared_experts', config.sharedExperts * F) : undefined,
      },
    };
  };

  return {
    attentionNorm: norm('input_layernorm', D),
    attention: attentionWeights(config, source, `${at}.self_attn`),
    feedForwardNorm: norm('post_attention_layernorm', D),
    feedForward:
      layer < config.denseLayers ? { kind: 'dense', dense: gatedWeights('mlp', config.denseWidth) } : mixtureWeights(),
  };
}

function attentionWeights(config: DeepseekV3Config, source: WeightSource, at: string): MlaWeights {
  const { width: D, queryRank } = config;
  const { heads, nope, rope, vDim, kvRank } = config.mla;
  const matrix = (name: string, out: number, into: number, rows?: readonly [number, number]) => {
    const whole = { name: `${at}.${name}.weight`, shape: [out, into] };
    const height = rows ? rows[1] - rows[0] : out;
    return source.matrix({ kind: 'matrix', shape: [height, into], parts: [rows ? { ...whole, rows } : whole] });
  };
  const norm = (name: string, width: number) =>
    source.tensor({ kind: 'norm', shape: [width], parts: [{ name: `${at}.${name}.weight`, shape: [width] }] });

  const queryWidth = heads * (nope + rope);
  return {
    query:
      queryRank === undefined
        ? { kind: 'direct', w: matrix('q_proj', queryWidth, D) }
        : {
            kind: 'bottleneck',
            down: matrix('q_a_proj', queryRank, D),
            norm: norm('q_a_layernorm', queryRank),
            up: matrix('q_b_proj', queryWidth, queryRank),
          },
    latent: matrix('kv_a_proj_with_mqa', kvRank + rope, D, [0, kvRank]),
    rotaryKey: matrix('kv_a_proj_with_mqa', kvRank + rope, D, [kvRank, kvRank + rope]),
    latentNorm: norm('kv_a_layernorm', kvRank),
    keyValue: source.matrix({
      kind: 'matrix',
      shape: [heads * (nope + vDim), kvRank],
      parts: [{ name: `${at}.kv_b_proj.weight`, shape: [heads * (nope + vDim), kvRank] }],
    }),
    out: matrix('o_proj', D, heads * vDim),
  };
}

export interface DeepseekV3 {
  readonly config: DeepseekV3Config;
  readonly weights: DeepseekV3Weights;
  readonly tables: RopeTables;
  readonly mla: Mla;
}

/** Cosines and sines for `positions` positions, [positions, rope / 2] each. */
export function ropeTables(config: DeepseekV3Config, positions: number) {
  return ropeTable({ ...config.rope.table, maxPositions: positions });
}

/**
 * The final hidden state, normed: [N, D]. ids and positions i32 [N]; the logits are `g.linear(hidden, head)`.
 * `observe` sees the residual stream before each block (Hugging Face's `hidden_states`, all but the last).
 */
export function forward(
  g: Graph,
  model: DeepseekV3,
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
 * The predictor's hidden state, normed: [N, D]; `g.linear(_, predictor.head)` are logits for the token after the next.
 * `hidden` [N, D] comes from `forward`, nextIds i32 [N] are the tokens that follow. We take the hidden state after the
 * final norm, as the golden does; the report leaves it open (DeepSeek-V3 issue 839).
 */
export function forwardPredictor(
  g: Graph,
  model: DeepseekV3,
  hidden: Tensor,
  nextIds: Tensor,
  positions: Tensor,
  memory: AttentionMemory,
): Tensor {
  const { config, weights } = model;
  const { predictor } = weights;
  if (!predictor) throw new Error('this model has no multi-token prediction module');
  const next = g.rmsNorm(g.embedding(predictor.embedding, nextIds), predictor.embeddingNorm, config.eps);
  const here = g.rmsNorm(hidden, predictor.hiddenNorm, config.eps);
  const x = g.linear(g.concat(next, here), predictor.join);
  const y = forwardBlock(g, model, config.layers, predictor.block, x, positions, memory);
  return g.rmsNorm(y, predictor.norm, config.eps);
}

function forwardBlock(
  g: Graph,
  model: DeepseekV3,
  layer: number,
  w: BlockWeights,
  x: Tensor,
  positions: Tensor,
  memory: AttentionMemory,
): Tensor {
  const { config, mla, tables } = model;
  const normed = g.rmsNorm(x, w.attentionNorm, config.eps);
  const h = g.residual(x, mla(g, layer, w.attention, normed, positions, tables, memory, config.mla));
  return g.residual(h, feedForward(g, w.feedForward, g.rmsNorm(h, w.feedForwardNorm, config.eps), config.routing));
}

function feedForward(g: Graph, w: FeedForwardWeights, x: Tensor, routing: Routing): Tensor {
  return w.kind === 'dense' ? gated(g, w.dense, x) : mixture(g, w.mixture, x, routing);
}
