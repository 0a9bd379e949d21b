// The body of `POST /responses`, parsed once.
//
// Owns the wire schema and how it becomes the same `ChatRequest` that every dialect of the API becomes: items to messages, where
// everything that the assistant did between two turns of somebody else is one message. Items and tools that nobody here can
// serve are ignored, as DeepSeek ignores them, and of custom tools there is only `apply_patch`. Reference: OpenAI's Responses API as DeepSeek serves it, October 2026, with what
// DeepSeek leaves out: earlier responses, background, storage.

import { z } from 'zod';
import type {
  ChatRequest,
  FunctionTool,
  Message,
  ResponseFormat,
  Thinking,
  ToolCall,
  ToolChoice,
} from './chat-request.ts';
import { checkConversation } from './conversation-rules.ts';
import { customToolArguments, customToolParameters } from './custom-tool-input.ts';
import { effortNames, efforts } from './effort.ts';
import { metadataField } from './metadata.ts';
import { cardNamed, type ModelCard } from './models.ts';
import { requestError } from './request-error.ts';
import { expecting, integer, jsonObject, maxTokensOf, modelName, samplingFields } from './sampling-fields.ts';
import { checkShape, fieldName } from './shape-error.ts';

export interface ResponsesRequest {
  readonly chat: ChatRequest;
  readonly isStream: boolean;
  /** Whether it goes on when the caller is gone, to be fetched later. */
  readonly isBackground: boolean;
  /**
   * Whether it can be fetched, and gone on from, later: while the server runs, as OpenAI's clients expect where they say
   * nothing, or after that too, where a caller asks for it.
   */
  readonly storage: 'none' | 'memory' | 'disk';
  /** `chat.messages` without instructions. */
  readonly conversation: readonly Message[];
  /** The items as they came, to be listed later. */
  readonly input: readonly unknown[];
  /** Tools that take text instead of JSON, by name. */
  readonly customTools: ReadonlySet<string>;
  readonly echo: RequestEcho;
}

/** What a response says of the request that it answers. */
export interface RequestEcho {
  readonly instructions: string | null;
  readonly max_output_tokens: number | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly previous_response_id: string | null;
  readonly reasoning: { readonly effort: string | null; readonly summary: null };
  readonly text: { readonly format: object };
  readonly tools: readonly object[];
  readonly tool_choice: unknown;
  readonly temperature: number;
  readonly top_p: number;
  readonly top_logprobs: number;
  readonly user?: string;
}

