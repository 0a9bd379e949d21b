// How often a model solves a task.
//
// Owns which problems are asked, and the count of those that are solved. How a model is asked is the exchange's. Knows nothing
// about any task.

import { encodeFillMiddle } from '@hadal/formats/fill-middle';
import { type Candidate, complete, converse, type Exchange, type ExchangeOptions, greedyExchange } from './exchange.ts';
import { taskParts } from './graders/task-grader.ts';
import type { Answer, Problem, Split, Task, TaskOptions } from './tasks/task.ts';

export interface EvaluationOptions {
  readonly split: Split;
  /** Index of the first problem. */
  readonly first: number;
  readonly count: number;
  /** Only problems asked with thinking, only those without, or as the task mixes them. */
  readonly thinking: 'on' | 'off' | 'mixed';
  /** 0, the default, is greedy; above it answers are drawn, the same for the same problems. */
  readonly temperature?: number;
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
  /** Whether it has the form that was asked for, and how far it keeps to the question's language; from 0 to 1. */
  readonly format: number;
  readonly language: number;
}

export interface Evaluation {
  readonly task: string;
  readonly count: number;
  readonly correct: number;
  readonly failures: readonly Outcome[];
  readonly meanTokens: number;
  readonly meanFormat: number;
  readonly meanLanguage: number;
}

/** Asks `count` problems, all at once: the engine decides how many run together. */
export async function evaluate(candidate: Candidate, task: Task, options: EvaluationOptions): Promise<Evaluation> {
  const problems = selectProblems(task, options);
  const outcomes = await Promise.all(
    problems.map(async (problem, i) => {
      const drawn = { ...greedyExchange, temperature: options.temperature ?? 0, seed: options.first + i };
      const outcome = await attempt(candidate, problem, drawn, options.signal);
      options.onProblem?.(outcome);
      return outcome;
    }),
  );
  const failures = outcomes.filter((outcome) => !outcome.isCorrect);
  const mean = (of: (outcome: Outcome) => number) =>
    outcomes.reduce((sum, outcome) => sum + of(outcome), 0) / Math.max(1, outcomes.length);
  return {
    ...{ task: task.name, count: outcomes.length, correct: outcomes.length - failures.length, failures },
    meanTokens: mean(({ completionTokens }) => completionTokens),
    meanFormat: mean(({ format }) => format),
    meanLanguage: mean(({ language }) => language),
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
async function attempt(
  candidate: Candidate,
  problem: Problem,
  exchange: ExchangeOptions,
  signal?: AbortSignal,
): Promise<Outcome> {
  const { answer, completionTokens, isTruncated } =
    problem.kind === 'fim'
      ? await fillMiddle(candidate, problem, exchange, signal)
      : ended(await converse(candidate, problem, exchange, signal));
  const { isCorrect, reason } = problem.judge(answer);
  const { content: text, reasoning, toolCalls } = answer;
  const { format, language } = taskParts(problem, { text, reasoning, toolCalls, isTruncated });
  return { problem, answer, isCorrect, reason, completionTokens, format, language };
}

function ended({ answer, completionTokens, turns }: Exchange) {
  return { answer, completionTokens, isTruncated: turns.at(-1)?.isTruncated === true };
}

async function fillMiddle(
  candidate: Candidate,
  problem: Extract<Problem, { kind: 'fim' }>,
  exchange: ExchangeOptions,
  signal?: AbortSignal,
) {
  const prompt = encodeFillMiddle(problem.prefix, problem.suffix);
  const { text, turn } = await complete(candidate, prompt, exchange, 0, signal);
  const answer = { reasoning: '', content: text, toolCalls: [] };
  return { answer, completionTokens: turn.completion.length, isTruncated: turn.isTruncated };
}
