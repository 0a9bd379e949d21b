// What carries jobs out.
//
// Owns the way of a job from its files to its end: checked, started in its turn, watched, started again where its process dies, and
// ended where it takes more than it may. The journal of its directory is all that it learns of progress by, so that this server and
// the process may each be killed at any moment: what is told is imported where it stood, and a process is started again and goes
// on from its last checkpoint. One server works on jobs at a time. Knows nothing of how anything is trained.

import { createReadStream, type FSWatcher, watch } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { isFinal, type Job, type JobFailure, type JobStatus } from '@hadal/protocol/fine-tuning';
import { jobFiles } from '@hadal/protocol/training-order';
import type { JobChange } from '@hadal/store/jobs';
import type { Store } from '@hadal/store/store';
import type { JobChanges } from './job-changes.ts';
import { orderData, writeOrder } from './job-files.ts';
import { type JobEnd, mendJournal, readJournal, tell } from './job-journal.ts';
import { residentBytes, untilUnlocked } from './job-process.ts';
import type { Logger } from './logger.ts';
import type { AskModels } from './model-asker.ts';
import type { JobExit, JobProcess, Training } from './training-desk.ts';
import type { TunedModels } from './tuned-models.ts';

export interface JobQueueOptions {
  readonly training: Training;
  readonly store: Pick<Store, 'jobs' | 'files' | 'leases'>;
  readonly changes: JobChanges;
  readonly tuned: TunedModels;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Aborts when the server stops: everything stays as it is, to be gone on with. */
  readonly stopping: AbortSignal;
  readonly logger: Logger;
  /** Hears of jobs that are over. */
  readonly onOver: () => void;
}

/** What asks models in the name of whoever ordered a job. */
export type AskFor = (job: Job) => AskModels;

const unfinished: readonly JobStatus[] = ['validating_files', 'queued', 'running'];
const anyStatus: readonly JobStatus[] = [...unfinished, 'paused', 'succeeded', 'failed', 'cancelled'];
const maxProblems = 20;
/** How often what fails for reasons of our own is tried, before it has gone well again. */
const maxAttempts = 3;

/** One job that is worked on. */
interface Work {
  readonly kind: 'validation' | 'run';
  readonly done: Promise<void>;
  /** Of its process, while there is one. */
  pid?: number | undefined;
  /** It has been told something, or is to be looked at. */
  stirred: PromiseWithResolvers<void>;
}

export class JobQueue implements AsyncDisposable {
  readonly #options: JobQueueOptions;
  readonly #work = new Map<string, Work>();
  readonly #attempts = new Map<string, number>();
  readonly #followers = new Map<string, Set<() => void>>();
  #poll: NodeJS.Timeout | undefined;
  #lease: AsyncDisposable | undefined;
  #taking: Promise<void> | undefined;
  #isWanted = false;
  #askFor: AskFor | undefined;

  constructor(options: JobQueueOptions) {
    this.#options = options;
    options.stopping.addEventListener('abort', () => this.#stirAll(), { once: true });
  }

  /** Takes up what an earlier server has left, and what comes. `askFor`: what a job's process asks models by. */
  start(askFor: AskFor): void {
    this.#askFor = askFor;
    this.#poll = setInterval(() => this.wake(), this.#pollMs);
    this.#poll.unref();
    this.wake();
  }

  get #pollMs(): number {
    return this.#options.training.pollMs ?? 1000;
  }

