// Fine-tuning over the API: jobs made, listed, followed, paused and cancelled, estimates, graders tried out, models fetched and
// deleted.
//
// Owns what a caller may do with a job and with what it has made. JSON shapes are `protocol`'s, the work is the queue's, who trains is
// behind the desk. What has been is shown also by a server that trains nothing.

import { randomInt } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import {
  isFinal,
  type Job,
  type JobEvent,
  type JobStatus,
  wireCheckpoint,
  wireEstimate,
  wireJob,
  wireJobEvent,
} from '@hadal/protocol/fine-tuning';
import {
  type FineTuningRequest,
  parseFineTuningRequest,
  parseGraderRun,
  parseGraderValidation,
} from '@hadal/protocol/fine-tuning-request';
import { wireGraderRun } from '@hadal/protocol/grader-run';
import type { Grader } from '@hadal/protocol/graders';
import { parseListPage, parseRolloutPage, wireList } from '@hadal/protocol/list-page';
import { parseMetadataQuery } from '@hadal/protocol/metadata';
import { cardNamed } from '@hadal/protocol/models';
import { requestError } from '@hadal/protocol/request-error';
import type { TokenPrice, TrainingOrder } from '@hadal/protocol/training-order';
import type { StoredFile } from '@hadal/store/files';
import type { Account } from './accounts.ts';
import { type AnswerPlan, type Endpoint, type EndpointOptions, serverSentEvent } from './answer-plan.ts';
import type { ApiCall } from './api-call.ts';
import { downloadOf } from './file-download.ts';
import { findFile, unknownCursor } from './files-endpoints.ts';
import { completionExamples, dataFiles, orderData, writeOrder } from './job-files.ts';
import { rolloutsOf } from './job-journal.ts';
import { readJsonLines } from './json-lines.ts';
import { modelAsker } from './model-asker.ts';
import { priceOf } from './prices.ts';
import { modelBehind, providerOf } from './provider.ts';
import type { Trainer } from './trainer.ts';
import type { JobLimits, ServedCheckpoint } from './training-desk.ts';

/** Where a job of each status can go. */
const pausable: readonly JobStatus[] = ['validating_files', 'queued', 'running'];
const cancellable: readonly JobStatus[] = [...pausable, 'paused'];
const limitNames = { threads: 'threads', maxMemoryBytes: 'memory_bytes', maxSeconds: 'seconds' } as const;
const eventsTogether = 100;
const maxLineBytes = 48 * 1024 * 1024;
/** Of a server that trains nothing: how often it looks whether another one has got on. */
const lookMs = 1000;

