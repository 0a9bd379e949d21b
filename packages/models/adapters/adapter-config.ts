// What an adapter is, beside its matrices: ranks, scales and the modules that it has them for.
//
// Owns the choice of modules by name and adapter_config.json as PEFT (0.7 and later) writes and reads it. What we do not
// compute (DoRA, biases, whole modules beside the pairs, copied layers) is refused by its key, never ignored.

import { z } from 'zod';
import { parseConfig } from '../configuration.ts';
import type { ModulePair } from './low-rank-specs.ts';

export interface AdapterConfig {
  readonly rank: number;
  readonly alpha: number;
  /** alpha / rank, or alpha / sqrt(rank) (rsLoRA, Kalajdzievski 2023, arXiv 2312.03732). */
  readonly scaling: 'byRank' | 'byRoot';
  /** Every matrix of attention and feed-forward, or modules whose name is one of these or ends in one, after a dot. */
  readonly targets: 'all-linear' | readonly string[];
}

/** The factor of a pair. */
export function scaleOf({ alpha, scaling }: Pick<AdapterConfig, 'alpha' | 'scaling'>, rank: number): number {
  return alpha / (scaling === 'byRoot' ? Math.sqrt(rank) : rank);
}

/** The pair of a module that a training run adapts. */
export function targetPair(config: AdapterConfig, module: string): ModulePair | undefined {
  const { targets, rank } = config;
  const isTarget = targets === 'all-linear' || targets.some((target) => isNamed(module, target));
  return isTarget ? { rank, scale: scaleOf(config, rank) } : undefined;
}

export function isNamed(module: string, name: string): boolean {
  return module === name || module.endsWith(`.${name}`);
}

const absent = z.literal(null).or(z.literal(false)).or(z.tuple([])).or(z.strictObject({})).nullish();

const wireConfig = z.object({
  peft_type: z.literal('LORA'),
  r: z.int().positive(),
  lora_alpha: z.number().positive(),
  use_rslora: z.boolean().default(false),
  rank_pattern: z.record(z.string(), z.int().positive()).nullish(),
  alpha_pattern: z.record(z.string(), z.number().positive()).nullish(),
  bias: z.literal('none').default('none'),
  fan_in_fan_out: z.literal(false).default(false),
  use_dora: absent,
  use_qalora: absent,
  lora_bias: absent,
  modules_to_save: absent,
  trainable_token_indices: absent,
  layer_replication: absent,
  alora_invocation_tokens: absent,
  arrow_config: absent,
});

/** What adapter_config.json decides of a pair, given its rank. */
export interface AdapterScales {
  scaleOf(module: string, rank: number): number;
}

/** Reads adapter_config.json; throws an error that names `where` and the key. */
export function parseAdapterConfig(json: unknown, where: string): AdapterScales {
  const c = parseConfig(wireConfig, json, where);
  const scaling = c.use_rslora ? 'byRoot' : 'byRank';
  const patterns = Object.entries(c.alpha_pattern ?? {}).map(
    // As PEFT matches them: the whole name, or its end after a dot; a key may be a regular expression.
    ([key, alpha]) => [new RegExp(key.startsWith('^') ? key : `^(.*\\.)?(${key})$`), alpha] as const,
  );
  return {
    scaleOf(module, rank) {
      const alpha = patterns.find(([pattern]) => pattern.test(module))?.[1] ?? c.lora_alpha;
      return scaleOf({ alpha, scaling }, rank);
    },
  };
}
