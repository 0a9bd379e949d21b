// A narrow task learned from a teacher: hadal-nano's answers about parcels, which it was never trained on, teach a student of a
// quarter of its size.
//
// One greedy answer to each of 1,000 notes; those that are right are kept. Four answers at temperature 1 to each of a quarter of the
// notes cost as much and teach less: of 40 notes 15 had a right one among them, three times over. The job ends with both models on
// notes that neither has seen.
// `npx hadal train narrow/parcel` repeats it; the base is `narrow/student-base`'s.

import { type JobRecipe, taskRows } from '@hadal/training/job-recipe';

export const job: JobRecipe = {
  ...{ name: 'narrow-parcel', model: 'runs/narrow-student-base/model', seed: 1 },
  rows: () => taskRows('extract-parcel', 'train', 0, 1000),
  heldOut: () => taskRows('extract-parcel', 'validation', 0, 200),
  method: {
    type: 'distillation',
    teacher: { model: 'hadal-nano', directory: 'models/hadal-nano' },
    ...{ source: 'file', objective: 'sequence', samplesPerPrompt: 1, logits: {}, maxCompletionTokens: 128 },
    grader: { type: 'task', name: 'right', task: 'extract-parcel' },
    ...{ minScore: 1, epochs: 6, batchSize: 8, learningRateMultiplier: 3 },
  },
};
