// Which responses there are to be fetched and gone on from.
//
// Owns those that run here and the latest of those that callers did not ask to be kept, in memory; the others are in the
// store. One in the background is there from the moment its caller is told of it: where its process is killed, another, or the
// same one when it is back, answers it again. It is given a seed, so that it then says the same. One that ends while the store
// is away is kept when that is back. Knows no HTTP.

import { setTimeout as delay } from 'node:timers/promises';
import type { ChatRequest, Message } from '@hadal/protocol/chat-request';
import { cardNamed, type ModelCard } from '@hadal/protocol/models';
import { type RequestError, requestError } from '@hadal/protocol/request-error';
import { parseResponsesRequest, type ResponsesRequest } from '@hadal/protocol/responses-request';
import { messageOf, type ResponseEvent, ResponseWriter, type WireResponse } from '@hadal/protocol/responses-response';
import { isPassing } from '@hadal/store/passing-failure';
import type { StoredResponse } from '@hadal/store/responses';
import { type Account, namespaceOf } from './accounts.ts';
import type { EndpointOptions } from './answer-plan.ts';
import { explainFailure } from './failure.ts';
import type { Logger } from './logger.ts';
import { type Provider, providerOf } from './provider.ts';
import { finishedRun, LiveRun, type ResponseRun, type RunEvent } from './response-run.ts';

export interface Shelved {
  readonly owner: string;
  readonly run: ResponseRun;
  /** The conversation that it answers, instructions aside. */
  readonly asked: readonly Message[];
  readonly input: readonly unknown[];
  /** Stops it; nothing where it is over. */
  stop(): void;
}

export interface NewResponse {
  readonly id: string;
  /** Whose it is, and who pays for it. */
  readonly account: Account;
  readonly createdMs: number;
  readonly request: ResponsesRequest;
  /** As it came. */
  readonly body: unknown;
  /** Nobody waits any more; of no matter to one in the background. */
  readonly signal: AbortSignal;
  readonly explain: (error: unknown) => RequestError;
}

/** Kept in memory; the oldest goes first. */
const capacity = 1000;
/** How often to look whether another process is done. */
const pollMs = 200;
/** How long to wait before what could not be kept is tried again: twice as long each time. */
const firstRetryMs = 100;
const lastRetryMs = 10_000;

/** What is kept of a response that is not over, to answer it again. */
interface Again {
  readonly body: unknown;
  readonly seed: number;
  /** Whose key pays for it. */
  readonly keyId: string | undefined;
}

export class ResponseShelf implements AsyncDisposable {
  readonly #options: EndpointOptions;
  readonly #byId = new Map<string, Shelved>();
  /** Deleted before they were over. */
  readonly #removed = new Set<string>();
  readonly #running = new Set<Promise<void>>();

  readonly #poll: NodeJS.Timeout;

  constructor(options: EndpointOptions, logger: Logger) {
    this.#options = options;
    const resume = () => {
      if (options.stopping.aborted) return;
      this.#resume(logger).catch((error) => logger.error({ err: error }, 'responses cannot be read'));
    };
    this.#poll = setInterval(resume, options.store.leases.leaseMs / 2);
    this.#poll.unref();
    resume();
  }

