// All that trains on a server, opened and closed as one.
//
// Owns the order in which its parts begin and end: names of models are there before anything is asked, processes have stopped before
// models are closed.

import { type AskFor, JobQueue, type JobQueueOptions } from './job-queue.ts';
import type { Training } from './training-desk.ts';
import { TunedModels, type TunedModelsOptions } from './tuned-models.ts';

export interface Trainer extends AsyncDisposable {
  readonly training: Training;
  readonly queue: JobQueue;
  readonly tuned: TunedModels;
  /** Takes up jobs from here on, those first that an earlier server has left. */
  start(askFor: AskFor): void;
}

export async function openTrainer(
  options: Omit<JobQueueOptions, 'tuned'> & Omit<TunedModelsOptions, 'training' | 'store'>,
): Promise<Trainer> {
  const tuned = new TunedModels(options);
  await tuned.refresh();
  const queue = new JobQueue({ ...options, tuned });
  return {
    ...{ training: options.training, queue, tuned },
    start: (askFor) => queue.start(askFor),
    async [Symbol.asyncDispose]() {
      await queue[Symbol.asyncDispose]();
      await tuned[Symbol.asyncDispose]();
    },
  };
}
