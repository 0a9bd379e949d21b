// The provider of a model that runs elsewhere.
//
// Owns one model's servers as one thing to open and close: the pool in front of them, the connections, the health checks, and which
// flavour they are where nobody has said. Knows neither configuration files nor the environment: keys arrive as they are.

import { createHash, randomUUID } from 'node:crypto';
import type { ChatEvent } from '@hadal/protocol/chat-event';
import type { ChatRequest, Message } from '@hadal/protocol/chat-request';
import type { CompletionRequest } from '@hadal/protocol/completions-request';
import type { CompletionEvent } from '@hadal/protocol/completions-response';
import type { ModelCard } from '@hadal/protocol/models';
import { requestError } from '@hadal/protocol/request-error';
import type { Logger } from '../logger.ts';
import type { Provider } from '../provider.ts';
import { ChatEventReader } from './chat-event-reader.ts';
import { CompletionEventReader } from './completion-event-reader.ts';
import type { TokenCounter } from './token-counter.ts';
import {
  type RequestHeaders,
  UpstreamConnection,
  type UpstreamServer,
  type UpstreamTimeouts,
} from './upstream-connection.ts';
import { failureShown, UpstreamFailure } from './upstream-failure.ts';
import { type Flavour, flavourTraits, type ServerTraits, traitsIn } from './upstream-flavour.ts';
import { watchHealth } from './upstream-health.ts';
import { type Clock, prefixKeys, type ServerStatus, UpstreamPool } from './upstream-pool.ts';
import { type RelayedRequest, type RelayParts, relayAnswer } from './upstream-relay.ts';
import { chatBody, completionBody, conversationBody, type UpstreamModel } from './upstream-request.ts';
import { withChatUsage, withCompletionUsage } from './usage-estimate.ts';

/** One model and the servers that have it. */
export interface Upstream {
  /** What callers name. */
  readonly id: string;
  /** What the upstream calls it. */
  readonly model: string;
  /** undefined: as its servers say, or else `openai`. */
  readonly flavour: Flavour | undefined;
  /** undefined: as its servers say; callers are shown `usualContext`. */
  readonly contextWindow: number | undefined;
  /** undefined: as many as the context has. */
  readonly maxOutputTokens: number | undefined;
  readonly thinking: ModelCard['thinking'];
  readonly temperature: number;
  readonly topP: number;
  /** Whether its template opens the thought and nobody takes the reasoning out of the content. */
  readonly beginsInThought: boolean;
  readonly fillMiddle: UpstreamModel['fillMiddle'];
  readonly timeouts: UpstreamTimeouts & { readonly queueMs: number };
  readonly healthIntervalMs: number;
  readonly attempts: number;
  readonly maxWaiting: number;
  readonly breaker: { readonly failures: number; readonly openMs: number };
  readonly servers: readonly (UpstreamServer & { readonly concurrency: number })[];
}

export interface UpstreamProvider extends Provider, AsyncDisposable {
  /** How its servers are, in the order in which they are configured. */
  status(): readonly (ServerStatus & { readonly url: string })[];
  /** Requests that wait for a place. */
  waiting(): number;
  /** What its servers are taken for. */
  flavour(): Flavour;
  /** Asks all servers once, for those who want to know before there is a request. */
  check(): Promise<readonly { readonly url: string; readonly problem: string | undefined }[]>;
}

export interface UpstreamProviderOptions {
  readonly logger: Logger;
  /** Counts tokens where the servers do not say how many there were. */
  readonly counter: TokenCounter;
  /** What requests carry at the moment, so that the server behind goes on with the trace. */
  readonly traceHeaders?: (() => RequestHeaders) | undefined;
  readonly clock?: Clock;
  /** From 0 to 1. */
  readonly random?: () => number;
  readonly newId?: () => string;
  /** How long a request may be looked at before its caller hears that it is accepted. Default 5 seconds. */
  readonly patienceMs?: number;
}

/** How long a server may take to say how it is, or to count tokens. */
const callMs = 5_000;
const backoffMs = 100;
/** What callers are told of a context that nobody has said. */
const usualContext = 131_072;
const breakerMaxMs = 120_000;
/** Characters of a text that count as one part of its beginning. */
const textPart = 2048;

