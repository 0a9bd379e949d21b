// The same student, trained by rewards alone (section 4.1 of DeepSeek-R1 compares the two), for about as long as the other's teacher is
// asked and it is taught: 22 steps. Three draws: `npx hadal train r1/student-zero --seed 1`, 2 and 3.

import { type JobRecipe, taskRows } from '@hadal/training/job-recipe';
import { countdownGrpo, promptsPerStep } from './countdown-grpo.ts';
import { ruleGrader } from './rules.ts';

export const job: JobRecipe = {
  ...{ name: 'r1-student-zero', model: 'runs/r1-student-base/model', seed: 1 },
  rows: () => taskRows('countdown', 'train', 7_000_000, promptsPerStep * 22, 3),
  ...countdownGrpo(ruleGrader({ format: 0.5, language: 0.5 })),
};
