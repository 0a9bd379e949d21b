// The cold start of R1 (DeepSeek-R1, arXiv 2501.12948, section 2.3.1): a few hundred answers that a reader can follow.
//
// As there, they are R1-Zero's own: of eight answers to each of 800 prompts those that are right, well formed and wholly in the
// language of the question, learned by the base that R1-Zero began with. Half of the prompts are in each language: where seven of ten
// were in English, the language that was learned was English, whatever the question's.
// `npx hadal train r1/cold-start` repeats it.

import { type JobRecipe, taskRows } from '@hadal/training/job-recipe';
import { taskNamed } from '@hadal/training/tasks/registry';
import { maxCompletionTokens } from './countdown-grpo.ts';
import { ruleGrader } from './rules.ts';

export const job: JobRecipe = {
  ...{ name: 'r1-cold-start', model: 'models/r1-base', seed: 1 },
  rows: () => rowsInBothLanguages(2_000_000, 400),
  heldOut: () => taskRows('countdown', 'validation', 0, 200, 3),
  method: {
    type: 'distillation',
    teacher: { model: 'r1-zero', directory: 'models/r1-zero' },
    ...{ source: 'file', objective: 'sequence', samplesPerPrompt: 8, logits: {}, maxCompletionTokens },
    grader: ruleGrader({ format: 0.1, language: 0.1 }),
    ...{ minScore: 1.199, epochs: 4, batchSize: 8, learningRateMultiplier: 2 },
  },
};

/** The first problems from `first` on, `each` of either language. */
function* rowsInBothLanguages(first: number, each: number): Iterable<object> {
  const countdown = taskNamed('countdown');
  const left = { en: each, zh: each };
  for (let index = first; left.en > 0 || left.zh > 0; index++) {
    const { language } = countdown.generate('train', index, { difficulty: 3 });
    if (left[language] > 0) yield* taskRows('countdown', 'train', index, 1, 3);
    left[language]--;
  }
}
