// The student's rewards, five times as long: where they lead when distillation's five minutes are no limit. 110 steps.
// `npx hadal train r1/student-zero-long` repeats it.

import { type JobRecipe, taskRows } from '@hadal/training/job-recipe';
import { promptsPerStep } from './countdown-grpo.ts';
import { job as short } from './student-zero.ts';

export const job: JobRecipe = {
  ...short,
  name: 'r1-student-zero-long',
  rows: () => taskRows('countdown', 'train', 7_000_000, promptsPerStep * 110, 3),
};
