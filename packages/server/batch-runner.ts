// What works through batches.
//
// Owns the way of a batch from its file to its results: checked, answered line by line, written into files. Any process may be
// killed at any moment: what is answered is in the store, one process works on a batch at a time, and what is half done is
// done again or gone on with. Answers come from the same endpoints as everybody's; this knows no dialect of the API.

import {
  type Batch,
  type BatchDetails,
  type BatchEndpoint,
  type BatchProblem,
  type BatchStatus,
  parseBatchLine,
  wireBatchAnswer,
} from '@hadal/protocol/batches';
import { noUsage } from '@hadal/protocol/chat-event';
import { errorEnvelope } from '@hadal/protocol/error-envelope';
import { RequestError, requestError } from '@hadal/protocol/request-error';
import { dialectAt } from '@hadal/protocol/routes';
import type { NewLine, StoredBatch } from '@hadal/store/batches';
import type { Account, Answered } from './accounts.ts';
import type { Endpoint, EndpointOptions } from './answer-plan.ts';
import { explainFailure } from './failure.ts';
import { readJsonLines } from './json-lines.ts';
import type { Logger } from './logger.ts';

/** What lines are answered by. */
type Endpoints = Readonly<Record<BatchEndpoint, Endpoint>>;

/** Lines of one batch at a time: enough to fill the engine's steps, while those who wait for an answer come first. */
const concurrency = 16;
const unfinished: readonly BatchStatus[] = ['validating', 'in_progress', 'cancelling', 'finalizing'];
/** As OpenAI's. */
const maxLines = 50_000;
const maxLineBytes = 48 * 1024 * 1024;
const maxProblems = 100;
const insertedTogether = 200;
/** Before a line that found no room is tried again. */
const retryMs = 500;

type Stored = StoredBatch<BatchDetails>;
type Change = Pick<Stored, 'status' | 'details'>;

export class BatchRunner implements AsyncDisposable {
  readonly #options: EndpointOptions;
  readonly #endpoints: Endpoints;
  readonly #logger: Logger;
  /** By the id of the batch that is worked on: what stops its lines, and when it is done. */
  readonly #working = new Map<string, { readonly controller: AbortController; readonly done: Promise<void> }>();
  readonly #poll: NodeJS.Timeout;

  constructor(options: EndpointOptions, endpoints: Endpoints, logger: Logger) {
    this.#options = options;
    this.#endpoints = endpoints;
    this.#logger = logger;
    this.#poll = setInterval(() => this.wake(), options.store.leases.leaseMs / 2);
    this.#poll.unref();
    this.wake();
  }

  /** Takes up what there is to be done. */
  wake(): void {
    void this.#takeUp().catch((error) => this.#logger.error({ err: error }, 'batches cannot be read'));
  }

  /** Stops the lines of a batch that has been cancelled. */
  cancel(id: string): void {
    this.#working.get(id)?.controller.abort();
    this.wake();
  }