  /** What a body asks for, with the conversation before it. Throws `RequestError` for a caller's mistake. */
  async parse(owner: string, body: unknown): Promise<ResponsesRequest> {
    const { previous_response_id: id } = (body ?? {}) as Record<string, unknown>;
    const before = typeof id === 'string' ? await this.#earlier(owner, id) : [];
    return parseResponsesRequest(body, this.#cards(owner), before);
  }

  /** Whoever answers under a name. Throws `RequestError` where it has been taken away since the request was understood. */
  providerOf(owner: string, id: string): Provider {
    const card = cardNamed(this.#cards(owner), id);
    return providerOf(this.#options.models.of(owner), card.id);
  }

  #cards(owner: string): ModelCard[] {
    return this.#options.models.of(owner).map(({ model }) => model);
  }

  /** `field`: where the caller named it. Throws `RequestError` where there is none. */
  async find(owner: string, id: string, field = 'id'): Promise<Shelved> {
    const here = this.#byId.get(id);
    if (here?.owner === owner) return here;
    const stored = await this.#options.store.responses.find(owner, id);
    if (stored === undefined) throw requestError('unknown-object', { field, kind: 'Response', id });
    const { asked, input } = stored;
    return { owner, run: await this.#runOf(stored), asked: asked as readonly Message[], input, stop: () => {} };
  }

  /** Begins to answer. Throws `RequestError` for a caller's mistake. */
  async begin(asked: NewResponse): Promise<ResponseRun> {
    const { id, account, createdMs, request, body } = asked;
    const { owner } = account;
    const { responses, leases } = this.#options.store;
    const provider = this.providerOf(owner, request.chat.model);
    const again: Again | undefined = request.isBackground
      ? { body, seed: seedOf(id), keyId: account.key?.id }
      : undefined;
    // Nobody else has heard of it: the claim is never refused.
    const lease = again && (await leases.hold(leaseOf(id)));
    const run = this.#open(asked, provider, again, lease);
    try {
      if (again !== undefined) {
        const state = { type: 'unfinished', request: again } as const;
        await responses.add({ id, owner, createdMs, asked: request.conversation, input: request.input, state });
      }
      await this.#start(run);
    } catch (error) {
      this.#byId.delete(id);
      try {
        if (again !== undefined) await responses.delete(owner, id);
      } finally {
        await lease?.[Symbol.asyncDispose]();
      }
      throw error;
    }
    return run;
  }

  /** Throws `RequestError` where there is none. */
  async remove(owner: string, id: string): Promise<void> {
    const { run, stop } = await this.find(owner, id);
    if (!run.isOver) this.#removed.add(id);
    stop();
    this.#byId.delete(id);
    await this.#options.store.responses.delete(owner, id);
  }

  /** Answers again what a process that is gone has left unfinished. */
  async #resume(logger: Logger): Promise<void> {
    const { responses, leases } = this.#options.store;
    for (const stored of await responses.unfinished()) {
      const { id, owner, createdMs } = stored;
      if (this.#byId.has(id)) continue;
      const lease = await leases.hold(leaseOf(id));
      if (lease === undefined) continue;
      const again = againOf(stored);
      const explain = (error: unknown) => explainFailure(error, { logger, requestId: id });
      try {
        const request = await this.parse(owner, again.body);
        const provider = this.providerOf(owner, request.chat.model);
        const account = await this.#options.accounts.accountOf(owner, again.keyId);
        const signal = new AbortController().signal;
        const asked = { id, account, createdMs, request, body: again.body, signal, explain };
        await this.#start(this.#open(asked, provider, again, lease));
      } catch (error) {
        this.#byId.delete(id);
        try {
          // Somebody will come back to it.
          if (this.#options.stopping.aborted) return;
          if (isPassing(error)) throw error;
          // Such as a model that is no longer there.
          const failure = { code: 'server_error', message: explain(error).message };
          await responses.finish(id, { type: 'over', response: failedResponse(stored, failure), events: undefined });
        } finally {
          await lease[Symbol.asyncDispose]();
        }
      }
    }
  }

  /** Waits until what the end of the server has cut short is put away. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#poll);
    await Promise.all(this.#running);
  }

  #open(
    { id, account, createdMs, request, signal, explain }: NewResponse,
    provider: Provider,
    again: Again | undefined,
    lease: AsyncDisposable | undefined,
  ): LiveRun {
    const { stopping, now } = this.#options;
    const { owner } = account;
    let held = lease;
    const controller = new AbortController();
    const until = AbortSignal.any([controller.signal, again === undefined ? signal : stopping]);
    const chat: ChatRequest = again === undefined ? request.chat : { ...request.chat, seed: again.seed };
    const run = new LiveRun({
      writer: this.#writerOf(id, createdMs, request),
      answer: provider.chat({ ...chat, userId: namespaceOf(account, chat.userId) }, until),
      explain: (error) => explain(error).message,
      onEnd: async (response, events, { reason, usage }) => {
        // What the end of the server cuts short is gone on with when it is back.
        const isCut = again !== undefined && stopping.aborted && !controller.signal.aborted;
        const endedMs = now();
        const keep = async () => {
          if (reason !== 'failed') {
            const { model, userId: user } = chat;
            const answered = { id, model, user, usage, finishReason: reason, isBatch: false, endedMs };
            await account.charge({ ...answered, operation: 'createResponse' });
          }
          await this.#keep({ id, owner, createdMs, request, response, events });
        };
        try {
          if (isCut) return;
          if (again === undefined) await keep();
          else await this.#keepSometime(id, owner, keep, explain);
        } finally {
          // Also where it cannot be kept: a claim that is renewed for ever is never taken up. One that cannot be given
          // back ends by itself.
          const given = held;
          held = undefined;
          await Promise.resolve(given?.[Symbol.asyncDispose]()).catch(explain);
        }
      },
    });
    const { conversation: asked, input } = request;
    if (request.storage !== 'none') this.#put(id, { owner, run, asked, input, stop: () => controller.abort() });
    return run;
  }

  async #start(run: LiveRun): Promise<void> {
    this.#running.add(run.over);
    void run.over.then(() => this.#running.delete(run.over));
    await run.start();
  }

  /**
   * Tries until it is kept, by this process or by another that has taken it up meanwhile. Throws where the server stops before
   * that, which leaves it to be answered again, and where trying again does not help.
   */
  async #keepSometime(
    id: string,
    owner: string,
    keep: () => Promise<void>,
    explain: (error: unknown) => RequestError,
  ): Promise<void> {
    const { store, stopping } = this.#options;
    try {
      return await keep();
    } catch (error) {
      if (!isPassing(error)) throw error;
      explain(error);
    }
    for (let waitMs = firstRetryMs; ; waitMs = Math.min(2 * waitMs, lastRetryMs)) {
      await delay(waitMs, undefined, { signal: stopping }).catch(() => {
        throw requestError('shutting-down');
      });
      try {
        const isOurs = await store.leases.claim(leaseOf(id));
        const stored = await store.responses.find(owner, id);
        if (stored?.state.type === 'over') {
          // By us, without our hearing of it, or by another, who has said the same.
          this.#byId.delete(id);
          return;
        }
        if (isOurs) return await keep();
      } catch (error) {
        if (!isPassing(error)) throw error;
      }
    }
  }

  async #keep(over: {
    readonly id: string;
    readonly owner: string;
    readonly createdMs: number;
    readonly request: ResponsesRequest;
    readonly response: WireResponse;
    readonly events: readonly ResponseEvent[];
  }): Promise<void> {
    const { id, owner, createdMs, request, response, events } = over;
    const { responses } = this.#options.store;
    if (request.storage !== 'disk' || this.#removed.delete(id)) return;
    const state = { type: 'over', response, events: request.isBackground ? events : undefined } as const;
    if (request.isBackground) await responses.finish(id, state);
    else await responses.add({ id, owner, createdMs, asked: request.conversation, input: request.input, state });
    // The store has it from here on.
    this.#byId.delete(id);
  }

  #put(id: string, shelved: Shelved): void {
    this.#byId.set(id, shelved);
    const [oldest] = this.#byId.keys();
    if (this.#byId.size > capacity && oldest !== undefined) this.#byId.delete(oldest);
  }

  #writerOf(id: string, createdMs: number, request: ResponsesRequest): ResponseWriter {
    let items = 0;
    return new ResponseWriter({
      ...{ id, model: request.chat.model, createdAt: Math.floor(createdMs / 1000) },
      ...{ isBackground: request.isBackground, isStored: request.storage !== 'none' },
      ...{ customTools: request.customTools, echo: request.echo },
      now: () => Math.floor(this.#options.now() / 1000),
      // The same when it is answered again.
      newId: (prefix) => `${prefix}${id.replace('resp_', '')}${items++}`,
    });
  }

  async #runOf(stored: StoredResponse): Promise<ResponseRun> {
    const { id, owner, createdMs, state } = stored;
    if (state.type === 'over') {
      const response = state.response as WireResponse;
      const last = { type: `response.${response.status}`, sequence_number: 0, response };
      return finishedRun(response, (state.events as readonly ResponseEvent[] | undefined) ?? [last]);
    }
    // Another process is at it, or will be.
    const request = await this.parse(owner, againOf(stored).body);
    const { response } = this.#writerOf(id, createdMs, request);
    return { response, isOver: false, follow: (after) => this.#followLater(owner, id, after) };
  }

  /** Waits until it is answered here, or over wherever it is. */
  async *#followLater(owner: string, id: string, after: number | undefined): AsyncGenerator<RunEvent, void, void> {
    yield { type: 'start' };
    for (;;) {
      const here = this.#byId.get(id);
      const { run } = here ?? (await this.find(owner, id));
      if (here || run.isOver) {
        for await (const event of run.follow(after)) if (event.type !== 'start') yield event;
        return;
      }
      await delay(pollMs);
    }
  }

  async #earlier(owner: string, id: string): Promise<readonly Message[]> {
    const { run, asked } = await this.find(owner, id, 'previous_response_id');
    if (!run.isOver) {
      const problem = `expected a response that is over, ${id} is ${run.response.status}`;
      throw requestError('invalid-field', { field: 'previous_response_id', problem });
    }
    return [...asked, messageOf(run.response)];
  }
}

function leaseOf(id: string): string {
  return `response:${id}`;
}

function againOf({ id, state }: StoredResponse): Again {
  if (state.type !== 'unfinished') throw new Error(`response ${id}: expected one that is not over`);
  return state.request as Again;
}

function seedOf(id: string): number {
  return Number.parseInt(id.replace('resp_', '').slice(0, 8), 16);
}

function failedResponse({ id, createdMs }: StoredResponse, error: { readonly code: string; readonly message: string }) {
  return {
    ...{
      id,
      object: 'response',
      created_at: Math.floor(createdMs / 1000),
      completed_at: null,
      status: 'failed',
      error,
    },
    ...{ background: true, output: [], store: true, incomplete_details: null },
  };
}
