// The base of a narrow student: a quarter of hadal-nano that can copy, and take values out of messages of the usual kinds.
//
// What a team would start from that has one narrow task: it knows the form of the work and nothing of its own records.
// `npx hadal train narrow/student-base` repeats it.

import type { Mixture } from '@hadal/training/documents';
import type { Recipe } from '@hadal/training/recipe';
import { recipe as quarter } from '../r1/student-base.ts';

const copying: Mixture = { 'repeat-text': 60, 'extract-json': 40 };
const extracting: Mixture = { 'repeat-text': 20, 'extract-json': 80 };

const common = {
  learningRates: { adamw: 0.005, muon: 0.005 },
  ...{ rows: 2, rowTokens: 2048, balanceRate: 0.005, predictorWeight: 0 },
};

export const recipe: Recipe = {
  ...quarter,
  name: 'narrow-student-base',
  seed: 'narrow-student-base-1',
  tokenizer: { documents: 20_000, mixture: extracting, splitting: 'words' },
  stages: [
    { ...common, method: 'pretrain', schedule: { steps: 300, warmupSteps: 50, decayShare: 0 }, mixture: copying },
    { ...common, method: 'sft', schedule: { steps: 1700, warmupSteps: 0, decayShare: 0.6 }, mixture: extracting },
  ],
};
