// The body of `POST /chat/completions`, parsed once.
//
// Owns the wire schema and DeepSeek's rules about it (defaults, effort aliases, tool_choice, what goes with what), and
// turns a body into a `ChatRequest`. Knows nothing about tokens: whether the prompt fits is the provider's to say. Fields
// it does not list are ignored. What DeepSeek accepts without effect and an engine of one's own can honour is honoured:
// temperature and top_p in either mode, penalties, forced tools while thinking, and OpenAI's json_schema, logit_bias, n and
// prediction. `top_k`, `min_p`, `structured_outputs` and `speculative` are ours, named as vLLM names them where it has them.

import { z } from 'zod';
import type {
  ChatRequest,
  FunctionTool,
  MaxTokens,
  Message,
  ResponseFormat,
  Thinking,
  ToolChoice,
} from './chat-request.ts';
import { checkConversation, isPrefixed, type MessagePart } from './conversation-rules.ts';
import { effortNames, efforts } from './effort.ts';
import { metadataField } from './metadata.ts';
import { cardNamed, type ModelCard } from './models.ts';
import { requestError } from './request-error.ts';
import {
  type Delivery,
  deliveryOf,
  expecting,
  integer,
  jsonObject,
  maxTokensOf,
  modelName,
  samplingFields,
  samplingOf,
  speculationOf,
} from './sampling-fields.ts';
import { checkShape, fieldName } from './shape-error.ts';

export interface ChatCompletionsRequest {
  readonly chat: ChatRequest;
  /** Answers to give. */
  readonly choices: number;
  readonly delivery: Delivery;
  /** Whether the caller wants it kept. */
  readonly isStored: boolean;
  /** What is kept of it, then. */
  readonly record: StoredRequest;
}

export interface StoredRequest {
  readonly metadata: Readonly<Record<string, string>>;
  /** As they came. */
  readonly messages: readonly object[];
  readonly tools: readonly object[];
}

/**
 * Parses a body that has been JSON. `cards` are the models there are; the one asked for gives the defaults.
 * Throws `RequestError` for the first mistake. DeepSeek API reference, create chat completion, October 2026.
 */
export function parseChatCompletionsRequest(body: unknown, cards: readonly ModelCard[]): ChatCompletionsRequest {
  const wire = checkShape(chatCompletionsBody, body);

  const card = cardNamed(cards, wire.model);
  const thinking = thinkingOf(wire, card);
  const toolChoice = toolChoiceOf(wire);
  const messages = messagesOf(wire.messages, ['messages']);
  const responseFormat = responseFormatOf(wire);
  if (isPrefixed(messages) && responseFormat.type !== 'text') {
    const problem = 'cannot be set together with prefix: what has been said already is not looked at';
    throw requestError('invalid-field', { field: 'response_format', problem });
  }
  if (wire.top_logprobs != null && wire.logprobs !== true) {
    throw requestError('invalid-field', { field: 'top_logprobs', problem: 'only allowed when logprobs is true' });
  }

  const isR1 = card.profile === 'r1';
  if (isR1) checkR1(wire, card);
  return {
    choices: wire.n ?? 1,
    delivery: deliveryOf(wire),
    isStored: wire.store === true,
    record: { metadata: wire.metadata ?? {}, messages: wire.messages, tools: wire.tools ?? [] },
    chat: {
      model: card.id,
      messages,
      thinking,
      maxTokens: askedTokens(wire, thinking, card),
      maxReasoning: isR1 ? card.maxReasoningTokens : undefined,
      ...samplingOf(isR1 ? { ...wire, ...r1.withoutEffect } : wire, card),
      responseFormat,
      tools: toolsOf(wire),
      toolChoice,
      topLogprobs: wire.logprobs === true ? (wire.top_logprobs ?? 0) : undefined,
      speculation: speculationOf(wire, wire.prediction != null),
      places: {
        ...{ messages: 'messages', schema: 'parameters', format: formatPlace(wire) },
        tools: (wire.tools ?? []).map((_, index) => fieldName(['tools', index, 'function'])),
      },
      prediction: wire.prediction == null ? '' : textOf(wire.prediction.content, ['prediction']),
    },
  };
}

