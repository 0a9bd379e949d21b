// From a request in our words to the body that an upstream reads.
//
// Owns what of a request each flavour is told and how. What it cannot honour, and the caller would miss, is refused with the
// field's name; hints that only change when an answer comes (guessing ahead, a predicted output, priority) are left out. Knows
// no connection.

import { fimBegin, fimEnd, fimHole } from '@hadal/formats/special-tokens';
import type {
  ChatRequest,
  MaxTokens,
  Message,
  ResponseFormat,
  SamplingRequest,
  ToolChoice,
} from '@hadal/protocol/chat-request';
import type { CompletionRequest } from '@hadal/protocol/completions-request';
import { isPrefixed } from '@hadal/protocol/conversation-rules';
import { requestError } from '@hadal/protocol/request-error';
import { type Flavour, type FlavourTraits, flavourTraits } from './upstream-flavour.ts';

export interface UpstreamModel {
  /** What the upstream calls it. */
  readonly name: string;
  readonly flavour: Flavour;
  /** How a gap is filled: by the field of `/completions`, or by DeepSeek's tokens in the prompt; undefined: as the flavour does. */
  readonly fillMiddle: 'suffix' | 'tokens' | 'none' | undefined;
  /** undefined: nobody knows. */
  readonly contextWindow: number | undefined;
}

/** The body of `POST /chat/completions`. Throws `RequestError` for what the flavour cannot do. */
export function chatBody(request: ChatRequest, { name, flavour, contextWindow }: UpstreamModel): object {
  const traits = flavourTraits[flavour];
  const { messages, tools, toolChoice, topLogprobs, maxReasoning, maxTokens } = request;
  const isPrefix = isPrefixed(messages);
  if (isPrefix && traits.prefix === 'none') throw unsupported(request.places.messages, 'the beginning of an answer');
  if (topLogprobs !== undefined && !traits.takesLogprobs) throw unsupported('logprobs', 'log-probabilities');
  if (!traits.forcesCalls && (toolChoice.type === 'required' || toolChoice.type === 'function')) {
    throw unsupported('tool_choice', 'a demand for calls of tools');
  }
  // Tools that must not be called are not shown where that cannot be said.
  const isOffered = tools.length > 0 && (traits.forcesCalls || toolChoice.type !== 'none');
  // By R1's rules reasoning has tokens of its own; an upstream has one limit for both.
  const most = { ...maxTokens, tokens: maxTokens.tokens + (maxReasoning ?? 0) };
  return {
    model: name,
    messages: messages.map((message) => wireMessage(message, traits)),
    ...streamed(traits),
    ...sampling(request, traits, flavour),
    ...limit(
      most,
      contextWindow,
      messages.reduce((bytes, message) => bytes + sizeOf(message), 0),
    ),
    ...thinking(request, traits),
    ...format(request.responseFormat, request.places.format, traits),
    ...(isOffered && {
      tools: tools.map(({ name, description, parameters, isStrict }) => ({
        type: 'function',
        function: {
          name,
          ...(description !== undefined && { description }),
          ...(parameters !== undefined && { parameters }),
          ...(isStrict && { strict: true }),
        },
      })),
    }),
    ...(isOffered && traits.forcesCalls && { tool_choice: wireChoice(toolChoice) }),
    ...(topLogprobs !== undefined && { logprobs: true, top_logprobs: topLogprobs }),
    ...(isPrefix && traits.prefix === 'continue' && { continue_final_message: true, add_generation_prompt: false }),
    ...(flavour === 'hadal' && request.prediction !== '' && predicted(request.prediction)),
  };
}

