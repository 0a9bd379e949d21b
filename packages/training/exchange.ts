// One exchange between a model and whoever asked.
//
// Owns prompt, generation and tool calls, executed as the environment would, until an answer that can be judged; and for every
// turn the tokens that were read and written. Uses an engine as any client does. Knows nothing of tasks, rewards or training.

import { type Engine, plainRequest } from '@hadal/engine/engine';
import { type ChatDialect, parseAnswer, promptText } from '@hadal/formats/chat/dialect';
import type { ChatMessage, ToolCall, ToolSchema } from '@hadal/formats/chat/message';
import type { Answer } from './tasks/task.ts';

/** A model and how it is talked to. */
export interface Candidate {
  readonly engine: Engine;
  readonly dialect: ChatDialect;
  /** Ids after which an answer is over. */
  readonly stopTokens: readonly number[];
}

/** What is asked. */
export interface Question {
  readonly messages: readonly ChatMessage[];
  readonly tools: readonly ToolSchema[];
  readonly thinking: boolean;
  /** Executes a tool call; without it a call ends the exchange. */
  respond?(call: ToolCall): string | Promise<string>;
}

export interface ExchangeOptions {
  /** 0 is greedy. */
  readonly temperature: number;
  readonly seed: number;
  /** Of each turn; less where the context has less left. */
  readonly maxTokens: number;
  /** Turns after which a model is taken to be going in circles. */
  readonly maxTurns: number;
  /** Whether log-probabilities are wanted. */
  readonly isScored: boolean;
}

/** Greedy, and as long as answers of tasks may be. */
export const greedyExchange: ExchangeOptions = {
  ...{ temperature: 0, seed: 0, maxTokens: 1024, maxTurns: 7, isScored: false },
};

/** Token ids; what ends the turn is among the completion's. */
export interface Turn {
  readonly prompt: readonly number[];
  readonly completion: readonly number[];
  /** Of the completion's tokens, in nats; empty where none were wanted. */
  readonly logprobs: Float32Array;
  /** Whether there was no room for its end. */
  readonly isTruncated: boolean;
}

export interface Exchange extends Said {
  readonly turns: readonly Turn[];
  /** Of all turns; what several of them read counts as often. */
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** What a turn says: of an answer the calls are that turn's alone. */
export type Speak = (messages: readonly ChatMessage[], turn: number) => Promise<Answer>;

/** What is said after a question, turn by turn, tools' results included; and the last turn with the calls of all of them. */
export interface Said {
  readonly said: readonly ChatMessage[];
  readonly answer: Answer;
}

/** Has `speak` say one turn after the other, and the environment answer its calls, until there are none. */
export async function inTurns(question: Question, maxTurns: number, speak: Speak): Promise<Said> {
  const said: ChatMessage[] = [];
  const toolCalls: ToolCall[] = [];
  for (let turn = 0; ; turn++) {
    const one = await speak([...question.messages, ...said], turn);
    said.push({ role: 'assistant', ...one });
    toolCalls.push(...one.toolCalls);
    if (one.toolCalls.length === 0 || !question.respond || turn + 1 >= maxTurns) {
      return { said, answer: { ...one, toolCalls } };
    }
    for (const call of one.toolCalls) {
      said.push({ role: 'tool', toolCallId: call.id, content: await question.respond(call) });
    }
  }
}

export async function converse(
  candidate: Candidate,
  question: Question,
  options: ExchangeOptions,
  signal?: AbortSignal,
): Promise<Exchange> {
  const { dialect } = candidate;
  const { thinking, tools } = question;
  const turns: Turn[] = [];
  const { said, answer } = await inTurns(question, options.maxTurns, async (messages, place) => {
    const prompt = dialect.prompt(messages, { thinking, tools });
    const { text, turn } = await complete(candidate, promptText(prompt), options, place, signal);
    turns.push(turn);
    const one = parseAnswer(dialect.openParser(prompt.beginning), text, turn.isTruncated ? 'cut-off' : 'finished');
    // The engine's clients name the calls; what a model writes has no ids.
    const toolCalls = one.toolCalls.map((call, i) => ({ ...call, id: `call_${place + 1}_${i}` }));
    return { reasoning: one.reasoning, content: one.content, toolCalls };
  });
  const tokens = (part: 'prompt' | 'completion') => turns.reduce((sum, turn) => sum + turn[part].length, 0);
  return { turns, said, answer, promptTokens: tokens('prompt'), completionTokens: tokens('completion') };
}

/** Completes a prompt, up to the end of the sentence or of the room there is. */
export async function complete(
  { engine, stopTokens }: Candidate,
  prompt: string,
  { temperature, seed, maxTokens, isScored }: ExchangeOptions,
  place: number,
  signal?: AbortSignal,
): Promise<{ readonly text: string; readonly turn: Turn }> {
  const ids = engine.tokenizer.encode(prompt);
  const room = Math.min(maxTokens, engine.model.contextLength - ids.length);
  const completion: number[] = [];
  const logprobs: number[] = [];
  let text = '';
  let isTruncated = true;
  if (room >= 1) {
    const request = {
      ...{ ...plainRequest, prompt: ids, maxTokens: room, stopTokens, temperature },
      ...{ seed: seedOfTurn(seed, place), topLogprobs: isScored ? 0 : undefined },
    };
    for await (const event of engine.generate(request, signal)) {
      if (event.type === 'token') {
        text += event.text;
        completion.push(event.id);
        logprobs.push(event.logprob);
      } else if (event.type === 'finish') {
        isTruncated = event.reason !== 'stop';
        if (!event.stopToken) continue;
        completion.push(event.stopToken.id);
        logprobs.push(event.stopToken.logprob);
      }
    }
  }
  const turn = { prompt: ids, completion, logprobs: Float32Array.from(isScored ? logprobs : []), isTruncated };
  return { text, turn };
}

/** Turns of one exchange must not draw alike. */
export function seedOfTurn(seed: number, turn: number): number {
  return (seed + Math.imul(turn, 0x9e3779b1)) >>> 0;
}