/** Makes no call of its own before the first request, but for the health checks. */
export function openUpstreamProvider(upstream: Upstream, given: UpstreamProviderOptions): UpstreamProvider {
  const { logger, clock = systemClock, random = Math.random, newId = () => randomUUID(), patienceMs = 5_000 } = given;
  const { traceHeaders = () => ({}) } = given;
  const { id, servers, timeouts, contextWindow = usualContext } = upstream;
  const closing = new AbortController();
  const connections = servers.map((server) => new UpstreamConnection(server, timeouts));
  const pool = new UpstreamPool({
    concurrency: servers.map(({ concurrency }) => concurrency),
    ...{ maxWaiting: upstream.maxWaiting, breakerFailures: upstream.breaker.failures },
    ...{ breakerMs: upstream.breaker.openMs, breakerMaxMs, clock },
  });
  const parts: RelayParts = {
    ...{ name: id, pool, connections, logger, random, queueMs: timeouts.queueMs, patienceMs },
    retries: { attempts: upstream.attempts, backoffMs },
  };
  let flavour = upstream.flavour;
  /** What a server has shown; `nothing` where it shows none. */
  let shown: ServerTraits | 'nothing' | undefined;
  const isMany = servers.length > 1;
  let hasEstimated = false;
  const estimates = {
    counter: given.counter,
    onEstimate() {
      if (!hasEstimated) logger.warn({ model: id }, 'an upstream did not say what an answer took, which is estimated');
      hasEstimated = true;
    },
  };

  async function check(index: number): Promise<void> {
    const connection = connections[index] as UpstreamConnection;
    if (flavour !== undefined && flavourTraits[flavour].health === 'root') {
      await connection.call({ path: 'health', from: 'root' }, callMs, closing.signal);
      return;
    }
    await look(index);
  }

  /** Reads the list of models, for what nobody has said. */
  async function look(index: number): Promise<void> {
    const connection = connections[index] as UpstreamConnection;
    shown = traitsIn(await connection.call({ path: 'models', from: 'base' }, callMs, closing.signal), upstream.model);
    if (flavour === undefined) logger.info({ model: id, flavour: shown.flavour }, 'upstream recognized');
    flavour ??= shown.flavour;
  }

  const health = watchHealth(servers.length, {
    ...{ intervalMs: upstream.healthIntervalMs, check, clock, random },
    note(index, isHealthy, problem) {
      pool.noteHealth(index, isHealthy);
      if (problem !== undefined) logger.warn({ model: id, server: index, isHealthy, problem }, 'upstream health');
    },
  });

  /** How to talk to the servers. Where nobody has said, the first one that answers does. */
  async function model(): Promise<UpstreamModel> {
    const isSaid = upstream.flavour !== undefined && upstream.contextWindow !== undefined;
    for (let index = 0; !isSaid && shown === undefined && index < servers.length; index++) {
      await look(index).catch((error) => {
        // One that answers and has no such list will have none later.
        if (error instanceof UpstreamFailure && error.isServerWithout) shown = 'nothing';
      });
    }
    return {
      ...{ name: upstream.model, flavour: flavour ?? 'openai', fillMiddle: upstream.fillMiddle },
      contextWindow: upstream.contextWindow ?? (typeof shown === 'object' ? shown.contextWindow : undefined),
    };
  }

  async function* relay<E>(
    make: (model: UpstreamModel) => Omit<RelayedRequest<E>, 'headers'>,
    signal: AbortSignal,
  ): AsyncGenerator<E, void, void> {
    const headers = traceHeaders();
    yield* relayAnswer(parts, { ...make(await model()), headers }, signal, closing.signal);
  }

  /** A call to a server that is well. Throws `RequestError`. */
  async function call(path: string, from: 'root' | 'base', body: object): Promise<Record<string, unknown>> {
    const { signal } = closing;
    const headers = traceHeaders();
    const lease = await pool.acquire({ prefixes: [], tried: new Set(), priority: 'interactive' }, signal);
    if (lease === undefined) throw requestError('upstream-unavailable', { model: id });
    const connection = connections[lease.server] as UpstreamConnection;
    try {
      return (await connection.call({ path, from, body, headers }, callMs, signal)) as Record<string, unknown>;
    } catch (error) {
      if (error instanceof UpstreamFailure) throw failureShown(error, id, false);
      throw error;
    } finally {
      lease.release({ type: 'neutral' });
    }
  }

  return {
    model: {
      ...{ id, name: id, ownedBy: 'upstream', profile: 'current', thinking: upstream.thinking },
      ...{ contextWindow, maxOutputTokens: Math.min(upstream.maxOutputTokens ?? contextWindow, contextWindow) },
      maxReasoningTokens: 32_768,
      sampling: { temperature: upstream.temperature, topP: upstream.topP },
    },
    fingerprint: fingerprintOf(upstream),

    chat(request, signal) {
      const answer = relay<ChatEvent>(
        (behind) => ({
          ...{ path: 'chat/completions', body: chatBody(request, behind), priority: request.priority },
          prefixes: isMany ? chatPrefixes(request) : [],
          openReader: () =>
            new ChatEventReader({
              request,
              beginsInThought: upstream.beginsInThought && request.thinking !== 'off',
              newCallId: (index) =>
                `call_${String(index).padStart(2, '0')}_${newId().replaceAll('-', '').slice(0, 24)}`,
            }),
          start: { type: 'start' },
        }),
        signal,
      );
      return withChatUsage(answer, request, estimates);
    },

    complete(request, signal) {
      const answer = relay<CompletionEvent>(
        (behind) => ({
          ...{ path: 'completions', body: completionBody(request, behind), priority: request.priority },
          prefixes: isMany ? completionPrefixes(request) : [],
          openReader: () => new CompletionEventReader(request),
          start: { type: 'start' },
        }),
        signal,
      );
      return withCompletionUsage(answer, request, estimates);
    },

    async tokenize(input) {
      const behind = await model();
      const way = flavourTraits[behind.flavour].tokenize;
      switch (way) {
        case 'vllm': {
          const body =
            typeof input === 'string'
              ? { model: behind.name, prompt: input, add_special_tokens: false }
              : conversationBody(input, behind);
          return tokensOf(await call('tokenize', 'root', body), id);
        }
        case 'llama-server': {
          const content =
            typeof input === 'string'
              ? input
              : (await call('apply-template', 'root', conversationBody(input, behind))).prompt;
          const isWhole = typeof input !== 'string';
          return tokensOf(
            await call('tokenize', 'root', { content, add_special: isWhole, parse_special: isWhole }),
            id,
          );
        }
        case 'none':
          throw withoutTokens();
        default:
          return way satisfies never;
      }
    },

    async detokenize(tokens) {
      const behind = await model();
      if (flavourTraits[behind.flavour].tokenize === 'none') throw withoutTokens();
      const { prompt, content } = await call('detokenize', 'root', { model: behind.name, tokens });
      const text = prompt ?? content;
      if (typeof text !== 'string') throw unreadableAnswer(id);
      return text;
    },

    status: () => pool.status.map((one, index) => ({ ...one, url: servers[index]?.url ?? '' })),
    waiting: () => pool.waiting,
    flavour: () => flavour ?? 'openai',
    check: () =>
      Promise.all(
        servers.map(async ({ url }, index) => {
          const problem = await check(index).then(
            () => undefined,
            (error: Error) => error.message,
          );
          return { url, problem };
        }),
      ),
    async [Symbol.asyncDispose]() {
      health[Symbol.dispose]();
      closing.abort();
      for (const connection of connections) connection.close();
    },
  };
}

