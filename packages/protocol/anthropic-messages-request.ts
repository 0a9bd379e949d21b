// The body of Anthropic's `POST /v1/messages`, parsed once.
//
// Owns the wire schema and how it becomes the same `ChatRequest` that every dialect of the API becomes: blocks of content to
// messages, results of tools before the words beside them. What DeepSeek ignores (cache marks, citations, containers) is
// ignored; what no model here can take (images, documents) and what nobody here keeps (threads) is refused. Reference: Anthropic's
// Messages API as DeepSeek serves it, October 2026. Beyond that `top_k`, `strict` tools and `output_config.format` have their
// effect.

import { z } from 'zod';
import type { ChatRequest, FunctionTool, Message, Thinking, ToolCall, ToolChoice } from './chat-request.ts';
import { checkConversation } from './conversation-rules.ts';
import { efforts } from './effort.ts';
import type { ModelCard } from './models.ts';
import { requestError } from './request-error.ts';
import { type Delivery, expecting, integer, jsonObject, samplingFields } from './sampling-fields.ts';
import { checkShape, fieldName } from './shape-error.ts';

export interface AnthropicMessagesRequest {
  readonly chat: ChatRequest;
  readonly delivery: Delivery;
}

/** Parses a body that has been JSON; `cardFor` finds the model for a name. Throws `RequestError` for the first mistake. */
export function parseAnthropicMessages(body: unknown, cardFor: (name: string) => ModelCard): AnthropicMessagesRequest {
  const wire = checkShape(messagesBody, body);
  if (wire.thread != null) throw requestError('threads-unsupported');
  const card = cardFor(wire.model);
  const chat = chatOf(wire, card);
  return {
    delivery: wire.stream === true ? { type: 'stream', includeUsage: false } : { type: 'whole' },
    // Clients must name a number, and name one that is good for models of any context: it gives way.
    chat: { ...chat, maxTokens: { type: 'default', tokens: Math.min(wire.max_tokens, card.maxOutputTokens) } },
  };
}

/** The body of `POST /v1/messages/count_tokens`: the same, without what only matters for an answer. */
export function parseAnthropicCountTokens(body: unknown, cardFor: (name: string) => ModelCard): ChatRequest {
  const wire = checkShape(countTokensBody, body);
  return chatOf(wire, cardFor(wire.model));
}

const textBlock = z.object({ type: z.literal('text'), text: z.string() });
const resultContent = z.union([
  z.string(),
  z.array(z.object({ type: z.string(), text: z.string().optional(), tool_name: z.string().optional() })),
]);
export const anthropicBlock = z.discriminatedUnion('type', [
  textBlock,
  z.object({ type: z.literal('thinking'), thinking: z.string() }),
  z.object({ type: z.literal('redacted_thinking') }),
  z.object({ type: z.literal('tool_use'), id: z.string(), name: z.string(), input: jsonObject }),
  z.object({ type: z.literal('tool_result'), tool_use_id: z.string(), content: resultContent.nullish() }),
  z.object({ type: z.enum(['image', 'document', 'search_result', 'container_upload']) }),
  z.object({ type: z.enum(['server_tool_use', 'web_search_tool_result', 'code_execution_tool_result']) }),
]);
type Block = z.infer<typeof anthropicBlock>;

const messageSchema = z.object({
  role: z.enum(['user', 'assistant', 'system']),
  content: z.union([z.string(), z.array(anthropicBlock)], expecting('string or array of blocks')),
});

