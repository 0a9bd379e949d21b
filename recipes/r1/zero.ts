// R1-Zero (DeepSeek-R1, arXiv 2501.12948, section 2.2): reinforcement alone, from a base that has seen only the form.
//
// Rewards are rules: whether the answer is right, and a tenth for its form. Nobody shows how to search.
// `npx hadal train r1/zero` repeats it; the base is `r1/base`'s.

import { type JobRecipe, taskRows } from '@hadal/training/job-recipe';
import { ruleGrader } from './rules.ts';

export const job: JobRecipe = {
  ...{ name: 'r1-zero', model: 'runs/r1-base/model', seed: 1 },
  // Three numbers; where the base was trained on the first hundred thousand, these are others.
  rows: () => taskRows('countdown', 'train', 1_000_000, 16 * 400, 3),
  heldOut: () => taskRows('countdown', 'validation', 0, 200, 3),
  checkpointSteps: 100,
  method: {
    ...{
      type: 'reinforcement',
      grader: ruleGrader({ format: 0.1, language: 0 }),
      batchSize: 16,
      learningRateMultiplier: 1,
      evalInterval: 25,
    },
    grpo: { groupSize: 8, lossType: 'dr_grpo', scaleRewards: 'none', maxCompletionTokens: 384, maskTruncated: false },
  },
};