/** The body of `POST /completions`. Throws `RequestError` for what the flavour cannot do. */
export function completionBody(request: CompletionRequest, model: UpstreamModel): object {
  const traits = flavourTraits[model.flavour];
  const { echo, topLogprobs, prompt, maxTokens } = request;
  if (topLogprobs !== undefined && !traits.takesLogprobs) throw unsupported('logprobs', 'log-probabilities');
  if (echo && !traits.echoes) throw unsupported('echo', 'the wish for the prompt');
  const bytes = typeof prompt === 'string' ? Buffer.byteLength(prompt) : prompt.length;
  return {
    model: model.name,
    ...gap(request, model),
    ...streamed(traits),
    ...sampling(request, traits, model.flavour),
    ...limit(maxTokens, model.contextWindow, bytes + Buffer.byteLength(request.suffix ?? '')),
    ...(echo && { echo }),
    ...(topLogprobs !== undefined && { logprobs: topLogprobs }),
  };
}

/** What a conversation is to `/tokenize`, or to a template. */
export function conversationBody(request: ChatRequest, { name, flavour }: UpstreamModel): object {
  const traits = flavourTraits[flavour];
  return {
    model: name,
    messages: request.messages.map((message) => wireMessage(message, traits)),
    ...thinking(request, traits),
    ...(request.tools.length > 0 && {
      tools: request.tools.map(({ name, description, parameters }) => ({
        type: 'function',
        function: {
          name,
          description: description ?? '',
          parameters: parameters ?? { type: 'object', properties: {} },
        },
      })),
    }),
  };
}

function wireChoice(choice: ToolChoice): object | string {
  return choice.type === 'function' ? { type: 'function', function: { name: choice.name } } : choice.type;
}

function gap({ prompt, suffix }: CompletionRequest, { flavour, fillMiddle }: UpstreamModel): object {
  if (suffix === undefined) return { prompt };
  const way = fillMiddle ?? (flavourTraits[flavour].fillsMiddle ? 'suffix' : 'none');
  if (way === 'suffix') return { prompt, suffix };
  if (way === 'none' || typeof prompt !== 'string') throw unsupported('suffix', 'a gap to fill');
  return { prompt: `${fimBegin}${prompt}${fimHole}${suffix}${fimEnd}` };
}

/** Always a stream, even for a caller who wants it whole: only so is a silent server told from one that is at work. */
function streamed({ usageOnChunks }: FlavourTraits): object {
  return {
    stream: true,
    stream_options: { include_usage: true, ...(usageOnChunks && { continuous_usage_stats: true }) },
  };
}

function sampling(request: SamplingRequest, traits: FlavourTraits, flavour: Flavour): object {
  const { temperature, topP, topK, minP, frequencyPenalty, presencePenalty, logitBias, seed, stop, userId } = request;
  if (topK > 0 && !traits.samplesFully) throw unsupported('top_k', 'a limit to the tokens that are drawn from');
  if (minP > 0 && !traits.samplesFully) throw unsupported('min_p', 'a limit to the tokens that are drawn from');
  if (logitBias.length > 0 && !traits.takesLogitBias) throw unsupported('logit_bias', 'biases of tokens');
  return {
    ...{ temperature, top_p: topP },
    ...(topK > 0 && { top_k: topK }),
    ...(minP > 0 && { min_p: minP }),
    ...(frequencyPenalty !== 0 && { frequency_penalty: frequencyPenalty }),
    ...(presencePenalty !== 0 && { presence_penalty: presencePenalty }),
    ...(logitBias.length > 0 && { logit_bias: Object.fromEntries(logitBias) }),
    ...(seed !== undefined && { seed }),
    ...(stop.length > 0 && { stop }),
    ...(userId !== '' && traits.namespace !== 'none' && { [traits.namespace]: userId }),
    ...(flavour === 'hadal' && hints(request)),
  };
}

/** What only another Hadal makes something of. */
function hints({ priority, speculation }: SamplingRequest): object {
  const isNamed = speculation.method !== 'default';
  return {
    ...(priority === 'batch' && { service_tier: 'flex' }),
    ...(isNamed && {
      speculative: {
        method: speculation.method,
        ...('draftTokens' in speculation &&
          speculation.draftTokens !== 'adaptive' && { num_draft_tokens: speculation.draftTokens }),
      },
    }),
  };
}

function predicted(content: string): object {
  return { prediction: { type: 'content', content } };
}

/**
 * A limit that was asked for is told. The usual one gives way to the context, which only the upstream can count: it is told where
 * it fits even if every byte were a token, and otherwise the context is the limit.
 */
