// DeepSeek-V4's mixture of experts (arXiv 2606.19348, section 2.1).
//
// Owns what sets it apart from the mixture of `feed-forward`: experts whose gate and values are clamped, and a router
// that in the first layers only weighs the experts which a table has for each token. Inference only.

import type { Routing } from '@hadal/tensor/gradients';
import type { Graph } from '@hadal/tensor/graph';
import { routeTokens, swigluWithin } from '@hadal/tensor/inference-operations';
import type { Tensor } from '@hadal/tensor/tensor';
import type { Router } from '../architecture.ts';
import { type WeightSource, whole } from '../weight-source.ts';
import { expertWeights, type GatedNames, gatedWeights, mixExperts } from './feed-forward.ts';

export interface ClampedMixtureConfig {
  /** Of the residual stream. */
  readonly width: number;
  readonly vocabularySize: number;
  readonly experts: number;
  readonly expertWidth: number;
  readonly sharedExperts: number;
  readonly routing: Routing;
  /** Bound of a gate from above, and of the values that it lets through on both sides. */
  readonly limit: number;
}

export interface ClampedMixture {
  /** x [N, D], normed, to [N, D]; `tokens` i32 [N] are the ids that x came from. */
  readonly forward: (g: Graph, x: Tensor, tokens: Tensor) => Tensor;
  readonly router: Router;
}

const names: GatedNames = { gate: 'w1', up: 'w3', down: 'w2' };

/** The mixture under `at` (`layers.0.ffn`), whose experts are chosen by score or looked up by token. */
export function clampedMixture(
  source: WeightSource,
  at: string,
  choice: 'byScore' | 'byToken',
  config: ClampedMixtureConfig,
): ClampedMixture {
  const { width: D, vocabularySize: V, experts: E, expertWidth: F, sharedExperts, routing, limit } = config;
  const scores = source.matrix(whole('router', `${at}.gate.weight`, E, D));
  const bias = choice === 'byScore' ? source.tensor(whole('routerBias', `${at}.gate.bias`, E)) : undefined;
  const table = bias ? undefined : source.tensor(whole('table', `${at}.gate.tid2eid`, V, routing.K));
  const counts = source.counter(E);
  const experts = expertWeights(source, at, config, names);
  const shared = gatedWeights(source, `${at}.shared_experts`, D, sharedExperts * F, names);
  const activate = (g: Graph) => (gateUp: Tensor) => swigluWithin(g, gateUp, limit);
  return {
    router: { counts, bias },
    forward(g, x, tokens) {
      const logits = g.linear(x, scores);
      const chosen = table
        ? routeTokens(g, logits, table, tokens, counts, routing)
        : g.route(logits, bias as Tensor, counts, routing);
      const routed = mixExperts(g, x, chosen, experts, E, (y, w, groups) => activate(g)(g.groupedLinear(y, w, groups)));
      return g.residual(g.linear(activate(g)(g.linear(x, shared.gateUp)), shared.down), routed);
    },
  };
}