  /** Takes up what there is to be done. */
  wake(): void {
    this.#isWanted = true;
    this.#taking ??= this.#takeUp()
      .catch((error) => this.#options.logger.error({ err: error }, 'jobs cannot be read'))
      .finally(() => {
        this.#taking = undefined;
      });
  }

  /** Somebody has changed a job. */
  stir(id: string): void {
    const work = this.#work.get(id);
    if (work) work.stirred.resolve();
    else if (this.#lease) void this.#forgetState(id);
    this.#notify(id);
    this.wake();
  }

  /** Resolves at the next change of a job, and at the latest when it may be time to look. */
  async nextChange(id: string, signal: AbortSignal): Promise<void> {
    const { promise, resolve: stop } = Promise.withResolvers<void>();
    const followers = this.#followers.get(id) ?? new Set();
    this.#followers.set(id, followers.add(stop));
    const timer = setTimeout(stop, this.#pollMs);
    const abort = () => stop();
    signal.addEventListener('abort', abort, { once: true });
    await promise;
    signal.removeEventListener('abort', abort);
    clearTimeout(timer);
    followers.delete(stop);
    if (followers.size === 0) this.#followers.delete(id);
  }

  directoryOf(id: string): string {
    return join(this.#options.training.directory, id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#poll);
    await this.#taking;
    await Promise.all([...this.#work.values()].map(({ done }) => done));
    await this.#lease?.[Symbol.asyncDispose]();
  }

  async #takeUp(): Promise<void> {
    while (this.#askFor && this.#isWanted && !this.#options.stopping.aborted) {
      this.#isWanted = false;
      await this.#takeUpOnce();
    }
  }

  async #takeUpOnce(): Promise<void> {
    const { store, training, tuned } = this.#options;
    // Checkpoints may also come from another server.
    await tuned.refresh();
    if (this.#lease === undefined) {
      this.#lease = await store.leases.hold('jobs');
      if (this.#lease === undefined) return;
      await this.#forgetStates();
    }
    const jobs = await store.jobs.inState(unfinished);
    const first = jobs.find(({ status }) => status === 'validating_files');
    // One after the other, so that they keep their order.
    if (first !== undefined) this.#begin('validation', first.id, 1, () => this.#validate(first.id));
    // Those that ran already come first.
    const waiting = ['running', 'queued'].flatMap((status) => jobs.filter((job) => job.status === status));
    for (const { id } of waiting) this.#begin('run', id, training.concurrent ?? 1, () => this.#run(id));
  }

  /** Where there is room: not more than `most` of a kind at a time. */
  #begin(kind: Work['kind'], id: string, most: number, work: () => Promise<void>): void {
    const running = this.#work.values().filter((one) => one.kind === kind);
    if (this.#work.has(id) || this.#options.stopping.aborted || [...running].length >= most) return;
    const done = Promise.resolve()
      .then(work)
      .then(() => void this.#attempts.delete(id))
      .catch(async (error) => {
        await this.#noteFailure(id, error);
        await this.#pause(id, this.#pollMs);
      })
      .finally(async () => {
        await this.#forgetState(id);
        this.#work.delete(id);
        this.wake();
      });
    this.#work.set(id, { kind, done, stirred: Promise.withResolvers() });
  }

  /** Of jobs that ended while no server was at work. */
  async #forgetStates(): Promise<void> {
    const names = await readdir(this.#options.training.directory).catch(() => []);
    for (const name of names) await this.#forgetState(name);
  }

  /** Where a job is over, what it would go on from takes room for nothing. */
  async #forgetState(id: string): Promise<void> {
    const { store, logger } = this.#options;
    try {
      const job = await store.jobs.get(id);
      if (job && isFinal(job.status))
        await rm(join(this.directoryOf(id), jobFiles.state), { recursive: true, force: true });
    } catch (error) {
      // It is tried again when the next server starts.
      logger.warn({ err: error, job: id }, 'the state of a job that is over cannot be removed');
    }
  }

  #stirAll(): void {
    for (const { stirred } of this.#work.values()) stirred.resolve();
  }

  #notify(id: string): void {
    for (const follower of this.#followers.get(id) ?? []) follower();
  }

  /** Changes a job and lets those know who follow it. */
  async #update(
    id: string,
    from: readonly JobStatus[],
    change: (job: Job) => JobChange | undefined,
  ): Promise<Job | undefined> {
    const changed = await this.#options.store.jobs.update(id, from, change);
    if (changed === undefined) return undefined;
    this.#notify(id);
    if (isFinal(changed.status)) this.#options.onOver();
    return changed;
  }

  async #fail(id: string, failure: JobFailure, problems: readonly string[] = [failure.message]): Promise<void> {
    const { changes } = this.#options;
    const events = problems.slice(0, maxProblems).map((message) => changes.event(message, 'error'));
    await this.#update(id, unfinished, (job) => changes.enter(job, 'failed', events, { failure }));
  }

  /** A full disk is for its owner to hear of; everything else is tried again a few times. */
  async #noteFailure(id: string, error: unknown): Promise<void> {
    const { logger } = this.#options;
    const attempts = (this.#attempts.get(id) ?? 0) + 1;
    this.#attempts.set(id, attempts);
    logger.error({ err: error, job: id, attempts }, 'job interrupted');
    const { code, message } = error as NodeJS.ErrnoException;
    const isFull = code === 'ENOSPC' || code === 'EDQUOT';
    if (!isFull && attempts < maxAttempts) return;
    const failure = isFull
      ? { code: 'disk_full', message: `There is no room for the files of the job: ${message}`, param: null }
      : { code: 'server_error', message: 'The server had an error while it worked on the job', param: null };
    await this.#fail(id, failure).catch((again) => logger.error({ err: again, job: id }, 'job cannot be ended'));
  }

  async #validate(id: string): Promise<void> {
    const { store, changes, training } = this.#options;
    const job = await store.jobs.get(id);
    if (job?.status !== 'validating_files') return;
    const { order, trainingFileId, validationFileId } = job.details;
    const [file, validation] = await Promise.all(
      [trainingFileId, validationFileId].map((one) => (one === null ? undefined : store.files.find(job.owner, one))),
    );
    if (file === undefined) return await this.#fail(id, missing('training_file', trainingFileId));
    if (validationFileId !== null && validation === undefined) {
      return await this.#fail(id, missing('validation_file', validationFileId));
    }
    await store.jobs.note(job, [
      { ...changes.event(`Validating training file: ${trainingFileId}`), key: 'validating' },
    ]);
    this.#notify(id);
    const directory = this.directoryOf(id);
    await writeOrder(directory, order, orderData(store.files, file, validation));
    const problems = await training.desk.check(order, directory, await this.bytesToBeFreed());
    const [first] = problems;
    if (first !== undefined) {
      const { code, param } = first;
      const failure = { code, message: problemText(first), param };
      return await this.#fail(id, failure, problems.map(problemText));
    }
    await this.#update(id, ['validating_files'], (last) =>
      changes.enter(last, 'queued', ['Files validated, moving job to queued state']),
    );
  }

  async #run(id: string): Promise<void> {
    const { training, changes, stopping } = this.#options;
    const { restartDelaysMs = [1000, 5000, 30_000], stopMs = 30_000 } = training;
    const directory = this.directoryOf(id);
    await untilUnlocked(directory, stopMs);
    for (let deaths = 0; !stopping.aborted; ) {
      await mendJournal(directory);
      // What an earlier process has told before it ended.
      const found = await this.#import(id);
      const before = found && (await this.#enterRunning(id));
      if (before === undefined) return;
      const exit = await this.#watch(id, training.desk.start(directory, this.#asker(before)));
      const after = await this.#import(id);
      if (after?.status !== 'running' || stopping.aborted) return;
      deaths = after.details.reachedStep > before.details.reachedStep ? 1 : deaths + 1;
      const delayMs = restartDelaysMs[deaths - 1];
      const reason = exitText(exit);
      if (delayMs === undefined) {
        const message = `The training process ended ${deaths} times without getting on: ${reason}`;
        return await this.#fail(id, { code: 'process_died', message, param: null });
      }
      const warning = `The training process ended (${reason}); it goes on from its last checkpoint`;
      await this.#update(id, ['running'], ({ status, details }) => ({
        ...{ status, details, events: [changes.event(warning, 'warn')] },
      }));
      await this.#pause(id, delayMs);
    }
  }

  async #enterRunning(id: string): Promise<Job | undefined> {
    const { changes, now } = this.#options;
    return await this.#update(id, ['queued', 'running'], (job) => {
      const { progress, since } = job.details;
      // Steps take as long as they take from here on.
      const again = progress && { ...progress, firstStep: progress.step, firstAtMs: now(), atMs: now() };
      const more = { progress: again };
      if (job.status === 'running') return { status: 'running', details: { ...job.details, ...more } };
      const message = since.running === undefined ? 'Fine-tuning job started' : 'Fine-tuning job goes on';
      return changes.enter(job, 'running', [message], more);
    });
  }

  #asker(job: Job): AskModels {
    if (this.#askFor === undefined) throw new Error('the queue of jobs: expected to be started');
    return this.#askFor(job);
  }

  /** Until the process is gone; it is asked to go when the job is no longer to run. */
  async #watch(id: string, process: JobProcess): Promise<JobExit> {
    const { stopping, logger, now, training } = this.#options;
    const { stopMs = 30_000 } = training;
    const work = this.#work.get(id);
    if (work) work.pid = process.pid;
    const begunMs = now();
    let exit: JobExit | undefined;
    let killer: NodeJS.Timeout | undefined;
    void process.exited.then((how) => {
      exit = how;
      this.#work.get(id)?.stirred.resolve();
    });
    const stop = () => {
      if (killer !== undefined) return;
      process.stop();
      killer = setTimeout(() => process.kill(), stopMs);
    };
    using _ = this.#watchFiles(id);
    let ranMs = 0;
    while (exit === undefined) {
      await this.#pause(id, this.#pollMs);
      if (stopping.aborted) stop();
      try {
        const elapsedMs = now() - begunMs;
        const job = await this.#import(id, elapsedMs - ranMs);
        ranMs = elapsedMs;
        const excess = job?.status === 'running' ? await this.#excess(job, process.pid) : undefined;
        if (excess !== undefined) await this.#fail(id, excess);
        // Memory grows on while a step is finished.
        if (excess?.code === 'memory_limit') process.kill();
        else if (excess !== undefined || job?.status !== 'running') stop();
      } catch (error) {
        // Such as a store that is away for a while: the process goes on.
        logger.error({ err: error, job: id }, 'job cannot be followed');
      }
    }
    clearTimeout(killer);
    if (work) work.pid = undefined;
    return exit;
  }

  /** Memory that is given back before another job can start: none where there is room for it beside those that run. */
  async bytesToBeFreed(): Promise<number> {
    const pids = [...this.#work.values()].flatMap(({ pid }) => pid ?? []);
    if (pids.length < (this.#options.training.concurrent ?? 1)) return 0;
    const sizes = await Promise.all(pids.map((pid) => residentBytes(pid, 'own')));
    // Which of them ends first nobody knows.
    return Math.min(...sizes.map((bytes) => bytes ?? 0));
  }

  /** Why a job is to end that takes more than it may. */
  async #excess({ details }: Job, pid: number | undefined): Promise<JobFailure | undefined> {
    const { timeLeewayMs = 60_000, limits = {} } = this.#options.training;
    // The operator's of today hold for orders of any day.
    const maxMemoryBytes = least(details.order.maxMemoryBytes, limits.maxMemoryBytes);
    const maxSeconds = least(details.order.maxSeconds, limits.maxSeconds);
    const bytes = maxMemoryBytes === undefined || pid === undefined ? undefined : await residentBytes(pid);
    if (bytes !== undefined && maxMemoryBytes !== undefined && bytes > maxMemoryBytes) {
      const message = `The job took ${bytes} bytes of memory, ${maxMemoryBytes} are allowed`;
      return { code: 'memory_limit', message, param: 'method' };
    }
    if (maxSeconds === undefined || details.ranMs <= maxSeconds * 1000 + timeLeewayMs) return undefined;
    const message = `The job took ${Math.floor(details.ranMs / 1000)} seconds, ${maxSeconds} are allowed`;
    return { code: 'time_limit', message, param: 'method' };
  }

  #watchFiles(id: string): Disposable {
    let watcher: FSWatcher | undefined;
    try {
      watcher = watch(this.directoryOf(id), () => this.#work.get(id)?.stirred.resolve());
      watcher.on('error', () => {});
    } catch {
      // Where files cannot be watched, they are looked at.
    }
    return { [Symbol.dispose]: () => watcher?.close() };
  }

  /** Until something happens to a job, and at most so long. */
  async #pause(id: string, ms: number): Promise<void> {
    const work = this.#work.get(id);
    if (work === undefined) return;
    const timer = setTimeout(() => work.stirred.resolve(), ms);
    await work.stirred.promise;
    clearTimeout(timer);
    work.stirred = Promise.withResolvers();
  }

  /** Writes into the store what the journal has told since; `ranMs`: for how long the process has run meanwhile. */
  async #import(id: string, ranMs = 0): Promise<Job | undefined> {
    let moreMs = ranMs;
    const { store, changes, tuned, logger } = this.#options;
    const directory = this.directoryOf(id);
    for (;;) {
      const job = await store.jobs.get(id);
      if (job === undefined) return undefined;
      const part = await readJournal(directory, job.details.journalBytes);
      if (part.odd > 0) logger.warn({ job: id, lines: part.odd }, 'journal has lines that are none');
      const isNew = part.end !== job.details.journalBytes;
      if (!isNew && moreMs === 0) return job;
      const told = tell(job, part, () => changes.newId());
      const files = told.end?.status === 'succeeded' ? await this.#writeResults(job, told.end.files) : [];
      if (told.checkpoints.length > 0 || told.end) tuned.announce({ ...job, details: told.details }, told.checkpoints);
      const changed = await this.#update(id, anyStatus, (last) => {
        if (last.details.journalBytes !== job.details.journalBytes) return undefined;
        const { details, events, checkpoints, end } = tell(last, part, () => changes.newId());
        const ran = { ...details, ranMs: details.ranMs + moreMs };
        const plain = { status: last.status, details: ran, events, checkpoints };
        return end === undefined ? plain : { ...plain, ...this.#ended({ ...last, details: ran }, end, files, events) };
      });
      if (changed !== undefined) moreMs = 0;
      if (changed !== undefined && part.entries.length === 0) return changed;
    }
  }

  #ended(
    job: Job,
    end: JobEnd,
    files: readonly string[],
    told: JobChange['events'] = [],
  ): Omit<JobChange, 'checkpoints'> {
    const { changes } = this.#options;
    if (end.status === 'failed') {
      const { failure } = end;
      return changes.enter(job, 'failed', [...told, changes.event(failure.message, 'error')], { failure });
    }
    const { fineTunedModel } = job.details;
    const messages = [`New fine-tuned model created: ${fineTunedModel}`, 'The job has successfully completed'];
    return changes.enter(job, 'succeeded', [...told, ...messages], { resultFileIds: files });
  }

  /** Done again, should it have been cut off: the files have the same names. */
  async #writeResults(
    { id, owner }: Job,
    files: readonly { readonly name: string; readonly path: string }[],
  ): Promise<string[]> {
    const { store, now } = this.#options;
    const ids: string[] = [];
    for (const [i, { name, path }] of files.entries()) {
      const head = { id: `file-api-${id.replace('ftjob-', '')}-${i}`, owner, createdMs: now() };
      const content = createReadStream(resolve(this.directoryOf(id), path));
      const described = { filename: name, purpose: 'fine-tune-results', mimeType: 'application/octet-stream' };
      await store.files.write(head, content, () => ({ ...described, expiresMs: undefined }));
      ids.push(head.id);
    }
    return ids;
  }
}

function missing(field: string, id: string): JobFailure {
  return { code: `invalid_${field}`, message: `${field}: file ${id} was deleted`, param: field };
}

function problemText({ message, param, line }: { message: string; param: string | null; line: number | null }): string {
  const place = line === null ? '' : `${param ?? 'file'}, line ${line}: `;
  return `${place}${message}`;
}

function exitText({ code, signal, lastWords }: JobExit): string {
  const how = signal !== null ? `signal ${signal}` : code === null ? 'it could not be started' : `exit code ${code}`;
  const last = lastWords.split('\n').at(-1) ?? '';
  return last === '' ? how : `${how}: ${last.slice(0, 300)}`;
}

function least(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}
