// Feed-forward layers: the gated one, and DeepSeek's mixture of experts (DeepSeekMoE, arXiv 2401.06066; V3, arXiv
// 2412.19437, section 2.1.2).
//
// Routing decides for each token alone. The bias that balances the load enters the choice and never the weights of the
// sum, and moves outside the tape; see `training/pretrain`.

import type { Routing } from '@hadal/tensor/gradients';
import type { Graph } from '@hadal/tensor/graph';
import type { Weight } from '@hadal/tensor/packed-matrix';
import type { Tensor } from '@hadal/tensor/tensor';
import { type Part, type WeightSource, whole } from '../weight-source.ts';

export interface GatedWeights {
  /** `gate_proj` over `up_proj`, [2F, D]. */
  readonly gateUp: Weight;
  readonly down: Weight;
}

export interface MixtureConfig {
  /** Of the residual stream. */
  readonly width: number;
  readonly experts: number;
  readonly expertWidth: number;
  /** Experts that every token goes to; they are stored as one wide one. */
  readonly sharedExperts: number;
  readonly routing: Routing;
}

export interface MixtureWeights {
  readonly router: Weight;
  readonly routerBias: Tensor;
  /** i32 [E]: tokens that chose each expert. */
  readonly counts: Tensor;
  /** [E, 2F, D] and [E, D, F]. */
  readonly experts: GatedWeights;
  readonly shared: GatedWeights | undefined;
}

export type FeedForwardWeights =
  | { readonly kind: 'dense'; readonly dense: GatedWeights }
  | { readonly kind: 'mixture'; readonly mixture: MixtureWeights };

/** The weights under `at` (`model.layers.0.mlp`), `width` in and out, `hidden` between. */
export function gatedWeights(source: WeightSource, at: string, width: number, hidden: number): GatedWeights {
  const part = (name: string): Part => ({ name: `${at}.${name}.weight`, shape: [hidden, width] });
  return {
    gateUp: source.matrix({ kind: 'matrix', shape: [2 * hidden, width], parts: [part('gate_proj'), part('up_proj')] }),
    down: source.matrix(whole('matrix', `${at}.down_proj.weight`, width, hidden)),
  };
}

/** The weights under `at` (`model.layers.3.mlp`). */
export function mixtureWeights(source: WeightSource, at: string, config: MixtureConfig): MixtureWeights {
  const { width: D, experts: E, expertWidth: F, sharedExperts } = config;
  const router = source.matrix(whole('router', `${at}.gate.weight`, E, D));
  const routerBias = source.tensor(whole('routerBias', `${at}.gate.e_score_correction_bias`, E));
  const part = (expert: number, name: string, ...shape: number[]): Part => ({
    name: `${at}.experts.${expert}.${name}.weight`,
    shape,
  });
  const indices = Array.from({ length: E }, (_, e) => e);
  return {
    router,
    routerBias,
    counts: source.counter(E),
    experts: {
      gateUp: source.matrix({
        kind: 'experts',
        shape: [E, 2 * F, D],
        parts: indices.flatMap((e) => [part(e, 'gate_proj', F, D), part(e, 'up_proj', F, D)]),
      }),
      down: source.matrix({
        kind: 'experts',
        shape: [E, D, F],
        parts: indices.map((e) => part(e, 'down_proj', D, F)),
      }),
    },
    shared: sharedExperts > 0 ? gatedWeights(source, `${at}.shared_experts`, D, sharedExperts * F) : undefined,
  };
}

export function feedForward(g: Graph, w: FeedForwardWeights, x: Tensor, routing: Routing): Tensor {
  return w.kind === 'dense' ? gated(g, w.dense, x) : mixture(g, w.mixture, x, routing);
}

/** (silu(x gate) * (x up)) down. x [N, D]; [N, D]. */
export function gated(g: Graph, w: GatedWeights, x: Tensor): Tensor {
  return g.linear(g.swiglu(g.linear(x, w.gateUp)), w.down);
}

/** The shared experts' output plus the weighted sum of the chosen ones'. x [N, D]; [N, D]. */
export function mixture(g: Graph, w: MixtureWeights, x: Tensor, routing: Routing): Tensor {
  const { ids, weights } = g.route(g.linear(x, w.router), w.routerBias, w.counts, routing);
  const groups = g.group(ids, w.routerBias.length);
  const hidden = g.swiglu(g.groupedLinear(g.gather(x, groups), w.experts.gateUp, groups));
  const routed = g.combine(g.groupedLinear(hidden, w.experts.down, groups), weights, groups);
  return w.shared ? g.residual(gated(g, w.shared, x), routed) : routed;
}
