// A fine-tuning job for tests. Never used outside them.

import type { Job, JobDetails } from '@hadal/protocol/fine-tuning';

const toyJobDetails: JobDetails = {
  ...{ model: 'toy', trainingFileId: 'file-1', validationFileId: null, metadata: null },
  card: {
    ...{ id: 'toy', name: 'toy', ownedBy: 'hadal', contextWindow: 64, maxOutputTokens: 64, maxReasoningTokens: 64 },
    ...{ profile: 'current', thinking: 'high', sampling: { temperature: 1, topP: 1 } },
  },
  order: {
    ...{
      id: 'ftjob-1',
      model: { name: 'toy', directory: '/toy' },
      suffix: 'é',
      seed: 1,
      trainingFile: 'training.jsonl',
    },
    method: { type: 'supervised', epochs: 'auto', batchSize: 'auto', learningRateMultiplier: 'auto' },
    ...{ recompute: false, checkpointSteps: 'auto' },
  },
  wireMethod: { type: 'supervised', supervised: { hyperparameters: {} } },
  ...{ since: {}, failure: null, fineTunedModel: null, trainedTokens: null, resultFileIds: [] },
  ...{ reachedStep: 0, journalBytes: 0, ranMs: 0 },
};

export function toyJob(
  id: string,
  { details = {}, ...more }: Partial<Omit<Job, 'details'>> & { details?: Partial<JobDetails> } = {},
): Job {
  return { id, owner: 'ann', createdMs: 1, status: 'queued', ...more, details: { ...toyJobDetails, ...details } };
}