const promptFields = {
  model: z
    .string()
    .describe("The name of a model. One of Anthropic's, or any other that is not there, stands for a model that is."),
  messages: z.array(messageSchema).min(1, expecting('at least one message')).describe('The conversation so far.'),
  system: z
    .union([z.string(), z.array(textBlock)], expecting('string or array of text blocks'))
    .nullish()
    .describe('What the model is told beforehand.'),
  thinking: z
    .object({ type: z.enum(['enabled', 'disabled', 'adaptive']) })
    .nullish()
    .describe('Whether the model thinks before it answers. A budget has no effect; `output_config.effort` has.'),
  output_config: z
    .object({
      effort: z
        .enum(['low', 'medium', 'high', 'xhigh', 'max'])
        .nullish()
        .describe('How hard it thinks. Default: high.'),
      format: z
        .object({ type: z.literal('json_schema'), schema: jsonObject })
        .nullish()
        .describe('A JSON Schema that the answer is held to.'),
    })
    .nullish(),
  tools: z
    .array(
      z.object({
        // Anthropic's own tools have types with dates; nobody here runs them.
        type: z.string().nullish(),
        name: z.string(),
        description: z.string().nullish(),
        input_schema: jsonObject.nullish(),
        strict: z.boolean().nullish(),
        defer_loading: z.boolean().nullish(),
      }),
    )
    .nullish()
    .describe("Functions that the model may call. Anthropic's own tools, which have other types, are left out."),
  tool_choice: z
    .discriminatedUnion('type', [
      z.object({ type: z.enum(['auto', 'any', 'none']) }),
      z.object({ type: z.literal('tool'), name: z.string() }),
    ])
    .nullish()
    .describe('Whether it may, must or must not call one. Default: `auto`.'),
};

export const countTokensBody = z.object(promptFields);
export const messagesBody = z.object({
  ...promptFields,
  max_tokens: integer(1, Number.MAX_SAFE_INTEGER).describe(
    'How many tokens the answer may have, reasoning included. It must fit into the context beside the prompt.',
  ),
  stop_sequences: z
    .array(z.string().min(1, expecting('a text that is not empty')))
    .max(16, expecting('at most 16 texts'))
    .nullish()
    .describe('Texts that end the answer; they are no part of it.'),
  stream: samplingFields.stream,
  temperature: samplingFields.temperature,
  top_p: samplingFields.top_p,
  top_k: samplingFields.top_k,
  metadata: z
    .object({ user_id: z.string().nullish() })
    .nullish()
    .describe('For whom the request is: caches are kept apart by it.'),
  thread: jsonObject.nullish().describe('Whether the server is to remember the conversation; refused, as it does not.'),
});
type Wire = z.infer<typeof countTokensBody> & Partial<z.infer<typeof messagesBody>>;

function chatOf(wire: Wire, card: ModelCard): ChatRequest {
  const thinking = thinkingOf(wire, card);
  const system = wire.system == null ? [] : [{ role: 'system' as const, content: systemText(wire.system) }];
  const head = wire.messages.findIndex(({ role }) => role !== 'system');
  const placed = wire.messages.flatMap((one, index) => messagesOf(one, index, index < head));
  const messages = prefixed([...system, ...placed.map(({ message }) => message)]);
  checkConversation(messages, (index, part) => {
    const place = placed[index - system.length]?.place ?? 'system';
    return part === 'call id' ? `${place}.tool_use_id` : `${place}.${part === 'role' ? 'role' : 'content'}`;
  });
  const offered = ownTools(wire);
  const tools = offered.map(({ tool }) => tool);
  const schema = wire.output_config?.format?.schema;
  return {
    model: card.id,
    messages,
    thinking,
    maxTokens: { type: 'default', tokens: card.maxOutputTokens },
    maxReasoning: undefined,
    temperature: wire.temperature ?? card.sampling.temperature,
    topP: wire.top_p ?? card.sampling.topP,
    topK: Math.max(0, wire.top_k ?? 0),
    ...{ minP: 0, frequencyPenalty: 0, presencePenalty: 0, logitBias: [], seed: undefined },
    stop: wire.stop_sequences ?? [],
    responseFormat: schema === undefined ? { type: 'text' } : { type: 'json-schema', schema, isStrict: false },
    tools,
    toolChoice: toolChoiceOf(wire, tools),
    topLogprobs: undefined,
    ...{ speculation: { method: 'default' }, prediction: '', priority: 'interactive' },
    userId: wire.metadata?.user_id ?? '',
    contextWindow: card.contextWindow,
    places: {
      ...{ messages: 'messages', schema: 'input_schema', format: 'output_config.format.schema' },
      tools: offered.map(({ place }) => place),
    },
  };
}

/** Words of the assistant's that come last are what the answer begins with. */
function prefixed(messages: readonly Message[]): Message[] {
  const last = messages.at(-1);
  if (last?.role !== 'assistant' || last.toolCalls.length > 0) return [...messages];
  return [...messages.slice(0, -1), { ...last, isPrefix: true }];
}

