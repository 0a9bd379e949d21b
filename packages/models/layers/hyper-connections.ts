// Manifold-constrained hyper-connections (mHC; Xie et al. 2025, arXiv 2512.24880; DeepSeek-V4, arXiv 2606.19348, section
// 2.2).
//
// Owns the residual stream of a network whose stream is several: how a layer's input is made of them, how its output
// enters them, and how they end in one. Knows nothing of the layers. Every token's streams lie side by side in one row.

import type { Graph } from '@hadal/tensor/graph';
import {
  collapseStreams,
  expandStreams,
  type HyperShape,
  lastStreamWeights,
  streamWeights,
} from '@hadal/tensor/inference-operations';
import type { Tensor } from '@hadal/tensor/tensor';
import { type WeightSource, whole } from '../weight-source.ts';

export interface HyperConfig extends HyperShape {
  /** Of one stream. */
  readonly width: number;
  /** Of the norm before the learned projection. */
  readonly normEps: number;
}

/** Surrounds a layer: streams [N, streams * D] to streams; `layer` maps [N, D] to [N, D]. */
export type HyperConnection = (g: Graph, streams: Tensor, layer: (x: Tensor) => Tensor) => Tensor;

/** The connection around one layer, over the weights that begin with `at` (`layers.0.hc_attn`). */
export function hyperConnection(source: WeightSource, at: string, config: HyperConfig): HyperConnection {
  const mixesOf = projection(source, at, (2 + config.streams) * config.streams, config);
  const base = source.tensor(whole('mixer', `${at}_base`, (2 + config.streams) * config.streams));
  const scale = source.tensor(whole('mixer', `${at}_scale`, 3));
  return (g, streams, layer) => {
    const weights = streamWeights(g, mixesOf(g, streams), scale, base, config);
    return expandStreams(g, streams, layer(collapseStreams(g, streams, weights.pre)), weights);
  };
}

/** What is left of the streams after the last layer: [N, streams * D] to [N, D]. */
export function hyperHead(
  source: WeightSource,
  at: string,
  config: HyperConfig,
): (g: Graph, streams: Tensor) => Tensor {
  const mixesOf = projection(source, at, config.streams, config);
  const base = source.tensor(whole('mixer', `${at}_base`, config.streams));
  const scale = source.tensor(whole('mixer', `${at}_scale`, 1));
  return (g, streams) => collapseStreams(g, streams, lastStreamWeights(g, mixesOf(g, streams), scale, base, config));
}

/** Every stream begins as the embedding: x [N, D] to [N, streams * D]. */
export function spreadStreams(g: Graph, x: Tensor, { streams, width }: HyperConfig): Tensor {
  const spread = g.arena.take([x.rows, streams * width]);
  for (let k = 0; k < streams; k++) g.copyColumns(x, 0, spread, k * width, width, 'write');
  return spread;
}

/** The streams' projection onto weights, after a norm without weights of all of them together. */
function projection(source: WeightSource, at: string, out: number, { streams, width, normEps }: HyperConfig) {
  const w = source.matrix(whole('mixer', `${at}_fn`, out, streams * width));
  const ones = source.constant([streams * width], () => new Float32Array(streams * width).fill(1));
  return (g: Graph, x: Tensor) => g.linear(g.rmsNorm(x, ones, normEps), w);
}
