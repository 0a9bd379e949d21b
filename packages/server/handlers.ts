// What each call of the API does.
//
// Owns the table from operations to what carries them out; a row that is missing does not compile. Knows no connection: a
// handler is given a call and gives back an object to send, or a plan for an answer that takes its time.

import { refuseEmbedding } from '@hadal/protocol/embeddings-request';
import { cardNamed, wireModel, wireModels } from '@hadal/protocol/models';
import { openApiDocument } from '@hadal/protocol/openapi/document';
import type { OperationId } from '@hadal/protocol/routes';
import type { AnswerPlan, Call, EndpointOptions } from './answer-plan.ts';
import { anthropicEndpoints } from './anthropic-messages-endpoints.ts';
import { chatCompletionsEndpoint } from './chat-completions-endpoint.ts';
import { completionsEndpoint } from './completions-endpoint.ts';
import { responsesEndpoints } from './responses-endpoints.ts';
import { tokenEndpoints } from './token-endpoints.ts';

/** A call that came by a route. */
export interface ApiCall extends Call {
  /** Names in its path; `id` where the route has one. */
  readonly params: { readonly id: string };
  readonly query: Readonly<Record<string, string | undefined>>;
}

/** Throws `RequestError` for a caller's mistake. */
export type Handler = (call: ApiCall) => AnswerPlan | object | Promise<AnswerPlan | object>;

export function isPlan(result: AnswerPlan | object): result is AnswerPlan {
  return 'start' in result && 'leave' in result;
}

export function openHandlers(options: EndpointOptions): Readonly<Record<OperationId, Handler>> {
  const cards = options.providers.map(({ model }) => model);
  const anthropic = anthropicEndpoints(options);
  const responses = responsesEndpoints(options);
  let openApi: object | undefined;
  const tokens = tokenEndpoints(options.providers);
  return {
    createChatCompletion: chatCompletionsEndpoint(options),

    createCompletion: completionsEndpoint(options),
    createEmbedding: ({ body }) => refuseEmbedding(body, cards),
    tokenize: ({ body }) => tokens.tokenize(body),
    detokenize: ({ body }) => tokens.detokenize(body),

    createResponse: responses.create,
    countResponseTokens: ({ body }) => responses.inputTokens(body),
    getResponse: (call) => responses.fetch(call, call.params.id, call.query),
    deleteResponse: ({ params }) => responses.remove(params.id),
    cancelResponse: ({ params }) => responses.cancel(params.id),
    listResponseItems: ({ params }) => responses.inputItems(params.id),

    createMessage: anthropic.messages,
    countMessageTokens: ({ body }) => anthropic.countTokens(body),

    listModels: () => wireModels(cards),
    getModel: ({ params }) => wireModel(cardNamed(cards, params.id)),

    getHealth: () => ({ status: 'ok' }),
    getOpenApi() {
      // Made when somebody asks, as it takes longer than anything else at the start.
      openApi ??= openApiDocument();
      return openApi;
    },
  };
}
