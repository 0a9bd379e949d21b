// The shapes of successful answers, for those who read the description of the API.
//
// Owns one schema for each kind of answer. The types that the writers of answers fill in stand with them (`*-response.ts`); each
// schema here must fit its type, or it does not compile, and a test checks real answers against it, in which nothing may be
// that is not here. Nothing is parsed by these schemas.

import { z } from 'zod';
import type { AnthropicBlock, AnthropicEvent, AnthropicMessage } from '../anthropic-messages-response.ts';
import type {
  ChatCompletion,
  ChatCompletionChunk,
  WireLogprobs,
  WireToolCall,
  WireUsage,
} from '../chat-completions-response.ts';
import type { FinishReason } from '../chat-event.ts';
import type { TextCompletion } from '../completions-response.ts';
import type { AnthropicErrorBody, ErrorBody } from '../error-envelope.ts';
import type { AnthropicFile, WireFile } from '../files.ts';
import type { WireGraderRun } from '../grader-run.ts';
import type { AnthropicModel, WireModel } from '../models.ts';
import type { ResponseEvent, ResponseUsage, WireResponse } from '../responses-response.ts';
import type { WireTokens } from '../tokenize.ts';

const count = z.int().min(0);
const seconds = z.int().describe('Seconds since 1970.');

export const finishReason = z
  .enum(['stop', 'length', 'tool_calls', 'content_filter', 'aborted', 'insufficient_system_resource'])
  .describe('`aborted`: the server was stopped. `insufficient_system_resource`: the time that a request has was up.');

export const usage = z.object({
  prompt_tokens: count.describe('Cache hits and misses together.'),
  completion_tokens: count.describe('Reasoning included.'),
  total_tokens: count,
  prompt_tokens_details: z.object({ cached_tokens: count }),
  completion_tokens_details: z.object({
    reasoning_tokens: count,
    accepted_prediction_tokens: count.describe('Guessed tokens that came true; a part of the completion.'),
    rejected_prediction_tokens: count.describe('Guessed tokens that did not, beside the completion.'),
  }),
  prompt_cache_hit_tokens: count,
  prompt_cache_miss_tokens: count,
}) satisfies z.ZodType<WireUsage>;

const scored = { token: z.string(), logprob: z.number(), bytes: z.array(z.int().min(0).max(255)) };
export const tokenLogprob = z.object({ ...scored, top_logprobs: z.array(z.object(scored)) });
const tokenLogprobs = z.array(tokenLogprob).nullable();
const logprobs = z
  .object({ content: tokenLogprobs, refusal: z.null(), reasoning_content: tokenLogprobs })
  .nullable() satisfies z.ZodType<WireLogprobs | null>;

export const toolCall = z.object({
  index: count,
  id: z.string(),
  type: z.literal('function'),
  function: z.object({
    name: z.string(),
    arguments: z.string().describe('JSON, as the model wrote it.'),
  }),
}) satisfies z.ZodType<WireToolCall>;

const head = { id: z.string(), created: seconds, model: z.string(), system_fingerprint: z.string() };

export const chatCompletion = z.object({
  ...head,
  object: z.literal('chat.completion'),
  choices: z.array(
    z.object({
      index: count,
      message: z.object({
        role: z.literal('assistant'),
        content: z.string(),
        refusal: z.null(),
        reasoning_content: z
          .exactOptional(z.string())
          .describe('What it thought before; absent where it did not think.'),
        tool_calls: z.exactOptional(z.array(toolCall)),
      }),
      logprobs,
      finish_reason: finishReason,
    }),
  ),
  usage,
}) satisfies z.ZodType<ChatCompletion>;

export const chatCompletionChunk = z.object({
  ...head,
  object: z.literal('chat.completion.chunk'),
  choices: z.tuple([
    z.object({
      index: count.describe('Which of the answers goes on.'),
      delta: z.object({
        role: z.exactOptional(z.literal('assistant').nullable()),
        content: z.exactOptional(z.string().nullable()),
        reasoning_content: z.exactOptional(z.string().nullable()),
        tool_calls: z.exactOptional(
          z.tuple([z.union([toolCall, z.object({ index: count, function: z.object({ arguments: z.string() }) })])]),
        ),
      }),
      logprobs,
      finish_reason: finishReason.nullable(),
    }),
  ]),
  usage: z.exactOptional(usage.nullable()).describe('On the last chunk.'),
}) satisfies z.ZodType<ChatCompletionChunk>;

