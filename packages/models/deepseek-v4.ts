// DeepSeek-V4 (Flash and Pro; arXiv 2606.19348): `deepseek_v4`.
//
// Owns the configuration, in the released style and in that of transformers, the table of weights under their official
// names, and the forward pass: blocks of attention and a mixture of experts, each inside a hyper-connection. Layers
// differ in how attention compresses the past and in how experts are chosen. Inference only. The prediction module
// (`mtp.*`) is not run; its tensors may be there.

import { checkTokensPerRow } from '@hadal/kernels/windows';
import type { Tensor } from '@hadal/tensor/tensor';
import { z } from 'zod';
import type { Architecture, AssembleOptions, ModelDefinition, Network } from './architecture.ts';
import { parseConfig } from './configuration.ts';
import { type ClampedMixtureConfig, clampedMixture } from './layers/clamped-mixture.ts';
import {
  type CompressedAttentionConfig,
  type Compression,
  compressedAttention,
  compressedAttentionCache,
} from './layers/compressed-attention.ts';
import { type HyperConfig, hyperConnection, hyperHead, spreadStreams } from './layers/hyper-connections.ts';
import { ropeTables } from './layers/rotary.ts';
import { type RopeParameters, ropeParameters } from './rope-parameters.ts';
import { type WeightSource, whole } from './weight-source.ts';

export const deepseekV4: Architecture = {
  className: 'DeepseekV4ForCausalLM',
  define: (json, where) => define(parseDeepseekV4Config(json, where)),
};

export interface DeepseekV4Config {
  readonly vocabularySize: number;
  readonly width: number;
  readonly layers: readonly LayerConfig[];
  readonly contextLength: number;
  readonly eps: number;
  readonly tiedEmbeddings: boolean;
  readonly initializerRange: number;
  readonly attention: CompressedAttentionConfig;
  readonly mixture: ClampedMixtureConfig;
  readonly hyper: HyperConfig;
  /** Rotation in layers that compress, and in those that do not. */
  readonly rope: { readonly compressed: RopeParameters; readonly windowed: RopeParameters };
}

export interface LayerConfig {
  readonly compression: Compression;
  readonly experts: 'byScore' | 'byToken';
}

const layerTypes = {
  sliding_attention: 'windowed',
  compressed_sparse_attention: 'compressedSparse',
  heavily_compressed_attention: 'heavilyCompressed',
} as const;
const layerTypeNames = Object.keys(layerTypes) as [keyof typeof layerTypes, ...(keyof typeof layerTypes)[]];

/** What the numbers of `compress_ratios` mean; the ratio itself may be set apart from them. */
const kindsByRatio = { 0: 'windowed', 4: 'compressedSparse', 128: 'heavilyCompressed' } as const;

const wireConfig = z.object({
  vocab_size: z.int().positive(),
  hidden_size: z.int().positive(),
  moe_intermediate_size: z.int().positive(),
  num_hidden_layers: z.int().positive(),
  num_attention_heads: z.int().positive(),
  num_key_value_heads: z.literal(1).default(1),
  head_dim: z.int().positive(),
  q_lora_rank: z.int().positive(),
  o_groups: z.int().positive(),
  o_lora_rank: z.int().positive(),
  qk_rope_head_dim: z.int().positive().multipleOf(2).optional(),
  partial_rotary_factor: z.number().positive().max(1).nullish(),
  sliding_window: z.int().positive(),
  compress_ratios: z.array(z.union([z.literal(0), z.literal(4), z.literal(128)])).optional(),
  compress_rate_csa: z.int().positive().optional(),
  compress_rate_hca: z.int().positive().optional(),
  compress_rates: z.partialRecord(z.enum(layerTypeNames), z.int().positive()).nullish(),
  layer_types: z.array(z.enum(layerTypeNames)).nullish(),
  index_n_heads: z.int().positive(),
  index_head_dim: z.int().positive(),
  index_topk: z.int().positive(),
  n_routed_experts: z.int().positive(),
  n_shared_experts: z.int().positive().default(1),
  num_experts_per_tok: z.int().positive(),
  num_hash_layers: z.int().nonnegative().optional(),
  mlp_layer_types: z.array(z.enum(['hash_moe', 'moe'])).nullish(),
  routed_scaling_factor: z.number().default(1),
  norm_topk_prob: z.literal(true).default(true),
  scoring_func: z.enum(['sqrtsoftplus', 'sigmoid', 'softmax']).default('sqrtsoftplus'),
  topk_method: z.literal('noaux_tc').default('noaux_tc'),
  swiglu_limit: z.number().positive(),
  hc_mult: z.int().positive(),
  hc_sinkhorn_iters: z.int().positive(),
  hc_eps: z.number().positive(),
  rope_theta: z.number().positive().default(10_000),
  compress_rope_theta: z.number().positive().default(160_000),
  rope_scaling: z.unknown().optional(),
  rope_parameters: z.record(z.string(), z.unknown()).nullish(),
  max_position_embeddings: z.int().positive(),
  rms_norm_eps: z.number().positive(),
  hidden_act: z.literal('silu').default('silu'),
  attention_bias: z.literal(false).default(false),
  tie_word_embeddings: z.boolean().default(false),
  initializer_range: z.number().positive().default(0.02),
});

