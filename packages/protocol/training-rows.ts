// The lines of a training file.
//
// Owns what a line must look like for each method of training, and what it becomes. OpenAI's formats (chat, preference, and
// reinforcement rows), with DeepSeek's `reasoning_content` and a `thinking` of ours. Knows nothing of files: a mistake names its
// field, the line is the caller's to name.

import { z } from 'zod';
import { chatMessage, chatTool, messagesOf, toolsOf } from './chat-completions-request.ts';
import type { FunctionTool, JsonObject, Message } from './chat-request.ts';
import { requestError } from './request-error.ts';
import { expecting, jsonObject } from './sampling-fields.ts';
import { checkShape } from './shape-error.ts';

const messages = z.array(chatMessage).min(1, expecting('at least one message'));
const tools = z.array(chatTool).nullish();
const thinking = z.boolean().nullish();

/** A conversation; what its last answers say is learned. */
export interface ConversationRow {
  readonly messages: readonly Message[];
  readonly tools: readonly FunctionTool[];
  readonly thinking: boolean;
  /** For each message, whether it is learned: an assistant's, unless its weight is 0. */
  readonly isLearned: readonly boolean[];
}

/** A conversation up to where the model answers. */
export interface PromptRow {
  readonly messages: readonly Message[];
  readonly tools: readonly FunctionTool[];
  readonly thinking: boolean;
  /** The whole line: what graders call `item`. */
  readonly item: JsonObject;
}

export interface PreferenceRow extends Omit<PromptRow, 'item'> {
  readonly preferred: readonly Message[];
  readonly rejected: readonly Message[];
}

// Messages are parsed a second time by the shape above; a weight is OpenAI's, and no part of a request.
const weights = z.object({ messages: z.array(z.looseObject({ weight: z.literal([0, 1]).nullish() })) });
const conversation = z.object({ messages, tools, thinking });

/** Throws `RequestError` for the first mistake. */
export function parseConversationRow(line: unknown): ConversationRow {
  const wire = checkShape(conversation, line);
  const given = answeredMessages(wire.messages, ['messages']);
  const learned = checkShape(weights, line).messages.map(
    ({ weight }, i) => given[i]?.role === 'assistant' && weight !== 0,
  );
  if (!learned.includes(true)) {
    throw requestError('invalid-field', { field: 'messages', problem: 'expected an assistant message to learn' });
  }
  const reasons = given.some((message) => message.role === 'assistant' && message.reasoning !== '');
  return { messages: given, tools: toolsOf(wire), thinking: wire.thinking ?? reasons, isLearned: learned };
}

/** Of a line that names a problem of a built-in task: what is asked is the task's to say. */
export interface TaskItem {
  readonly task: string;
  readonly split: 'train' | 'validation' | 'test';
  readonly index: number;
  readonly difficulty: number | undefined;
  /** Whether it is asked with thinking; undefined: as the task has it. */
  readonly thinking: boolean | undefined;
}

const taskItem = z.object({
  task: z.string(),
  split: z.enum(['train', 'validation', 'test']),
  index: z.int().nonnegative(),
  difficulty: z.int().positive().nullish(),
  thinking,
});

/** A conversation that may end with what the assistant says: it is checked as one that goes on from there. */
function answeredMessages(wire: z.output<typeof messages>, place: readonly PropertyKey[]): Message[] {
  const last = wire.at(-1);
  const calls = last?.role === 'assistant' ? (last.tool_calls ?? []) : [];
  const next = calls.map(({ id }) => ({ role: 'tool' as const, tool_call_id: id, content: '' }));
  const following = next.length > 0 ? next : [{ role: 'user' as const, content: '' }];
  return messagesOf([...wire, ...(last?.role === 'assistant' ? following : [])], place).slice(0, wire.length);
}

/** Whether a line names a problem of a task instead of a conversation. */
export function isTaskRow(line: unknown): boolean {
  return typeof line === 'object' && line !== null && 'task' in line && !('messages' in line);
}

/** The problem that a line without messages names. Throws `RequestError` for the first mistake. */
export function parseTaskItem(line: unknown): TaskItem {
  const { difficulty, thinking: isThinking, ...wire } = checkShape(taskItem, line);
  return { ...wire, difficulty: difficulty ?? undefined, thinking: isThinking ?? undefined };
}

/** Throws `RequestError` for the first mistake. `thinking`: where the line does not say. */
export function parsePromptRow(line: unknown, byDefault: boolean): PromptRow {
  const item = checkShape(jsonObject, line);
  const wire = checkShape(conversation, line);
  const given = messagesOf(wire.messages, ['messages']);
  if (given.at(-1)?.role === 'assistant') {
    const problem = 'expected the last message to be the user’s or a tool’s: the model answers it';
    throw requestError('invalid-field', { field: 'messages', problem });
  }
  return { messages: given, tools: toolsOf(wire), thinking: wire.thinking ?? byDefault, item };
}

const preference = z.object({
  input: conversation,
  preferred_output: messages,
  non_preferred_output: messages,
});

/** Throws `RequestError` for the first mistake. */
export function parsePreferenceRow(line: unknown): PreferenceRow {
  const wire = checkShape(preference, line);
  const given = messagesOf(wire.input.messages, ['input', 'messages']);
  const answer = (field: 'preferred_output' | 'non_preferred_output') => {
    const output = wire[field];
    const wrong = output.findIndex(({ role }) => role !== 'assistant');
    if (wrong >= 0) {
      const problem = `expected assistant, got ${output[wrong]?.role}`;
      throw requestError('invalid-field', { field: `${field}[${wrong}].role`, problem });
    }
    return answeredMessages([...wire.input.messages, ...output], ['input', 'messages']).slice(given.length);
  };
  const [preferred, rejected] = [answer('preferred_output'), answer('non_preferred_output')];
  const reasons = [...preferred, ...rejected].some((one) => one.role === 'assistant' && one.reasoning !== '');
  return {
    ...{ messages: given, tools: toolsOf(wire.input), thinking: wire.input.thinking ?? reasons },
    ...{ preferred, rejected },
  };
}