const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, call) {
    const timer = setTimeout(call, ms);
    // Nobody stays for a health check.
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** Of every beginning up to which somebody other than the system has spoken: what all conversations share is no home. */
function chatPrefixes({ userId, tools, messages }: ChatRequest): string[] {
  const first = messages.findIndex(({ role }) => role !== 'system');
  const head = JSON.stringify([tools, ...messages.slice(0, first + 1).map(said)]);
  return prefixKeys(userId, [head, ...messages.slice(first + 1).map((message) => JSON.stringify(said(message)))]);
}

/** Without what clients leave out of what they were told. */
function said(message: Message): object {
  return message.role === 'assistant' ? { ...message, reasoning: '', written: undefined } : message;
}

function completionPrefixes({ userId, prompt }: CompletionRequest): string[] {
  const text = typeof prompt === 'string' ? prompt : prompt.join(' ');
  const count = Math.max(1, Math.floor(text.length / textPart));
  return prefixKeys(
    userId,
    Array.from({ length: count }, (_, i) => text.slice(i * textPart, (i + 1) * textPart)),
  );
}

function tokensOf({ tokens }: Record<string, unknown>, id: string): number[] {
  if (!Array.isArray(tokens) || !tokens.every(Number.isInteger)) throw unreadableAnswer(id);
  return tokens as number[];
}

function withoutTokens() {
  const problem = 'the server behind this model does not say what its tokens are';
  return requestError('invalid-field', { field: 'model', problem });
}

function unreadableAnswer(model: string) {
  return requestError('upstream-failed', { model, problem: 'the answer cannot be read' });
}

/** Nobody says when weights behind an address change: it stands for what is configured. */
function fingerprintOf({ model, servers }: Upstream): string {
  const text = JSON.stringify([model, servers.map(({ url }) => url)]);
  return `fp_${createHash('sha256').update(text).digest('hex').slice(0, 10)}`;
}
