// A student of a quarter of the size, distilled from the last model of R1 (section 2.4): three answers to each of 1,000 prompts, drawn
// as it searches. Greedily it tries the same over and over: one answer to each of 3,000 prompts left 849 right ones, three to each of
// 1,000 some 2,000 in less time, and the student that learned from them searches as its teacher does. Three draws:
// `npx hadal train r1/student-distilled --seed 1`, 2 and 3.

import { type JobRecipe, taskRows } from '@hadal/training/job-recipe';
import { maxCompletionTokens } from './countdown-grpo.ts';
import { ruleGrader } from './rules.ts';

export const job: JobRecipe = {
  ...{ name: 'r1-student-distilled', model: 'runs/r1-student-base/model', seed: 1 },
  rows: () => taskRows('countdown', 'train', 7_000_000, 1000, 3),
  heldOut: () => taskRows('countdown', 'validation', 0, 200, 3),
  method: {
    type: 'distillation',
    teacher: { model: 'r1-final', directory: 'models/r1-final' },
    ...{ source: 'file', objective: 'sequence', samplesPerPrompt: 3, logits: {}, maxCompletionTokens },
    grader: ruleGrader({ format: 0.1, language: 0.1 }),
    // Right, well formed, and nearly all words in the question's language.
    ...{ minScore: 1.19, epochs: 4, batchSize: 16, learningRateMultiplier: 3 },
  },
};