type Wire = z.output<typeof wireConfig>;

/** Reads config.json; throws an error that names `where` and the key. */
export function parseDeepseekV4Config(json: unknown, where: string): DeepseekV4Config {
  const c = parseConfig(wireConfig, json, where);
  const rope = c.qk_rope_head_dim ?? Math.trunc(c.head_dim * (c.partial_rotary_factor ?? 64 / 512));
  const need = (isRight: boolean, key: string, expected: string, found: unknown) => {
    if (!isRight) throw new Error(`${where}: ${key}: expected ${expected}, got ${found}`);
  };
  need(c.num_attention_heads % c.o_groups === 0, 'o_groups', `a divisor of ${c.num_attention_heads} heads`, c.o_groups);
  need(rope <= c.head_dim && rope % 2 === 0, 'qk_rope_head_dim', `an even number up to ${c.head_dim}`, rope);
  need(c.index_head_dim >= rope, 'index_head_dim', `at least qk_rope_head_dim = ${rope}`, c.index_head_dim);
  need(
    c.num_experts_per_tok <= c.n_routed_experts,
    'num_experts_per_tok',
    `at most ${c.n_routed_experts}`,
    c.num_experts_per_tok,
  );
  return {
    vocabularySize: c.vocab_size,
    width: c.hidden_size,
    layers: layersOf(c, where),
    contextLength: c.max_position_embeddings,
    eps: c.rms_norm_eps,
    tiedEmbeddings: c.tie_word_embeddings,
    initializerRange: c.initializer_range,
    attention: {
      width: c.hidden_size,
      queryRank: c.q_lora_rank,
      heads: c.num_attention_heads,
      headDim: c.head_dim,
      rope,
      window: c.sliding_window,
      groups: c.o_groups,
      groupRank: c.o_lora_rank,
      indexer: { heads: c.index_n_heads, headDim: c.index_head_dim, topk: c.index_topk },
      eps: c.rms_norm_eps,
    },
    mixture: {
      width: c.hidden_size,
      vocabularySize: c.vocab_size,
      experts: c.n_routed_experts,
      expertWidth: c.moe_intermediate_size,
      sharedExperts: c.n_shared_experts,
      routing: {
        ...{ K: c.num_experts_per_tok, groups: 1, topkGroups: 1, groupScore: 'max' },
        ...{ scoring: c.scoring_func, normalize: c.norm_topk_prob, scale: c.routed_scaling_factor },
      },
      limit: c.swiglu_limit,
    },
    hyper: {
      width: c.hidden_size,
      streams: c.hc_mult,
      iterations: c.hc_sinkhorn_iters,
      eps: c.hc_eps,
      normEps: c.rms_norm_eps,
    },
    rope: rotations(c, rope, where),
  };
}

/** The kind of each layer. Released configurations list one more, the prediction module's. */
function layersOf(c: Wire, where: string): LayerConfig[] {
  const kinds =
    c.layer_types?.map((type) => layerTypes[type]) ?? c.compress_ratios?.map((ratio) => kindsByRatio[ratio]);
  if (!kinds || kinds.length < c.num_hidden_layers) {
    const found = kinds ? `${kinds.length} of them` : 'neither';
    throw new Error(`${where}: compress_ratios or layer_types: expected ${c.num_hidden_layers} layers, got ${found}`);
  }
  const hashed = c.mlp_layer_types?.map((type) => type === 'hash_moe');
  const ratios = {
    compressedSparse: c.compress_rate_csa ?? c.compress_rates?.compressed_sparse_attention ?? 4,
    heavilyCompressed: c.compress_rate_hca ?? c.compress_rates?.heavily_compressed_attention ?? 128,
  };
  checkTokensPerRow(ratios.compressedSparse, `${where}: compress_rate_csa`);
  checkTokensPerRow(ratios.heavilyCompressed, `${where}: compress_rate_hca`);
  return kinds.slice(0, c.num_hidden_layers).map((kind, layer) => ({
    compression: kind === 'windowed' ? { kind } : { kind, ratio: ratios[kind] },
    experts: (hashed?.[layer] ?? layer < (c.num_hash_layers ?? 3)) ? 'byToken' : 'byScore',
  }));
}

