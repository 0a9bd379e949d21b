// Feed-forward layers: the gated one, and DeepSeek's mixture of experts (DeepSeekMoE, arXiv 2401.06066; V3, arXiv
// 2412.19437, section 2.1.2).
//
// Owns their weights' names and shapes and what is computed with them. Routing decides for each token alone. The bias
// that balances the load enters the choice and never the weights of the sum, and moves outside the tape.

import type { Routing } from '@hadal/tensor/gradients';
import type { Graph, Groups } from '@hadal/tensor/graph';
import type { Weight } from '@hadal/tensor/packed-matrix';
import type { Tensor } from '@hadal/tensor/tensor';
import type { Router } from '../architecture.ts';
import { type Part, type WeightSource, whole } from '../weight-source.ts';

export interface FeedForward {
  /** x [N, D] to [N, D]. */
  readonly forward: (g: Graph, x: Tensor) => Tensor;
  /** Of a mixture. */
  readonly router: Router | undefined;
}

export interface GatedWeights {
  /** `gate_proj` over `up_proj`, [2F, D]. */
  readonly gateUp: Weight;
  readonly down: Weight;
  /** Llama's `mlp_bias`. */
  readonly bias?: { readonly gateUp: Tensor; readonly down: Tensor } | undefined;
}

/** What a checkpoint calls the three matrices. */
export interface GatedNames {
  readonly gate: string;
  readonly up: string;
  readonly down: string;
}

const hubNames: GatedNames = { gate: 'gate_proj', up: 'up_proj', down: 'down_proj' };

export interface MixtureConfig {
  /** Of the residual stream. */
  readonly width: number;
  readonly experts: number;
  readonly expertWidth: number;
  /** Experts that every token goes to; they are stored as one wide one. */
  readonly sharedExperts: number;
  readonly routing: Routing;
  /** Whether a bias, moved by load, takes part in the choice of experts (V3), or not (V2). */
  readonly bias: 'byLoad' | 'none';
}

/** The gated layer under `at` (`model.layers.0.mlp`): `width` in and out, `hidden` between. */
export function gatedFeedForward(
  source: WeightSource,
  at: string,
  width: number,
  hidden: number,
  bias: 'none' | 'all' = 'none',
): FeedForward {
  const w = gatedWeights(source, at, width, hidden);
  const biases = bias === 'all' ? gatedBiases(source, at, width, hidden) : undefined;
  return { forward: (g, x) => gated(g, { ...w, bias: biases }, x), router: undefined };
}

/** The mixture under `at` (`model.layers.3.mlp`): shared experts plus the weighted sum of those that the router chose. */
export function mixtureOfExperts(source: WeightSource, at: string, config: MixtureConfig): FeedForward {
  const { width: D, experts: E, expertWidth: F, sharedExperts, routing } = config;
  const router = source.matrix(whole('router', `${at}.gate.weight`, E, D));
  const bias =
    config.bias === 'byLoad'
      ? source.tensor(whole('routerBias', `${at}.gate.e_score_correction_bias`, E))
      : source.constant([E], () => new Float32Array(E));
  const counts = source.counter(E);
  const experts = expertWeights(source, at, config);
  const shared = sharedExperts > 0 ? gatedWeights(source, `${at}.shared_experts`, D, sharedExperts * F) : undefined;
  return {
    router: { counts, bias: config.bias === 'byLoad' ? bias : undefined },
    forward(g, x) {
      const chosen = g.route(g.linear(x, router), bias, counts, routing);
      const routed = mixExperts(g, x, chosen, experts, E, (y, w, groups) => g.groupedGatedLinear(y, w, groups));
      return shared ? g.residual(gated(g, shared, x), routed) : routed;
    },
  };
}

/**
 * The weighted sum of the experts that each token chose: ids i32 and weights [N, K]. `hiddenOf` is a layer's first product
 * with its activation, [R, D] to [R, F].
 */
export function mixExperts(
  g: Graph,
  x: Tensor,
  { ids, weights }: { readonly ids: Tensor; readonly weights: Tensor },
  experts: GatedWeights,
  count: number,
  hiddenOf: (x: Tensor, gateUp: Weight, groups: Groups) => Tensor,
): Tensor {
  const groups = g.group(ids, count);
  const hidden = hiddenOf(g.gather(x, groups), experts.gateUp, groups);
  return g.combine(g.groupedLinear(hidden, experts.down, groups), weights, groups);
}

/** (silu(x gate) * (x up)) down, each with its bias where there is one. x [N, D]; [N, D]. */
export function gated(g: Graph, { gateUp, down, bias }: GatedWeights, x: Tensor): Tensor {
  return g.linear(g.gatedLinear(x, gateUp, bias?.gateUp), down, bias?.down);
}

export function gatedWeights(
  source: WeightSource,
  at: string,
  width: number,
  hidden: number,
  { gate, up, down } = hubNames,
): GatedWeights {
  const part = (name: string): Part => ({ name: `${at}.${name}.weight`, shape: [hidden, width] });
  return {
    gateUp: source.matrix({ kind: 'matrix', shape: [2 * hidden, width], parts: [part(gate), part(up)] }),
    down: source.matrix(whole('matrix', `${at}.${down}.weight`, width, hidden)),
  };
}

function gatedBiases(source: WeightSource, at: string, width: number, hidden: number) {
  const part = (name: string): Part => ({ name: `${at}.${name}.bias`, shape: [hidden] });
  return {
    gateUp: source.tensor({ kind: 'bias', shape: [2 * hidden], parts: [part('gate_proj'), part('up_proj')] }),
    down: source.tensor(whole('bias', `${at}.down_proj.bias`, width)),
  };
}

/** All experts of a layer as two weights, [E, 2F, D] and [E, D, F]. */
export function expertWeights(
  source: WeightSource,
  at: string,
  { width: D, experts: E, expertWidth: F }: Pick<MixtureConfig, 'width' | 'experts' | 'expertWidth'>,
  { gate, up, down } = hubNames,
): GatedWeights {
  const indices = Array.from({ length: E }, (_, e) => e);
  const part = (expert: number, name: string, ...shape: number[]): Part => ({
    name: `${at}.experts.${expert}.${name}.weight`,
    shape,
  });
  return {
    gateUp: source.matrix({
      kind: 'experts',
      shape: [E, 2 * F, D],
      parts: indices.flatMap((e) => [part(e, gate, F, D), part(e, up, F, D)]),
    }),
    down: source.matrix({ kind: 'experts', shape: [E, D, F], parts: indices.map((e) => part(e, down, D, F)) }),
  };
}
