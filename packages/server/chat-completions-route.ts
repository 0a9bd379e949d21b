// `POST /chat/completions`: from a body to a whole answer or an event stream.
//
// Owns what happens on the connection: when the status is committed, what keeps it alive, what stops the model. Knows a
// model only as a `Provider` and JSON shapes only through `protocol`. A caller who goes away stops the generation.

import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { parseChatCompletionsRequest } from '@hadal/protocol/chat-completions-request';
import {
  type ChoiceEvent,
  type CompletionHead,
  chatCompletionChunk,
  collectChatCompletion,
} from '@hadal/protocol/chat-completions-response';
import type { ChatEvent } from '@hadal/protocol/chat-event';
import { errorBody, type RequestError } from '@hadal/protocol/request-error';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { choiceSeed, mergeChoices } from './choices.ts';
import { withKeepAlive } from './keep-alive.ts';
import type { Provider } from './provider.ts';

export interface ChatCompletionsOptions {
  readonly providers: readonly Provider[];
  /** After how long a silence to send something. */
  readonly keepAliveMs: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** A signal that aborts when the caller goes away or the server stops. */
  readonly cancellation: (response: ServerResponse) => AbortSignal;
  /** The error to show for a failure; logs what only the owner may see. */
  readonly explain: (error: unknown, request: FastifyRequest) => RequestError;
}

/** What the log says about an answered request. */
export interface ChatOutcome {
  model: string;
  isStream: boolean;
  firstTokenMs?: number;
  promptTokens?: number;
  completionTokens?: number;
  finishReason?: string;
}

declare module 'fastify' {
  interface FastifyRequest {
    chatOutcome: ChatOutcome | null;
  }
}

/** The handler. Requests need the decoration `chatOutcome`. */
export function chatCompletionsRoute(options: ChatCompletionsOptions) {
  const { providers, keepAliveMs, now, cancellation, explain } = options;
  const cards = providers.map(({ model }) => model);

  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const receivedAt = now();
    const { chat, choices, delivery } = parseChatCompletionsRequest(request.body, cards);
    const provider = providers.find(({ model }) => model.id === chat.model);
    if (provider === undefined) throw new Error(`model ${chat.model}: expected a provider, found none`);
    const outcome: ChatOutcome = { model: chat.model, isStream: delivery.type === 'stream' };
    request.chatOutcome = outcome;

    const cancelled = cancellation(reply.raw);
    const answers = Array.from({ length: choices }, (_, i) =>
      provider.chat({ ...chat, seed: choiceSeed(chat.seed, i) }, cancelled),
    );
    const leave = () => {
      for (const answer of answers) void answer.return().catch(() => {});
    };
    // A reader that was never started does not pass on that it is left.
    reply.raw.once('close', leave);
    // Up to `start`, a mistake still has a status of its own.
    const starts = await Promise.all(answers.map((answer) => startOf(answer, chat.model))).catch((error) => {
      leave();
      throw error;
    });
    const events = noted(mergeChoices(answers, starts), outcome, () => now() - receivedAt);
    const head: CompletionHead = {
      id: request.id,
      created: Math.floor(receivedAt / 1000),
      model: chat.model,
      systemFingerprint: provider.fingerprint,
      isThinking: chat.thinking !== 'off',
      hasLogprobs: chat.topLogprobs !== undefined,
    };

    if (delivery.type === 'stream') {
      const body = eventStream(events, head, delivery.includeUsage, (error) => explain(error, request));
      return reply
        .headers({
          'content-type': 'text/event-stream; charset=utf-8',
          'cache-control': 'no-cache',
          // Tells nginx not to hold events back.
          'x-accel-buffering': 'no',
        })
        .send(Readable.from(withKeepAlive(body, keepAliveMs, ': keep-alive\n\n')));
    }
    reply.type('application/json; charset=utf-8');
    const pieces = withKeepAlive(wholeAnswer(events, head), keepAliveMs, '\n');
    const first = await pieces.next();
    if (first.done === true) throw new Error('expected an answer, got none');
    if (first.value !== '\n') return reply.send(first.value);
    // Blank lines may go before JSON. With the status sent, a failure can only cut the connection.
    const body = Readable.from(continued(first.value, pieces));
    body.once('error', (error) => explain(error, request));
    return reply.send(body);
  };
}

async function* eventStream(
  events: AsyncIterable<ChoiceEvent>,
  head: CompletionHead,
  includeUsage: boolean,
  explain: (error: unknown) => RequestError,
): AsyncGenerator<string, void, void> {
  try {
    for await (const event of events) yield serverSentEvent(chatCompletionChunk(event, head, includeUsage));
    yield 'data: [DONE]\n\n';
  } catch (error) {
    // The status is sent; clients look for an error in the stream and miss [DONE].
    yield serverSentEvent(errorBody(explain(error)));
  }
}

function serverSentEvent(data: object): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}

async function* wholeAnswer(
  events: AsyncIterable<ChoiceEvent>,
  head: CompletionHead,
): AsyncGenerator<string, void, void> {
  yield JSON.stringify(await collectChatCompletion(events, head));
}

async function* continued<T>(first: T, rest: AsyncGenerator<T, void, void>): AsyncGenerator<T, void, void> {
  yield first;
  yield* rest;
}

async function startOf(answer: AsyncGenerator<ChatEvent, void, void>, model: string): Promise<ChatEvent> {
  const start = await answer.next();
  if (start.done === true) throw new Error(`provider of ${model}: expected start, but its answer is empty`);
  return start.value;
}

/** The events as they pass, with what the log wants to know of them written down. */
async function* noted(
  events: AsyncIterable<ChoiceEvent>,
  outcome: ChatOutcome,
  elapsedMs: () => number,
): AsyncGenerator<ChoiceEvent, void, void> {
  for await (const choice of events) {
    const { event, usage } = choice;
    if (event.type !== 'start' && outcome.firstTokenMs === undefined) outcome.firstTokenMs = elapsedMs();
    if (event.type === 'finish') outcome.finishReason = event.reason;
    if (usage) {
      outcome.promptTokens = usage.prompt;
      outcome.completionTokens = usage.completion;
    }
    yield choice;
  }
}
