// What each call of the API does.
//
// Owns the table from operations to what carries them out; a row that is missing does not compile.

import { parseUsageQuery, wireBalance, wireUsageSums } from '@hadal/protocol/account';
import type { BatchEndpoint } from '@hadal/protocol/batches';
import { refuseEmbedding } from '@hadal/protocol/embeddings-request';
import { anthropicModel, anthropicModels, cardNamed, wireModel, wireModels } from '@hadal/protocol/models';
import { openApiDocument } from '@hadal/protocol/openapi/document';
import { RequestError, requestError } from '@hadal/protocol/request-error';
import type { OperationId } from '@hadal/protocol/routes';
import type { Endpoint, EndpointOptions } from './answer-plan.ts';
import { anthropicEndpoints } from './anthropic-messages-endpoints.ts';
import type { ApiCall, Handler } from './api-call.ts';
import { BatchRunner } from './batch-runner.ts';
import { batchesEndpoints } from './batches-endpoints.ts';
import { chatCompletionsEndpoint } from './chat-completions-endpoint.ts';
import { completionsEndpoint } from './completions-endpoint.ts';
import { explainFailure } from './failure.ts';
import { filesEndpoints } from './files-endpoints.ts';
import { fineTuningEndpoints } from './fine-tuning-endpoints.ts';
import type { AskFor } from './job-queue.ts';
import type { Logger } from './logger.ts';
import { modelAsker } from './model-asker.ts';
import { patientModels } from './model-source.ts';
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
    '/embeddings': ({ account, body }) =>
      refuseEmbedding(
        body,
        options.models.of(account.owner).map(({ model }) => model),
      ),
  };
}

/** Everything that calls can do. */
export interface Api extends AsyncDisposable {
  readonly handlers: Readonly<Record<OperationId, Handler>>;
  /** What a job asks models by, in the name of whoever ordered it, while others come first. */
  readonly askFor: AskFor;
}

/** Also goes on with what was left unfinished, here or by a process that is gone. `logger` gets what nobody waits for. */
export function openApi(options: EndpointOptions, logger: Logger): Api {
  const shelf = new ResponseShelf(options, logger);
  const patient = openEndpoints({ ...options, models: patientModels(options.models) }, shelf);
  const batchRunner = new BatchRunner(options, patient, logger);
  return {
    handlers: openHandlers(options, openEndpoints(options, shelf), shelf, batchRunner),
    askFor({ id: jobId, owner, details }) {
      const { accounts, newId, stopping } = options;
      return async (question, signal) => {
        const id = `${jobId}-${newId()}`;
        const account = await accounts.readmit(owner, details.keyId).catch((error) => {
          if (error instanceof RequestError) return error;
          throw error;
        });
        if (account instanceof RequestError) return { type: 'failure', message: account.message };
        const explain = (error: unknown) => explainFailure(error, { logger, requestId: id });
        const ask = modelAsker(patient['/chat/completions'], { id, account, explain, signal: stopping });
        return await ask(question, signal);
      };
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
  const { models } = options;
  const cardsFor = ({ account }: ApiCall) => models.of(account.owner).map(({ model }) => model);
  const anthropic = anthropicEndpoints(options);
  const responses = responsesEndpoints(options, shelf);
  const completions = storedCompletionsEndpoints(options);
  const batches = batchesEndpoints(options, batchRunner);
  const files = filesEndpoints(options);
  const tokens = tokenEndpoints(models);
  const tuning = fineTuningEndpoints(options, endpoints['/chat/completions']);
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
    tokenize: tokens.tokenize,
    detokenize: tokens.detokenize,

    createResponse: endpoints['/responses'],
    countResponseTokens: responses.inputTokens,
    getResponse: responses.fetch,
    deleteResponse: responses.remove,
    cancelResponse: responses.cancel,
    listResponseItems: responses.inputItems,

    createMessage: endpoints['/messages'],
    countMessageTokens: anthropic.countTokens,

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

    createFineTuningJob: tuning.create,
    listFineTuningJobs: tuning.list,
    getFineTuningJob: tuning.get,
    cancelFineTuningJob: tuning.cancel,
    pauseFineTuningJob: tuning.pause,
    resumeFineTuningJob: tuning.resume,
    listFineTuningEvents: tuning.events,
    listFineTuningCheckpoints: tuning.checkpoints,
    listFineTuningRollouts: tuning.rollouts,
    estimateFineTuning: tuning.estimate,
    estimateFineTuningJob: tuning.estimate,
    runGrader: tuning.runGrader,
    validateGrader: tuning.validateGrader,

    listAnthropicModels: (call) => anthropicModels(cardsFor(call)),
    getAnthropicModel: (call) => anthropicModel(cardNamed(cardsFor(call), call.params.id)),

    listModels: (call) => wireModels(cardsFor(call)),
    getModel: (call) => wireModel(cardNamed(cardsFor(call), call.params.id)),
    deleteModel: tuning.removeModel,
    listModelFiles: tuning.modelFiles,
    downloadModelFile: tuning.modelFile,

    getBalance: async ({ account }) => wireBalance(await options.store.ledger.balances(account.owner)),
    async getUsage({ account, query }) {
      const asked = parseUsageQuery(query, options.now());
      return wireUsageSums(await options.store.ledger.usage({ organization: account.owner, ...asked }));
    },

    getHealth: () => ({ status: 'ok' }),
    async getMetrics() {
      if (!options.servesMetrics) throw requestError('unknown-route', { method: 'GET', path: '/metrics' });
      return new TextPage(await options.metrics.page(models.shared));
    },
    getOpenApi() {
      // Made when somebody asks, as it takes longer than anything else at the start.
      openApi ??= openApiDocument();
      return openApi;
    },
  };
}
