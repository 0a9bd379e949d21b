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
  target_parameters: z.array(z.string()).nullish(),
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

/** What adapter_config.json decides of pairs, by the name of a module or a parameter. */
export interface AdapterScales {
  scaleOf(name: string, rank: number): number;
  /** Of a parameter, whose pair does not show it. */
  rankOf(name: string): number;
  readonly targetParameters: readonly string[];
}

/** Reads adapter_config.json; throws an error that names `where` and the key. */
export function parseAdapterConfig(json: unknown, where: string): AdapterScales {
  const c = parseConfig(wireConfig, json, where);
  const scaling = c.use_rslora ? 'byRoot' : 'byRank';
  const alphaOf = byPattern(c.alpha_pattern ?? {}, c.lora_alpha);
  return {
    rankOf: byPattern(c.rank_pattern ?? {}, c.r),
    scaleOf: (name, rank) => scaleOf({ alpha: alphaOf(name), scaling }, rank),
    targetParameters: c.target_parameters ?? [],
  };
}

/** As PEFT matches: a key is a regular expression for the whole name, or for its end after a dot. */
function byPattern(patterns: Readonly<Record<string, number>>, otherwise: number): (name: string) => number {
  const matchers = Object.entries(patterns).map(([key, value]) => [new RegExp(`^(.*\\.)?(${key})$`), value] as const);
  return (name) => matchers.find(([pattern]) => pattern.test(name))?.[1] ?? otherwise;
}
