// The reasoning stage of R1 (section 2.3.2): reinforcement from the cold start, with a reward for the question's language.
//
// `npx hadal train r1/reasoner` repeats it.

import { type JobRecipe, taskRows } from '@hadal/training/job-recipe';
import { countdownGrpo, promptsPerStep } from './countdown-grpo.ts';
import { ruleGrader } from './rules.ts';

export const job: JobRecipe = {
  ...{ name: 'r1-reasoner', model: 'runs/r1-cold-start', seed: 1 },
  rows: () => taskRows('countdown', 'train', 4_000_000, promptsPerStep * 60, 3),
  ...countdownGrpo(ruleGrader({ format: 0.5, language: 0.5 })),
};
