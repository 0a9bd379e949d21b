// Batches on the wire: many requests in one file, answered when there is time.
//
// Owns what a batch is asked for with, what a line of its file must look like, and how a batch and an answered line are shown.
// OpenAI's Batch API, as its SDKs speak it; any completion window of whole hours will do, and endpoints are DeepSeek's and
// Anthropic's too. Knows nothing of who does the work.

import { z } from 'zod';
import type { JsonObject } from './chat-request.ts';
import { metadataField } from './metadata.ts';
import { requestError } from './request-error.ts';
import { expecting, jsonObject } from './sampling-fields.ts';
import { checkShape } from './shape-error.ts';

/** What a line may ask for, without the base of its path. */
export const batchEndpoints = ['/chat/completions', '/completions', '/responses', '/messages', '/embeddings'] as const;
export type BatchEndpoint = (typeof batchEndpoints)[number];

export type BatchStatus =
  | 'validating'
  | 'failed'
  | 'in_progress'
  | 'finalizing'
  | 'completed'
  | 'expired'
  | 'cancelling'
  | 'cancelled';

export interface BatchCounts {
  readonly total: number;
  readonly completed: number;
  readonly failed: number;
}

/** Tokens of all answers together. */
export interface BatchUsage {
  readonly prompt: number;
  readonly cacheHit: number;
  readonly completion: number;
  readonly reasoning: number;
}

export interface BatchProblem {
  readonly code: string;
  readonly message: string;
  readonly param: string | null;
  /** From 1; null where no line is to blame. */
  readonly line: number | null;
}

/** What there is to a batch besides its id, its status, and when it was made and ends. */
export interface BatchDetails {
  readonly endpoint: BatchEndpoint;
  /** As the caller wrote it. */
  readonly wireEndpoint: string;
  readonly inputFileId: string;
  readonly completionWindow: string;
  readonly metadata: Readonly<Record<string, string>> | null;
  /** Whose key pays for it; absent where the server had none. */
  readonly keyId?: string | undefined;
  /** Of the files that are made; undefined: they stay. */
  readonly outputExpiresAfterSeconds: number | undefined;
  readonly problems: readonly BatchProblem[];
  /** When a status began, in milliseconds since 1970. */
  readonly since: Readonly<Partial<Record<BatchStatus, number>>>;
  readonly outputFileId: string | undefined;
  readonly errorFileId: string | undefined;
  /** How it ended; before that undefined. */
  readonly counts: BatchCounts | undefined;
  readonly usage: BatchUsage | undefined;
}

export interface Batch {
  readonly id: string;
  readonly createdMs: number;
  readonly expiresMs: number;
  readonly status: BatchStatus;
  readonly details: BatchDetails;
}

export interface BatchRequest {
  readonly windowMs: number;
  readonly details: Pick<
    BatchDetails,
    'endpoint' | 'wireEndpoint' | 'inputFileId' | 'completionWindow' | 'metadata' | 'outputExpiresAfterSeconds'
  >;
}

const window = expecting('a number of hours up to 720, such as "24h"');
const seconds = expecting('integer from 3600 to 2592000');
export const batchBody = z.object({
  input_file_id: z
    .string()
    .describe('A file with purpose `batch`. Each line: `{"custom_id", "method": "POST", "url", "body"}`.'),
  endpoint: z.string().describe('What all lines ask for, such as `/v1/chat/completions`.'),
  completion_window: z
    .string()
    .regex(/^[1-9]\d{0,2}h$/, window)
    .describe('Within which time to answer, in hours, such as `24h`; at most 720.'),
  metadata: metadataField.nullish().describe('Given back with the batch.'),
  output_expires_after: z
    .object({
      anchor: z.literal('created_at'),
      seconds: z.int(seconds).min(3600, seconds).max(2592000, seconds),
    })
    .nullish()
    .describe('When the files of answers are deleted. Default: never.'),
});