  /** When the server stops. Everything stays as it is, to be gone on with. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#poll);
    await Promise.all([...this.#working.values()].map(({ done }) => done));
  }

  async #takeUp(): Promise<void> {
    for (const { id } of await this.#options.store.batches.inState(unfinished)) {
      if (this.#working.has(id) || this.#options.stopping.aborted) continue;
      const controller = new AbortController();
      const done = this.#work(id, controller)
        .catch((error) => this.#logger.error({ err: error, batch: id }, 'batch stopped'))
        .finally(() => this.#working.delete(id));
      this.#working.set(id, { controller, done });
    }
  }

  async #work(id: string, controller: AbortController): Promise<void> {
    const { store, now } = this.#options;
    await using lease = await store.leases.hold(`batch:${id}`);
    if (lease === undefined) return;
    const signal = AbortSignal.any([controller.signal, this.#options.stopping]);
    // Each turn ends in another status, so that whatever happened before, it goes on from there.
    while (!this.#options.stopping.aborted) {
      const batch = (await store.batches.inState(unfinished)).find((one) => one.id === id);
      if (batch === undefined) return;
      switch (batch.status) {
        case 'validating':
          await this.#validate(batch);
          break;
        case 'in_progress':
          if (now() < batch.expiresMs) await this.#answerLines(batch, signal);
          if (this.#options.stopping.aborted) return;
          if (now() >= batch.expiresMs) await this.#expireLines(batch);
          await this.#enter(id, 'in_progress', 'finalizing');
          break;
        case 'cancelling':
        case 'finalizing':
          await this.#finish(batch);
          break;
        default:
          throw new Error(`batch ${id}: expected an unfinished one, got ${batch.status}`);
      }
    }
  }

  async #enter(id: string, from: BatchStatus, to: BatchStatus): Promise<void> {
    await this.#options.store.batches.update(id, [from], (batch) => this.#inStatus(batch, to));
  }

  #inStatus({ details }: Stored, status: BatchStatus, more: Partial<BatchDetails> = {}): Change {
    const since = { ...details.since, [status]: this.#options.now() };
    return { status, details: { ...details, ...more, since } };
  }

  async #validate(batch: Stored): Promise<void> {
    const { store } = this.#options;
    const { id, owner, details } = batch;
    await store.batches.deleteLines(id);
    const file = await store.files.find(owner, details.inputFileId);
    const problems: BatchProblem[] = [];
    const note = (error: RequestError, line: number | null) =>
      problems.push({ code: 'invalid_request', message: error.message, param: null, line });
    const customIds = new Set<string>();
    let lines: NewLine[] = [];
    if (file === undefined)
      note(requestError('unknown-object', { field: 'input_file_id', kind: 'File', id: details.inputFileId }), null);
    for await (const read of file ? readJsonLines(store.files.read(file), maxLineBytes) : []) {
      if (problems.length >= maxProblems) break;
      const parsed = read.type === 'mistake' ? read.error : attempt(() => parseBatchLine(read.value, details));
      if (parsed instanceof RequestError) {
        note(parsed, read.line);
        continue;
      }
      if (customIds.has(parsed.customId)) {
        const problem = `expected a unique text, but an earlier line has ${JSON.stringify(parsed.customId)} too`;
        note(requestError('invalid-field', { field: 'custom_id', problem }), read.line);
        continue;
      }
      if (customIds.size === maxLines) {
        note(
          requestError('invalid-field', { field: 'file', problem: `expected at most ${maxLines} lines` }),
          read.line,
        );
        break;
      }
      lines.push({ number: customIds.size, ...parsed });
      customIds.add(parsed.customId);
      if (lines.length === insertedTogether && problems.length === 0) {
        await store.batches.addLines(id, lines);
        lines = [];
      }
    }
    if (customIds.size === 0 && problems.length === 0) {
      note(requestError('invalid-field', { field: 'file', problem: 'expected at least one line, it is empty' }), null);
    }
    if (problems.length > 0) {
      const counts = { total: 0, completed: 0, failed: 0 };
      await store.batches.finish(id, ['validating'], (last) => this.#inStatus(last, 'failed', { problems, counts }));
      return;
    }
    await store.batches.addLines(id, lines);
    await this.#enter(id, 'validating', 'in_progress');
  }

  /** Until all are answered, or `signal` aborts, or the time is up. */
  async #answerLines(batch: Stored, signal: AbortSignal): Promise<void> {
    const { now, accounts } = this.#options;
    const account = await accounts.accountOf(batch.owner, batch.details.keyId);
    const late = AbortSignal.timeout(Math.min(batch.expiresMs - now(), 2 ** 31 - 1));
    const ended = new AbortController();
    const until = AbortSignal.any([signal, late, ended.signal]);
    const lines = this.#unanswered(batch, until);
    const work = async () => {
      for await (const line of lines) await this.#answerLine(batch, account, line, until);
    };
    try {
      // All take from the same lines.
      await Promise.all(Array.from({ length: concurrency }, work));
    } finally {
      ended.abort();
    }
  }

  async *#unanswered({ id }: Stored, until: AbortSignal): AsyncGenerator<NewLine, void, void> {
    const { batches } = this.#options.store;
    for (let after = -1; ; ) {
      // Another process may have cancelled it.
      const isWanted = (await batches.inState(['in_progress'])).some((batch) => batch.id === id);
      const lines = isWanted ? await batches.unanswered(id, after, 4 * concurrency) : [];
      for (const line of lines) {
        if (until.aborted) return;
        yield line;
        after = line.number;
      }
      if (lines.length === 0) return;
    }
  }

  /** Whether it was answered; else it has no answer until somebody tries again. */
  async #answerLine(batch: Stored, account: Account, line: NewLine, signal: AbortSignal): Promise<void> {
    const { newId, now, store, metrics } = this.#options;
    const { id, details, expiresMs } = batch;
    while (!signal.aborted && now() < expiresMs) {
      const requestId = newId();
      const explain = (error: unknown) => explainFailure(error, { logger: this.#logger, requestId });
      const charges: Answered[] = [];
      // Charged when the answer is there to be kept, as a line and not as a request: it may have to be answered again.
      const deferred: Account = { ...account, charge: async (answered) => void charges.push(answered) };
      const answered = async () => {
        checkLine(line.body);
        const plan = await this.#endpoints[details.endpoint]({
          id: requestId,
          account: deferred,
          body: line.body,
          signal,
          explain,
        });
        const answer = await plan.start();
        return { status: 200, body: await answer.whole() };
      };
      const result = await answered().catch((error) => {
        const shown = explain(error);
        const dialect = dialectAt(details.endpoint === '/messages' ? '/v1/messages' : details.endpoint);
        return { status: shown.status, body: errorEnvelope(shown, dialect), isBusy: isBusy(shown) };
      });
      // What was cut short is no answer.
      if (signal.aborted) return;
      if ('isBusy' in result && result.isBusy) {
        await new Promise((resolve) => setTimeout(resolve, retryMs));
        continue;
      }
      const response = { status: result.status, requestId, body: result.body };
      const json = lineOf({ id: `batch_req_${requestId.replaceAll('-', '')}`, line, response });
      const [charge] = charges;
      if (charge) await account.charge({ ...charge, id: `${id}/${line.number}`, isBatch: true });
      const usage = charge?.usage ?? noUsage;
      await store.batches.answer(id, line.number, { isError: result.status !== 200, json, usage });
      metrics.noteBatchLine(result.status === 200 ? 'completed' : 'failed');
      return;
    }
  }

  /** What could not be answered in time says so. */
  async #expireLines({ id }: Stored): Promise<void> {
    const { store, newId, metrics } = this.#options;
    const message = 'This request could not be executed before the completion window expired.';
    for (;;) {
      const lines = await store.batches.unanswered(id, -1, insertedTogether);
      if (lines.length === 0) return;
      for (const line of lines) {
        const failure = { code: 'batch_expired', message };
        const json = lineOf({ id: `batch_req_${newId().replaceAll('-', '')}`, line, failure });
        await store.batches.answer(id, line.number, { isError: true, json, usage: noUsage });
        metrics.noteBatchLine('expired');
      }
    }
  }

  /** Writes the files. Done again from the beginning where it was cut off: the files have the same names. */
  async #finish(batch: Stored): Promise<void> {
    const { store } = this.#options;
    const { id, status, expiresMs, details } = batch;
    const [counts, usage] = await Promise.all([store.batches.counts(id), store.batches.usage(id)]);
    const outputFileId = counts.completed > 0 ? await this.#writeFile(batch, 'answers') : undefined;
    const errorFileId = counts.failed > 0 ? await this.#writeFile(batch, 'errors') : undefined;
    const isLate = (details.since.finalizing ?? 0) >= expiresMs;
    const end = status === 'cancelling' ? 'cancelled' : isLate ? 'expired' : 'completed';
    const results = { counts, usage, outputFileId, errorFileId };
    await store.batches.finish(id, [status], (last) => this.#inStatus(last, end, results));
  }

  async #writeFile({ id, owner, details }: Stored, kind: 'answers' | 'errors'): Promise<string> {
    const { store, now } = this.#options;
    const createdMs = now();
    const fileId = `file-api-${id.replace('batch_', '')}-${kind}`;
    const after = details.outputExpiresAfterSeconds;
    await store.files.write({ id: fileId, owner, createdMs }, bytesOf(store.batches.answers(id, kind)), () => ({
      ...{ filename: `${id}_${kind}.jsonl`, purpose: 'batch_output', mimeType: 'application/jsonl' },
      expiresMs: after === undefined ? undefined : createdMs + after * 1000,
    }));
    return fileId;
  }
}

