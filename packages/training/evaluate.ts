// How often a model solves a task.
//
// Owns the exchange between a model and a problem: prompt, generation, tool calls executed as the problem's environment
// would, until an answer that the problem can judge. Uses the engine as any client does. Knows nothing about any task.

import { type Engine, plainRequest } from '@hadal/engine/engine';
import { type ChatDialect, parseAnswer, promptText } from '@hadal/formats/chat/dialect';
import type { ChatMessage, ToolCall } from '@hadal/formats/chat/message';
import { encodeFillMiddle } from '@hadal/formats/fill-middle';
import type { Answer, ChatProblem, Problem, Split, Task, TaskOptions } from './tasks/task.ts';

/** A model and how it is talked to. */
export interface Candidate {
  readonly engine: Engine;
  readonly dialect: ChatDialect;
  /** Ids after which an answer is over. */
  readonly stopTokens: readonly number[];
}

export interface EvaluationOptions {
  readonly split: Split;
  /** Index of the first problem. */
  readonly first: number;
  readonly count: number;
  /** Only problems asked with thinking, only those without, or as the task mixes them. */
  readonly thinking: 'on' | 'off' | 'mixed';
  readonly task?: TaskOptions;
  readonly onProblem?: (outcome: Outcome) => void;
  readonly signal?: AbortSignal;
}

export interface Outcome {
  readonly problem: Problem;
  readonly answer: Answer;
  readonly isCorrect: boolean;
  /** Why not; empty when correct. */
  readonly reason: string;
  readonly completionTokens: number;
}

export interface Evaluation {
  readonly task: string;
  readonly count: number;
  readonly correct: number;
  readonly failures: readonly Outcome[];
  readonly meanTokens: number;
}

/** Rounds of tool calls after which a model is taken to be going in circles. */
const maxRounds = 6;

/** Asks `count` problems greedily, all at once: the engine decides how many run together. */
export async function evaluate(candidate: Candidate, task: Task, options: EvaluationOptions): Promise<Evaluation> {
  const problems = selectProblems(task, options);
  const outcomes = await Promise.all(
    problems.map(async (problem) => {
      const outcome = await attempt(candidate, problem, options.signal);
      options.onProblem?.(outcome);
      return outcome;
    }),
  );
  const failures = outcomes.filter((outcome) => !outcome.isCorrect);
  const tokens = outcomes.reduce((sum, { completionTokens }) => sum + completionTokens, 0);
  return {
    ...{ task: task.name, count: outcomes.length, correct: outcomes.length - failures.length, failures },
    meanTokens: tokens / Math.max(1, outcomes.length),
  };
}

function selectProblems(
  task: Task,
  { split, first, count, thinking, task: taskOptions }: EvaluationOptions,
): Problem[] {
  const problems: Problem[] = [];
  // A task that never asks in the wanted mode must not be searched for ever.
  for (let index = first; problems.length < count && index < first + 50 * count; index++) {
    const problem = task.generate(split, index, taskOptions);
    const mode = problem.kind === 'chat' && problem.thinking ? 'on' : 'off';
    if (thinking === 'mixed' || thinking === mode) problems.push(problem);
  }
  return problems;
}

/** One problem from its prompt to the judge. */
export async function attempt(candidate: Candidate, problem: Problem, signal?: AbortSignal): Promise<Outcome> {
  const { answer, completionTokens } =
    problem.kind === 'fim' ? await fillMiddle(candidate, problem, signal) : await converse(candidate, problem, signal);
  const { isCorrect, reason } = problem.judge(answer);
  return { problem, answer, isCorrect, reason, completionTokens };
}

async function fillMiddle(candidate: Candidate, problem: Extract<Problem, { kind: 'fim' }>, signal?: AbortSignal) {
  const { text, tokens } = await complete(candidate, encodeFillMiddle(problem.prefix, problem.suffix), signal);
  return { answer: { reasoning: '', content: text, toolCalls: [] }, completionTokens: tokens };
}

async function converse(candidate: Candidate, problem: ChatProblem, signal?: AbortSignal) {
  const { dialect } = candidate;
  const { thinking, tools } = problem;
  const messages: ChatMessage[] = [...problem.messages];
  const toolCalls: ToolCall[] = [];
  let completionTokens = 0;
  for (let round = 0; ; round++) {
    const prompt = dialect.prompt(messages, { thinking, tools });
    const { text, tokens } = await complete(candidate, promptText(prompt), signal);
    completionTokens += tokens;
    const turn = parseAnswer(dialect.openParser(prompt.beginning), text);
    // The engine's clients name the calls; what a model writes has no ids.
    const calls = turn.toolCalls.map((call, i) => ({ ...call, id: `call_${round}_${i}` }));
    toolCalls.push(...calls);
    if (calls.length === 0 || !problem.respond || round === maxRounds) {
      const answer: Answer = { reasoning: turn.reasoning, content: turn.content, toolCalls };
      return { answer, completionTokens };
    }
    messages.push({ ...turn, toolCalls: calls });
    for (const call of calls) messages.push({ role: 'tool', toolCallId: call.id, content: problem.respond(call) });
  }
}

/** Greedy completion of a prompt, up to the end of the sentence or of the context. */
async function complete(
  { engine, stopTokens }: Candidate,
  prompt: string,
  signal?: AbortSignal,
): Promise<{ text: string; tokens: number }> {
  const ids = engine.tokenizer.encode(prompt);
  const maxTokens = Math.min(1024, engine.model.contextLength - ids.length);
  if (maxTokens < 1) return { text: '', tokens: 0 };
  const request = {
    ...{ ...plainRequest, prompt: ids, maxTokens },
    stopTokens,
  };
  let text = '';
  let tokens = 0;
  for await (const event of engine.generate(request, signal)) {
    if (event.type === 'token') text += event.text;
    else if (event.type === 'finish') tokens = event.completionTokens;
  }
  return { text, tokens };
}