/** `before`: the conversation up to the response that this one goes on from. Throws `RequestError` for the first mistake. */
export function parseResponsesRequest(
  body: unknown,
  cards: readonly ModelCard[],
  before: readonly Message[],
): ResponsesRequest {
  const wire = checkShape(responsesBody, body);
  const card = cardNamed(cards, wire.model);
  if (wire.input == null && wire.instructions == null) {
    throw requestError('invalid-field', { field: 'input', problem: 'expected input or instructions, got neither' });
  }
  const isBackground = wire.background === true;
  const storage = wire.store === false ? 'none' : wire.store === true || isBackground ? 'disk' : 'memory';
  if (isBackground && storage === 'none') {
    throw requestError('invalid-field', { field: 'background', problem: 'cannot be fetched later with store: false' });
  }
  const input = typeof wire.input === 'string' ? [{ role: 'user' as const, content: wire.input }] : (wire.input ?? []);
  const placed = messagesOf(input);
  const ownMessages = placed.map(({ message }) => message);
  const system = wire.instructions == null ? [] : [{ role: 'system' as const, content: wire.instructions }];
  const asked = [...system, ...before, ...ownMessages];
  // Instructions alone are a question too.
  const messages = ownMessages.length === 0 ? [...asked, { role: 'user' as const, content: '' }] : asked;
  checkConversation(messages, (index, part) => {
    const item = placed[index - system.length - before.length]?.item;
    if (item === undefined || typeof wire.input === 'string') return 'input';
    const own = part === 'calls' || part === 'call id' ? 'call_id' : 'role';
    return fieldName(['input', item, own in (input[item] ?? {}) ? own : 'type']);
  });
  const thinking = thinkingOf(wire, card);
  checkCustomTools(wire);
  const offered = ownTools(wire);
  const tools = offered.map(({ tool }) => tool);
  const customTools = new Set((wire.tools ?? []).flatMap(({ type, name = '' }) => (type === 'custom' ? [name] : [])));
  const wantsLogprobs = wire.top_logprobs != null || (wire.include ?? []).includes('message.output_text.logprobs');
  const chat: ChatRequest = {
    model: card.id,
    messages,
    thinking,
    maxTokens: maxTokensOf(card, 'max_output_tokens', wire.max_output_tokens, card.maxOutputTokens),
    maxReasoning: undefined,
    temperature: wire.temperature ?? card.sampling.temperature,
    topP: wire.top_p ?? card.sampling.topP,
    ...{ topK: 0, minP: 0, frequencyPenalty: 0, presencePenalty: 0, logitBias: [], seed: undefined, stop: [] },
    responseFormat: formatOf(wire),
    tools,
    toolChoice: toolChoiceOf(wire, tools),
    topLogprobs: wantsLogprobs ? (wire.top_logprobs ?? 0) : undefined,
    ...{ speculation: { method: 'default' }, prediction: '' },
    priority: wire.service_tier === 'flex' ? 'batch' : 'interactive',
    userId: wire.user ?? wire.safety_identifier ?? '',
    contextWindow: card.contextWindow,
    places: {
      ...{ messages: 'input', schema: 'parameters', tools: offered.map(({ place }) => place) },
      format: wire.text?.format?.type === 'json_schema' ? 'text.format.schema' : 'text.format',
    },
  };
  return {
    ...{ chat, isBackground, storage, conversation: [...before, ...ownMessages], input, customTools },
    isStream: wire.stream === true,
    echo: {
      instructions: wire.instructions ?? null,
      max_output_tokens: wire.max_output_tokens ?? null,
      metadata: wire.metadata ?? {},
      previous_response_id: wire.previous_response_id ?? null,
      reasoning: { effort: wire.reasoning?.effort ?? (thinking === 'off' ? 'none' : thinking), summary: null },
      text: { format: wire.text?.format ?? { type: 'text' } },
      tools: tools.map((tool) => (customTools.has(tool.name) ? wireCustomTool(tool) : wireTool(tool))),
      tool_choice: wire.tool_choice ?? 'auto',
      ...{ temperature: chat.temperature, top_p: chat.topP, top_logprobs: chat.topLogprobs ?? 0 },
      ...(wire.user != null && { user: wire.user }),
    },
  };
}

/** An item as it is listed later: words as parts, with an id. `id`: of one that has none. */
export function wireInputItem(item: unknown, id: string): { readonly id: string } {
  const given = item as { readonly role?: string; readonly content?: unknown; readonly type?: string };
  if (given.role === undefined) return { id, status: 'completed', ...given } as { readonly id: string };
  const { role, content } = given;
  const part = role === 'assistant' ? { type: 'output_text', annotations: [], logprobs: [] } : { type: 'input_text' };
  const parts = typeof content === 'string' ? [{ ...part, text: content }] : content;
  return { id, type: 'message', status: 'completed', ...given, content: parts } as { readonly id: string };
}

const textPart = z.object({
  type: z.enum(['input_text', 'output_text', 'text', 'refusal']),
  text: z.string().optional(),
});
const imagePart = z.object({ type: z.enum(['input_image', 'input_file', 'input_audio']) });
const content = z.union(
  [z.string(), z.array(z.discriminatedUnion('type', [textPart, imagePart]))],
  expecting('string or array of parts'),
);

const messageItem = z.object({
  type: z.literal('message').optional(),
  role: z.enum(['user', 'assistant', 'system', 'developer']),
  content,
});
const callItem = z.object({
  type: z.literal('function_call'),
  call_id: z.string(),
  name: z.string(),
  arguments: z.string(),
});
const customCallItem = z.object({
  type: z.literal('custom_tool_call'),
  call_id: z.string(),
  name: z.string(),
  input: z.string(),
});
const outputItem = z.object({
  type: z.enum(['function_call_output', 'custom_tool_call_output']),
  call_id: z.string(),
  output: content,
});
const reasoningItem = z.object({
  type: z.literal('reasoning'),
  content: z.array(z.object({ text: z.string().optional() })).nullish(),
});
/** Calls of tools that ran elsewhere, and the like. */
const otherItem = z.object({ type: z.string() });
export const responseItem = z.union(
  [callItem, customCallItem, outputItem, reasoningItem, messageItem, otherItem],
  expecting('an item'),
);
type Item = z.infer<typeof responseItem>;

