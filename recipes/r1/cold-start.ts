// The cold start of R1 (DeepSeek-R1, arXiv 2501.12948, section 2.3.1): a few hundred answers that a reader can follow.
//
// The expert's search for countdown, in the language of the question, on the base that R1-Zero begins with. Few enough that most
// of the searching is left to reinforcement. `npx hadal train r1/cold-start` repeats it.

import type { JobRecipe } from '@hadal/training/job-recipe';
import { taskNamed } from '@hadal/training/tasks/registry';

export const job: JobRecipe = {
  ...{ name: 'r1-cold-start', model: 'runs/r1-base/model', seed: 1 },
  rows: () => expertRows(2_000_000, 300),
  heldOut: () => expertRows(3_000_000, 64),
  method: { type: 'supervised', epochs: 4, batchSize: 8, learningRateMultiplier: 2 },
};

/** Conversations in which the task's own solution is the answer. */
function* expertRows(first: number, count: number): Iterable<object> {
  const task = taskNamed('countdown');
  for (let index = first; count > 0; index++) {
    const problem = task.generate('train', index, { difficulty: 3 });
    if (problem.kind !== 'chat' || !problem.thinking) continue;
    count--;
    const messages = [...problem.messages, ...problem.solution].map((message) => {
      const { role, content } = message;
      const reasoning = message.role === 'assistant' ? message.reasoning : undefined;
      return { role, content, ...(reasoning !== undefined && { reasoning_content: reasoning }) };
    });
    yield { messages, thinking: true };
  }
}