const messageFields = {
  ...{ role: 'role', calls: 'tool_calls', 'call id': 'tool_call_id', prefix: 'prefix' },
} as const satisfies Record<MessagePart, string>;

/** What DeepSeek's guide to its reasoning model said of R1, January to August 2025. */
const r1 = {
  defaultMaxTokens: 4096,
  withoutEffect: { temperature: null, top_p: null, frequency_penalty: null, presence_penalty: null },
} as const;

/** Throws for what R1's service refused. */
function checkR1({ messages, logprobs, top_logprobs }: Wire, { id }: ModelCard): void {
  const replayed = messages.findIndex((message) => message.role === 'assistant' && message.reasoning_content != null);
  if (replayed >= 0) {
    const problem = `${id} does not take reasoning back; send content only`;
    throw requestError('invalid-field', { field: fieldName(['messages', replayed, 'reasoning_content']), problem });
  }
  const asked = logprobs != null && logprobs ? 'logprobs' : top_logprobs != null ? 'top_logprobs' : undefined;
  if (asked !== undefined) throw requestError('invalid-field', { field: asked, problem: `not supported by ${id}` });
}

const functionName = z.string().regex(/^[a-zA-Z0-9_-]{1,128}$/, expecting('1 to 128 letters, digits, _ or -'));

const textPart = z.object({ type: z.literal('text'), text: z.string() });
const imagePart = z.object({ type: z.enum(['image_url', 'file']) });
const content = z.union(
  [z.string(), z.array(z.discriminatedUnion('type', [textPart, imagePart])).min(1, expecting('at least one part'))],
  expecting('string or array of parts'),
);

const toolCall = z.object({
  id: z.string(),
  type: z.literal('function').nullish(),
  function: z.object({ name: z.string(), arguments: z.string() }),
});

export const chatMessage = z.discriminatedUnion('role', [
  // OpenAI renamed its system role to developer; DeepSeek's reference does not list it.
  z.object({ role: z.enum(['system', 'developer']), content }).describe('What the model is told beforehand.'),
  z.object({ role: z.literal('user'), content }),
  z.object({
    role: z.literal('assistant'),
    content: content.nullish(),
    reasoning_content: z
      .string()
      .nullish()
      .describe('What the model thought before it said this. Send it back with tool calls.'),
    tool_calls: z.array(toolCall).nullish(),
    prefix: z.boolean().nullish().describe('Only in the last message: the answer goes on where this one ends.'),
  }),
  z.object({
    role: z.literal('tool'),
    content,
    tool_call_id: z.string().describe('The `id` of the call that this is the result of.'),
  }),
]);

export const chatTool = z.object({
  type: z.literal('function'),
  function: z.object({
    name: functionName,
    description: z.string().nullish().describe('What the function does, for the model to read.'),
    parameters: jsonObject.nullish().describe('JSON Schema of the arguments.'),
    strict: z.boolean().nullish().describe('Whether the model is held to the schema. Default: false.'),
  }),
});

const toolChoice = z.union(
  [
    z.enum(['none', 'auto', 'required']),
    z.object({ type: z.literal('function'), function: z.object({ name: z.string() }) }),
  ],
  expecting('"none", "auto", "required" or {"type": "function", "function": {"name": ...}}'),
);