export const textCompletion = z.object({
  ...head,
  object: z.literal('text_completion'),
  choices: z.array(
    z.object({
      index: count,
      text: z.string(),
      logprobs: z
        .object({
          tokens: z.array(z.string()),
          token_logprobs: z.array(z.number().nullable()),
          top_logprobs: z.array(z.record(z.string(), z.number()).nullable()),
          text_offset: z.array(count).describe('Where each token begins in the text, in UTF-16 units.'),
        })
        .nullable(),
      finish_reason: (finishReason satisfies z.ZodType<FinishReason>).nullable(),
    }),
  ),
  usage: z.exactOptional(usage.nullable()).describe('On the whole, or on the last chunk.'),
}) satisfies z.ZodType<TextCompletion>;

export const tokens = z.object({
  count,
  max_model_len: count.describe("The model's context."),
  tokens: z.array(count),
  token_strs: z.exactOptional(z.array(z.string())),
}) satisfies z.ZodType<WireTokens>;

export const detokenized = z.object({ prompt: z.string() });

const itemStatus = z.enum(['in_progress', 'completed', 'incomplete']);

export const outputItem = z.discriminatedUnion('type', [
  z.object({
    ...{ type: z.literal('reasoning'), id: z.string(), status: itemStatus, summary: z.tuple([]) },
    content: z.array(z.object({ type: z.literal('reasoning_text'), text: z.string() })),
  }),
  z.object({
    ...{ type: z.literal('message'), id: z.string(), status: itemStatus, role: z.literal('assistant') },
    content: z.array(
      z.object({
        ...{
          type: z.literal('output_text'),
          text: z.string(),
          annotations: z.tuple([]),
          logprobs: z.array(tokenLogprob),
        },
      }),
    ),
  }),
  z.object({
    ...{ type: z.literal('function_call'), id: z.string(), status: itemStatus, call_id: z.string() },
    ...{ name: z.string(), arguments: z.string().describe('JSON, as the model wrote it.') },
  }),
]) satisfies z.ZodType<WireResponse['output'][number]>;

export const responseUsage = z.object({
  input_tokens: count,
  input_tokens_details: z.object({ cached_tokens: count, cache_write_tokens: count }),
  output_tokens: count,
  output_tokens_details: z.object({ reasoning_tokens: count }),
  total_tokens: count,
}) satisfies z.ZodType<ResponseUsage>;

export const response = z.object({
  ...{ id: z.string(), object: z.literal('response'), created_at: seconds, completed_at: seconds.nullable() },
  status: z.enum(['queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled']),
  background: z.boolean(),
  error: z
    .object({ code: z.string(), message: z.string() })
    .nullable()
    .describe('Why it failed; the HTTP status is 200 all the same.'),
  incomplete_details: z.object({ reason: z.enum(['max_output_tokens', 'content_filter']) }).nullable(),
  model: z.string(),
  output: z.array(outputItem),
  ...{ parallel_tool_calls: z.literal(true), store: z.boolean(), truncation: z.literal('disabled') },
  usage: z.exactOptional(responseUsage).describe('Once it is over.'),
  instructions: z.string().nullable(),
  max_output_tokens: count.nullable(),
  metadata: z.record(z.string(), z.string()),
  previous_response_id: z.string().nullable(),
  reasoning: z.object({ effort: z.string().nullable(), summary: z.null() }),
  text: z.object({ format: z.looseObject({ type: z.string() }) }),
  tools: z.array(z.looseObject({ type: z.string() })),
  tool_choice: z.unknown(),
  ...{ temperature: z.number(), top_p: z.number(), top_logprobs: count },
  user: z.exactOptional(z.string()),
}) satisfies z.ZodType<WireResponse>;

export const responseEvent = z
  .looseObject({ type: z.string(), sequence_number: count })
  .describe(
    "Named like its `type`: `response.created`, `response.output_text.delta` and so on, as in OpenAI's reference.",
  ) satisfies z.ZodType<ResponseEvent>;

