// What a task is.
//
// Owns the shapes that every task fills (problem, expert solution, judge) and the rule that keeps train, validation and
// test apart. Knows nothing about any one task, about tokens or about training. Invariant: a problem belongs to the
// split named by the hash of its key, the content without its phrasing, so no wording of a test problem is ever trained on.
import { createHash } from 'node:crypto';
import type { ChatMessage, ToolCall, ToolSchema } from '@hadal/formats/chat/message';
import { Random } from './random.ts';

export type Split = 'train' | 'validation' | 'test';
export type Language = 'en' | 'zh';

/** What a model made of a problem: the last turn's reasoning and content, and every tool call of the whole exchange in order. */
export interface Answer {
  readonly reasoning: string;
  readonly content: string;
  readonly toolCalls: readonly ToolCall[];
}

/** A judgement with its reason, so that an evaluation can show why an answer failed. */
export interface Verdict {
  readonly isCorrect: boolean;
  /** What was expected and what came; empty when correct. */
  readonly reason: string;
}

interface ProblemCommon {
  readonly task: string;
  readonly language: Language;
  /** The content without the phrasing; its hash decides the split. */
  readonly key: string;
  judge(final: Answer): Verdict;
}

/** A problem in messages. */
export interface ChatProblem extends ProblemCommon {
  readonly kind: 'chat';
  readonly thinking: boolean;
  /** What the user (and system) says first; a conversation's earlier turns included. */
  readonly messages: readonly ChatMessage[];
  /** What may be called, apart from the messages as in an API request. */
  readonly tools: readonly ToolSchema[];
  /** Expert continuation: assistant turns with reasoning, content and tool calls, and the tools' results between. */
  readonly solution: readonly ChatMessage[];
  /** Executes a tool call as the environment would; present when `tools` is not empty. */
  respond?(call: ToolCall): string;
}

/** Text with a hole, in the FIM tokens' order: prefix, suffix, then the middle that the model writes. */
export interface FimProblem extends ProblemCommon {
  readonly kind: 'fim';
  readonly prefix: string;
  readonly suffix: string;
  readonly middle: string;
}

export type Problem = ChatProblem | FimProblem;

export interface TaskOptions {
  /** Task-specific size, where the task has one (countdown: how many numbers). */
  readonly difficulty?: number;
}

export interface Task {
  readonly name: string;
  /** A pure function of its arguments: the same problem on every machine. */
  generate(split: Split, index: number, options?: TaskOptions): Problem;
}

/** The split of a key: 90 % train, 5 % validation, 5 % test by hash. Spaces too small to divide belong to train alone. */
export function splitOf(task: string, key: string): Split {
  const bucket = createHash('sha256').update(`${task}:${key}`).digest().readUInt32LE(0) % 20;
  if (bucket === 0) return 'test';
  return bucket === 1 ? 'validation' : 'train';
}

/** A drawn problem before it is phrased. `isSmall` marks content from a space too small to hold out (train only). */
export interface Drawn {
  readonly key: string;
  readonly isSmall: boolean;
}

/**
 * Draws until the content belongs to `split`. Returns it with a stream for its phrasing.
 * Every attempt has a stream of its own, so a change in one task's draws moves no other problem.
 */
export function drawFor<T extends Drawn>(
  task: string,
  split: Split,
  index: number,
  draw: (random: Random) => T,
): { readonly drawn: T; readonly random: Random } {
  for (let attempt = 0; attempt < 10_000; attempt++) {
    const random = new Random(`${task}/${split}/${index}/${attempt}`);
    const drawn = draw(random);
    const owner = drawn.isSmall ? 'train' : splitOf(task, drawn.key);
    if (owner === split) return { drawn, random: random.fork('phrasing') };
  }
  throw new Error(`${task}: expected a problem of split ${split} within 10000 draws, found none`);
}