/** Windowed layers rotate plainly. Those that compress have a base of their own and YaRN, which sharpens nothing here. */
function rotations(c: Wire, dim: number, where: string): DeepseekV4Config['rope'] {
  const read = (theta: number, scaling: unknown) =>
    ropeParameters({ rope_theta: theta, rope_scaling: scaling }, dim, c.max_position_embeddings, where);
  const { main, compress, ...flat } = c.rope_parameters ?? {};
  const thetaOf = (nested: unknown) => (nested as { readonly rope_theta?: number } | undefined)?.rope_theta;
  const plain = read(thetaOf(main) ?? c.rope_theta, main);
  const scaling = compress ?? (Object.keys(flat).length > 0 ? flat : c.rope_scaling);
  const scaled = read(thetaOf(compress) ?? c.compress_rope_theta, scaling);
  const { table } = scaled;
  if (table.scaling?.type !== 'yarn') return { windowed: plain, compressed: scaled };
  const compressed = { ...scaled, table: { ...table, scaling: { ...table.scaling, attentionFactor: 1 } } };
  return { windowed: plain, compressed };
}

function define(config: DeepseekV4Config): ModelDefinition {
  const { vocabularySize, contextLength, layers, initializerRange, attention, mixture } = config;
  return {
    ...{ vocabularySize, contextLength, layers: layers.length, initializerRange },
    forms: ['standard'],
    preferredForm: 'standard',
    // Products of blocks of columns, and experts by a table, take none.
    adapters: 'refused',
    activeShare: mixture.routing.K / mixture.experts,
    cacheLayout: () => layers.map(({ compression }) => compressedAttentionCache(attention, compression)),
    assemble: (source, options) => assemble(config, source, options),
  };
}

function assemble(config: DeepseekV4Config, source: WeightSource, { positions }: AssembleOptions): Network {
  const { vocabularySize: V, width: D, eps, hyper } = config;
  const norm = (name: string) => source.tensor(whole('norm', `${name}.weight`, D));
  const windowed = ropeTables(source, config.rope.windowed, 'interleaved', positions);
  const compressed = ropeTables(source, config.rope.compressed, 'interleaved', positions);
  const embedding = source.matrix(whole('embedding', 'embed.weight', V, D));
  const blocks = config.layers.map(({ compression, experts }, layer) => {
    const at = `layers.${layer}`;
    const tables = compression.kind === 'windowed' ? windowed : compressed;
    return {
      attentionNorm: norm(`${at}.attn_norm`),
      attention: compressedAttention(source, `${at}.attn`, layer, config.attention, compression, tables),
      aroundAttention: hyperConnection(source, `${at}.hc_attn`, hyper),
      mixtureNorm: norm(`${at}.ffn_norm`),
      mixture: clampedMixture(source, `${at}.ffn`, experts, config.mixture),
      aroundMixture: hyperConnection(source, `${at}.hc_ffn`, hyper),
    };
  });
  const collapse = hyperHead(source, 'hc_head', hyper);
  const lastNorm = norm('norm');
  const head = source.matrix(whole('head', config.tiedEmbeddings ? 'embed.weight' : 'head.weight', V, D));
  return {
    head,
    predictor: undefined,
    routers: blocks.map(({ mixture }) => mixture.router),
    forward(g, ids, at, memory, observe) {
      let streams = spreadStreams(g, g.embedding(embedding, ids), hyper);
      for (const block of blocks) {
        observe?.(streams);
        const attention = (x: Tensor) => block.attention(g, g.rmsNorm(x, block.attentionNorm, eps), at, memory);
        const mixture = (x: Tensor) => block.mixture.forward(g, g.rmsNorm(x, block.mixtureNorm, eps), ids);
        streams = g.update(streams, (all) => block.aroundAttention(g, all, attention));
        streams = g.update(streams, (all) => block.aroundMixture(g, all, mixture));
      }
      return g.rmsNorm(collapse(g, streams), lastNorm, eps);
    },
  };
}
