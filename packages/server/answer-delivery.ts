// A planned answer over a connection: whole, or as an event stream.
//
// Owns when the status is committed, what keeps the connection alive, and that a caller who goes away stops every generation.
// Knows no dialect of the API and nothing of answers but how they are read.

import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { AnswerOutcome, AnswerPlan } from './answer-plan.ts';
import { withKeepAlive } from './keep-alive.ts';

declare module 'fastify' {
  interface FastifyRequest {
    answerOutcome: AnswerOutcome | null;
  }
}

export interface DeliveryOptions {
  /** After how long a silence to send something. */
  readonly keepAliveMs: number;
  /** Logs a failure that can only cut the connection. */
  readonly explain: (error: unknown) => void;
}

/** Requests need the decoration `answerOutcome`. A mistake that answers find before they start is thrown. */
export async function deliverAnswer(
  request: FastifyRequest,
  reply: FastifyReply,
  plan: AnswerPlan,
  { keepAliveMs, explain }: DeliveryOptions,
): Promise<FastifyReply> {
  request.answerOutcome = plan.outcome;
  let isGone = false;
  reply.raw.once('close', () => {
    isGone = true;
    plan.leave();
  });
  const answer = await plan.start();
  // One that waited in vain for its turn ends like any other, and then, as on DeepSeek, so does the connection.
  const { socket } = request.raw;
  reply.raw.once('finish', () => {
    if (plan.outcome.finishReason === 'insufficient_system_resource') socket.end();
  });

  if (plan.isStream) {
    return reply
      .headers({
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-cache',
        // Tells nginx not to hold events back.
        'x-accel-buffering': 'no',
      })
      .send(Readable.from(withKeepAlive(answer.stream(), keepAliveMs, plan.keepAlive)));
  }
  reply.type('application/json; charset=utf-8');
  const pieces = withKeepAlive(jsonOf(answer.whole()), keepAliveMs, '\n');
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
    if (!isGone) explain(error);
  });
  return reply.send(body);
}

async function* jsonOf(answer: Promise<object>): AsyncGenerator<string, void, void> {
  yield JSON.stringify(await answer);
}

async function* continued<T>(first: T, rest: AsyncGenerator<T, void, void>): AsyncGenerator<T, void, void> {
  yield first;
  yield* rest;
}