/** Throws `RequestError` for the first mistake. */
export function parseBatchRequest(body: unknown): BatchRequest {
  const wire = checkShape(batchBody, body);
  const endpoint = endpointOf(wire.endpoint);
  if (endpoint === undefined) {
    const known = batchEndpoints.map((path) => JSON.stringify(`/v1${path}`)).join(', ');
    const problem = `expected one of ${known}, got ${JSON.stringify(wire.endpoint)}`;
    throw requestError('invalid-field', { field: 'endpoint', problem });
  }
  const hours = Number.parseInt(wire.completion_window, 10);
  if (hours > 720) throw requestError('invalid-field', { field: 'completion_window', problem: window.error });
  return {
    windowMs: hours * 3600_000,
    details: {
      ...{ endpoint, wireEndpoint: wire.endpoint, inputFileId: wire.input_file_id },
      ...{ completionWindow: wire.completion_window, metadata: wire.metadata ?? null },
      outputExpiresAfterSeconds: wire.output_expires_after?.seconds,
    },
  };
}

function endpointOf(path: string): BatchEndpoint | undefined {
  return batchEndpoints.find((endpoint) => endpoint === path.replace(/^(\/anthropic)?(\/v1|\/beta)?(?=\/)/, ''));
}

export interface BatchLine {
  readonly customId: string;
  readonly body: JsonObject;
}

const lineSchema = z.object({
  custom_id: z.string().min(1, expecting('a text that is not empty')),
  method: z.literal('POST'),
  url: z.string(),
  body: jsonObject,
});

/** One line of the file, after JSON. Throws `RequestError` for the first mistake. */
export function parseBatchLine(line: unknown, { endpoint, wireEndpoint }: BatchDetails): BatchLine {
  const { custom_id: customId, url, body } = checkShape(lineSchema, line);
  if (endpointOf(url) !== endpoint) {
    const problem = `expected the batch's endpoint ${JSON.stringify(wireEndpoint)}, got ${JSON.stringify(url)}`;
    throw requestError('invalid-field', { field: 'url', problem });
  }
  return { customId, body };
}

/** A line of an output file. `failure`: of one that was never answered. */
export function wireBatchAnswer(answer: {
  readonly id: string;
  readonly customId: string;
  readonly response: { readonly status: number; readonly requestId: string; readonly body: object } | undefined;
  readonly failure: { readonly code: string; readonly message: string } | undefined;
}): object {
  const { response, failure } = answer;
  return {
    ...{ id: answer.id, custom_id: answer.customId },
    response: response ? { status_code: response.status, request_id: response.requestId, body: response.body } : null,
    error: failure ?? null,
  };
}

/** `counts` and `usage` as they are now. */
export function wireBatch(
  { id, createdMs, expiresMs, status, details }: Batch,
  counts: BatchCounts,
  usage: BatchUsage,
) {
  const at = (ms: number | undefined) => (ms === undefined ? undefined : Math.floor(ms / 1000));
  const { since, problems } = details;
  return {
    ...{ id, object: 'batch', endpoint: details.wireEndpoint, input_file_id: details.inputFileId },
    ...{ completion_window: details.completionWindow, status, metadata: details.metadata },
    ...{ output_file_id: details.outputFileId, error_file_id: details.errorFileId },
    ...(problems.length > 0 && { errors: { object: 'list', data: problems } }),
    ...{ created_at: at(createdMs), expires_at: at(expiresMs), in_progress_at: at(since.in_progress) },
    ...{ finalizing_at: at(since.finalizing), completed_at: at(since.completed), failed_at: at(since.failed) },
    ...{ expired_at: at(since.expired), cancelling_at: at(since.cancelling), cancelled_at: at(since.cancelled) },
    request_counts: counts,
    usage: {
      input_tokens: usage.prompt,
      input_tokens_details: { cached_tokens: usage.cacheHit },
      output_tokens: usage.completion,
      output_tokens_details: { reasoning_tokens: usage.reasoning },
      total_tokens: usage.prompt + usage.completion,
    },
  };
}
