// The models that jobs have made.
//
// Owns the names under which every checkpoint can be asked, each by the organization whose it is, and which of them are loaded: one
// is opened when it is first asked, and closed when nobody has asked it for a while or others are asked instead. One that is
// answering is never closed. What there is stands in the store; whether it can still be served is for its files to say.

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { ChatRequest } from '@hadal/protocol/chat-request';
import type { CompletionRequest } from '@hadal/protocol/completions-request';
import type { Job, JobStatus } from '@hadal/protocol/fine-tuning';
import { requestError } from '@hadal/protocol/request-error';
import type { TrainingOrder } from '@hadal/protocol/training-order';
import type { NewCheckpoint } from '@hadal/store/jobs';
import type { Store } from '@hadal/store/store';
import type { Provider } from './provider.ts';
import type { ServedCheckpoint, Training } from './training-desk.ts';

/** Jobs that may still read what they began with. */
const unfinished: readonly JobStatus[] = ['validating_files', 'queued', 'running', 'paused'];

export interface TunedModelsOptions {
  readonly training: Training;
  readonly store: Pick<Store, 'jobs'>;
  /** What every provider is seen through. */
  readonly observed: (provider: Provider) => Provider;
  /** Milliseconds on any clock. */
  readonly now: () => number;
}

interface Tuned {
  readonly owner: string;
  readonly checkpoint: ServedCheckpoint;
  readonly provider: Provider;
}

/** A checkpoint that is loaded, or about to be. */
interface Opened {
  readonly provider: Promise<Provider & AsyncDisposable>;
  users: number;
  usedMs: number;
}

export class TunedModels implements AsyncDisposable {
  readonly #options: TunedModelsOptions;
  /** Of each job, whether its files are there or not. */
  readonly #lastSteps = new Map<string, number>();
  /** By name. */
  #tuned = new Map<string, Tuned>();
  /** By owner. */
  #providers = new Map<string, readonly Provider[]>();
  /** By directory: a model may have two names. The one asked last comes last. */
  readonly #opened = new Map<string, Opened>();
  readonly #sweep: NodeJS.Timeout;
  #released = Promise.withResolvers<void>();

  constructor(options: TunedModelsOptions) {
    this.#options = options;
    const { idleMs = 600_000 } = options.training;
    this.#sweep = setInterval(() => this.#closeIdle(idleMs), Math.min(idleMs, 10_000));
    this.#sweep.unref();
  }

  of(owner: string): readonly Provider[] {
    return this.#providers.get(owner) ?? [];
  }

  /** What lies behind a name, for those who may ask it. */
  checkpointOf(owner: string, name: string): ServedCheckpoint | undefined {
    const tuned = this.#tuned.get(name);
    return tuned?.owner === owner ? tuned.checkpoint : undefined;
  }

  /** Brings the names up to what is in the store, where others may have made some too. */
  async refresh(): Promise<void> {
    const rows = await this.#options.store.jobs.allCheckpoints();
    const before = this.#tuned;
    this.#tuned = new Map();
    for (const { checkpoint, job } of rows) this.#add(job, checkpoint, before);
    for (const job of new Map(rows.map(({ job }) => [job.id, job])).values()) this.#addLast(job, before);
    this.#index();
  }

  /** The same for what a job is just about to have made: it can be asked before anybody is told of it. */
  announce(job: Job, checkpoints: readonly NewCheckpoint[]): void {
    for (const checkpoint of checkpoints) this.#add(job, checkpoint, this.#tuned);
    this.#addLast(job, this.#tuned);
    this.#index();
  }

