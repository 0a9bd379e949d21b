// How one family of checkpoints is talked to.
//
// Owns the seam between conversations and text: a dialect renders messages to the prompt that its models were taught,
// and reads what they generate back as a stream of reasoning, content and tool calls. Server, trainer and evaluation know
// dialects and none of them by name. Knows nothing about token ids: what ends an answer is named by its text.

import type { AssistantMessage, ChatMessage, ToolCall, ToolSchema } from './message.ts';

/** How hard to think, where a dialect has words for it. */
export type Effort = 'low' | 'high' | 'max';

export interface PromptOptions {
  readonly thinking: boolean;
  /** Of no effect without thinking, and in dialects that know no degrees. */
  readonly effort?: Effort;
  /** What the model may call, besides what the messages themselves offer. */
  readonly tools?: readonly ToolSchema[];
}

/** A stretch of a conversation's text. The model wrote it when `isOutput`; everything else was put before it. */
export interface Segment {
  readonly text: string;
  readonly isOutput: boolean;
}

/** Whether what the model writes next is reasoning, because the prompt has opened it, or the answer itself. */
export type Beginning = 'reasoning' | 'content';

export interface ChatPrompt {
  readonly segments: readonly Segment[];
  readonly beginning: Beginning;
}

export type AnswerEvent =
  /** `isTold`: of a call that nobody asked for, so not in the model's own characters. */
  | { readonly type: 'reasoning' | 'content'; readonly text: string; readonly isTold?: true }
  /** Calls are numbered from 0 in the order in which they start. */
  | { readonly type: 'tool-call-start'; readonly index: number; readonly name: string }
  /** The next part of the arguments' JSON text. */
  | { readonly type: 'tool-call-arguments'; readonly index: number; readonly text: string }
  /** The arguments are complete. A call that never ends was cut off. */
  | { readonly type: 'tool-call-end'; readonly index: number };

/**
 * What calls become. `as-text`: nobody offered tools, and a client that did not must not be made to run one; so that nothing is
 * lost or left as markup, a call is told where it stands, as `name(arguments)`.
 */
export type CallReading = 'as-calls' | 'as-text';

/** Whether the model has ended its answer or was stopped in the middle of it. */
export type AnswerEnd = 'finished' | 'cut-off';

/**
 * Reads one answer, without the token that ends it. However its text is divided into pushes, the events say the same, and
 * nothing is thrown. Special tokens, whole or cut off, are never in reasoning or content; text that is no markup never is lost.
 * A call ends the reasoning that it stands in.
 */
export interface AnswerParser {
  /** Whether text that comes now would be reasoning. */
  readonly isReasoning: boolean;
  /** How many of the last characters that came are not understood yet. */
  readonly heldLength: number;
  /** The events that `text` completes. */
  push(text: string): AnswerEvent[];
  /** The events of what was held back; `cut-off` where it does not say. No text may follow. */
  end(how?: AnswerEnd): AnswerEvent[];
}

/** The name of DSML's tag around calls: V3.2's, V4's, V4.1's. */
export type CallsTag = 'function_calls' | 'tool_calls' | ' calls';

/** How models of a dialect write calls, as far as somebody who wants to have one needs to know. */
export type CallSyntax =
  | { readonly type: 'none' }
  | { readonly type: 'dsml'; readonly tag: CallsTag }
  | {
      readonly type: 'opened';
      /** The beginning of an answer that calls the tool `name`, or without a name any tool: only a call can follow. */
      opening(name: string | undefined): string;
    };

export interface ChatDialect {
  /** The texts of the tokens that end an answer. */
  readonly stopTokens: readonly string[];
  readonly calls: CallSyntax;
  /** Tokens that stand for something else than text, and that no user may write. */
  readonly reserved: readonly string[];
  /**
   * The text for `messages`, up to where the model goes on. Starts with the begin-of-sentence token where the models
   * expect one: nothing else may add it.
   */
  prompt(messages: readonly ChatMessage[], options: PromptOptions): ChatPrompt;
  /** Calls are calls where it does not say. */
  openParser(beginning: Beginning, calls?: CallReading): AnswerParser;
}

export function promptText({ segments }: ChatPrompt): string {
  return segments.map(({ text }) => text).join('');
}

/** An assistant message as a parser makes it: everything is there. Calls have no ids. */
export type ParsedAnswer = Required<Pick<AssistantMessage, 'role' | 'content' | 'reasoning' | 'toolCalls'>>;

/** Reads the whole text of an answer. Of a call that was cut off, the arguments are cut off and are no valid JSON. */
export function parseAnswer(parser: AnswerParser, text: string, how?: AnswerEnd): ParsedAnswer {
  let content = '';
  let reasoning = '';
  const toolCalls: ToolCall[] = [];
  for (const event of [...parser.push(text), ...parser.end(how)]) {
    switch (event.type) {
      case 'content':
        content += event.text;
        break;
      case 'reasoning':
        reasoning += event.text;
        break;
      case 'tool-call-start':
        toolCalls.push({ id: '', name: event.name, arguments: '' });
        break;
      case 'tool-call-arguments': {
        const call = toolCalls[event.index];
        if (call !== undefined) toolCalls[event.index] = { ...call, arguments: call.arguments + event.text };
        break;
      }
      case 'tool-call-end':
        break;
      default:
        unreachable(event);
    }
  }
  return { role: 'assistant', content, reasoning, toolCalls };
}

function unreachable(value: never): never {
  throw new Error(`expected a known event, got ${JSON.stringify(value)}`);
}
