// What the description of the API says of each operation beside its route.
//
// Owns bodies with an example each, answers, streams, and which errors of the catalogue there can be. A row for an operation that
// is missing does not compile; tests send every example and hold answers and errors to what stands here. Knows nothing of
// OpenAPI's form.

import { z } from 'zod';
import { countTokensBody, messagesBody } from '../anthropic-messages-request.ts';
import { batchBody } from '../batches.ts';
import { chatCompletionsBody } from '../chat-completions-request.ts';
import { completionsBody } from '../completions-request.ts';
import { embeddingsBody } from '../embeddings-request.ts';
import { anthropicUploadForm, uploadForm } from '../files.ts';
import { fineTuningBody, runGraderBody, validateGraderBody } from '../fine-tuning-request.ts';
import { metadataBody } from '../metadata.ts';
import type { RequestErrorCode } from '../request-error.ts';
import { responsesBody } from '../responses-request.ts';
import type { OperationId } from '../routes.ts';
import { detokenizeBody, tokenizeBody } from '../tokenize.ts';
import * as answers from './answers.ts';

export interface OperationNotes {
  /** Markdown; what the summary has no room for. */
  readonly description?: string;
  /** `:id` of the path, where it has one. */
  readonly id?: string;
  readonly query?: Readonly<Record<string, QueryParameter>>;
  readonly body?: RequestBody;
  /** Absent where there is nothing but errors. */
  readonly answer?: Answer;
  /** What the answer is instead where a stream was asked for. */
  readonly events?: Answer;
  /** Beside those that every operation of its kind may have: see `commonErrors` and those below it. */
  readonly errors: readonly RequestErrorCode[];
}

interface QueryParameter {
  readonly description: string;
  readonly schema: z.ZodType;
}

interface RequestBody {
  readonly schema: z.ZodType;
  /** JSON when absent. */
  readonly mediaType?: string;
  readonly example: Readonly<Record<string, unknown>>;
}

interface Answer {
  readonly description: string;
  readonly schema: z.ZodType;
  /** JSON when absent; of events always `text/event-stream`. */
  readonly mediaType?: string;
}

export const commonErrors: readonly RequestErrorCode[] = [
  ...([
    'malformed-http',
    'wrong-key',
    'insufficient-balance',
    'budget-spent',
    'not-permitted',
    'rate-limited',
  ] as const),
  ...(['internal', 'shutting-down'] as const),
];
/** Of every operation that reads a body. */
export const bodyErrors: readonly RequestErrorCode[] = ['malformed-json', 'wrong-shape', 'invalid-field'];
/** Of every operation that takes a form. */
export const formErrors: readonly RequestErrorCode[] = ['wrong-shape', 'invalid-field'];
/** Of every operation but GET: whether it reads one or not, a body may be sent to it. */
export const sendingErrors: readonly RequestErrorCode[] = ['body-too-large', 'unsupported-media-type'];

const promptErrors = ['context-exceeded', 'image-unsupported', 'forced-tool-while-thinking'] as const;
const answerErrors = ['reasoning-missing', 'unenforceable-format', 'queue-full'] as const;

const chatEvents = {
  schema: answers.chatCompletionChunk,
  description:
    'Server-sent events without names, one chunk each, then `data: [DONE]`. Usage is on the last chunk. Comments ' +
    '(`: keep-alive`) fill long silences. A failure on the way is an event with an error envelope, and no `[DONE]`.',
};
const question = { role: 'user', content: 'Which is larger, 9.9 or 9.11?' };
const responseEvents = {
  schema: answers.responseEvent,
  description:
    'Server-sent events, numbered, each named by its type. The last one holds the response; there is no `[DONE]`.',
};
const completionId = 'The `id` of a stored completion.';
const fileId = 'The `id` of a file.';
const batchId = 'The `id` of a batch.';
const jobId = 'The `id` of a job.';
const supervisedExample = { model: 'deepseek-flash', training_file: 'file-api-1', suffix: 'mine', seed: 42 };
const graderExample = {
  ...{ type: 'string_check', name: 'same', operation: 'eq' },
  ...{ input: '{{ sample.output_text }}', reference: '{{ item.answer }}' },
};
const orderErrors = ['unknown-model', 'unknown-object', 'training-unavailable'] as const;
const estimate = {
  description: 'Nothing is started and nothing is kept.',
  body: { schema: fineTuningBody, example: supervisedExample },
  answer: { schema: answers.fineTuningEstimate, description: 'Tokens, steps, memory and time.' },
  errors: orderErrors,
};
const form = 'multipart/form-data';
const uploadErrors = ['file-too-large', 'storage-full'] as const;
const tunedModelId = 'The name of a model that a job has made.';
const fileContent = {
  ...{ schema: z.string(), mediaType: 'application/octet-stream' },
  description: 'Its bytes, with the type that it was uploaded with.',
};
const anthropicNote = "Also without `/anthropic` in front, for those who send Anthropic's header `anthropic-version`.";
const anthropicFilesNote = `The header \`anthropic-beta: files-api-2025-04-14\` is asked for. ${anthropicNote}`;

