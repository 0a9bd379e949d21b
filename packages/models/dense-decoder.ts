// What Llama and Qwen2 have in common.
//
// Owns the keys of config.json that both have, and the model: grouped-query attention with half-split rotation and a
// gated feed-forward network in every block. Which projections have biases is the architecture's, as a value of the
// configuration.

import { z } from 'zod';
import type { AssembleOptions, ModelDefinition, Network } from './architecture.ts';
import { type Block, type DecoderConfig, decoder } from './layers/decoder.ts';
import { gatedFeedForward } from './layers/feed-forward.ts';
import { type GroupedQueryConfig, groupedQueryAttention, groupedQueryCache } from './layers/grouped-query-attention.ts';
import { ropeTables } from './layers/rotary.ts';
import { type RopeParameters, ropeParameters } from './rope-parameters.ts';
import { type WeightSource, whole } from './weight-source.ts';

export interface DenseConfig extends DecoderConfig {
  readonly attention: GroupedQueryConfig;
  readonly feedForward: { readonly width: number; readonly bias: 'none' | 'all' };
  readonly rope: RopeParameters;
  readonly contextLength: number;
  readonly initializerRange: number;
}

/** A part of both schemas, to be spread into `z.object`. */
export const denseKeys = {
  vocab_size: z.int().positive(),
  hidden_size: z.int().positive(),
  intermediate_size: z.int().positive(),
  num_hidden_layers: z.int().positive(),
  num_attention_heads: z.int().positive(),
  num_key_value_heads: z.int().positive().nullish(),
  head_dim: z.int().positive().nullish(),
  max_position_embeddings: z.int().positive(),
  rms_norm_eps: z.number().positive(),
  hidden_act: z.literal('silu').default('silu'),
  tie_word_embeddings: z.boolean().default(false),
  initializer_range: z.number().positive().default(0.02),
} as const;

type DenseWire = z.output<z.ZodObject<typeof denseKeys>>;

export interface DenseBias {
  readonly attention: GroupedQueryConfig['bias'];
  readonly feedForward: 'none' | 'all';
}

/** The configuration of `c`, which `json` became; throws an error that names `where` and the key. */
export function denseConfig(c: DenseWire, bias: DenseBias, json: unknown, where: string): DenseConfig {
  const heads = c.num_attention_heads;
  const keyHeads = c.num_key_value_heads ?? heads;
  if (heads % keyHeads !== 0) {
    throw new Error(`${where}: num_key_value_heads: expected a divisor of ${heads} heads, got ${keyHeads}`);
  }
  const headDim = c.head_dim ?? c.hidden_size / heads;
  if (!Number.isInteger(headDim / 2)) {
    const key = c.head_dim ? 'head_dim' : 'hidden_size / num_attention_heads';
    throw new Error(`${where}: ${key}: expected an even number, got ${headDim}`);
  }
  return {
    vocabularySize: c.vocab_size,
    width: c.hidden_size,
    layers: c.num_hidden_layers,
    attention: { width: c.hidden_size, heads, keyHeads, headDim, bias: bias.attention },
    feedForward: { width: c.intermediate_size, bias: bias.feedForward },
    rope: ropeParameters(json, headDim, c.max_position_embeddings, where),
    contextLength: c.max_position_embeddings,
    eps: c.rms_norm_eps,
    tiedEmbeddings: c.tie_word_embeddings,
    initializerRange: c.initializer_range,
  };
}

export function denseDecoder(config: DenseConfig): ModelDefinition {
  const { vocabularySize, contextLength, layers, initializerRange, attention } = config;
  return {
    ...{ vocabularySize, contextLength, layers, initializerRange },
    forms: ['standard'],
    preferredForm: 'standard',
    activeShare: 1,
    cacheLayout: (_form, dtype) => Array.from({ length: layers }, () => groupedQueryCache(attention, dtype)),
    assemble: (source, options) => assemble(config, source, options),
  };
}

function assemble(config: DenseConfig, source: WeightSource, { positions }: AssembleOptions): Network {
  const { width: D, attention, feedForward, rope } = config;
  const tables = ropeTables(source, rope, 'half', positions);
  const block = (layer: number): Block => {
    const at = `model.layers.${layer}`;
    return {
      attentionNorm: source.tensor(whole('norm', `${at}.input_layernorm.weight`, D)),
      attention: groupedQueryAttention(source, `${at}.self_attn`, layer, attention, tables),
      feedForwardNorm: source.tensor(whole('norm', `${at}.post_attention_layernorm.weight`, D)),
      feedForward: gatedFeedForward(source, `${at}.mlp`, D, feedForward.width, feedForward.bias),
    };
  };
  const { head, forward } = decoder(source, config, block);
  return { head, forward, predictor: undefined, routers: [] };
}
