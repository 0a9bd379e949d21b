// The directory of a job before anybody works in it.
//
// Owns how the order and its data come there: each file whole or not at all, the order last. What is there already is left as it
// is. Also makes examples out of completions that are stored.

import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile, replaceFileByStream } from '@hadal/formats/replace-file';
import type { CompletionFilter } from '@hadal/protocol/fine-tuning-request';
import { isWhole } from '@hadal/protocol/job-channel';
import { jobFiles, type TrainingOrder } from '@hadal/protocol/training-order';
import type { Completions } from '@hadal/store/completions';
import type { Files, StoredFile } from '@hadal/store/files';

export const dataFiles = { training: 'training.jsonl', validation: 'validation.jsonl' } as const;

/** What an order needs beside itself. */
export interface OrderData {
  readonly training: AsyncIterable<Uint8Array>;
  readonly validation: AsyncIterable<Uint8Array> | undefined;
}

export async function writeOrder(directory: string, order: TrainingOrder, data: OrderData): Promise<void> {
  if (existsSync(join(directory, jobFiles.order))) return;
  await mkdir(directory, { recursive: true });
  await replaceFileByStream(join(directory, dataFiles.training), data.training);
  if (data.validation) await replaceFileByStream(join(directory, dataFiles.validation), data.validation);
  replaceFile(join(directory, jobFiles.order), `${JSON.stringify(order, null, 2)}\n`);
}

export function orderData(files: Files, training: StoredFile, validation: StoredFile | undefined): OrderData {
  return { training: files.read(training), validation: validation && files.read(validation) };
}

interface KeptCompletion {
  readonly choices: readonly { readonly message: object; readonly finish_reason?: string }[];
  readonly tools?: readonly object[];
}

/**
 * A line of training data for each answer of each completion that the filter lets through, oldest first. What was cut off teaches not
 * to come to an end, and is left out; what was said before the answer was not asked of this model, or is a completion of its own.
 */
export async function* completionExamples(
  completions: Completions,
  owner: string,
  { model, metadata, afterMs, beforeMs }: CompletionFilter,
): AsyncGenerator<Uint8Array, void, void> {
  for (let after: string | undefined; ; ) {
    const page = await completions.list({ owner, limit: 100, order: 'asc', after, model, metadata });
    for (const { createdMs, completion, messages, metadata: about } of page?.rows ?? []) {
      if (createdMs < afterMs || createdMs >= beforeMs) continue;
      const { choices, tools } = completion as KeptCompletion;
      for (const { message, finish_reason: reason } of choices) {
        const row = { messages: [...messages.map(unlearned), message], ...(tools && { tools }), metadata: about };
        if (isWhole(reason)) yield Buffer.from(`${JSON.stringify(row)}\n`);
      }
    }
    if (page === undefined || !page.hasMore) return;
    after = page.rows.at(-1)?.id;
  }
}

/** An assistant's message as one that is read and not learned: OpenAI's `weight`. */
function unlearned(message: object): object {
  return 'role' in message && message.role === 'assistant' ? { ...message, weight: 0 } : message;
}