function listQuery(order: 'asc' | 'desc', limit: number) {
  return {
    limit: { description: `Of a page. Default: ${limit}.`, schema: z.int() },
    order: { description: `By age. Default: \`${order}\`.`, schema: z.enum(['asc', 'desc']) },
    after: { description: 'The page begins after the one of this id.', schema: z.string() },
  };
}

function tuningQuery(limit: number) {
  const { order: _, ...query } = listQuery('desc', limit);
  return query;
}

const responseId = 'The `id` of a stored response.';

export const operations = {
  createChatCompletion: {
    description:
      "DeepSeek's chat completions, with OpenAI's fields beside them. Fields that are not listed are ignored. Before a whole " +
      'answer, blank lines keep the connection alive.',
    body: { schema: chatCompletionsBody, example: { model: 'deepseek-flash', messages: [question] } },
    answer: { schema: answers.chatCompletion, description: 'The answer, or `n` of them.' },
    events: chatEvents,
    errors: ['unknown-model', 'empty-assistant-message', ...promptErrors, ...answerErrors],
  },

  listChatCompletions: {
    query: {
      ...listQuery('asc', 20),
      model: { description: 'Only those of this model.', schema: z.string() },
      'metadata[key]': {
        description: 'Only those to which this is attached; for any key, any number of times.',
        schema: z.string(),
      },
    },
    answer: { schema: answers.storedCompletionList, description: 'Those that were made with `store: true`.' },
    errors: ['wrong-shape', 'invalid-field'],
  },
  getChatCompletion: {
    id: completionId,
    answer: { schema: answers.storedCompletion, description: 'The completion as it was sent, and its metadata.' },
    errors: ['unknown-object'],
  },
  updateChatCompletion: {
    id: completionId,
    body: { schema: metadataBody, example: { metadata: { task: 'compare' } } },
    answer: { schema: answers.storedCompletion, description: 'The completion as it is now.' },
    errors: ['unknown-object'],
  },
  deleteChatCompletion: {
    id: completionId,
    answer: { schema: answers.completionDeleted, description: 'It is gone.' },
    errors: ['unknown-object'],
  },
  listChatCompletionMessages: {
    id: completionId,
    query: listQuery('asc', 20),
    answer: { schema: answers.storedMessageList, description: 'The messages that the completion answers.' },
    errors: ['unknown-object', 'wrong-shape', 'invalid-field'],
  },

  createCompletion: {
    body: {
      schema: completionsBody,
      example: { model: 'deepseek-flash', prompt: 'def add(a, b):\n', suffix: '\n\nprint(add(1, 2))', max_tokens: 32 },
    },
    answer: { schema: answers.textCompletion, description: 'The text, or all of them.' },
    events: { ...chatEvents, schema: answers.textCompletion },
    errors: ['unknown-model', 'context-exceeded', 'queue-full'],
  },

  createEmbedding: {
    description: 'No model here has embeddings: it always answers with the error that says so.',
    body: {
      schema: embeddingsBody,
      example: { model: 'deepseek-flash', input: 'Hello' },
    },
    errors: ['unknown-model', 'embeddings-unsupported'],
  },
  tokenize: {
    body: { schema: tokenizeBody, example: { model: 'deepseek-flash', prompt: 'Hello', return_token_strs: true } },
    answer: { schema: answers.tokens, description: 'The tokens.' },
    errors: ['unknown-model', 'empty-assistant-message', ...promptErrors],
  },
  detokenize: {
    body: { schema: detokenizeBody, example: { model: 'deepseek-flash', tokens: [72, 105] } },
    answer: { schema: answers.detokenized, description: 'The text.' },
    errors: ['unknown-model'],
  },

  createResponse: {
    body: { schema: responsesBody, example: { model: 'deepseek-flash', input: question.content } },
    answer: {
      schema: answers.response,
      description: 'The response: over, or just begun where it is in the background.',
    },
    events: responseEvents,
    errors: ['unknown-model', 'unknown-object', ...promptErrors, ...answerErrors],
  },
  countResponseTokens: {
    body: { schema: responsesBody, example: { model: 'deepseek-flash', input: question.content } },
    answer: { schema: answers.responseTokens, description: 'How many tokens the model would read.' },
    errors: ['unknown-model', 'unknown-object', ...promptErrors],
  },
  getResponse: {
    id: responseId,
    query: {
      stream: {
        description: '`true`: its events, also those that are still to come.',
        schema: z.enum(['true', 'false']),
      },
      starting_after: { description: 'Only events with numbers above this one.', schema: z.int() },
    },
    answer: { schema: answers.response, description: 'The response as it stands.' },
    events: responseEvents,
    errors: ['unknown-object', 'invalid-field'],
  },
  deleteResponse: {
    description: 'One that is still on its way is stopped.',
    id: responseId,
    answer: { schema: answers.responseDeleted, description: 'It is gone.' },
    errors: ['unknown-object'],
  },
  cancelResponse: {
    id: responseId,
    answer: { schema: answers.response, description: 'The response, which is over.' },
    errors: ['unknown-object', 'invalid-field'],
  },
  listResponseItems: {
    id: responseId,
    answer: { schema: answers.responseItems, description: 'All items, in the order in which they came.' },
    errors: ['unknown-object'],
  },

  createMessage: {
    description: "Anthropic's Messages as DeepSeek serves them. No model name is an error.",
    body: { schema: messagesBody, example: { model: 'deepseek-flash', max_tokens: 1024, messages: [question] } },
    answer: { schema: answers.message, description: 'The message.' },
    events: {
      schema: answers.messageEvent,
      description:
        'Server-sent events, each named by its type; `ping` fills long silences. A failure on the way is an `error` event.',
    },
    errors: ['threads-unsupported', ...promptErrors, ...answerErrors],
  },
  countMessageTokens: {
    body: { schema: countTokensBody, example: { model: 'deepseek-flash', messages: [question] } },
    answer: { schema: answers.messageTokens, description: 'How many tokens the model would read.' },
    errors: promptErrors,
  },

  uploadFile: {
    body: { schema: uploadForm, mediaType: form, example: { file: '{}', purpose: 'user_data' } },
    answer: { schema: answers.file, description: 'What is known of it.' },
    errors: uploadErrors,
  },
  listFiles: {
    query: {
      ...listQuery('asc', 1000),
      purpose: { description: 'Only those for this.', schema: z.string() },
    },
    answer: { schema: answers.fileList, description: 'A page of them.' },
    errors: ['wrong-shape', 'invalid-field'],
  },
  getFile: {
    id: fileId,
    answer: { schema: answers.file, description: 'What is known of it.' },
    errors: ['unknown-object'],
  },
  deleteFile: {
    id: fileId,
    answer: { schema: answers.fileDeleted, description: 'It is gone.' },
    errors: ['unknown-object'],
  },
  downloadFile: { id: fileId, answer: fileContent, errors: ['unknown-object'] },

  uploadAnthropicFile: {
    description: anthropicFilesNote,
    body: { schema: anthropicUploadForm, mediaType: form, example: { file: '{}' } },
    answer: { schema: answers.anthropicFile, description: 'What is known of it.' },
    errors: uploadErrors,
  },
  listAnthropicFiles: {
    description: anthropicFilesNote,
    query: {
      limit: { description: 'Of a page; at most 1000. Default: 20.', schema: z.int() },
      after_id: { description: 'The page begins after this one.', schema: z.string() },
      before_id: { description: 'The page ends before this one.', schema: z.string() },
      page: { description: 'Stands for `after_id`: what `next_page` said.', schema: z.string() },
    },
    answer: { schema: answers.anthropicFileList, description: 'A page of them, the newest first.' },
    errors: ['wrong-shape', 'invalid-field'],
  },
  getAnthropicFile: {
    description: anthropicFilesNote,
    id: fileId,
    answer: { schema: answers.anthropicFile, description: 'What is known of it.' },
    errors: ['unknown-object', 'invalid-field'],
  },
  deleteAnthropicFile: {
    description: anthropicFilesNote,
    id: fileId,
    answer: { schema: answers.anthropicFileDeleted, description: 'It is gone.' },
    errors: ['unknown-object', 'invalid-field'],
  },
  downloadAnthropicFile: {
    ...{ description: anthropicFilesNote, id: fileId },
    answer: fileContent,
    errors: ['unknown-object', 'invalid-field'],
  },

  createBatch: {
    description:
      'Each line of the file is answered exactly once, even if the server is stopped or killed meanwhile. Answers come in the ' +
      'order of the input; mistakes in single lines go into a file of their own.',
    body: {
      schema: batchBody,
      example: { input_file_id: 'file-api-1', endpoint: '/v1/chat/completions', completion_window: '24h' },
    },
    answer: { schema: answers.batch, description: 'The batch, which is being checked.' },
    errors: ['unknown-object'],
  },
  listBatches: {
    query: listQuery('desc', 20),
    answer: { schema: answers.batchList, description: 'A page of them.' },
    errors: ['wrong-shape', 'invalid-field'],
  },
  getBatch: {
    id: batchId,
    answer: { schema: answers.batch, description: 'How far it is.' },
    errors: ['unknown-object'],
  },
  cancelBatch: {
    description: 'What has been answered by then is kept.',
    id: batchId,
    answer: { schema: answers.batch, description: 'The batch, which is being stopped.' },
    errors: ['unknown-object', 'invalid-field'],
  },

  createFineTuningJob: {
    description:
      "OpenAI's fine-tuning jobs, with GRPO's options, adapters and distillation inside the method. Checkpoints can be asked as " +
      'soon as they are made, by names such as `ft:model:suffix:id:ckpt-step-100`, and the end result as `ft:model:suffix:id`.',
    body: { schema: fineTuningBody, example: supervisedExample },
    answer: { schema: answers.fineTuningJob, description: 'The job, whose files are being checked.' },
    errors: orderErrors,
  },
  listFineTuningJobs: {
    query: {
      ...tuningQuery(20),
      'metadata[key]': {
        description: 'Only those to which this is attached; for any key, any number of times.',
        schema: z.string(),
      },
    },
    answer: { schema: answers.fineTuningJobList, description: 'A page of them, the newest first.' },
    errors: ['wrong-shape', 'invalid-field'],
  },
  getFineTuningJob: {
    id: jobId,
    answer: { schema: answers.fineTuningJob, description: 'How far it is.' },
    errors: ['unknown-object'],
  },
  cancelFineTuningJob: {
    description: 'Its checkpoints stay.',
    id: jobId,
    answer: { schema: answers.fineTuningJob, description: 'The job, which is over.' },
    errors: ['unknown-object', 'invalid-field'],
  },
  pauseFineTuningJob: {
    description: 'It finishes its step and is saved.',
    id: jobId,
    answer: { schema: answers.fineTuningJob, description: 'The job, which goes on when it is resumed.' },
    errors: ['unknown-object', 'invalid-field'],
  },
  resumeFineTuningJob: {
    id: jobId,
    answer: { schema: answers.fineTuningJob, description: 'The job, which waits for its turn.' },
    errors: ['unknown-object', 'invalid-field', 'training-unavailable'],
  },
  listFineTuningEvents: {
    id: jobId,
    query: {
      ...tuningQuery(20),
      stream: {
        description: '`true`: all of them from the first, or after `after`, and those that are still to come.',
        schema: z.enum(['true', 'false']),
      },
    },
    answer: { schema: answers.fineTuningEventList, description: 'A page of them, the newest first.' },
    events: {
      schema: answers.fineTuningEvent,
      description:
        'Server-sent events named `fine_tuning.job.event`, the oldest first, until the job is over; then `data: [DONE]`. ' +
        'Comments (`: keep-alive`) fill long silences.',
    },
    errors: ['unknown-object', 'wrong-shape', 'invalid-field'],
  },
  listFineTuningCheckpoints: {
    id: jobId,
    query: tuningQuery(10),
    answer: { schema: answers.fineTuningCheckpointList, description: 'A page of them, the newest first.' },
    errors: ['unknown-object', 'wrong-shape', 'invalid-field'],
  },
  listFineTuningRollouts: {
    description: 'Of jobs whose model answers while it is trained: prompts, answers, rewards and their parts.',
    id: jobId,
    query: {
      step: { description: 'Of which step. Default: the last.', schema: z.int() },
      limit: { description: 'Of a page. Default: 256.', schema: z.int() },
      after: { description: 'So many are left out.', schema: z.int() },
    },
    answer: { schema: answers.fineTuningRollouts, description: 'In the order of the prompts.' },
    errors: ['unknown-object', 'wrong-shape', 'invalid-field'],
  },
  estimateFineTuning: estimate,
  estimateFineTuningJob: estimate,
  runGrader: {
    body: {
      schema: runGraderBody,
      example: { grader: graderExample, item: { answer: '42' }, model_sample: '42' },
    },
    answer: { schema: answers.graderRun, description: 'The reward, and what became of its parts.' },
    errors: ['unknown-model', 'training-unavailable'],
  },
  validateGrader: {
    body: { schema: validateGraderBody, example: { grader: graderExample } },
    answer: { schema: answers.graderValidated, description: 'The grader, which is right.' },
    errors: ['unknown-model', 'training-unavailable'],
  },

  listAnthropicModels: {
    description: anthropicNote,
    answer: { schema: answers.anthropicModelList, description: 'Each under every name that it answers to.' },
    errors: [],
  },
  getAnthropicModel: {
    description: anthropicNote,
    id: 'The name of a model.',
    answer: { schema: answers.anthropicModel, description: 'The model.' },
    errors: ['unknown-model'],
  },

  listModels: {
    answer: { schema: answers.modelList, description: 'Each under every name that it answers to.' },
    errors: [],
  },
  getModel: {
    id: 'The name of a model.',
    answer: { schema: answers.model, description: 'The model.' },
    errors: ['unknown-model'],
  },
  deleteModel: {
    description:
      'A checkpoint of a fine-tuning job, with its files: under its other name, if it is the last one, it is gone too. Its job stays.',
    id: tunedModelId,
    answer: { schema: answers.modelDeleted, description: 'It is gone.' },
    errors: ['unknown-model', 'undeletable-model'],
  },
  listModelFiles: {
    description:
      'A checkpoint as Transformers reads it: `config.json`, `model.safetensors` and the tokenizer, or, of an adapter, ' +
      '`adapter_config.json` and `adapter_model.safetensors` as PEFT does.',
    id: tunedModelId,
    answer: { schema: answers.modelFileList, description: 'By name.' },
    errors: ['unknown-model', 'unknown-object'],
  },
  downloadModelFile: {
    id: tunedModelId,
    query: { name: { description: 'As the list of them says.', schema: z.string() } },
    answer: { ...{ schema: z.string(), mediaType: 'application/octet-stream' }, description: 'Its bytes.' },
    errors: ['unknown-model', 'unknown-object'],
  },

  getBalance: {
    description:
      'Of the organization whose key asks. Who was never given anything need not pay: the list is empty then.',
    answer: { schema: answers.balance, description: 'Amounts are texts.' },
    errors: [],
  },
  getUsage: {
    query: {
      from: { description: 'The first day, in UTC. Default: 30 days ago.', schema: z.string() },
      to: { description: 'The last day. Default: today.', schema: z.string() },
      by: {
        description:
          'What to add up by, with commas between: `day`, `key`, `model`, `user`, `operation`. Default: `day,model`.',
        schema: z.string(),
      },
    },
    answer: { schema: answers.usageList, description: 'Sums, of the organization whose key asks.' },
    errors: ['invalid-field'],
  },

  getHealth: { answer: { schema: answers.health, description: 'It does.' }, errors: [] },
  getMetrics: {
    description:
      'Under names of our own, and under those that vLLM has for the same. Only where metrics are on this port.',
    answer: { schema: z.string(), mediaType: 'text/plain', description: "In Prometheus' text format." },
    errors: ['unknown-route'],
  },
  getOpenApi: {
    answer: { schema: z.looseObject({ openapi: z.string() }), description: 'An OpenAPI 3.1 document.' },
    errors: [],
  },
} as const satisfies Record<OperationId, OperationNotes>;