export const responsesBody = z.object({
  model: modelName,
  input: z
    .union([z.string(), z.array(responseItem)], expecting('string or array of items'))
    .nullish()
    .describe('What is asked: a text, or messages, calls and their results. Items of other types are left out.'),
  instructions: z
    .string()
    .nullish()
    .describe('What the model is told beforehand. Not kept for responses that go on from this one.'),
  max_output_tokens: integer(1, Number.MAX_SAFE_INTEGER)
    .nullish()
    .describe(
      'How many tokens the answer may have, reasoning included. It must fit into the context beside the prompt. Default: what the context has left.',
    ),
  temperature: samplingFields.temperature,
  top_p: samplingFields.top_p,
  top_logprobs: integer(0, 20)
    .nullish()
    .describe(
      'How many alternatives are wanted beside the log-probability of each token. Default: no log-probabilities.',
    ),
  include: z
    .array(z.string())
    .nullish()
    .describe('`message.output_text.logprobs`: log-probabilities are wanted. Anything else has no effect.'),
  stream: samplingFields.stream,
  store: z
    .boolean()
    .nullish()
    .describe(
      'Whether the response can be fetched, and gone on from, later. `true`: also after the server has been started again. Default: while it runs.',
    ),
  background: z
    .boolean()
    .nullish()
    .describe('Whether it is made without the caller waiting for it. Not with `store: false`. Default: false.'),
  previous_response_id: z.string().nullish().describe('The response to go on from. It must be over.'),
  metadata: metadataField.nullish().describe('Given back with the response.'),
  reasoning: z
    .object({ effort: z.enum(effortNames).nullish() })
    .nullish()
    .describe('How hard the model thinks. Default: as its name says, mostly `high`.'),
  text: z
    .object({
      format: z
        .discriminatedUnion('type', [
          z.object({ type: z.enum(['text', 'json_object']) }),
          z.object({
            type: z.literal('json_schema'),
            name: z.string(),
            schema: jsonObject,
            strict: z.boolean().nullish(),
          }),
        ])
        .nullish(),
    })
    .nullish()
    .describe('What the answer must look like. The model is held to it. Default: text.'),
  tools: z
    .array(
      z.object({
        type: z.string(),
        name: z.string().optional(),
        description: z.string().nullish(),
        parameters: jsonObject.nullish(),
        strict: z.boolean().nullish(),
        /** Of a custom tool. */
        format: z.object({ type: z.string(), definition: z.string().optional() }).nullish(),
      }),
    )
    .nullish()
    .describe('Functions that the model may call. Tools of other types are left out.'),
  tool_choice: z
    .union([z.enum(['none', 'auto', 'required']), z.object({ type: z.enum(['function', 'custom']), name: z.string() })])
    .nullish()
    .describe('Whether it may, must or must not call one. Default: `auto`.'),
  service_tier: samplingFields.service_tier,
  user: z.string().nullish().describe('For whom the request is: caches are kept apart by it.'),
  safety_identifier: z.string().nullish().describe('Stands for `user` where that is absent.'),
});
type Wire = z.infer<typeof responsesBody>;

function thinkingOf({ reasoning }: Wire, card: ModelCard): Thinking {
  return reasoning?.effort == null ? card.thinking : efforts[reasoning.effort];
}

function formatOf({ text }: Wire): ResponseFormat {
  const format = text?.format;
  switch (format?.type) {
    case 'json_object':
      return { type: 'json-object' };
    case 'json_schema':
      return { type: 'json-schema', schema: format.schema, isStrict: format.strict === true };
    default:
      return { type: 'text' };
  }
}

function checkCustomTools({ tools }: Wire): void {
  const other = (tools ?? []).findIndex(({ type, name }) => type === 'custom' && name !== 'apply_patch');
  if (other < 0) return;
  const problem = `expected apply_patch, the only custom tool, got ${JSON.stringify(tools?.[other]?.name)}`;
  throw requestError('invalid-field', { field: `tools[${other}].name`, problem });
}

