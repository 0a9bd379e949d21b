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

export interface Exchange {
  readonly turns: readonly Turn[];
  readonly answer: Answer;
  /** Of all turns; what several of them read counts as often. */
  readonly promptTokens: number;
  readonly completionTokens: number;
}

export async function converse(
  candidate: Candidate,
  question: Question,
  options: ExchangeOptions,
  signal?: AbortSignal,
): Promise<Exchange> {
  const { dialect } = candidate;
  const { thinking, tools } = question;
  const messages: ChatMessage[] = [...question.messages];
  const toolCalls: ToolCall[] = [];
  const turns: Turn[] = [];
  let [promptTokens, completionTokens] = [0, 0];
  for (;;) {
    const prompt = dialect.prompt(messages, { thinking, tools });
    const { text, turn } = await complete(candidate, promptText(prompt), options, turns.length, signal);
    turns.push(turn);
    promptTokens += turn.prompt.length;
    completionTokens += turn.completion.length;
    const said = parseAnswer(dialect.openParser(prompt.beginning), text, turn.isTruncated ? 'cut-off' : 'finished');
    // The engine's clients name the calls; what a model writes has no ids.
    const calls = said.toolCalls.map((call, i) => ({ ...call, id: `call_${turns.length}_${i}` }));
    toolCalls.push(...calls);
    if (calls.length === 0 || !question.respond || turns.length === options.maxTurns) {
      const answer = { reasoning: said.reasoning, content: said.content, toolCalls };
      return { turns, answer, promptTokens, completionTokens };
    }
    messages.push({ ...said, toolCalls: calls });
    for (const call of calls) {
      messages.push({ role: 'tool', toolCallId: call.id, content: await question.respond(call) });
    }
  }
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
      // Turns of one exchange must not draw alike.
      ...{ seed: (seed + Math.imul(place, 0x9e3779b1)) >>> 0, topLogprobs: isScored ? 0 : undefined },
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
