// `/responses`: making responses, whole, streamed or in the background; fetching, cancelling and deleting them.
//
// Owns what a caller may do with a response. Which ones there are is the shelf's, JSON shapes are `protocol`'s, how an answer is
// carried out is `answer-plan`'s.

import { wireList } from '@hadal/protocol/list-page';
import { requestError } from '@hadal/protocol/request-error';
import { wireInputItem } from '@hadal/protocol/responses-request';
import type { WireResponse } from '@hadal/protocol/responses-response';
import {
  type AnswerPlan,
  type Call,
  type EndpointOptions,
  planAnswer,
  type StreamShape,
  serverSentEvent,
} from './answer-plan.ts';
import type { ApiCall } from './api-call.ts';
import type { ResponseRun, RunEvent } from './response-run.ts';
import type { ResponseShelf } from './response-shelf.ts';

export function responsesEndpoints(options: EndpointOptions, shelf: ResponseShelf) {
  const { now } = options;

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
      const { id, account, body, signal, explain } = call;
      const request = await shelf.parse(account.owner, body);
      account.checkModel(request.chat.model);
      const run = await shelf.begin({
        ...{ id: `resp_${id.replaceAll('-', '')}`, account, createdMs: now() },
        ...{ request, body, signal, explain },
      });
      return planReading(call, run, request.isStream, !request.isBackground);
    },

    /** The response, or its events from after number `starting_after`. */
    async fetch(call: ApiCall): Promise<WireResponse | AnswerPlan> {
      const { run } = await shelf.find(call.account.owner, call.params.id);
      const { stream, starting_after: after = '-1' } = call.query;
      if (!/^-?\d{1,15}$/.test(after)) {
        const problem = `expected the number of an event, got ${JSON.stringify(after)}`;
        throw requestError('invalid-field', { field: 'starting_after', problem });
      }
      return stream === 'true' ? planReading(call, run, true, true, Number(after)) : run.response;
    },

    async cancel({ account: { owner }, params: { id } }: ApiCall): Promise<WireResponse> {
      const { run, stop } = await shelf.find(owner, id);
      if (!run.response.background) {
        const problem = 'only responses in the background can be cancelled';
        throw requestError('invalid-field', { field: 'id', problem });
      }
      stop();
      // It is over within one step of the engine.
      for await (const _ of run.follow());
      return run.response;
    },

    async remove({ account: { owner }, params: { id } }: ApiCall) {
      await shelf.remove(owner, id);
      return { id, object: 'response', deleted: true };
    },

    async inputItems({ account: { owner }, params: { id } }: ApiCall) {
      const { input } = await shelf.find(owner, id);
      return wireList(
        input.map((item, i) => wireInputItem(item, `${id.replace('resp_', 'item_')}${i}`)),
        false,
      );
    },

    async inputTokens({ account: { owner }, body }: ApiCall) {
      const { chat } = await shelf.parse(owner, body);
      const tokens = await shelf.providerOf(owner, chat.model).tokenize(chat);
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