/** A batch as it is shown, out of what is stored. */
export function batchOf({ id, createdMs, expiresMs, status, details }: Stored): Batch {
  return { id, createdMs, expiresMs, status: status as BatchStatus, details };
}

/** Nobody is there to read a stream, or to fetch later what goes on in the background. */
function checkLine(body: unknown): void {
  for (const field of ['stream', 'background']) {
    if ((body as Record<string, unknown>)[field] !== true) continue;
    throw requestError('invalid-field', { field, problem: 'cannot be set in a batch' });
  }
}

/** Whether the same may go well a little later. */
function isBusy({ code }: RequestError): boolean {
  return code === 'queue-full' || code === 'shutting-down';
}

function lineOf(answer: {
  readonly id: string;
  readonly line: NewLine;
  readonly response?: { readonly status: number; readonly requestId: string; readonly body: object };
  readonly failure?: { readonly code: string; readonly message: string };
}): string {
  const { id, line, response, failure } = answer;
  return JSON.stringify(wireBatchAnswer({ id, customId: line.customId, response, failure }));
}

function attempt<T>(parse: () => T): T | RequestError {
  try {
    return parse();
  } catch (error) {
    if (error instanceof RequestError) return error;
    throw error;
  }
}

async function* bytesOf(lines: AsyncIterable<string>): AsyncGenerator<Uint8Array, void, void> {
  for await (const line of lines) yield Buffer.from(`${line}\n`);
}
