// `/responses`: making responses, whole, streamed or in the background; fetching, cancelling and deleting them.
//
// Owns which responses there are to be fetched and gone on from, in memory, the latest of them. JSON shapes are `protocol`'s,
// how an answer is carried out is `answer-plan`'s.

import type { Message } from '@hadal/protocol/chat-request';
import { requestError } from '@hadal/protocol/request-error';
import { parseResponsesRequest } from '@hadal/protocol/responses-request';
import { ResponseWriter, type WireResponse } from '@hadal/protocol/responses-response';
import {
  type AnswerPlan,
  type Call,
  type EndpointOptions,
  planAnswer,
  type StreamShape,
  serverSentEvent,
} from './answer-plan.ts';
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

export function responsesEndpoints(options: EndpointOptions) {
  const { providers, now, newId, stopping } = options;
  const cards = providers.map(({ model }) => model);
  const stored = new Map<string, Stored>();
  const seconds = () => Math.floor(now() / 1000);

  /** `field`: where the caller named it. */
  function named(id: string, field = 'id'): Stored {
    const found = stored.get(id);
    if (found === undefined) throw requestError('unknown-response', { field, id });
    return found;
  }

  function earlier(id: string): readonly Message[] {
    const { run, asked } = named(id, 'previous_response_id');
    if (!run.isOver) {
      const problem = `expected a response that is over, ${id} is ${run.response.status}`;
      throw requestError('invalid-field', { field: 'previous_response_id', problem });
    }
    return [...asked, run.message];
  }

  /** Reads along with `run`, from after event `after`. `isPatient`: whole means that it is over. */
  function planReading(call: Call, run: ResponseRun, isStream: boolean, isPatient: boolean, after = -1): AnswerPlan {
    return planAnswer(
      {
        ...{ model: run.response.model, choices: 1, answers: [run.follow(after)] },
        delivery: isStream ? { type: 'stream', includeUsage: false } : { type: 'whole' },
        stream: responseStream,
        async whole(events) {
          if (isPatient) for await (const _ of events);
          return run.response;
        },
      },
      call,
      options,
    );
  }

  return {
    async create(call: Call): Promise<AnswerPlan> {
      const parsed = parseResponsesRequest(call.body, cards, earlier);
      const { chat, isBackground, isStored, isStream, echo, ownMessages } = parsed;
      const provider = providerOf(providers, chat.model);
      const controller = new AbortController();
      const id = `resp_${call.id.replaceAll('-', '')}`;
      const writer = new ResponseWriter({
        ...{ id, model: chat.model, createdAt: seconds(), isBackground, isStored, echo, now: seconds },
        newId: (prefix) => prefix + newId().replaceAll('-', ''),
      });
      const signal = AbortSignal.any([controller.signal, isBackground ? stopping : call.signal]);
      const run = new ResponseRun(writer, provider.chat(chat, signal), (error) => call.explain(error).message);
      await run.start();
      if (isStored) {
        const before = echo.previous_response_id === null ? [] : earlier(echo.previous_response_id);
        stored.set(id, { run, asked: [...before, ...ownMessages], input: parsed.input, controller });
        const [oldest] = stored.keys();
        if (stored.size > capacity && oldest !== undefined) stored.delete(oldest);
      }
      return planReading(call, run, isStream, !isBackground);
    },

    /** The response, or its events from after number `starting_after`. */
    fetch(call: Call, id: string, query: FetchQuery): WireResponse | AnswerPlan {
      const { run } = named(id);
      const { stream, starting_after: after = '-1' } = query;
      if (!/^-?\d{1,15}$/.test(after)) {
        const problem = `expected the number of an event, got ${JSON.stringify(after)}`;
        throw requestError('invalid-field', { field: 'starting_after', problem });
      }
      return stream === 'true' ? planReading(call, run, true, true, Number(after)) : run.response;
    },

    async cancel(id: string): Promise<WireResponse> {
      const { run, controller } = named(id);
      if (!run.response.background) {
        const problem = 'only responses in the background can be cancelled';
        throw requestError('invalid-field', { field: 'id', problem });
      }
      controller.abort();
      // It is over within one step of the engine.
      for await (const _ of run.follow());
      return run.response;
    },

    remove(id: string) {
      const { controller } = named(id);
      controller.abort();
      stored.delete(id);
      return { id, object: 'response', deleted: true };
    },

    inputItems(id: string) {
      const { input } = named(id);
      const data = input.map((item, i) => ({ id: `item_${i}`, type: 'message', ...(item as object) }));
      return { object: 'list', data, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null, has_more: false };
    },

    async inputTokens(body: unknown) {
      const { chat } = parseResponsesRequest(body, cards, earlier);
      const tokens = await providerOf(providers, chat.model).tokenize(chat);
      return { object: 'response.input_tokens', input_tokens: tokens.length };
    },
  };
}

export interface FetchQuery {
  readonly stream?: string;
  readonly starting_after?: string;
}

const responseStream: StreamShape<RunEvent> = {
  frames: ({ event }) => (event.type === 'event' ? [serverSentEvent(event.event, event.event.type)] : []),
  end: '',
  failure: ({ message }) => serverSentEvent({ type: 'error', code: 'server_error', message, param: null }, 'error'),
  keepAlive: ': keep-alive\n\n',
};
