// `/responses`: making responses, whole, streamed or in the background; fetching, cancelling and deleting them.
//
// Owns which responses there are to be fetched and gone on from, in memory, the latest of them. JSON shapes are `protocol`'s,
// the connection is `answer-delivery`'s.

import type { Message } from '@hadal/protocol/chat-request';
import { requestError } from '@hadal/protocol/request-error';
import { parseResponsesRequest } from '@hadal/protocol/responses-request';
import { ResponseWriter, type WireResponse } from '@hadal/protocol/responses-response';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type AnswerOptions, deliverAnswers, type StreamShape, serverSentEvent } from './answer-delivery.ts';
import { providerOf } from './provider.ts';
import { ResponseRun, type RunEvent } from './response-run.ts';

interface Stored {
  readonly run: ResponseRun;
  /** The conversation that it answers, instructions aside. */
  readonly asked: readonly Message[];
  readonly input: readonly unknown[];
  readonly controller: AbortController;
}

/** Responses that are kept; the oldest goes first. */
const capacity = 1000;

type ById = { readonly Params: { readonly id: string } };
type Fetch = ById & { readonly Querystring: { readonly stream?: string; readonly starting_after?: string } };

export function responsesRoutes(options: AnswerOptions) {
  const { providers, now, cancellation, explain, newId, stopping } = options;
  const cards = providers.map(({ model }) => model);
  const stored = new Map<string, Stored>();
  const seconds = () => Math.floor(now() / 1000);

  function named(id: string): Stored {
    const found = stored.get(id);
    if (found === undefined) throw requestError('unknown-response', { id });
    return found;
  }

  function earlier(id: string): readonly Message[] {
    const { run, asked } = named(id);
    if (!run.isOver) {
      const problem = `expected a response that is over, ${id} is ${run.response.status}`;
      throw requestError('invalid-field', { field: 'previous_response_id', problem });
    }
    return [...asked, run.message];
  }

  function deliver(request: FastifyRequest, reply: FastifyReply, run: ResponseRun, isStream: boolean, after = -1) {
    return deliverAnswers(
      request,
      reply,
      {
        ...{ model: run.response.model, receivedAt: now(), choices: 1, answers: [run.follow(after)] },
        delivery: isStream ? { type: 'stream', includeUsage: false } : { type: 'whole' },
        stream: responseStream,
        async whole(events) {
          for await (const _ of events); // until it is over
          return run.response;
        },
      },
      options,
    );
  }

  return {
    async create(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
      const parsed = parseResponsesRequest(request.body, cards, earlier);
      const { chat, isBackground, isStored, isStream, echo, ownMessages, customTools } = parsed;
      const provider = providerOf(providers, chat.model);
      const controller = new AbortController();
      const signals = [controller.signal, isBackground ? stopping : cancellation(reply.raw)];
      const id = `resp_${request.id.replaceAll('-', '')}`;
      const writer = new ResponseWriter({
        ...{ id, model: chat.model, createdAt: seconds(), isBackground, isStored, customTools, echo, now: seconds },
        newId: (prefix) => prefix + newId().replaceAll('-', ''),
      });
      const answer = provider.chat(chat, AbortSignal.any(signals));
      const run = new ResponseRun(writer, answer, (error) => explain(error, request).message);
      await run.start();
      if (isStored) {
        const before = echo.previous_response_id === null ? [] : earlier(echo.previous_response_id);
        stored.set(id, { run, asked: [...before, ...ownMessages], input: parsed.input, controller });
        const [oldest] = stored.keys();
        if (stored.size > capacity && oldest !== undefined) stored.delete(oldest);
      }
      if (isBackground && !isStream) return reply.send(run.response);
      return await deliver(request, reply, run, isStream);
    },

    async fetch(request: FastifyRequest<Fetch>, reply: FastifyReply): Promise<FastifyReply> {
      const { run } = named(request.params.id);
      const { stream, starting_after: after = '-1' } = request.query;
      if (!/^-?\d+$/.test(after)) {
        const problem = `expected the number of an event, got ${JSON.stringify(after)}`;
        throw requestError('invalid-field', { field: 'starting_after', problem });
      }
      if (stream !== 'true') return reply.send(run.response);
      return await deliver(request, reply, run, true, Number(after));
    },

    async cancel(request: FastifyRequest<ById>): Promise<WireResponse> {
      const { run, controller } = named(request.params.id);
      if (!run.response.background) {
        throw requestError('invalid-field', {
          field: 'id',
          problem: 'only responses in the background can be cancelled',
        });
      }
      controller.abort();
      // It is over within one step of the engine.
      for await (const _ of run.follow());
      return run.response;
    },

    async remove(request: FastifyRequest<ById>) {
      const { id } = request.params;
      const { controller } = named(id);
      controller.abort();
      stored.delete(id);
      return { id, object: 'response', deleted: true };
    },

    async inputItems(request: FastifyRequest<ById>) {
      const { input } = named(request.params.id);
      const data = input.map((item, i) => ({ id: `item_${i}`, type: 'message', ...(item as object) }));
      return { object: 'list', data, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null, has_more: false };
    },

    async inputTokens(request: FastifyRequest) {
      const { chat } = parseResponsesRequest(request.body, cards, earlier);
      const tokens = await providerOf(providers, chat.model).tokenize(chat);
      return { object: 'response.input_tokens', input_tokens: tokens.length };
    },
  };
}

const responseStream: StreamShape<RunEvent> = {
  frames: ({ event }) => (event.type === 'event' ? [serverSentEvent(event.event, event.event.type)] : []),
  end: '',
  failure: ({ message }) => serverSentEvent({ type: 'error', code: 'server_error', message, param: null }, 'error'),
  keepAlive: ': keep-alive\n\n',
};
