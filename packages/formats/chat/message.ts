// The messages of a conversation, as every part of Hadal past the wire knows them.
//
// Owns the types, and in which message tools are offered. Knows nothing about the wire format that a message came in or
// the text that a model reads. Tool calls carry their arguments as JSON text, exactly as generated, because parsing may
// lose what a model wrote.

import type { quickTasks } from '../special-tokens.ts';

/** What JSON can say. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue | undefined };

/** A function that the model may call. Prompts show its fields in the order that the object has them. */
export interface ToolSchema {
  readonly name: string;
  readonly description?: string;
  /** JSON Schema of the arguments; absent: the function takes none. */
  readonly parameters?: JsonValue;
  readonly strict?: boolean;
}

export interface ToolCall {
  /** Names the call for its result; '' where nobody gave it a name. */
  readonly id: string;
  readonly name: string;
  /** JSON text of an object. */
  readonly arguments: string;
}

export type QuickTask = keyof typeof quickTasks;

export interface SystemMessage {
  readonly role: 'system';
  readonly content: string;
  readonly tools?: readonly ToolSchema[];
  /** JSON Schema that the answer must follow. */
  readonly responseFormat?: JsonValue;
}

/** Instructions and question in one: DeepSeek's search agents speak to the model in this role. */
export interface DeveloperMessage {
  readonly role: 'developer';
  readonly content: string;
  readonly tools?: readonly ToolSchema[];
  readonly responseFormat?: JsonValue;
}

export interface UserMessage {
  readonly role: 'user';
  readonly content: string;
  /** Ask for this judgement of the message instead of an answer. */
  readonly task?: QuickTask;
}

export interface WrittenTurn {
  /** From where the prompt left off to before the token that ended it. */
  readonly text: string;
  /** Whether the prompt had opened the reasoning. */
  readonly beginning: 'reasoning' | 'content';
}

export interface AssistantMessage {
  readonly role: 'assistant';
  readonly content: string;
  readonly reasoning?: string;
  readonly toolCalls?: readonly ToolCall[];
  /** Ask for this judgement of the conversation up to here; the next message is its result. */
  readonly task?: QuickTask;
  /** The turn as a model wrote it: stands in the prompt instead of what is said here, wherever the turn begins as it did then. */
  readonly written?: WrittenTurn;
  /** The message is to be continued: the model goes on where it ends, in its reasoning when it has no content yet. */
  readonly isPrefix?: boolean;
}

export interface ToolMessage {
  readonly role: 'tool';
  readonly content: string;
  /** The `id` of the call that this answers; '' where unknown. */
  readonly toolCallId: string;
}

/** Date, place, language and the like, refreshed with every request. */
export interface LatestReminderMessage {
  readonly role: 'latest_reminder';
  readonly content: string;
}

export type ChatMessage =
  | SystemMessage
  | DeveloperMessage
  | UserMessage
  | AssistantMessage
  | ToolMessage
  | LatestReminderMessage;

/**
 * The messages with `tools` (and a format for the answer) on their first system message, as DeepSeek's API puts them;
 * a system message without text is placed first where there is none.
 */
export function withTools(
  messages: readonly ChatMessage[],
  tools: readonly ToolSchema[],
  responseFormat?: JsonValue,
): ChatMessage[] {
  if (tools.length === 0 && responseFormat === undefined) return [...messages];
  const index = messages.findIndex((message) => message.role === 'system');
  const system = messages[index];
  const equipped: SystemMessage = {
    ...(system?.role === 'system' ? system : { role: 'system', content: '' }),
    ...(tools.length > 0 && { tools }),
    ...(responseFormat !== undefined && { responseFormat }),
  };
  return index < 0 ? [equipped, ...messages] : messages.with(index, equipped);
}
