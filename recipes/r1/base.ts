// The base of the R1 story: a model that has seen the form of an answer to countdown, and no solution.
//
// hadal-nano's architecture, trained on copying, sums and, above all, attempts drawn at random: it is to calculate and to compare
// without mistakes, for rewards teach nothing where a "yes" says nothing. What it knows of searching, reinforcement has to teach it.
// `npx hadal train r1/base` repeats it.

import type { Mixture } from '@hadal/training/documents';
import type { Recipe } from '@hadal/training/recipe';
import { recipe as nano } from '../hadal-nano.ts';

const mixture: Mixture = {
  'countdown-form': 75,
  'repeat-text': 15,
  'add-and-subtract': 10,
};

const common = {
  learningRates: { adamw: 0.005, muon: 0.005 },
  ...{ rows: 2, rowTokens: 2048, balanceRate: 0.005, predictorWeight: 0, mixture },
};

export const recipe: Recipe = {
  ...nano,
  name: 'r1-base',
  seed: 'r1-base-1',
  config: { ...nano.config, num_nextn_predict_layers: 0 },
  tokenizer: { documents: 20_000, mixture, splitting: 'words' },
  stages: [
    { ...common, method: 'pretrain', schedule: { steps: 300, warmupSteps: 50, decayShare: 0 } },
    { ...common, method: 'sft', schedule: { steps: 2100, warmupSteps: 0, decayShare: 0.6 } },
  ],
};