function limit({ type, tokens }: MaxTokens, contextWindow: number | undefined, promptBytes: number): object {
  return type === 'asked' || (contextWindow !== undefined && tokens + promptBytes <= contextWindow)
    ? { max_tokens: tokens }
    : {};
}

function sizeOf(message: Message): number {
  const calls = message.role === 'assistant' ? message.reasoning + JSON.stringify(message.toolCalls) : '';
  // Roles and marks of turns are tokens, too.
  return Buffer.byteLength(message.content) + Buffer.byteLength(calls) + 16;
}

function thinking({ thinking: effort }: ChatRequest, traits: FlavourTraits): object {
  const isOn = effort !== 'off';
  switch (traits.thinking) {
    case 'fields':
      return { thinking: { type: isOn ? 'enabled' : 'disabled' }, ...(isOn && { reasoning_effort: effort }) };
    case 'template':
    case 'effort':
      // DeepSeek's templates read the first, Qwen's the second; a template ignores what it does not read.
      return {
        chat_template_kwargs: {
          ...{ thinking: isOn, enable_thinking: isOn },
          ...(isOn && effort !== 'high' && { reasoning_effort: effort }),
        },
        // Not the usual one: older versions do not know all of them.
        ...(traits.thinking === 'effort' && isOn && effort !== 'high' && { reasoning_effort: effort }),
      };
    case 'none':
      return {};
    default:
      return unreachable(traits.thinking);
  }
}

function format(wanted: ResponseFormat, place: string, traits: FlavourTraits): object {
  switch (wanted.type) {
    case 'text':
      return {};
    case 'json-object':
      if (traits.formats === 'none') throw unsupported(place, 'a form for the answer');
      return { response_format: { type: 'json_object' } };
    case 'json-schema': {
      if (traits.formats !== 'schema') throw unsupported(place, 'a schema for the answer');
      const { schema, isStrict: strict } = wanted;
      return { response_format: { type: 'json_schema', json_schema: { name: 'answer', schema, strict } } };
    }
    case 'regex':
      if (traits.patterns === 'structured_outputs') return { structured_outputs: { regex: wanted.pattern } };
      if (traits.patterns === 'regex') return { regex: wanted.pattern };
      throw unsupported(place, 'a pattern for the answer');
    case 'choice': {
      const { options } = wanted;
      if (traits.patterns === 'structured_outputs') return { structured_outputs: { choice: options } };
      if (traits.patterns === 'regex') return { regex: `(${options.map(literally).join('|')})` };
      if (traits.patterns === 'grammar') {
        return { grammar: `root ::= ${options.map((text) => JSON.stringify(text)).join(' | ')}` };
      }
      throw unsupported(place, 'a choice of answers');
    }
    default:
      return unreachable(wanted);
  }
}

/** Only what every regular expression reads as an escape. */
function literally(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}

function wireMessage(message: Message, { takesReasoning, prefix }: FlavourTraits): object {
  switch (message.role) {
    case 'system':
    case 'user':
      return { role: message.role, content: message.content };
    case 'tool':
      return { role: 'tool', content: message.content, tool_call_id: message.toolCallId };
    case 'assistant': {
      const { content, reasoning, toolCalls, isPrefix } = message;
      return {
        role: 'assistant',
        content: content === '' && toolCalls.length > 0 ? null : content,
        ...(takesReasoning && reasoning !== '' && { reasoning_content: reasoning }),
        ...(toolCalls.length > 0 && {
          tool_calls: toolCalls.map(({ id, name, arguments: args }) => ({
            ...{ id, type: 'function' },
            function: { name, arguments: args },
          })),
        }),
        ...(isPrefix === true && prefix === 'field' && { prefix: true }),
      };
    }
    default:
      return unreachable(message);
  }
}

function unsupported(field: string, what: string) {
  return requestError('invalid-field', { field, problem: `the server behind this model does not take ${what}` });
}

function unreachable(value: never): never {
  throw new Error(`expected a known case, got ${JSON.stringify(value)}`);
}
