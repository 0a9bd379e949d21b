// Grading: an answer in, a reward out.
//
// Owns which file grades for which kind, and how rewards, problems and usage of several graders come together. Models, webhooks,
// sandboxes and the clock arrive as arguments. Grading never throws because of an answer or of what a caller wrote: whatever goes
// wrong is a problem beside a reward of 0.

import type { GraderProblem, GraderRun, GraderUsage } from '@hadal/protocol/grader-run';
import type { Grader, GraderOfType, SingleGrader } from '@hadal/protocol/graders';
import { type FormulaError, parseFormula } from './formula.ts';
import { failed, type Graded } from './graded.ts';
import { gradeProgram } from './program.ts';
import { type Namespaces, namespacesOf, type Subject } from './sample.ts';
import type { SandboxPool } from './sandbox/sandbox-pool.ts';
import { type AskModel, gradeScoreModel } from './score-model.ts';
import { gradeStringCheck } from './string-check.ts';
import { gradeTask } from './task-grader.ts';
import { UnfilledTemplate } from './template.ts';
import { gradeTextSimilarity } from './text-similarity.ts';
import { gradeWebhook, type PostWebhook } from './webhook.ts';

/** What graders reach the world by. */
export interface GraderResources {
  readonly ask: AskModel;
  readonly post: PostWebhook;
  readonly sandboxes: Pick<SandboxPool, 'run'>;
  /** Milliseconds since whenever. */
  readonly nowMs: () => number;
  readonly signal?: AbortSignal;
}

/** Rejects only when aborted, or because of a bug. */
export async function grade(grader: Grader, subject: Subject, resources: GraderResources): Promise<GraderRun> {
  const beginMs = resources.nowMs();
  const namespaces = namespacesOf(subject);
  const result =
    grader.type === 'multi'
      ? await gradeMulti(grader, subject, namespaces, resources)
      : asResult(grader.name, await gradeSingle(grader, subject, namespaces, resources));
  return { name: grader.name, type: grader.type, executionMs: resources.nowMs() - beginMs, ...result };
}

/** Whether the reward says something about the answer, rather than about the grader. */
export function isSound({ problems }: Pick<GraderRun, 'problems'>): boolean {
  return problems.every(({ kind }) => kind === 'sample-parse');
}

type Result = Pick<GraderRun, 'reward' | 'subRewards' | 'problems' | 'usage'>;

async function gradeMulti(
  grader: GraderOfType<'multi'>,
  subject: Subject,
  namespaces: Namespaces,
  resources: GraderResources,
): Promise<Result> {
  const results = await Promise.all(
    Object.entries(grader.graders).map(async ([name, each]) => {
      return [name, asResult(name, await gradeSingle(each, subject, namespaces, resources))] as const;
    }),
  );
  const rewards = Object.fromEntries(results.map(([name, { reward }]) => [name, reward]));
  const problems = results.flatMap(([, result]) => result.problems);
  const together = { subRewards: rewards, usage: summed(results.map(([, { usage }]) => usage)) };
  // An answer that lacks what a part looks at has 0 for that part; a part that could not be graded makes the whole mean nothing.
  if (problems.some(({ kind }) => kind !== 'sample-parse')) return { reward: 0, problems, ...together };
  const value = formulaValue(grader.calculate_output, rewards);
  if (typeof value === 'number') return { reward: value, problems, ...together };
  return {
    reward: 0,
    problems: [...problems, { kind: 'formula-parse', grader: grader.name, message: value }],
    ...together,
  };
}

/** What is wrong with the formula, in words, where it has no value. */
function formulaValue(text: string, rewards: Readonly<Record<string, number>>): number | string {
  try {
    const value = parseFormula(text, Object.keys(rewards)).evaluate(rewards);
    return Number.isFinite(value) ? value : `expected a finite number, the formula is ${value}`;
  } catch (error) {
    return (error as FormulaError).message;
  }
}

async function gradeSingle(
  grader: SingleGrader,
  subject: Subject,
  namespaces: Namespaces,
  resources: GraderResources,
): Promise<Graded> {
  const { ask, post, sandboxes, signal } = resources;
  try {
    switch (grader.type) {
      case 'string_check':
        return gradeStringCheck(grader, namespaces);
      case 'text_similarity':
        return gradeTextSimilarity(grader, namespaces);
      case 'score_model':
        return await gradeScoreModel(grader, namespaces, ask, signal);
      case 'python':
      case 'javascript':
        return await gradeProgram(grader, namespaces, sandboxes, signal);
      case 'webhook':
        return await gradeWebhook(grader, namespaces, post, signal);
      case 'task':
        return gradeTask(grader, subject);
      default:
        return unreachable(grader);
    }
  } catch (error) {
    if (error instanceof UnfilledTemplate) return failed(error.kind, error.message);
    throw error;
  }
}

function asResult(name: string, graded: Graded): Result {
  const { usage: asked } = graded;
  const usage = asked === undefined ? {} : { [asked.model]: usageOf(asked) };
  if (graded.type === 'reward') return { reward: graded.reward, subRewards: graded.parts, problems: [], usage };
  const problem: GraderProblem = { kind: graded.kind, grader: name, message: graded.message };
  return { reward: 0, subRewards: {}, problems: [problem], usage };
}

function usageOf({ promptTokens, completionTokens, cachedTokens }: GraderUsage): GraderUsage {
  return { promptTokens, completionTokens, cachedTokens };
}

function summed(usages: readonly Readonly<Record<string, GraderUsage>>[]): Readonly<Record<string, GraderUsage>> {
  const total: Record<string, GraderUsage> = {};
  for (const [model, usage] of usages.flatMap((each) => Object.entries(each))) {
    const before = total[model] ?? { promptTokens: 0, completionTokens: 0, cachedTokens: 0 };
    total[model] = {
      promptTokens: before.promptTokens + usage.promptTokens,
      completionTokens: before.completionTokens + usage.completionTokens,
      cachedTokens: before.cachedTokens + usage.cachedTokens,
    };
  }
  return total;
}

function unreachable(value: never): never {
  throw new Error(`expected a known grader, got ${JSON.stringify(value)}`);
}
