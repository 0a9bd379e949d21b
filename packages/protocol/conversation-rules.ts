// Which sequences of messages are a conversation.
//
// Owns the order that OpenAI's and DeepSeek's APIs ask of messages: tool results answer the calls right before them, all
// of them, and someone other than the assistant speaks last, unless the answer's beginning is given. Knows nothing about how a
// message looked on the wire: where something stood there, its dialect says.

import type { Message } from './chat-request.ts';
import { requestError } from './request-error.ts';

/** Whether the last message is the beginning of the answer. */
export function isPrefixed(messages: readonly Message[]): boolean {
  const last = messages.at(-1);
  return last?.role === 'assistant' && last.isPrefix === true;
}

/** What can be wrong with a message. */
export type MessagePart = 'role' | 'calls' | 'call id' | 'prefix';

/** Throws `RequestError` for the first message out of place. `placeOf` gives the wire path of a part of message `index`. */
export function checkConversation(
  messages: readonly Message[],
  placeOf: (index: number, part: MessagePart) => string,
): void {
  // The calls of the last assistant message that still lack their result.
  let caller = 0;
  let open = new Set<string>();
  const checkAnswered = () => {
    if (open.size === 0) return;
    throw requestError('invalid-field', {
      field: placeOf(caller, 'calls'),
      problem: `expected tool messages for each 'tool_call_id' to follow, but there are none for ${[...open].join(', ')}`,
    });
  };
  messages.forEach((message, index) => {
    if (message.role === 'tool') {
      if (open.delete(message.toolCallId)) return;
      throw requestError('invalid-field', {
        field: placeOf(index, 'call id'),
        problem: `expected the id of an unanswered call in the assistant message before, got ${JSON.stringify(message.toolCallId)}`,
      });
    }
    checkAnswered();
    caller = index;
    open = new Set(message.role === 'assistant' ? message.toolCalls.map(({ id }) => id) : []);
  });
  checkAnswered();

  const last = messages.at(-1);
  const early = messages.findIndex((message, i) => i < messages.length - 1 && isPrefixed([message]));
  if (early >= 0) {
    const problem = 'only allowed in the last message';
    throw requestError('invalid-field', { field: placeOf(early, 'prefix'), problem });
  }
  if (isPrefixed(messages)) return;
  if (last !== undefined && last.role !== 'user' && last.role !== 'tool') {
    throw requestError('invalid-field', {
      field: placeOf(messages.length - 1, 'role'),
      problem: `expected the last message to be from user or tool, got ${last.role}`,
    });
  }
}