export const responseDeleted = z.object({ id: z.string(), object: z.literal('response'), deleted: z.literal(true) });

export const responseItems = z.object({
  object: z.literal('list'),
  data: z.array(z.looseObject({ id: z.string(), type: z.string() })).describe('As they came, each with an id.'),
  first_id: z.string().nullable(),
  last_id: z.string().nullable(),
  has_more: z.literal(false),
});

export const responseTokens = z.object({ object: z.literal('response.input_tokens'), input_tokens: count });

export const anthropicUsage = z.object({
  input_tokens: count.describe('Without what came from the cache.'),
  cache_read_input_tokens: count,
  cache_creation_input_tokens: count,
  output_tokens: count,
  output_tokens_details: z.object({ thinking_tokens: count }),
});

export const answerBlock = z.discriminatedUnion('type', [
  z.object({ type: z.literal('thinking'), thinking: z.string(), signature: z.string() }),
  z.object({ type: z.literal('text'), text: z.string() }),
  z.object({ type: z.literal('tool_use'), id: z.string(), name: z.string(), input: z.looseObject({}) }),
]) satisfies z.ZodType<AnthropicBlock>;

const stopReason = z.enum(['end_turn', 'max_tokens', 'stop_sequence', 'tool_use', 'refusal']);

export const message = z.object({
  ...{ id: z.string(), type: z.literal('message'), role: z.literal('assistant') },
  model: z.string().describe('The one that answered, whatever it was called.'),
  content: z.array(answerBlock),
  ...{ stop_reason: stopReason.nullable(), stop_sequence: z.string().nullable(), usage: anthropicUsage },
}) satisfies z.ZodType<AnthropicMessage>;

const index = count;
export const messageEvent = z.discriminatedUnion('type', [
  z.object({ type: z.literal('message_start'), message }),
  z.object({ type: z.literal('content_block_start'), index, content_block: answerBlock }),
  z.object({
    type: z.literal('content_block_delta'),
    index,
    delta: z.discriminatedUnion('type', [
      z.object({ type: z.literal('thinking_delta'), thinking: z.string() }),
      z.object({ type: z.literal('signature_delta'), signature: z.string() }),
      z.object({ type: z.literal('text_delta'), text: z.string() }),
      z.object({ type: z.literal('input_json_delta'), partial_json: z.string() }),
    ]),
  }),
  z.object({ type: z.literal('content_block_stop'), index }),
  z.object({
    type: z.literal('message_delta'),
    delta: z.object({ stop_reason: stopReason, stop_sequence: z.string().nullable() }),
    usage: anthropicUsage,
  }),
  z.object({ type: z.literal('message_stop') }),
]) satisfies z.ZodType<AnthropicEvent>;

export const messageTokens = z.object({ input_tokens: count });

export const model = z.object({
  ...{ id: z.string(), object: z.literal('model'), owned_by: z.string(), name: z.string() },
  context_window: count.describe('Tokens, prompt and answer together.'),
  max_output_tokens: count,
  input_modalities: z.array(z.string()),
  output_modalities: z.array(z.string()),
  effort: z.object({ supported_levels: z.array(z.string()), default_level: z.string() }),
  api_capabilities: z.object({ anthropic_messages: z.object({ system_prompt_update: z.literal('leading-only') }) }),
}) satisfies z.ZodType<WireModel>;

const list = <T extends z.ZodType>(entry: T) => ({
  data: z.array(entry),
  first_id: z.string().nullable(),
  last_id: z.string().nullable(),
  has_more: z.boolean(),
});
const openaiList = <T extends z.ZodType>(entry: T) => z.object({ object: z.literal('list'), ...list(entry) });
const anthropicList = <T extends z.ZodType>(entry: T) =>
  z.object({ ...list(entry), next_page: z.string().nullable().describe('What `page` is to be next.') });
const metadata = z.record(z.string(), z.string());

export const storedCompletion = z.object({ ...chatCompletion.shape, metadata });
export const storedCompletionList = openaiList(storedCompletion);
export const completionDeleted = z.object({
  ...{ object: z.literal('chat.completion.deleted'), id: z.string(), deleted: z.literal(true) },
});
export const storedMessageList = openaiList(
  z.looseObject({
    ...{ id: z.string(), role: z.string(), content: z.string().nullable() },
    content_parts: z.array(z.looseObject({})).nullable().describe('Where the content came in parts.'),
  }),
);

