// R1-Zero (DeepSeek-R1, arXiv 2501.12948, section 2.2): reinforcement alone, from a base that has seen only the form.
//
// Rewards are rules: whether the answer is right, and a tenth for its form. Nobody shows how to search.
// `npx hadal train r1/zero` repeats it; the base is `r1/base`'s.

import { type JobRecipe, taskRows } from '@hadal/training/job-recipe';
import { countdownGrpo, promptsPerStep } from './countdown-grpo.ts';
import { ruleGrader } from './rules.ts';

export const job: JobRecipe = {
  ...{ name: 'r1-zero', model: 'models/r1-base', seed: 1 },
  // Problems that no stage before has seen.
  rows: () => taskRows('countdown', 'train', 1_000_000, promptsPerStep * 150, 3),
  ...countdownGrpo(ruleGrader({ format: 0.1, language: 0 })),
};
