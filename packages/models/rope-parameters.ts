// Rotary parameters as configurations write them.
//
// Owns the reading of both styles: `rope_theta` beside `rope_scaling` (released checkpoints) and `rope_parameters`
// (transformers 5). The arithmetic is in `kernels/rope`.

import { type RopeScaling, ropeTable } from '@hadal/kernels/rope';
import { z } from 'zod';
import { parseConfig } from './configuration.ts';

export interface RopeParameters {
  /** What `ropeTable` needs, but for the number of positions. */
  readonly table: { readonly dim: number; readonly theta: number; readonly scaling: RopeScaling | undefined };
  /** Factor on the softmax scale: YaRN's mscale squared (arXiv 2309.00071, section 3.4, as DeepSeek applies it). */
  readonly softmaxScale: number;
}

const wireScaling = z.object({
  type: z.string().optional(),
  rope_type: z.string().optional(),
  rope_theta: z.number().positive().optional(),
  factor: z.number().positive().optional(),
  original_max_position_embeddings: z.int().positive().optional(),
  beta_fast: z.number().default(32),
  beta_slow: z.number().default(1),
  mscale: z.number().optional(),
  mscale_all_dim: z.number().optional(),
  attention_factor: z.number().positive().nullish(),
  low_freq_factor: z.number().optional(),
  high_freq_factor: z.number().optional(),
});

const wireRope = z.object({
  rope_theta: z.number().positive().optional(),
  rope_scaling: wireScaling.nullish(),
  rope_parameters: wireScaling.nullish(),
});

export function ropeParameters(json: unknown, dim: number, contextLength: number, where: string): RopeParameters {
  const { rope_scaling, rope_parameters, rope_theta } = parseConfig(wireRope, json, where);
  const wire = rope_parameters ?? rope_scaling ?? undefined;
  const theta = rope_parameters?.rope_theta ?? rope_theta ?? 10_000;
  const kind = wire?.rope_type ?? wire?.type ?? 'default';
  const plain = { table: { dim, theta, scaling: undefined }, softmaxScale: 1 };
  if (!wire || kind === 'default') return plain;

  const need = (key: 'factor' | 'low_freq_factor' | 'high_freq_factor') => {
    const value = wire[key];
    if (value === undefined) throw new Error(`${where}: rope_scaling.${key}: expected for type "${kind}", absent`);
    return value;
  };
  const original = wire.original_max_position_embeddings ?? contextLength;
  switch (kind) {
    case 'linear':
      return { ...plain, table: { dim, theta, scaling: { type: 'linear', factor: need('factor') } } };
    case 'llama3': {
      const frequencies = {
        lowFrequencyFactor: need('low_freq_factor'),
        highFrequencyFactor: need('high_freq_factor'),
      };
      const scaling = { type: kind, factor: need('factor'), ...frequencies, originalMaxPositions: original } as const;
      return { ...plain, table: { dim, theta, scaling } };
    }
    case 'yarn': {
      const factor = need('factor');
      const { beta_fast: betaFast, beta_slow: betaSlow, mscale, mscale_all_dim: mscaleAllDim } = wire;
      const { attention_factor: attentionFactor } = wire;
      const scaling = {
        ...{ type: kind, factor, originalMaxPositions: original, betaFast, betaSlow },
        ...(mscale === undefined ? {} : { mscale }),
        ...(mscaleAllDim === undefined ? {} : { mscaleAllDim }),
        ...(attentionFactor === undefined || attentionFactor === null ? {} : { attentionFactor }),
      };
      const table = { dim, theta, scaling };
      return { table, softmaxScale: ropeTable({ ...table, maxPositions: 1 }).softmaxFactor };
    }
    default:
      throw new Error(`${where}: rope_scaling.type: expected default, linear, llama3 or yarn, got "${kind}"`);
  }
}
