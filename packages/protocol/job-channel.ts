// What a training process asks of the server that started it.
//
// Owns the messages of their channel: a job's graders and teachers are models that the server knows, and the training process
// knows the server by nothing else. Each question has one reply, by its number. Both sides send plain values; whoever answers them
// asks a chat API.

import type { JsonObject } from './chat-request.ts';
import type { GraderUsage } from './grader-run.ts';

export interface AskedMessage {
  readonly role: 'system' | 'developer' | 'user' | 'assistant' | 'tool';
  readonly content: string;
  readonly reasoning?: string | undefined;
  readonly toolCalls?:
    | readonly { readonly id: string; readonly name: string; readonly arguments: string }[]
    | undefined;
  readonly toolCallId?: string | undefined;
}

export interface ChannelQuestion {
  readonly model: string;
  readonly messages: readonly AskedMessage[];
  readonly tools?: readonly { readonly name: string; readonly description?: string; readonly parameters?: unknown }[];
  readonly thinking?: boolean | undefined;
  readonly seed?: number | undefined;
  readonly topP?: number | undefined;
  readonly temperature?: number | undefined;
  readonly maxTokens?: number | undefined;
  readonly effort?: string | undefined;
  /** JSON Schema of the answer. */
  readonly schema?: JsonObject | undefined;
}

export type ChannelReply =
  | {
      readonly type: 'answer' | 'refusal';
      readonly content: string;
      readonly reasoning: string;
      readonly toolCalls: readonly { readonly id: string; readonly name: string; readonly arguments: string }[];
      readonly isTruncated: boolean;
      readonly usage: GraderUsage;
    }
  /** `mayPass`: another time it may go well. */
  | { readonly type: 'failure'; readonly message: string; readonly mayPass?: boolean }
  /** Nobody has answered: the server stops, or is no more. The question is to be asked again by whoever goes on. */
  | { readonly type: 'gone' };

/** Whether what failed with this status may go well another time: too many at once, and whatever is a server's own fault. */
export function isPassing(status: number): boolean {
  return [408, 425, 429].includes(status) || status >= 500;
}

/** Whether an answer with this `finish_reason` came to its end: what broke off otherwise is nothing to learn from. */
export function isWhole(finishReason: string | null | undefined): boolean {
  return ['stop', 'tool_calls', '', null, undefined].includes(finishReason);
}

export type ToServer = { readonly type: 'ask'; readonly id: number; readonly question: ChannelQuestion };
export type ToTrainer = { readonly type: 'reply'; readonly id: number; readonly reply: ChannelReply };

/** As chat APIs have it, with DeepSeek's `reasoning_content`. */
export function wireAskedMessage({ role, content, reasoning, toolCalls = [], toolCallId }: AskedMessage): object {
  return {
    ...{ role, content },
    ...(reasoning && { reasoning_content: reasoning }),
    ...(toolCallId !== undefined && { tool_call_id: toolCallId }),
    ...(toolCalls.length > 0 && {
      tool_calls: toolCalls.map(({ id, ...called }) => ({ id, type: 'function', function: called })),
    }),
  };
}
