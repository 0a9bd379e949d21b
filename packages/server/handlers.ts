// What each call of the API does.
//
// Owns the table from operations to what carries them out; a row that is missing does not compile.

import { parseUsageQuery, wireBalance, wireUsageSums } from '@hadal/protocol/account';
import type { BatchEndpoint } from '@hadal/protocol/batches';
import { refuseEmbedding } from '@hadal/protocol/embeddings-request';
import { anthropicModel, anthropicModels, cardNamed, wireModel, wireModels } from '@hadal/protocol/models';
import { openApiDocument } from '@hadal/protocol/openapi/document';
import { requestError } from '@hadal/protocol/request-error';
import type { OperationId } from '@hadal/protocol/routes';
import type { Endpoint, EndpointOptions } from './answer-plan.ts';
import { anthropicEndpoints } from './anthropic-messages-endpoints.ts';
import type { Handler } from './api-call.ts';
import { BatchRunner } from './batch-runner.ts';
import { batchesEndpoints } from './batches-endpoints.ts';
import { chatCompletionsEndpoint } from './chat-completions-endpoint.ts';
import { completionsEndpoint } from './completions-endpoint.ts';
import { filesEndpoints } from './files-endpoints.ts';
import type { Logger } from './logger.ts';
import { type Provider, patientProvider } from './provider.ts';
import { ResponseShelf } from './response-shelf.ts';
import { responsesEndpoints } from './responses-endpoints.ts';
import { storedCompletionsEndpoints } from './stored-completions-endpoints.ts';
import { TextPage } from './text-page.ts';
import { tokenEndpoints } from './token-endpoints.ts';

/** What answers with a model's words, for connections and for batches alike. */
function openEndpoints(options: EndpointOptions, shelf: ResponseShelf): Readonly<Record<BatchEndpoint, Endpoint>> {
  return {
    '/chat/completions': chatCompletionsEndpoint(options),
    '/completions': completionsEndpoint(options),
    '/responses': responsesEndpoints(options, shelf).create,
    '/messages': anthropicEndpoints(options).messages,
    '/embeddings': ({ body }) =>
      refuseEmbedding(
        body,
        options.providers.map(({ model }) => model),
      ),
  };
}

/** Everything that calls can do. */
export interface Api extends AsyncDisposable {
  /** Those of the providers that there are now. */
  readonly handlers: Readonly<Record<OperationId, Handler>>;
  /** Answers from here on come from `providers`; those under way go on as they are. */
  replaceProviders(providers: readonly Provider[]): void;
}

/** Also goes on with what was left unfinished, here or by a process that is gone. `logger` gets what nobody waits for. */
export function openApi(options: EndpointOptions, logger: Logger): Api {
  const shelf = new ResponseShelf(options, logger);
  const patientEndpoints = ({ providers }: EndpointOptions) =>
    openEndpoints({ ...options, providers: providers.map(patientProvider) }, shelf);
  const batchRunner = new BatchRunner(options, patientEndpoints(options), logger);
  let handlers = openHandlers(options, openEndpoints(options, shelf), shelf, batchRunner);
  return {
    get handlers() {
      return handlers;
    },
    replaceProviders(providers) {
      const replaced = { ...options, providers };
      shelf.replaceProviders(providers);
      batchRunner.replaceEndpoints(patientEndpoints(replaced));
      handlers = openHandlers(replaced, openEndpoints(replaced, shelf), shelf, batchRunner);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([shelf, batchRunner].map((one) => one[Symbol.asyncDispose]()));
    },
  };
}

function openHandlers(
  options: EndpointOptions,
  endpoints: Readonly<Record<BatchEndpoint, Endpoint>>,
  shelf: ResponseShelf,
  batchRunner: BatchRunner,
): Api['handlers'] {
  const cards = options.providers.map(({ model }) => model);
  const anthropic = anthropicEndpoints(options);
  const responses = responsesEndpoints(options, shelf);
  const completions = storedCompletionsEndpoints(options);
  const batches = batchesEndpoints(options, batchRunner);
  const files = filesEndpoints(options);
  const tokens = tokenEndpoints(options.providers);
  let openApi: object | undefined;
  return {
    createChatCompletion: endpoints['/chat/completions'],
    listChatCompletions: completions.list,
    getChatCompletion: completions.get,
    updateChatCompletion: completions.update,
    deleteChatCompletion: completions.remove,
    listChatCompletionMessages: completions.messages,

    createCompletion: endpoints['/completions'],
    createEmbedding: endpoints['/embeddings'],
    tokenize: ({ body }) => tokens.tokenize(body),
    detokenize: ({ body }) => tokens.detokenize(body),

    createResponse: endpoints['/responses'],
    countResponseTokens: responses.inputTokens,
    getResponse: responses.fetch,
    deleteResponse: responses.remove,
    cancelResponse: responses.cancel,
    listResponseItems: responses.inputItems,

    createMessage: endpoints['/messages'],
    countMessageTokens: ({ body }) => anthropic.countTokens(body),

    uploadFile: files.openai.upload,
    listFiles: files.openai.list,
    getFile: files.openai.get,
    deleteFile: files.openai.remove,
    downloadFile: files.openai.download,

    uploadAnthropicFile: files.anthropic.upload,
    listAnthropicFiles: files.anthropic.list,
    getAnthropicFile: files.anthropic.get,
    deleteAnthropicFile: files.anthropic.remove,
    downloadAnthropicFile: files.anthropic.download,

    createBatch: batches.create,
    listBatches: batches.list,
    getBatch: batches.get,
    cancelBatch: batches.cancel,

    listAnthropicModels: () => anthropicModels(cards),
    getAnthropicModel: ({ params }) => anthropicModel(cardNamed(cards, params.id)),

    listModels: () => wireModels(cards),
    getModel: ({ params }) => wireModel(cardNamed(cards, params.id)),

    getBalance: async ({ account }) => wireBalance(await options.store.ledger.balances(account.owner)),
    async getUsage({ account, query }) {
      const asked = parseUsageQuery(query, options.now());
      return wireUsageSums(await options.store.ledger.usage({ organization: account.owner, ...asked }));
    },

    getHealth: () => ({ status: 'ok' }),
    async getMetrics() {
      if (!options.servesMetrics) throw requestError('unknown-route', { method: 'GET', path: '/metrics' });
      return new TextPage(await options.metrics.page(options.providers));
    },
    getOpenApi() {
      // Made when somebody asks, as it takes longer than anything else at the start.
      openApi ??= openApiDocument();
      return openApi;
    },
  };
}