/** Those that a caller runs, each with where it stood. */
function ownTools({ tools }: Wire): { readonly tool: FunctionTool; readonly place: string }[] {
  return (tools ?? []).flatMap(({ type, name, description, parameters, strict, format }, index) => {
    if ((type !== 'function' && type !== 'custom') || name === undefined) return [];
    const tool = {
      ...{ name, description: description ?? undefined, isStrict: strict === true },
      parameters: type === 'custom' ? customToolParameters(format?.definition) : (parameters ?? undefined),
    };
    return [{ tool, place: fieldName(['tools', index]) }];
  });
}

function wireTool({ name, description, parameters, isStrict }: FunctionTool): object {
  return {
    ...{ type: 'function', name, description: description ?? null, parameters: parameters ?? null, strict: isStrict },
  };
}

/** Without its grammar, which can be long and which the caller has. */
function wireCustomTool({ name, description }: FunctionTool): object {
  return { type: 'custom', name, ...(description !== undefined && { description }) };
}

function toolChoiceOf({ tool_choice: choice }: Wire, tools: readonly FunctionTool[]): ToolChoice {
  if (tools.length === 0 || choice === 'none') return { type: 'none' };
  if (choice == null || choice === 'auto') return { type: 'auto' };
  if (choice === 'required') return { type: 'required' };
  if (!tools.some(({ name }) => name === choice.name)) {
    const problem = `expected the name of a tool, got ${JSON.stringify(choice.name)}`;
    throw requestError('invalid-field', { field: 'tool_choice.name', problem });
  }
  return { type: 'function', name: choice.name };
}

interface PlacedMessage {
  readonly message: Message;
  /** The number of its item, or of its last. */
  readonly item: number;
}

/** One message for each turn: reasoning, words and calls of the assistant's that follow one another belong together. */
function messagesOf(items: readonly Item[]): PlacedMessage[] {
  const messages: PlacedMessage[] = [];
  let turn: { content: string[]; reasoning: string[]; toolCalls: ToolCall[] } | undefined;
  /** `end`: the item after its last. */
  const endTurn = (end: number) => {
    if (turn && (turn.content.length > 0 || turn.toolCalls.length > 0)) {
      const { toolCalls } = turn;
      const [content, reasoning] = [turn.content.join(''), turn.reasoning.join('')];
      messages.push({ item: end - 1, message: { role: 'assistant', content, reasoning, toolCalls } });
    }
    turn = undefined;
  };
  const own = () => {
    turn ??= { content: [], reasoning: [], toolCalls: [] };
    return turn;
  };
  for (const [index, one] of items.entries()) {
    if ('role' in one) {
      const text = textOf(one.content, index, 'content');
      if (one.role === 'assistant') {
        own().content.push(text);
        continue;
      }
      endTurn(index);
      messages.push({ item: index, message: { role: one.role === 'system' ? 'system' : 'user', content: text } });
    } else if ('arguments' in one) {
      own().toolCalls.push({ id: one.call_id, name: one.name, arguments: one.arguments });
    } else if ('input' in one) {
      own().toolCalls.push({ id: one.call_id, name: one.name, arguments: customToolArguments(one.input) });
    } else if ('output' in one) {
      endTurn(index);
      const message = { role: 'tool', toolCallId: one.call_id, content: textOf(one.output, index, 'output') } as const;
      messages.push({ item: index, message });
    } else if (one.type === 'reasoning' && 'content' in one) {
      own().reasoning.push((one.content ?? []).map(({ text = '' }) => text).join('\n\n'));
    }
  }
  endTurn(items.length);
  return messages;
}

function textOf(wire: z.infer<typeof content>, index: number, name: string): string {
  if (typeof wire === 'string') return wire;
  const unreadable = wire.findIndex(({ type }) => type.startsWith('input_') && type !== 'input_text');
  if (unreadable >= 0) {
    throw requestError('image-unsupported', { field: fieldName(['input', index, name, unreadable]) });
  }
  return wire.map((part) => ('text' in part ? (part.text ?? '') : '')).join('\n\n');
}