  /**
   * Deletes what lies behind a name, which ends with its other names. Answers that are going on come to their end. Throws
   * `RequestError` where somebody else builds on it.
   */
  async remove(owner: string, name: string): Promise<boolean> {
    const directory = this.checkpointOf(owner, name)?.directory;
    if (directory === undefined) return false;
    const adapter = [...this.#tuned].find(
      ([, { checkpoint }]) => checkpoint.adapter && checkpoint.base.directory === directory,
    );
    if (adapter)
      throw requestError('undeletable-model', { model: name, problem: `${adapter[0]} is an adapter over it` });
    const jobs = await this.#options.store.jobs.inState(unfinished);
    const job = jobs.find(({ details: { order } }) => needs(order, directory));
    if (job) throw requestError('undeletable-model', { model: name, problem: `${job.id} is not over and needs it` });
    // At once: nobody is to find half of it.
    const gone = `${directory}.deleted`;
    await rename(directory, gone).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
    await this.refresh();
    await rm(gone, { recursive: true, force: true });
    if (this.#opened.get(directory)?.users === 0) await this.#close(directory);
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#sweep);
    await Promise.all([...this.#opened.keys()].map((directory) => this.#close(directory)));
  }

  #add(job: Job, { model, step, directory }: NewCheckpoint, before: ReadonlyMap<string, Tuned>): void {
    this.#lastSteps.set(job.id, Math.max(step, this.#lastSteps.get(job.id) ?? 0));
    const path = resolve(this.#options.training.directory, job.id, directory);
    if (!existsSync(path)) return;
    const { adapter, model: base } = job.details.order;
    this.#put(job, model, { directory: path, adapter, base }, before);
  }

  /** Of a job that has succeeded, the last checkpoint is what it has made. */
  #addLast(job: Job, before: ReadonlyMap<string, Tuned>): void {
    const { fineTunedModel: name } = job.details;
    if (name === null) return;
    const last = this.#tuned.get(`${name}:ckpt-step-${this.#lastSteps.get(job.id)}`);
    if (last) this.#put(job, name, last.checkpoint, before);
  }

  #put(job: Job, id: string, checkpoint: ServedCheckpoint, before: ReadonlyMap<string, Tuned>): void {
    const known = before.get(id);
    const isSame = known?.checkpoint.directory === checkpoint.directory;
    const provider = isSame ? known.provider : this.#providerOf(checkpoint, { ...job.details.card, id, name: id });
    this.#tuned.set(id, { owner: job.owner, checkpoint, provider });
  }

  #index(): void {
    const byOwner = Map.groupBy(this.#tuned.values(), ({ owner }) => owner);
    this.#providers = new Map([...byOwner].map(([owner, all]) => [owner, all.map(({ provider }) => provider)]));
  }

  #providerOf(checkpoint: ServedCheckpoint, model: Provider['model']): Provider {
    const using = <T>(signal: AbortSignal | undefined, work: (provider: Provider) => T) =>
      this.#using(model.id, checkpoint, signal, work);
    return this.#options.observed({
      model,
      // Its files never change.
      fingerprint: `fp_${createHash('sha256').update(checkpoint.directory).digest('hex').slice(0, 16)}`,
      async *chat(request: ChatRequest, signal) {
        await using held = await using(signal, (provider) => provider);
        yield* held.value.chat(request, signal);
      },
      async *complete(request: CompletionRequest, signal) {
        await using held = await using(signal, (provider) => provider);
        yield* held.value.complete(request, signal);
      },
      async tokenize(input) {
        await using held = await using(undefined, (provider) => provider.tokenize(input));
        return await held.value;
      },
      async detokenize(tokens) {
        await using held = await using(undefined, (provider) => provider.detokenize(tokens));
        return await held.value;
      },
    });
  }

  /** Loaded, and not closed until what is given back is disposed. Throws `RequestError` where it cannot be loaded. */
  async #using<T>(
    name: string,
    checkpoint: ServedCheckpoint,
    signal: AbortSignal | undefined,
    work: (provider: Provider) => T,
  ): Promise<{ readonly value: T } & AsyncDisposable> {
    const { desk } = this.#options.training;
    const { directory } = checkpoint;
    await this.#makeRoom(directory, signal);
    const opened = this.#opened.get(directory) ?? {
      ...{ provider: desk.openCheckpoint(checkpoint), users: 0, usedMs: 0 },
    };
    this.#opened.delete(directory);
    this.#opened.set(directory, opened);
    opened.users++;
    const release = () => {
      opened.users--;
      opened.usedMs = this.#options.now();
      this.#released.resolve();
      this.#released = Promise.withResolvers<void>();
    };
    try {
      const provider = await opened.provider;
      return { value: work(provider), [Symbol.asyncDispose]: async () => release() };
    } catch (error) {
      release();
      if (opened.users === 0 && this.#opened.get(directory) === opened) this.#opened.delete(directory);
      const problem = error instanceof Error ? error.message : String(error);
      throw requestError('checkpoint-unavailable', { model: name, problem });
    }
  }

  /** Closes the one that was asked longest ago, or waits until one is free. */
  async #makeRoom(directory: string, signal: AbortSignal | undefined): Promise<void> {
    const { openCheckpoints = 2 } = this.#options.training;
    while (!this.#opened.has(directory) && this.#opened.size >= openCheckpoints) {
      const idle = [...this.#opened].find(([, { users }]) => users === 0);
      if (idle !== undefined) await this.#close(idle[0]);
      else await abortable(this.#released.promise, signal);
    }
  }

  #closeIdle(idleMs: number): void {
    const nowMs = this.#options.now();
    for (const [directory, { users, usedMs }] of this.#opened) {
      if (users === 0 && nowMs - usedMs >= idleMs) void this.#close(directory);
    }
  }

  async #close(directory: string): Promise<void> {
    const opened = this.#opened.get(directory);
    this.#opened.delete(directory);
    const provider = await opened?.provider.catch(() => undefined);
    await provider?.[Symbol.asyncDispose]();
  }
}

function needs({ model, method, adapter }: TrainingOrder, directory: string): boolean {
  const teacher = method.type === 'distillation' ? method.teacher.directory : undefined;
  return [model.directory, adapter?.continues, teacher].includes(directory);
}

/** Rejects when `signal` aborts. */
async function abortable(promise: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return await promise;
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
