// DeepSeek-V2 and V2-Lite (arXiv 2405.04434): `deepseek_v2`.
//
// Owns what is V2's alone: experts are scored by softmax, chosen among all (`greedy`) or within the groups that have the
// best expert (`group_limited_greedy`), and weighed as they score, without a bias and without normalization. Block and
// latent attention are those of `latent-mixture`.

import { z } from 'zod';
import type { Architecture, AssembleOptions, Network } from './architecture.ts';
import { parseConfig } from './configuration.ts';
import {
  type LatentMixtureConfig,
  latentMixtureBlocks,
  latentMixtureConfig,
  latentMixtureKeys,
  latentMixtureModel,
  type RouterChoice,
} from './latent-mixture.ts';
import { decoder } from './layers/decoder.ts';
import type { WeightSource } from './weight-source.ts';

export const deepseekV2: Architecture = {
  className: 'DeepseekV2ForCausalLM',
  define: (json, where) => latentMixtureModel(parseDeepseekV2Config(json, where), assemble),
};

const wireConfig = z.object({
  ...latentMixtureKeys,
  topk_method: z.enum(['greedy', 'group_limited_greedy']).default('greedy'),
  scoring_func: z.literal('softmax').default('softmax'),
  // The released models do not normalize; the original code and transformers disagree on what it would mean.
  norm_topk_prob: z.literal(false).default(false),
  mlp_bias: z.literal(false).default(false),
});

/** Reads config.json; throws an error that names `where` and the key. */
export function parseDeepseekV2Config(json: unknown, where: string): LatentMixtureConfig {
  const c = parseConfig(wireConfig, json, where);
  const choice: RouterChoice = {
    grouping: c.topk_method === 'group_limited_greedy' ? 'limited' : 'none',
    scoring: 'softmax',
    groupScore: 'max',
    normalize: false,
    bias: 'none',
  };
  return latentMixtureConfig(c, choice, 'interleaved', json, where);
}

function assemble(config: LatentMixtureConfig, source: WeightSource, options: AssembleOptions): Network {
  const { head, forward, blocks } = decoder(source, config, latentMixtureBlocks(config, source, options));
  return {
    head,
    forward,
    predictor: undefined,
    routers: blocks.flatMap(({ feedForward }) => feedForward.router ?? []),
  };
}
