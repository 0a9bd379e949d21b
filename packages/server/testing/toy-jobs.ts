// Jobs as their owner orders and follows them, through OpenAI's client. What their training is like is in their file.

import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type OpenAI from 'openai';
import { toFile } from 'openai';
import type { JobCreateParams } from 'openai/resources/fine-tuning/jobs/jobs';
import type { ToyTraining } from './toy-training.ts';

const over = ['succeeded', 'failed', 'cancelled'];

/** A file of one example, which says what its training is like. */
export async function upload(client: OpenAI, toy: ToyTraining = {}): Promise<string> {
  const row = { messages: [{ role: 'user', content: 'Hello' }], toy };
  const file = await toFile(Buffer.from(`${JSON.stringify(row)}\n`), 'rows.jsonl');
  return (await client.files.create({ file, purpose: 'fine-tune' })).id;
}

export async function create(client: OpenAI, toy: ToyTraining = {}, more: Partial<JobCreateParams> & object = {}) {
  return await client.fineTuning.jobs.create({ model: 'toy', training_file: await upload(client, toy), ...more });
}

export async function untilJob(client: OpenAI, id: string, isSo: (job: OpenAI.FineTuning.FineTuningJob) => boolean) {
  for (let i = 0; ; i++) {
    const job = await client.fineTuning.jobs.retrieve(id);
    if (isSo(job)) return job;
    assert.ok(i < 1500, `job ${id}: ${JSON.stringify(job)}`);
    await delay(10);
  }
}

export const ended = (client: OpenAI, id: string) => untilJob(client, id, ({ status }) => over.includes(status));
