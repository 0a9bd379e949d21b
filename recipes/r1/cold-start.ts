// The cold start of R1 (DeepSeek-R1, arXiv 2501.12948, section 2.3.1): a few hundred answers that a reader can follow.
//
// As there, they are R1-Zero's own: of eight answers to each of 400 prompts those that are right, well formed and wholly in the
// language of the question, learned by the base that R1-Zero began with. `npx hadal train r1/cold-start` repeats it.

import { type JobRecipe, taskRows } from '@hadal/training/job-recipe';
import { ruleGrader } from './rules.ts';

export const job: JobRecipe = {
  ...{ name: 'r1-cold-start', model: 'models/r1-base', seed: 1 },
  rows: () => taskRows('countdown', 'train', 2_000_000, 400, 3),
  heldOut: () => taskRows('countdown', 'validation', 0, 200, 3),
  method: {
    type: 'distillation',
    teacher: { model: 'r1-zero', directory: 'runs/r1-zero' },
    ...{ source: 'file', objective: 'sequence', samplesPerPrompt: 8, logits: {}, maxCompletionTokens: 384 },
    grader: ruleGrader({ format: 0.1, language: 0.1 }),
    ...{ minScore: 1.199, epochs: 4, batchSize: 8, learningRateMultiplier: 2 },
  },
};