export const file = z.object({
  ...{ id: z.string(), object: z.literal('file'), bytes: count, created_at: seconds },
  expires_at: z.exactOptional(seconds),
  ...{ filename: z.string(), purpose: z.string(), status: z.literal('processed') },
}) satisfies z.ZodType<WireFile>;
export const fileList = openaiList(file);
export const modelFileList = z.object({
  object: z.literal('list'),
  data: z.array(z.object({ object: z.literal('model.file'), name: z.string(), bytes: count })),
});
export const modelDeleted = z.object({ id: z.string(), object: z.literal('model'), deleted: z.literal(true) });
export const fileDeleted = z.object({ id: z.string(), object: z.literal('file'), deleted: z.literal(true) });

export const anthropicFile = z.object({
  ...{ id: z.string(), type: z.literal('file'), filename: z.string(), mime_type: z.string(), size_bytes: count },
  ...{ created_at: z.string(), downloadable: z.literal(true) },
}) satisfies z.ZodType<AnthropicFile>;
export const anthropicFileList = anthropicList(anthropicFile);
export const anthropicFileDeleted = z.object({ id: z.string(), type: z.literal('file_deleted') });

const time = z.exactOptional(seconds);
export const batch = z.object({
  ...{ id: z.string(), object: z.literal('batch'), endpoint: z.string(), input_file_id: z.string() },
  ...{ completion_window: z.string(), metadata: metadata.nullable() },
  status: z.enum([
    ...(['validating', 'failed', 'in_progress', 'finalizing', 'completed', 'expired'] as const),
    ...(['cancelling', 'cancelled'] as const),
  ]),
  output_file_id: z.exactOptional(z.string()),
  error_file_id: z.exactOptional(z.string()),
  errors: z.exactOptional(
    z.object({
      object: z.literal('list'),
      data: z.array(
        z.object({
          ...{ code: z.string(), message: z.string(), param: z.string().nullable() },
          line: count.nullable().describe('Of the file, from 1.'),
        }),
      ),
    }),
  ),
  ...{ created_at: seconds, expires_at: time, in_progress_at: time, finalizing_at: time, completed_at: time },
  ...{ failed_at: time, expired_at: time, cancelling_at: time, cancelled_at: time },
  request_counts: z.object({ total: count, completed: count, failed: count }),
  usage: z.object({
    ...{ input_tokens: count, input_tokens_details: z.object({ cached_tokens: count }) },
    ...{ output_tokens: count, output_tokens_details: z.object({ reasoning_tokens: count }), total_tokens: count },
  }),
});
export const batchList = openaiList(batch);

const method = z.looseObject({ type: z.enum(['supervised', 'dpo', 'reinforcement', 'distillation']) });
export const fineTuningJob = z.object({
  ...{ id: z.string(), object: z.literal('fine_tuning.job'), created_at: seconds, model: z.string() },
  ...{ finished_at: seconds.nullable(), estimated_finish: seconds.nullable() },
  error: z
    .object({ code: z.string(), message: z.string(), param: z.string().nullable() })
    .nullable()
    .describe('Why it failed.'),
  fine_tuned_model: z.string().nullable().describe('The name of the model that it has made.'),
  hyperparameters: z.looseObject({}).describe('With numbers for what was `auto`, once they are known.'),
  ...{ method, organization_id: z.string(), result_files: z.array(z.string()) },
  ...{ trained_tokens: count.nullable(), seed: z.int() },
  status: z.enum(['validating_files', 'queued', 'running', 'succeeded', 'failed', 'cancelled']),
  paused: z.boolean().describe('Its status is `queued` then.'),
  ...{ training_file: z.string(), validation_file: z.string().nullable() },
  ...{ integrations: z.array(z.never()), metadata: metadata.nullable() },
  user_provided_suffix: z.string().nullable(),
  step: z.exactOptional(count),
  total_steps: z.exactOptional(count),
});
export const fineTuningJobList = openaiList(fineTuningJob);
export const fineTuningEvent = z.object({
  ...{ id: z.string(), object: z.literal('fine_tuning.job.event'), created_at: seconds },
  ...{ level: z.enum(['info', 'warn', 'error']), message: z.string(), type: z.enum(['message', 'metrics']) },
  data: z.looseObject({}).describe('Of metrics: the step and its measures.'),
});
export const fineTuningEventList = openaiList(fineTuningEvent);
export const fineTuningCheckpoint = z.object({
  ...{ id: z.string(), object: z.literal('fine_tuning.job.checkpoint'), created_at: seconds },
  fine_tuned_model_checkpoint: z.string().describe('The name that it can be asked by.'),
  ...{ fine_tuning_job_id: z.string(), step_number: count, metrics: z.record(z.string(), z.number()) },
});
export const fineTuningCheckpointList = openaiList(fineTuningCheckpoint);
export const fineTuningRollouts = z.object({
  ...{ object: z.literal('list'), step: count.nullable(), data: z.array(z.looseObject({})), has_more: z.boolean() },
});
export const fineTuningEstimate = z.object({
  ...{ object: z.literal('fine_tuning.estimate'), model: z.string(), tokens: count, steps: count },
  ...{ memory_bytes: count, seconds: z.number() },
});