export const chatCompletionsBody = z.object({
  model: modelName,
  messages: z
    .array(chatMessage)
    .min(1, expecting('at least one message'))
    .describe('The conversation so far. Results of tools answer the calls right before them.'),
  thinking: z
    .object({ type: z.enum(['enabled', 'disabled']) })
    .nullish()
    .describe('Whether the model thinks before it answers. Default: as its name says, mostly enabled.'),
  reasoning_effort: z
    .enum(effortNames)
    .nullish()
    .describe('How hard it thinks: `none`, `low`, `high` (default) or `max`; the other names stand for one of these.'),
  max_tokens: integer(1, Number.MAX_SAFE_INTEGER)
    .nullish()
    .describe(
      'How many tokens the answer may have, reasoning included. It must fit into the context beside the prompt. Default: 8192 without thinking, 65536 with it, 131072 with effort `max`, or what the context has left.',
    ),
  max_completion_tokens: integer(1, Number.MAX_SAFE_INTEGER)
    .nullish()
    .describe('Another name for `max_tokens`. Only one of them may be set.'),
  response_format: z
    .discriminatedUnion('type', [
      z.object({ type: z.enum(['text', 'json_object']) }),
      z.object({
        type: z.literal('json_schema'),
        json_schema: z.object({ name: z.string().nullish(), schema: jsonObject, strict: z.boolean().nullish() }),
      }),
    ])
    .nullish()
    .describe(
      'What the answer must look like: any JSON object, or JSON by a schema. The model is held to it. Default: text.',
    ),
  structured_outputs: z
    .object({
      json: jsonObject.nullish(),
      regex: z.string().min(1, expecting('a pattern')).nullish(),
      choice: z.array(z.string()).min(1, expecting('at least one text')).nullish(),
    })
    .nullish()
    .describe(
      "vLLM's way to say the same, and two more: a pattern that the answer matches, or texts of which it is one. Exactly one of the three.",
    ),
  ...samplingFields,
  prediction: z
    .object({ type: z.literal('content'), content })
    .nullish()
    .describe('What the answer probably holds. Where it is right, the answer comes faster.'),
  tools: z.array(chatTool).nullish().describe('Functions that the model may call. Their names are unique.'),
  tool_choice: toolChoice
    .nullish()
    .describe('Whether it may, must or must not call one. Default: `auto` where there are tools.'),
  logprobs: z.boolean().nullish().describe('Whether the log-probabilities of all tokens are wanted. Default: false.'),
  top_logprobs: integer(0, 20)
    .nullish()
    .describe('How many alternatives are wanted beside each. Only together with `logprobs`.'),
  store: z.boolean().nullish().describe('Whether the completion can be fetched later. Default: false.'),
  metadata: metadataField.nullish().describe('What a stored completion can be found again by.'),
});

type Wire = z.infer<typeof chatCompletionsBody>;

function thinkingOf({ thinking, reasoning_effort }: Wire, card: ModelCard): Thinking {
  if (card.profile === 'r1') return 'high';
  if (thinking?.type === 'disabled') return 'off';
  if (thinking == null && reasoning_effort == null) return card.thinking;
  return efforts[reasoning_effort ?? 'high'];
}

// DeepSeek's own defaults. A model with a smaller context has less room, which the provider sees to.
const defaultMaxTokens = { off: 8192, low: 65536, high: 65536, max: 131072 } as const satisfies Record<
  Thinking,
  number
>;

function askedTokens(wire: Wire, thinking: Thinking, card: ModelCard): MaxTokens {
  if (wire.max_tokens != null && wire.max_completion_tokens != null) {
    throw requestError('invalid-field', {
      field: 'max_completion_tokens',
      problem: 'cannot be set together with max_tokens, its older name',
    });
  }
  const field = wire.max_tokens != null ? 'max_tokens' : 'max_completion_tokens';
  const usual = card.profile === 'r1' ? r1.defaultMaxTokens : defaultMaxTokens[thinking];
  return maxTokensOf(card, field, wire[field], usual);
}

/** Throws `RequestError` where two have one name. */
export function toolsOf(wire: Pick<Wire, 'tools'>): FunctionTool[] {
  const tools = (wire.tools ?? []).map(({ function: { name, description, parameters, strict } }) => ({
    name,
    description: description ?? undefined,
    parameters: parameters ?? undefined,
    isStrict: strict === true,
  }));
  tools.forEach(({ name }, index) => {
    const first = tools.findIndex((other) => other.name === name);
    if (first < index) {
      throw requestError('invalid-field', {
        field: `tools[${index}].function.name`,
        problem: `expected a unique name, but tools[${first}] is ${JSON.stringify(name)} too`,
      });
    }
  });
  return tools;
}

