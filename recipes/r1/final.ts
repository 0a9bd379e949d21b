// The last reinforcement of R1 (section 2.3.4), from what was learned anew. `npx hadal train r1/final` repeats it.

import { type JobRecipe, taskRows } from '@hadal/training/job-recipe';
import { countdownGrpo, promptsPerStep } from './countdown-grpo.ts';
import { ruleGrader } from './rules.ts';

export const job: JobRecipe = {
  ...{ name: 'r1-final', model: 'runs/r1-rejection', seed: 1 },
  rows: () => taskRows('countdown', 'train', 6_000_000, promptsPerStep * 40, 3),
  ...countdownGrpo(ruleGrader({ format: 0.5, language: 0.5 })),
};
