// Feed-forward layers: the gated one, and DeepSeek's mixture of experts (DeepSeekMoE, arXiv 2401.06066; V3, arXiv
// 2412.19437, section 2.1.2).
//
// Routing decides for each token alone. The bias that balances the load enters the choice and never the weights of the
// sum, and moves outside the tape; see `training/pretrain`.

import type { Routing } from '@hadal/tensor/gradients';
import type { Graph } from '@hadal/tensor/graph';
import type { Weight } from '@hadal/tensor/packed-matrix';
import type { Tensor } from '@hadal/tensor/tensor';

export interface GatedWeights {
  /** `gate_proj` over `up_proj`, [2F, D]. */
  readonly gateUp: Weight;
  readonly down: Weight;
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
