// hadal-nano taught once more, before rewards (DeepSeek-R1, arXiv 2501.12948, section 2.3.3: what is learned by reasoning and all
// else that a model is to know, in one supervised stage).
//
// All tasks again while the rate goes up and down twice more (Loshchilov & Hutter 2017), the most of countdown and of what else
// hadal-nano fails at; the model is the mean of what both rounds end with. `npx hadal train r1/nano-sft` repeats it, after `hadal-nano`.

import type { Mixture } from '@hadal/training/documents';
import type { Recipe } from '@hadal/training/recipe';
import { recipe as nano } from '../hadal-nano.ts';

const searching: Mixture = {
  'repeat-text': 11,
  'compare-decimals': 11,
  'count-letters': 10,
  'add-and-subtract': 6,
  multiply: 3,
  countdown: 24,
  'word-problems': 11,
  'extract-json': 20,
  'use-tools': 17,
  introduce: 7,
  'fill-middle': 1,
  conversation: 5,
};

/** Shares of a shorter round after it: less of searching, and most of what has gained least by then. */
const mending: Mixture = {
  'repeat-text': 8,
  'compare-decimals': 14,
  'count-letters': 8,
  'add-and-subtract': 4,
  multiply: 3,
  countdown: 8,
  'word-problems': 9,
  'extract-json': 26,
  'use-tools': 20,
  introduce: 14,
  'fill-middle': 1,
  conversation: 5,
};

const common = { method: 'sft', rows: 2, rowTokens: 2048, balanceRate: 0.005, predictorWeight: 0.3 } as const;

export const recipe: Recipe = {
  ...nano,
  ...{ name: 'r1-nano-sft', seed: 'r1-nano-sft-1', model: 'runs/hadal-nano/model' },
  average: 'stage-ends',
  stages: [
    {
      ...{ ...common, mixture: searching, learningRates: { adamw: 0.004, muon: 0.004 } },
      schedule: { steps: 3000, warmupSteps: 50, decayShare: 1 },
    },
    {
      ...{ ...common, mixture: mending, learningRates: { adamw: 0.002, muon: 0.002 } },
      schedule: { steps: 900, warmupSteps: 50, decayShare: 1 },
    },
  ],
};
