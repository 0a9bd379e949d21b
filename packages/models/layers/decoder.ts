// The pre-norm decoder that Llama, Qwen2 and DeepSeek-V2 to V3.2 have in common.
//
// Owns the embedding, the residual stream through the blocks, the final norm and the head, with their checkpoint names.
// What attention and feed-forward are is the architecture's: each block brings them as functions over its own weights.

import type { Graph } from '@hadal/tensor/graph';
import type { Weight } from '@hadal/tensor/packed-matrix';
import type { Tensor } from '@hadal/tensor/tensor';
import type { Network } from '../architecture.ts';
import { type WeightSource, whole } from '../weight-source.ts';
import type { AttentionMemory } from './attention-memory.ts';
import type { FeedForward } from './feed-forward.ts';

export interface DecoderConfig {
  readonly vocabularySize: number;
  readonly width: number;
  readonly layers: number;
  readonly eps: number;
  readonly tiedEmbeddings: boolean;
}

/** What is added to the stream: x [N, D], normed, to [N, D]. positions i32 [N]. */
export type Attention = (g: Graph, x: Tensor, positions: Tensor, memory: AttentionMemory) => Tensor;

export interface Block {
  readonly attentionNorm: Tensor;
  readonly attention: Attention;
  readonly feedForwardNorm: Tensor;
  readonly feedForward: FeedForward;
}

export interface Decoder {
  readonly embedding: Weight;
  readonly blocks: readonly Block[];
  readonly head: Weight;
  readonly forward: Network['forward'];
}

/** Asks for all weights in checkpoint order; `block` for those of one layer. */
export function decoder(source: WeightSource, config: DecoderConfig, block: (layer: number) => Block): Decoder {
  const { vocabularySize: V, width: D, layers, eps, tiedEmbeddings } = config;
  const embedding = source.matrix(whole('embedding', 'model.embed_tokens.weight', V, D));
  const blocks = Array.from({ length: layers }, (_, layer) => block(layer));
  const norm = source.tensor(whole('norm', 'model.norm.weight', D));
  const head = source.matrix(whole('head', tiedEmbeddings ? 'model.embed_tokens.weight' : 'lm_head.weight', V, D));
  return {
    embedding,
    blocks,
    head,
    forward(g, ids, positions, memory, observe) {
      let x = g.embedding(embedding, ids);
      for (const each of blocks) {
        observe?.(x);
        x = g.update(x, (stream) => forwardBlock(g, each, stream, positions, memory, eps));
      }
      return g.rmsNorm(x, norm, eps);
    },
  };
}

/** One block: x [N, D] to [N, D]. */
export function forwardBlock(
  g: Graph,
  { attentionNorm, attention, feedForwardNorm, feedForward }: Block,
  x: Tensor,
  positions: Tensor,
  memory: AttentionMemory,
  eps: number,
): Tensor {
  const h = g.residual(x, attention(g, g.rmsNorm(x, attentionNorm, eps), positions, memory));
  return g.residual(h, feedForward.forward(g, g.rmsNorm(h, feedForwardNorm, eps)));
}