const flag = z.boolean();
const problemText = z.string().nullable();
const graderScores = z.record(z.string(), z.number());
export const graderRun = z.object({
  ...{ reward: z.number(), sub_rewards: graderScores },
  model_grader_token_usage_per_model: z.record(
    z.string(),
    z.object({ prompt_tokens: count, total_tokens: count, completion_tokens: count, cached_tokens: count }),
  ),
  metadata: z.object({
    ...{ name: z.string(), type: z.string(), execution_time: z.number(), scores: graderScores },
    ...{ token_usage: count.nullable(), sampled_model_name: z.string().nullable() },
    errors: z.object({
      ...{ formula_parse_error: flag, sample_parse_error: flag, truncated_observation_error: flag },
      ...{ unresponsive_reward_error: flag, invalid_variable_error: flag, other_error: flag },
      ...{ python_grader_server_error: flag, python_grader_server_error_type: problemText },
      ...{ python_grader_runtime_error: flag, python_grader_runtime_error_details: problemText },
      ...{ model_grader_server_error: flag, model_grader_server_error_details: problemText },
      ...{ model_grader_refusal_error: flag, model_grader_parse_error: flag, other_error_details: problemText },
    }),
  }),
}) satisfies z.ZodType<WireGraderRun>;
export const graderValidated = z.object({ grader: z.looseObject({}) });

export const anthropicModel = z.object({
  ...{ id: z.string(), type: z.literal('model'), display_name: z.string(), created_at: z.string() },
  ...{ max_input_tokens: count, max_tokens: count },
}) satisfies z.ZodType<AnthropicModel>;
export const anthropicModelList = anthropicList(anthropicModel);

export const modelList = z.object({ object: z.literal('list'), data: z.array(model) });

const money = z.string().describe('Such as `110.00`.');
export const balance = z.object({
  is_available: z.boolean(),
  balance_infos: z.array(
    z.object({
      ...{ currency: z.string(), total_balance: money, granted_balance: money, topped_up_balance: money },
    }),
  ),
});

const axis = z.exactOptional(z.string());
export const usageList = z.object({
  object: z.literal('list'),
  data: z.array(
    z.object({
      ...{ day: axis, key: axis, model: axis, user: axis, operation: axis },
      ...{ requests: count, prompt_cache_hit_tokens: count, prompt_cache_miss_tokens: count },
      ...{ completion_tokens: count, reasoning_tokens: count, cost: money, currency: z.string() },
    }),
  ),
});

export const health = z.object({ status: z.literal('ok') });

export const error = z.object({
  error: z.object({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable().describe("The field to blame; on DeepSeek's paths always null."),
    code: z.string(),
  }),
}) satisfies z.ZodType<ErrorBody>;

export const anthropicError = z.object({
  type: z.literal('error'),
  error: z.object({
    ...{ type: z.string(), message: z.string() },
    details: z.exactOptional(z.looseObject({})).describe('What a program may go by.'),
  }),
}) satisfies z.ZodType<AnthropicErrorBody>;
