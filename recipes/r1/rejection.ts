// Rejection sampling and supervised fine-tuning (section 2.3.3): what the reasoner says rightly, learned anew by the base.
//
// Four answers to each of 1,000 prompts; those that are right, well formed and in the question's language are kept.
// `npx hadal train r1/rejection` repeats it.

import { type JobRecipe, taskRows } from '@hadal/training/job-recipe';
import { maxCompletionTokens } from './countdown-grpo.ts';
import { ruleGrader } from './rules.ts';

export const job: JobRecipe = {
  ...{ name: 'r1-rejection', model: 'models/r1-base', seed: 1 },
  rows: () => taskRows('countdown', 'train', 5_000_000, 1000, 3),
  heldOut: () => taskRows('countdown', 'validation', 0, 200, 3),
  method: {
    type: 'distillation',
    teacher: { model: 'r1-reasoner', directory: 'runs/r1-reasoner' },
    ...{ source: 'file', objective: 'sequence', samplesPerPrompt: 4, logits: {}, maxCompletionTokens },
    grader: ruleGrader({ format: 0.1, language: 0.1 }),
    // Right, well formed, and nearly all words in the question's language.
    ...{ minScore: 1.19, epochs: 2, batchSize: 16, learningRateMultiplier: 3 },
  },
};