export function fineTuningEndpoints(options: EndpointOptions, chat: Endpoint) {
  const { store, models, accounts, now, jobChanges, stopping } = options;
  const { jobs, files, completions } = store;
  const shown = (job: Job) => wireJob(job, now());

  function trainer(): Trainer {
    if (options.trainer === undefined) {
      throw requestError('training-unavailable', { problem: 'it has no trainer' });
    }
    return options.trainer;
  }

  async function named({ account: { owner }, params: { id } }: ApiCall): Promise<Job> {
    const job = await jobs.find(owner, id);
    if (job === undefined) throw requestError('unknown-object', { field: 'id', kind: 'Fine-tuning job', id });
    return job;
  }

  /** What is asked for, with all that can be found wrong at once. */
  async function understood({ account, body }: ApiCall) {
    const { owner } = account;
    const providers = models.of(owner);
    const request = parseFineTuningRequest(
      body,
      providers.map(({ model }) => model),
    );
    account.checkModel(request.model);
    const { method } = request;
    if (method.type === 'distillation' && method.teacher.baseUrl === undefined)
      account.checkModel(method.teacher.model);
    checkLimits(request);
    const { training, tuned } = trainer();
    const base = baseOf(request.model);
    const adapter = adapterOf(request, tuned.checkpointOf(owner, request.model));
    const trainingFile = await dataFile(account, request.trainingFileId, 'training_file');
    const validation = await dataFile(account, request.validationFileId, 'validation_file');
    if ('grader' in method && method.grader) {
      await checkGrader(account, method.grader, `method.${method.type}.grader`);
    }
    const { model: card } = providerOf(providers, request.model);
    return { request, base, adapter, trainingFile, validation, card, directoryOf };

    /** Of weights that are all a model's own, on this machine. */
    function directoryOf(name: string): string | undefined {
      const checkpoint = tuned.checkpointOf(owner, name);
      if (checkpoint !== undefined) return checkpoint.adapter ? undefined : checkpoint.directory;
      return training.desk.checkpointOf(modelBehind(providerOf(providers, name)));
    }

    function baseOf(name: string): TrainingOrder['model'] {
      const checkpoint = tuned.checkpointOf(owner, name);
      if (checkpoint?.adapter) return checkpoint.base;
      const directory = directoryOf(name);
      if (directory !== undefined) {
        return { name: checkpoint ? name : modelBehind(providerOf(providers, name)), directory };
      }
      throw requestError('training-unavailable', { problem: `${name} is no checkpoint of this machine` });
    }
  }

  /** What is trained beside the base: an adapter that there is already goes on as it is. */
  function adapterOf(
    { model, method, options: { adapter: asked } }: FineTuningRequest,
    begun: ServedCheckpoint | undefined,
  ): TrainingOrder['adapter'] {
    if (!begun?.adapter) return asked;
    const { rank, alpha, targets } = begun.adapter;
    if (asked && !isDeepStrictEqual([asked.rank, asked.alpha, asked.targets], [rank, alpha, targets])) {
      const problem = `expected what ${model} has: rank ${rank}, alpha ${alpha}, targets ${JSON.stringify(targets)}`;
      throw requestError('invalid-field', { field: `method.${method.type}.adapter`, problem });
    }
    return { ...begun.adapter, ...(asked?.baseDtype && { baseDtype: asked.baseDtype }), continues: begun.directory };
  }

  async function dataFile({ owner }: Account, id: string | undefined, field: string): Promise<StoredFile | undefined> {
    if (id === undefined) return undefined;
    const file = await findFile(files, owner, id, field);
    if (file.purpose === 'fine-tune') return file;
    const problem = `expected a file uploaded with purpose "fine-tune", ${id} has ${JSON.stringify(file.purpose)}`;
    throw requestError('invalid-field', { field, problem });
  }

  async function checkGrader(account: Account, grader: Grader, field: string): Promise<void> {
    const cards = models.of(account.owner).map(({ model }) => model);
    const parts = grader.type === 'multi' ? Object.values(grader.graders) : [grader];
    for (const part of parts) if (part.type === 'score_model') account.checkModel(cardNamed(cards, part.model).id);
    const [first, ...others] = await trainer().training.desk.validateGrader(grader);
    if (first === undefined) return;
    const more = others.map((mistake) => `; ${field}.${mistake.field}: ${mistake.problem}`).join('');
    throw requestError('invalid-field', { field: `${field}.${first.field}`, problem: first.problem + more });
  }

  function orderOf(
    id: string,
    { request, base, adapter, validation, directoryOf }: Awaited<ReturnType<typeof understood>>,
  ): TrainingOrder {
    return {
      ...{ id, model: base, suffix: request.suffix, seed: request.seed ?? randomInt(2 ** 31 - 1) },
      trainingFile: dataFiles.training,
      ...(validation && { validationFile: dataFiles.validation }),
      ...{ ...usualLimits(), ...request.options },
      ...{ method: withPrices(withTeacher(request.method)), ...(adapter && { adapter }) },
    };

    /** What an answer costs is told where the server's callers pay: not for a teacher elsewhere, whose price nobody here knows. */
    function withPrices(method: TrainingOrder['method']): TrainingOrder['method'] {
      if (method.type !== 'distillation') return method;
      const { model, baseUrl } = method.teacher;
      // A name may stand for another, which is what the student is going to be called after and paid as.
      const student = tokenPrice(base.name);
      const teacher = baseUrl === undefined ? tokenPrice(model) : undefined;
      if (!student && !teacher) return method;
      const { currency } = accounts.prices;
      return { ...method, prices: { currency, ...(teacher && { teacher }), ...(student && { student }) } };
    }

    function tokenPrice(model: string): TokenPrice | undefined {
      const price = priceOf(accounts.prices, model);
      return price && { input: price.cacheMiss, output: price.output };
    }

    /** What a teacher expects beside what it says can be known only where its checkpoint lies. */
    function withTeacher(method: TrainingOrder['method']): TrainingOrder['method'] {
      if (method.type !== 'distillation' || method.teacher.baseUrl !== undefined) return method;
      const directory = directoryOf(method.teacher.model);
      return directory === undefined ? method : { ...method, teacher: { ...method.teacher, directory } };
    }
  }

  /** Throws where the caller asks for more than the operator allows. */
  function checkLimits({ method, options: asked }: FineTuningRequest): void {
    const { limits = {} } = trainer().training;
    for (const [name, wireName] of Object.entries(limitNames) as [keyof JobLimits, string][]) {
      const most = limits[name] ?? Infinity;
      if ((asked[name] ?? 0) <= most) continue;
      const problem = `expected at most the ${most} that this server allows, got ${asked[name]}`;
      throw requestError('invalid-field', { field: `method.${method.type}.limits.${wireName}`, problem });
    }
  }

  /** Of a job that asks for none. */
  function usualLimits(): JobLimits {
    const { limits = {} } = trainer().training;
    // More threads than processors make nothing faster.
    return { ...limits, ...(limits.threads && { threads: Math.min(limits.threads, availableParallelism()) }) };
  }

  /** What is learned from, where it is no file of the caller's. */
  function examples(owner: string, { storedCompletions }: FineTuningRequest): AsyncIterable<Uint8Array> {
    if (storedCompletions === undefined) throw new Error('expected a file or a filter of stored completions');
    return completionExamples(completions, owner, storedCompletions);
  }

  async function exampleFile(owner: string, request: FineTuningRequest): Promise<StoredFile> {
    const head = { id: `file-api-${jobChanges.newId()}`, owner, createdMs: now() };
    const described = { filename: 'stored-completions.jsonl', purpose: 'fine-tune', mimeType: 'application/jsonl' };
    const file = await files.write(head, examples(owner, request), () => ({ ...described, expiresMs: undefined }));
    if (file.bytes > 0) return file;
    await files.delete(owner, file.id);
    const problem = 'expected one that lets a stored completion through';
    throw requestError('invalid-field', { field: 'method.distillation.filter', problem });
  }

  async function changed(
    call: ApiCall,
    from: readonly JobStatus[],
    change: Parameters<typeof jobs.update>[2],
    what: string,
  ) {
    const { id, status } = await named(call);
    const job = await jobs.update(id, from, change);
    if (job === undefined) {
      throw requestError('invalid-field', { field: 'id', problem: `expected a job that ${what}, ${id} is ${status}` });
    }
    options.trainer?.queue.stir(id);
    if (isFinal(job.status)) options.onJobOver();
    return shown(job);
  }

  /** Events from after the one of that id, as they come, until the job is over. */
  async function* followed(
    job: Job,
    after: string | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<JobEvent, void, void> {
    const { id, owner } = job;
    const until = AbortSignal.any([signal, stopping]);
    for (let last = after; !until.aborted; ) {
      // Asked before the events: what a job tells at its end is there when it is over.
      const { status } = (await jobs.get(id)) ?? job;
      const page = await jobs.events(id, { owner, limit: eventsTogether, order: 'asc', after: last });
      for (const event of page?.rows ?? []) {
        yield event;
        last = event.id;
      }
      if (page?.hasMore) continue;
      if (isFinal(status)) return;
      await nextChange(id, until);
    }
  }

  async function nextChange(id: string, signal: AbortSignal): Promise<void> {
    if (options.trainer) return await options.trainer.queue.nextChange(id, signal);
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }

  function planFollowing(job: Job, { query: { after }, signal, explain }: ApiCall): AnswerPlan {
    const gone = new AbortController();
    async function* stream() {
      try {
        for await (const event of followed(job, after, AbortSignal.any([signal, gone.signal]))) {
          yield serverSentEvent(wireJobEvent(event), 'fine_tuning.job.event');
        }
        // The end of the server is not the job's.
        if (!stopping.aborted) yield 'data: [DONE]\n\n';
      } catch (error) {
        yield serverSentEvent({ error: { message: explain(error).message } }, 'error');
      }
    }
    return {
      ...{ isStream: true, outcome: { model: job.details.model, isStream: true }, keepAlive: ': keep-alive\n\n' },
      usage: () => undefined,
      start: async () => ({ stream, whole: async () => ({}) }),
      leave: () => gone.abort(),
    };
  }

  function knownModel({ account, params: { id } }: ApiCall): string {
    const known = models.of(account.owner).map(({ model }) => model);
    cardNamed(known, id);
    account.checkModel(id);
    return id;
  }

  /** Of a model that a job has made, by name. */
  async function filesOfModel(call: ApiCall) {
    const id = knownModel(call);
    const directory = options.trainer?.tuned.checkpointOf(call.account.owner, id)?.directory;
    if (directory === undefined) throw requestError('unknown-object', { field: 'id', kind: 'Checkpoint', id });
    try {
      const entries = await readdir(directory, { withFileTypes: true });
      const names = entries.flatMap((entry) => (entry.isFile() ? [entry.name] : [])).sort();
      return await Promise.all(
        names.map(async (name) => ({
          ...{ name, path: join(directory, name) },
          bytes: (await stat(join(directory, name))).size,
        })),
      );
    } catch (error) {
      throw isMissing(error) ? requestError('unknown-object', { field: 'id', kind: 'Checkpoint', id }) : error;
    }
  }

  return {
    async create(call: ApiCall) {
      const { account } = call;
      const asked = await understood(call);
      const { request, validation, card } = asked;
      const file = asked.trainingFile ?? (await exampleFile(account.owner, request));
      const id = `ftjob-${jobChanges.newId()}`;
      const job: Job = {
        ...{ id, owner: account.owner, createdMs: now(), status: 'validating_files' },
        details: {
          ...{ model: request.model, card, trainingFileId: file.id, validationFileId: validation?.id ?? null },
          ...{ metadata: request.metadata, keyId: account.key?.id, order: orderOf(id, asked) },
          ...{ wireMethod: request.wireMethod, since: {}, failure: null, fineTunedModel: null },
          ...{ trainedTokens: null, resultFileIds: [], reachedStep: 0, journalBytes: 0, ranMs: 0 },
        },
      };
      await jobs.add(job, [jobChanges.event(`Created fine-tuning job: ${id}`)]);
      trainer().queue.wake();
      return shown(job);
    },

    async list({ account: { owner }, query }: ApiCall) {
      const asked = parseListPage(query, { limit: 20, maxLimit: 100, order: 'desc' });
      const page = await jobs.list({ owner, ...asked, metadata: parseMetadataQuery(query) });
      if (page === undefined) throw unknownCursor('after', query.after);
      return wireList(page.rows.map(shown), page.hasMore);
    },

    get: async (call: ApiCall) => shown(await named(call)),

    async cancel(call: ApiCall) {
      const change = (job: Job) => jobChanges.enter(job, 'cancelled', ['The job was cancelled']);
      return await changed(call, cancellable, change, 'is not over');
    },

    async pause(call: ApiCall) {
      const change = (job: Job) => jobChanges.enter(job, 'paused', ['The job is paused']);
      return await changed(call, pausable, change, 'is on its way');
    },

    async resume(call: ApiCall) {
      await named(call);
      trainer();
      const change = (job: Job) => {
        const status = job.details.since.queued === undefined ? 'validating_files' : 'queued';
        return jobChanges.enter(job, status, ['The job goes on when it is its turn']);
      };
      return await changed(call, ['paused'], change, 'is paused');
    },

    async events(call: ApiCall) {
      const job = await named(call);
      const { query, account } = call;
      const asked = parseListPage(query, { limit: 20, maxLimit: 1000, order: 'desc' });
      const page = await jobs.events(job.id, { owner: account.owner, ...asked });
      if (page === undefined) throw unknownCursor('after', query.after);
      if (query.stream === 'true') return planFollowing(job, call);
      return wireList(page.rows.map(wireJobEvent), page.hasMore);
    },

    async checkpoints(call: ApiCall) {
      const job = await named(call);
      const asked = parseListPage(call.query, { limit: 10, maxLimit: 100, order: 'desc' });
      const page = await jobs.checkpoints(job.id, { owner: job.owner, ...asked });
      if (page === undefined) throw unknownCursor('after', call.query.after);
      return wireList(page.rows.map(wireCheckpoint), page.hasMore);
    },

    async removeModel(call: ApiCall) {
      const { account } = call;
      const id = knownModel(call);
      if (await options.trainer?.tuned.remove(account.owner, id)) return { id, object: 'model', deleted: true };
      throw requestError('undeletable-model', { model: id, problem: 'no job of this server has made it' });
    },

    async modelFiles(call: ApiCall) {
      const found = await filesOfModel(call);
      return { object: 'list', data: found.map(({ name, bytes }) => ({ object: 'model.file', name, bytes })) };
    },

    async modelFile(call: ApiCall) {
      const { name = '' } = call.query;
      const file = (await filesOfModel(call)).find((one) => one.name === name);
      if (file === undefined) throw requestError('unknown-object', { field: 'name', kind: 'File', id: name });
      const described = { filename: name, mimeType: 'application/octet-stream', bytes: file.bytes };
      try {
        return await downloadOf(described, bytesOf(file.path));
      } catch (error) {
        // Deleted after it had been found.
        throw isMissing(error) ? requestError('unknown-object', { field: 'name', kind: 'File', id: name }) : error;
      }
    },

    async rollouts(call: ApiCall) {
      const { id } = await named(call);
      const { step, limit, after } = parseRolloutPage(call.query);
      const directory = options.trainer?.queue.directoryOf(id);
      const found = directory === undefined ? undefined : await rolloutsOf(directory, step);
      const path = found && resolve(directory ?? '', found.file);
      if (found === undefined || path === undefined || !existsSync(path)) {
        if (step === undefined) return { object: 'list', step: null, data: [], has_more: false };
        throw requestError('unknown-object', { field: 'step', kind: 'Rollouts of step', id: String(step) });
      }
      const data: object[] = [];
      let number = 0;
      for await (const line of readJsonLines(createReadStream(path), maxLineBytes)) {
        if (line.type !== 'value' || typeof line.value !== 'object' || line.value === null) continue;
        if (number++ < after) continue;
        if (data.length === limit) return { object: 'list', step: found.step, data, has_more: true };
        data.push(line.value);
      }
      return { object: 'list', step: found.step, data, has_more: false };
    },

    async estimate(call: ApiCall) {
      const asked = await understood(call);
      const { training, queue } = trainer();
      const { request, trainingFile, validation } = asked;
      const id = `estimate-${jobChanges.newId()}`;
      const directory = join(training.directory, id);
      const data = trainingFile
        ? orderData(files, trainingFile, validation)
        : { training: examples(call.account.owner, request), validation: validation && files.read(validation) };
      const order = orderOf(id, asked);
      try {
        await writeOrder(directory, order, data);
        const [first] = await training.desk.check(order, directory, await queue.bytesToBeFreed());
        if (first !== undefined) {
          const place = first.line === null ? '' : `line ${first.line}: `;
          throw requestError('invalid-field', { field: first.param ?? 'body', problem: place + first.message });
        }
        return wireEstimate(request.model, await training.desk.estimate(order, directory));
      } finally {
        await rm(directory, { recursive: true, force: true });
      }
    },

    async runGrader(call: ApiCall) {
      const { grader, item, sample } = parseGraderRun(call.body);
      await checkGrader(call.account, grader, 'grader');
      const { signal } = call;
      const { desk } = trainer().training;
      return wireGraderRun(await desk.runGrader({ grader, item, sample, ask: modelAsker(chat, call), signal }));
    },

    async validateGrader(call: ApiCall) {
      const grader = parseGraderValidation(call.body);
      await checkGrader(call.account, grader, 'grader');
      return { grader };
    },
  };
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

async function* bytesOf(path: string): AsyncGenerator<Uint8Array, void, void> {
  yield* createReadStream(path);
}
