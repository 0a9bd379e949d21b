// From answers of a model to what goes over a connection: whole, or as an event stream.
//
// Owns when the status is committed, what keeps the connection alive, and what stops the model: a caller who goes away stops
// every generation. Knows no dialect of the API: what an event looks like on the wire is its route's.

import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { errorBody, type RequestError } from '@hadal/protocol/request-error';
import type { Delivery } from '@hadal/protocol/sampling-fields';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Answer, type AnswerEvent, leaveAll, mergeChoices, type NumberedEvent } from './choices.ts';
import { withKeepAlive } from './keep-alive.ts';
import type { Provider } from './provider.ts';

/** What every route that answers with a model's words is given. */
export interface AnswerOptions {
  readonly providers: readonly Provider[];
  /** After how long a silence to send something. */
  readonly keepAliveMs: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** A signal that aborts when the caller goes away or the server stops. */
  readonly cancellation: (response: ServerResponse) => AbortSignal;
  /** Aborts when the server stops: for what goes on without its caller. */
  readonly stopping: AbortSignal;
  readonly newId: () => string;
  /** The error to show for a failure; logs what only the owner may see. */
  readonly explain: (error: unknown, request: FastifyRequest) => RequestError;
}

/** What the log says about an answered request. */
export interface AnswerOutcome {
  model: string;
  isStream: boolean;
  firstTokenMs?: number;
  promptTokens?: number;
  completionTokens?: number;
  finishReason?: string;
}

declare module 'fastify' {
  interface FastifyRequest {
    answerOutcome: AnswerOutcome | null;
  }
}

export interface AnswerDelivery<E extends AnswerEvent> {
  readonly model: string;
  readonly receivedAt: number;
  readonly delivery: Delivery;
  /** Answers to each prompt. */
  readonly choices: number;
  readonly answers: readonly Answer<E>[];
  readonly stream: StreamShape<E>;
  readonly whole: (events: AsyncIterable<NumberedEvent<E>>) => Promise<object>;
}

/** How a dialect streams. */
export interface StreamShape<E extends AnswerEvent> {
  /** What an event is on the wire, in server-sent events. */
  readonly frames: (event: NumberedEvent<E>) => readonly string[];
  /** What follows the last event; may be empty. */
  readonly end: string;
  /** What is said of a failure when the status has been sent. */
  readonly failure: (error: RequestError) => string;
  readonly keepAlive: string;
}

/** OpenAI's and DeepSeek's way: chunks without names, a comment while there is nothing to say, and a mark at the end. */
export function chunkStream<E extends AnswerEvent>(
  chunk: (event: NumberedEvent<E>) => object | undefined,
): StreamShape<E> {
  return {
    frames(event) {
      const data = chunk(event);
      return data === undefined ? [] : [serverSentEvent(data)];
    },
    end: 'data: [DONE]\n\n',
    // Clients look for an error in the stream and miss [DONE].
    failure: (error) => serverSentEvent(errorBody(error)),
    keepAlive: ': keep-alive\n\n',
  };
}

/** Whether chunks before the last say `usage: null`. */
export function includesUsage(delivery: Delivery): boolean {
  return delivery.type === 'stream' && delivery.includeUsage;
}

/** `name`: of an event that has one. */
export function serverSentEvent(data: object, name?: string): string {
  return `${name === undefined ? '' : `event: ${name}\n`}data: ${JSON.stringify(data)}\n\n`;
}

/** Requests need the decoration `answerOutcome`. A mistake that answers find before they start is thrown, with a status of its own. */
export async function deliverAnswers<E extends AnswerEvent>(
  request: FastifyRequest,
  reply: FastifyReply,
  { model, receivedAt, delivery, choices, answers, stream, whole }: AnswerDelivery<E>,
  { keepAliveMs, now, explain }: AnswerOptions,
): Promise<FastifyReply> {
  const outcome: AnswerOutcome = { model, isStream: delivery.type === 'stream' };
  request.answerOutcome = outcome;
  // A reader that was never started does not pass on that it is left.
  let isGone = false;
  reply.raw.once('close', () => {
    isGone = true;
    leaveAll(answers);
  });
  const starts = await Promise.all(answers.map((answer) => startOf(answer, model))).catch((error) => {
    leaveAll(answers);
    throw error;
  });
  const events = noted(mergeChoices(answers, starts, choices), outcome, () => now() - receivedAt);

  if (delivery.type === 'stream') {
    const body = eventStream(events, stream, (error) => explain(error, request));
    return reply
      .headers({
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-cache',
        // Tells nginx not to hold events back.
        'x-accel-buffering': 'no',
      })
      .send(Readable.from(withKeepAlive(body, keepAliveMs, stream.keepAlive)));
  }
  reply.type('application/json; charset=utf-8');
  const pieces = withKeepAlive(wholeAnswer(whole(events)), keepAliveMs, '\n');
  const first = await pieces.next().catch((error) => {
    // An answer that was left has no end, which is nobody's failure.
    if (isGone) return undefined;
    throw error;
  });
  if (first === undefined) {
    reply.hijack();
    return reply;
  }
  if (first.done === true) throw new Error('expected an answer, got none');
  if (first.value !== '\n') return reply.send(first.value);
  // Blank lines may go before JSON. With the status sent, a failure can only cut the connection.
  const body = Readable.from(continued(first.value, pieces));
  body.once('error', (error) => {
    if (!isGone) explain(error, request);
  });
  return reply.send(body);
}

async function startOf<E extends AnswerEvent>(answer: Answer<E>, model: string): Promise<E> {
  const start = await answer.next();
  if (start.done === true) throw new Error(`provider of ${model}: expected start, but its answer is empty`);
  return start.value;
}

async function* eventStream<E extends AnswerEvent>(
  events: AsyncIterable<NumberedEvent<E>>,
  { frames, end, failure }: StreamShape<E>,
  explain: (error: unknown) => RequestError,
): AsyncGenerator<string, void, void> {
  try {
    for await (const event of events) yield* frames(event);
    if (end !== '') yield end;
  } catch (error) {
    // The status is sent.
    yield failure(explain(error));
  }
}

async function* wholeAnswer(answer: Promise<object>): AsyncGenerator<string, void, void> {
  yield JSON.stringify(await answer);
}

async function* continued<T>(first: T, rest: AsyncGenerator<T, void, void>): AsyncGenerator<T, void, void> {
  yield first;
  yield* rest;
}

/** The events as they pass, with what the log wants to know of them written down. */
async function* noted<E extends AnswerEvent>(
  events: AsyncIterable<NumberedEvent<E>>,
  outcome: AnswerOutcome,
  elapsedMs: () => number,
): AsyncGenerator<NumberedEvent<E>, void, void> {
  for await (const numbered of events) {
    const { event, usage } = numbered;
    if (event.type !== 'start' && outcome.firstTokenMs === undefined) outcome.firstTokenMs = elapsedMs();
    if ('reason' in event) outcome.finishReason = String(event.reason);
    if (usage) {
      outcome.promptTokens = usage.prompt;
      outcome.completionTokens = usage.completion;
    }
    yield numbered;
  }
}