/** `response_format`, or vLLM's `structured_outputs`, which also knows patterns and choices. */
function responseFormatOf({ response_format: format, structured_outputs: structured }: Wire): ResponseFormat {
  const { json, regex, choice } = structured ?? {};
  const ways = Object.entries({ json, regex, choice }).filter(([, value]) => value != null);
  const isFormatted = format != null && format.type !== 'text';
  if (ways.length + Number(isFormatted) > 1) {
    const all = [...(isFormatted ? [`response_format ${format.type}`] : []), ...ways.map(([name]) => name)];
    throw requestError('invalid-field', {
      field: 'structured_outputs',
      problem: `expected one way to constrain the answer, got ${all.join(' and ')}`,
    });
  }
  if (structured != null && ways.length === 0) {
    throw requestError('invalid-field', { field: 'structured_outputs', problem: 'expected json, regex or choice' });
  }
  if (json != null) return { type: 'json-schema', schema: json, isStrict: false };
  if (regex != null) return { type: 'regex', pattern: regex };
  if (choice != null) return { type: 'choice', options: choice };
  switch (format?.type) {
    case 'json_object':
      return { type: 'json-object' };
    case 'json_schema': {
      const { schema, strict } = format.json_schema;
      return { type: 'json-schema', schema, isStrict: strict === true };
    }
    default:
      return { type: 'text' };
  }
}

function formatPlace({ response_format: format, structured_outputs: structured }: Wire): string {
  const way = Object.entries(structured ?? {}).find(([, value]) => value != null)?.[0];
  if (way !== undefined) return `structured_outputs.${way}`;
  return format?.type === 'json_schema' ? 'response_format.json_schema.schema' : 'response_format';
}

function toolChoiceOf(wire: Wire): ToolChoice {
  const names = (wire.tools ?? []).map((tool) => tool.function.name);
  const choice = wire.tool_choice ?? (names.length > 0 ? 'auto' : 'none');
  if (choice === 'none' || choice === 'auto') return { type: choice };
  if (names.length === 0) {
    throw requestError('invalid-field', { field: 'tool_choice', problem: 'expected tools to choose from, got none' });
  }
  if (choice === 'required') return { type: 'required' };
  const { name } = choice.function;
  if (!names.includes(name)) {
    throw requestError('invalid-field', {
      field: 'tool_choice.function.name',
      problem: `expected the name of a tool, got ${JSON.stringify(name)}`,
    });
  }
  return { type: 'function', name };
}

/** A conversation that stands at `place`. Throws `RequestError` where its turns cannot follow one another. */
export function messagesOf(wire: Wire['messages'], place: readonly PropertyKey[]): Message[] {
  const messages = wire.map((message, index) => messageOf(message, [...place, index]));
  checkConversation(messages, (index, part) => fieldName([...place, index, messageFields[part]]));
  return messages;
}

function messageOf(wire: Wire['messages'][number], path: readonly PropertyKey[]): Message {
  switch (wire.role) {
    case 'system':
    case 'developer':
      return { role: 'system', content: textOf(wire.content, path) };
    case 'user':
      return { role: 'user', content: textOf(wire.content, path) };
    case 'tool':
      return { role: 'tool', content: textOf(wire.content, path), toolCallId: wire.tool_call_id };
    case 'assistant': {
      const toolCalls = wire.tool_calls ?? [];
      if (wire.content == null && toolCalls.length === 0) {
        throw requestError('empty-assistant-message', { field: fieldName(path) });
      }
      return {
        role: 'assistant',
        content: wire.content == null ? '' : textOf(wire.content, path),
        reasoning: wire.reasoning_content ?? '',
        toolCalls: toolCalls.map((call) => ({ id: call.id, ...call.function })),
        ...(wire.prefix === true && { isPrefix: true }),
      };
    }
    default:
      return unreachable(wire);
  }
}

/** Parts are joined as the encoding joins the blocks of one turn. */
function textOf(wire: z.infer<typeof content>, path: readonly PropertyKey[]): string {
  if (typeof wire === 'string') return wire;
  const texts = wire.map((part, index) => {
    if (part.type !== 'text')
      throw requestError('image-unsupported', { field: fieldName([...path, 'content', index]) });
    return part.text;
  });
  return texts.join('\n\n');
}

function unreachable(value: never): never {
  throw new Error(`expected a known role, got ${JSON.stringify(value)}`);
}
