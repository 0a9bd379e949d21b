// From a chat request to the text that a model reads.
//
// Owns what of a request the prompt shows (tools, a schema, the beginning of the answer) and where the answer goes on. How it is
// written is the dialect's. Knows nothing of tokens.

import { TemplateError } from '@hadal/formats/chat/chat-template';
import type { ChatDialect, ChatPrompt } from '@hadal/formats/chat/dialect';
import { type ToolSchema, withTools } from '@hadal/formats/chat/message';
import type { ChatRequest, FunctionTool, Message, RequestPlaces } from '@hadal/protocol/chat-request';
import { requestError } from '@hadal/protocol/request-error';

/** With tool_choice none, the tools stay out of the prompt, as on DeepSeek. */
export function renderChat(request: ChatRequest, dialect: ChatDialect): ChatPrompt {
  const { messages, responseFormat, thinking, tools, toolChoice, places } = request;
  const offered = toolChoice.type === 'none' ? [] : tools.map(toolSchemaOf);
  if (offered.length > 0 && dialect.calls.type === 'none') {
    throw requestError('invalid-field', { field: 'tools', problem: 'this model was not taught to call tools' });
  }
  checkReserved(request, dialect);
  if (dialect.calls.type === 'none' && messages.some(isOfCalls)) {
    const problem = 'this model was not taught to call tools, and there are calls or their results';
    throw requestError('invalid-field', { field: places.messages, problem });
  }
  // A schema is shown to the model too: held to one that it does not know, it would fill it with anything.
  const schema = responseFormat.type === 'json-schema' ? responseFormat.schema : undefined;
  const prompt = explained(places, () =>
    dialect.prompt(withTools(messages, [], schema), {
      thinking: thinking !== 'off',
      ...(thinking !== 'off' && { effort: thinking }),
      tools: offered,
    }),
  );
  const last = messages.at(-1);
  if (last?.role !== 'assistant' || last.isPrefix !== true) return prompt;
  // What was said already decides where the answer goes on.
  const isThinking = prompt.beginning === 'reasoning' && last.content === '' && last.reasoning !== '';
  return { ...prompt, beginning: isThinking ? 'reasoning' : 'content' };
}

/** The beginning of an answer that must call a tool, where the form of calls is not enforced otherwise. */
export function forcedCall({ thinking, toolChoice }: ChatRequest, { calls }: ChatDialect): string {
  if (calls.type !== 'opened' || toolChoice.type === 'none' || toolChoice.type === 'auto') return '';
  // Reasoning comes first, and nobody knows for how long.
  if (thinking !== 'off') throw requestError('forced-tool-while-thinking');
  return calls.opening(toolChoice.type === 'function' ? toolChoice.name : undefined);
}

function checkReserved({ messages, places }: ChatRequest, { reserved }: ChatDialect): void {
  for (const { role, content } of messages) {
    const token = role === 'user' ? reserved.find((text) => content.includes(text)) : undefined;
    if (token === undefined) continue;
    throw requestError('invalid-field', { field: places.messages, problem: `${token} is a reserved token` });
  }
}

/** The template has shown other conversations when it was opened: what it does not take is this one. */
function explained(places: RequestPlaces, render: () => ChatPrompt): ChatPrompt {
  try {
    return render();
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    const problem = `the chat template of this model does not take this conversation: ${error.reason}`;
    throw requestError('invalid-field', { field: places.messages, problem });
  }
}

function isOfCalls(message: Message): boolean {
  return message.role === 'tool' || (message.role === 'assistant' && message.toolCalls.length > 0);
}

function toolSchemaOf({ name, description, parameters }: FunctionTool): ToolSchema {
  return {
    name,
    ...(description !== undefined && { description }),
    ...(parameters !== undefined && { parameters }),
  };
}
