// DeepSeek-V3.2 (arXiv 2512.02556): `deepseek_v32`.
//
// Owns what is V3.2's alone: in every layer a lightning indexer picks the tokens that latent attention attends to.
// Everything else is DeepSeek-V3. Inference only: the indexer chooses, and a choice has no gradient (it was trained by a
// loss of its own, section 2.1.1, which is not here).

import { z } from 'zod';
import type { Architecture } from './architecture.ts';
import { parseConfig } from './configuration.ts';
import { assembleDeepseekV3, type DeepseekV3Config, parseDeepseekV3Config } from './deepseek-v3.ts';
import { latentMixtureModel } from './latent-mixture.ts';
import { type IndexerConfig, indexerCache, lightningIndexer } from './layers/indexer.ts';

export const deepseekV32: Architecture = {
  className: 'DeepseekV32ForCausalLM',
  define: (json, where) => {
    const config = parseDeepseekV32Config(json, where);
    return latentMixtureModel(
      config,
      (_, source, options) =>
        assembleDeepseekV3(config, source, options, (at, layer, tables) =>
          lightningIndexer(source, `${at}.indexer`, layer, config.indexer, tables),
        ),
      indexerCache(config.indexer),
    );
  },
};

export interface DeepseekV32Config extends DeepseekV3Config {
  readonly indexer: IndexerConfig;
}

const wireIndexer = z.object({
  q_lora_rank: z.int().positive(),
  index_n_heads: z.int().positive(),
  index_head_dim: z.int().positive(),
  index_topk: z.int().positive(),
});

/** Reads config.json; throws an error that names `where` and the key. */
export function parseDeepseekV32Config(json: unknown, where: string): DeepseekV32Config {
  const config = parseDeepseekV3Config(json, where);
  const c = parseConfig(wireIndexer, json, where);
  const { width, rope } = config.mla;
  if (c.index_head_dim < rope) {
    throw new Error(`${where}: index_head_dim: expected at least qk_rope_head_dim = ${rope}, got ${c.index_head_dim}`);
  }
  const indexer: IndexerConfig = {
    ...{ width, queryRank: c.q_lora_rank, heads: c.index_n_heads, headDim: c.index_head_dim, rope },
    topk: c.index_topk,
  };
  return { ...config, indexer };
}
