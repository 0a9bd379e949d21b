// A training run as a value.
//
// Owns the shape of a recipe: model, tokenizer, and the stages with their data and rates. A file under `recipes/`
// exports one as `recipe`. Everything that decides the resulting bits is in here; where the run is kept is not.

import { createHash } from 'node:crypto';
import type { Splitting } from '@hadal/formats/bpe-trainer';
import type { OptimizerSettings } from '@hadal/tensor/optimizer';
import type { Mixture } from './documents.ts';
import type { Schedule } from './schedule.ts';

export interface Stage {
  readonly method: 'pretrain' | 'sft';
  readonly schedule: Schedule;
  readonly learningRates: { readonly adamw: number; readonly muon: number };
  /** Rows of a step, and the tokens that each holds at most. */
  readonly rows: number;
  readonly rowTokens: number;
  readonly predictorWeight: number;
  readonly balanceRate: number;
  readonly mixture: Mixture;
}

export interface Recipe {
  readonly name: string;
  readonly seed: string;
  /**
   * A model to begin with, from the root of the repository: its directory, or a job's for what it has made. Weights and tokenizer are
   * its own; without, both are made anew.
   */
  readonly model?: string;
  /** `config.json` of the model, as Hugging Face knows it; `vocab_size` is the tokenizer's. */
  readonly config: Readonly<Record<string, unknown>> & { readonly vocab_size: number };
  /** `generation_config.json`: how the model wants to be sampled. */
  readonly generation: Readonly<Record<string, unknown>>;
  /** The tokenizer is trained on the first documents of this mixture, where there is no model to begin with. */
  readonly tokenizer: { readonly documents: number; readonly mixture: Mixture; readonly splitting?: Splitting };
  readonly optimizer: OptimizerSettings;
  readonly clipNorm: number;
  readonly stages: readonly Stage[];
  /** `stage-ends`: the model is the mean of the weights at the ends of all stages, instead of those at the end of the last. */
  readonly average?: 'stage-ends';
}

/** Name and content of a recipe in one line: two runs with the same fingerprint see the same data and rates. */
export function recipeFingerprint(recipe: Recipe): string {
  const digest = createHash('sha256').update(JSON.stringify(recipe)).digest('hex').slice(0, 12);
  return `${recipe.name}-${digest}`;
}
