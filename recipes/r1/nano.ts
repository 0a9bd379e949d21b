// hadal-nano, made better by what it has itself tried: reinforcement on all that it is asked (DeepSeek-R1, arXiv 2501.12948,
// section 2.3.4).
//
// It begins with what `r1/nano-sft` has made. Every task has its share, the ones that it fails at most often the largest, so that none
// is forgotten; one question in six is asked without thinking. `npx hadal train r1/nano` repeats it.

import { type JobRecipe, taskRows } from '@hadal/training/job-recipe';
import { Random } from '@hadal/training/tasks/random';

const shares: readonly (readonly [task: string, share: number, difficulty?: number])[] = [
  ['introduce', 8],
  ['use-tools', 6],
  ['extract-json', 4],
  ['countdown', 3, 3],
  ['repeat-text', 3],
  ['conversation', 3],
  ['count-letters', 2],
  ['word-problems', 2],
  ['compare-decimals', 1],
  ['add-and-subtract', 1],
  ['multiply', 1],
];
const promptsPerStep = 32;
const steps = 75;

export const job: JobRecipe = {
  ...{ name: 'r1-nano', model: 'runs/r1-nano-sft/model', seed: 1, checkpointSteps: 25 },
  rows: () => mixedRows(8_000_000, promptsPerStep * steps),
  heldOut: function* () {
    for (const [task, , difficulty] of shares) yield* taskRows(task, 'validation', 0, 40, difficulty);
  },
  method: {
    // Rows say which task they are of; the grader's holds for those that do not.
    ...{ type: 'reinforcement', grader: { type: 'task', name: 'right', task: 'countdown' } },
    ...{ batchSize: promptsPerStep, evalInterval: 25, learningRateMultiplier: 0.4 },
    grpo: {
      ...{ groupSize: 8, lossType: 'dr_grpo', scaleRewards: 'none', maxCompletionTokens: 512, maskTruncated: false },
      // What it can already do it is not to lose.
      ...{ klCoefficient: 0.04, referenceRefresh: 50 },
    },
  },
};

/** Of all tasks by their shares; no problem that an earlier stage has seen. */
function* mixedRows(first: number, count: number): Iterable<object> {
  const random = new Random('r1-nano/rows');
  for (let index = first; index < first + count; index++) {
    const [task, difficulty] = random.weighted(shares.map(([name, share, level]) => [[name, level] as const, share]));
    for (const row of taskRows(task, 'train', index, 1, difficulty)) yield { ...row, thinking: !random.chance(1 / 6) };
  }
}