/** A budget in tokens says nothing here: effort does. */
function thinkingOf({ thinking, output_config }: Wire, card: ModelCard): Thinking {
  if (thinking?.type === 'disabled') return 'off';
  if (thinking == null && card.thinking === 'off') return 'off';
  return efforts[output_config?.effort ?? 'high'];
}

function systemText(system: NonNullable<Wire['system']>): string {
  return typeof system === 'string' ? system : system.map(({ text }) => text).join('\n\n');
}

interface PlacedMessage {
  readonly message: Message;
  /** Where it stood. */
  readonly place: string;
}

/** What the system says in the midst of a conversation comes from the user's side: models know it at the head only. */
function messagesOf(wire: Wire['messages'][number], index: number, isHead: boolean): PlacedMessage[] {
  const { content } = wire;
  const role = wire.role === 'system' && !isHead ? 'user' : wire.role;
  const place = fieldName(['messages', index]);
  if (typeof content === 'string') {
    const message = role === 'assistant' ? { role, content, reasoning: '', toolCalls: [] } : { role, content };
    return [{ place, message }];
  }
  const unreadable = content.findIndex(
    ({ type }) => type === 'image' || type === 'document' || type === 'search_result',
  );
  if (unreadable >= 0) {
    throw requestError('image-unsupported', { field: fieldName(['messages', index, 'content', unreadable]) });
  }
  const text = content.flatMap((one) => (one.type === 'text' ? [one.text] : [])).join('\n\n');
  if (role === 'assistant') {
    const reasoning = content.flatMap((one) => (one.type === 'thinking' ? [one.thinking] : [])).join('\n\n');
    return [{ place, message: { role, content: text, reasoning, toolCalls: content.flatMap(callOf) } }];
  }
  const results = content.flatMap((one, part): PlacedMessage[] => {
    if (one.type !== 'tool_result') return [];
    const message = { role: 'tool', toolCallId: one.tool_use_id, content: resultText(one.content) } as const;
    return [{ place: fieldName(['messages', index, 'content', part]), message }];
  });
  // Beside results there may be words, or none.
  return results.length > 0 && text === '' ? results : [...results, { place, message: { role, content: text } }];
}

function callOf(one: Block): ToolCall[] {
  return one.type === 'tool_use' ? [{ id: one.id, name: one.name, arguments: JSON.stringify(one.input) }] : [];
}

function resultText(content: z.infer<typeof resultContent> | null | undefined): string {
  if (content == null) return '';
  if (typeof content === 'string') return content;
  return content.map(({ text = '', tool_name = '' }) => text || tool_name).join('\n\n');
}

/** Those that a caller runs, each with where it stood. One whose loading is deferred is shown once a result has named it. */
function ownTools({ tools, messages }: Wire): { readonly tool: FunctionTool; readonly place: string }[] {
  const found = new Set(
    messages.flatMap(({ content }) => (typeof content === 'string' ? [] : content.flatMap(toolsIn))),
  );
  return (tools ?? []).flatMap(({ type, name, description, input_schema, strict, defer_loading }, index) => {
    if ((type != null && type !== 'custom') || (defer_loading === true && !found.has(name))) return [];
    const parameters = input_schema ?? undefined;
    const tool = { name, description: description ?? undefined, parameters, isStrict: strict === true };
    return [{ tool, place: fieldName(['tools', index]) }];
  });
}

function toolsIn(one: Block): string[] {
  if (one.type !== 'tool_result' || one.content == null || typeof one.content === 'string') return [];
  return one.content.flatMap(({ type, tool_name }) => (type === 'tool_reference' && tool_name ? [tool_name] : []));
}

function toolChoiceOf({ tool_choice: choice }: Wire, tools: readonly FunctionTool[]): ToolChoice {
  if (tools.length === 0 || choice?.type === 'none') return { type: 'none' };
  switch (choice?.type) {
    case 'any':
      return { type: 'required' };
    case 'tool':
      if (!tools.some(({ name }) => name === choice.name)) {
        const problem = `expected the name of a tool, got ${JSON.stringify(choice.name)}`;
        throw requestError('invalid-field', { field: 'tool_choice.name', problem });
      }
      return { type: 'function', name: choice.name };
    default:
      return { type: 'auto' };
  }
}
