// An answer to a conversation, from the model in this process.
//
// Owns the order of things: what the model wrote in earlier turns is looked up, the prompt is rendered and encoded, the engine
// generates, its tokens are read as an answer, and a turn that calls tools is kept for the next one.

import type { Engine } from '@hadal/engine/engine';
import { type ChatDialect, promptText } from '@hadal/formats/chat/dialect';
import type { ChatEvent } from '@hadal/protocol/chat-event';
import type { ChatRequest } from '@hadal/protocol/chat-request';
import { requestError } from '@hadal/protocol/request-error';
import { answerConstraint, unenforceable } from './answer-constraint.ts';
import { AnswerReader } from './answer-reader.ts';
import { forcedCall, renderChat } from './chat-prompt.ts';
import { admitted, type GenerationOptions, noLimits } from './generation-options.ts';
import type { PromptEncoder } from './prompt-encoder.ts';
import type { TurnMemory } from './turn-memory.ts';

export interface ChatParts {
  readonly engine: Engine;
  readonly dialect: ChatDialect;
  readonly encoder: PromptEncoder;
  readonly options: GenerationOptions;
  readonly memory: TurnMemory;
  /** What becomes of calls that come back without their reasoning. */
  readonly missingReasoning: 'recover' | 'refuse';
  /** A new name, for the ids of tool calls. */
  readonly newId: () => string;
}

export async function* answerChat(
  { engine, dialect, encoder, options, memory, missingReasoning, newId }: ChatParts,
  asked: ChatRequest,
  signal: AbortSignal,
): AsyncGenerator<ChatEvent, void, void> {
  const { userId, maxTokens, maxReasoning, contextWindow } = asked;
  if (missingReasoning === 'refuse') checkReasoning(asked);
  const request = { ...asked, messages: memory.recall(userId, asked.messages) };
  const rendered = renderChat(request, dialect);
  const constraint = answerConstraint(request, dialect, rendered.beginning);
  const prefill = forcedCall(request, dialect);
  const mayCall = request.tools.length > 0 && request.toolChoice.type !== 'none';
  const least = maxTokens.type === 'asked' ? maxTokens.tokens : 1;
  const prompt = encoder.encode(promptText(rendered) + prefill, least, contextWindow);
  // The mark between reasoning and answer counts as neither.
  const wanted = maxTokens.tokens + (maxReasoning === undefined ? 0 : maxReasoning + 1);
  const limit = Math.min(wanted, encoder.room(contextWindow) - prompt.length);
  await using generation = engine.generate(
    {
      ...options.of(request),
      prompt,
      maxTokens: limit,
      ...(rendered.beginning === 'reasoning' ? options.limits(request, limit) : noLimits),
      constraint,
      promptLogprobs: 'none',
      prediction: request.prediction === '' ? [] : engine.tokenizer.encode(request.prediction),
    },
    signal,
  );
  await admitted(generation, (refusal) => unenforceable(refusal, request));
  yield { type: 'start', promptTokens: prompt.length };

  const reader = new AnswerReader({
    tokenizer: engine.tokenizer,
    parser: dialect.openParser(rendered.beginning, mayCall ? 'as-calls' : 'as-text'),
    hasLogprobs: request.topLogprobs !== undefined,
    newCallId: (index) => `call_${String(index).padStart(2, '0')}_${newId().replaceAll('-', '').slice(0, 24)}`,
  });
  yield* reader.prefill(prefill);
  const turn = { text: prefill, beginning: rendered.beginning, reasoning: '', content: '' };
  const toolCalls: { id: string; name: string; arguments: string }[] = [];
  for await (const event of generation) {
    if (event.type === 'token') turn.text += event.text;
    const events = event.type === 'token' ? reader.token(event) : event.type === 'finish' ? reader.finish(event) : [];
    for (const said of events) {
      const call = toolCalls.at(-1);
      if (said.type === 'reasoning' || said.type === 'content') turn[said.type] += said.text;
      else if (said.type === 'tool-call') toolCalls.push({ id: said.id, name: said.name, arguments: '' });
      else if (said.type === 'tool-call-arguments' && call) call.arguments += said.text;
      // A turn that was cut off goes on otherwise than it was written.
      else if (said.type === 'finish' && said.reason === 'tool_calls') memory.keep(userId, { ...turn, toolCalls });
      yield said;
    }
  }
}

/** Throws where a call of a tool comes back to a thinking model without what was thought before it. */
function checkReasoning({ thinking, messages, places }: ChatRequest): void {
  const isMissing = messages.some(
    (message) => message.role === 'assistant' && message.toolCalls.length > 0 && message.reasoning === '',
  );
  if (thinking !== 'off' && isMissing) throw requestError('reasoning-missing', { field: places.messages });
}
