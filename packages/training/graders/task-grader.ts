// task: the judge of a built-in task grades its own problem.
//
// Owns how a row names a problem (`task`, `split`, `index`, and `difficulty` where the task has one) and the three parts of the reward
// that DeepSeek-R1's rules have: accuracy, format, language (Guo et al. 2025, sections 2.2.2 and 2.3.2). The reward is the accuracy;
// a formula may weigh the parts. Knows nothing about any one task.

import type { GraderOfType } from '@hadal/protocol/graders';
import { z } from 'zod';
import { tasks } from '../tasks/registry.ts';
import type { Language, Problem } from '../tasks/task.ts';
import { failed, type Graded, rewarded } from './graded.ts';
import type { Sample, Subject } from './sample.ts';

const rowSchema = z.object({
  task: z.string().optional(),
  split: z.enum(['train', 'validation', 'test']),
  index: z.int().min(0),
  difficulty: z.int().optional(),
});

/** The reward is one of the parts. `accuracy`: 1 or 0. `format`: 1 or 0. `language`: from 0 to 1. */
export function gradeTask(grader: GraderOfType<'task'>, { item, sample }: Subject): Graded {
  const problem = problemOf(grader.task, item);
  if (typeof problem === 'string') return failed('invalid-variable', problem);
  const parts = taskParts(problem, sample);
  return rewarded(parts[grader.part ?? 'accuracy'], { ...parts });
}

export interface TaskParts {
  /** 1 or 0. */
  readonly accuracy: number;
  readonly format: number;
  /** From 0 to 1. */
  readonly language: number;
}

export function taskParts(problem: Problem, sample: Sample): TaskParts {
  const { reasoning, text } = apart(sample);
  const { isCorrect } = problem.judge({ reasoning, content: text, toolCalls: sample.toolCalls });
  return {
    accuracy: isCorrect ? 1 : 0,
    format: isWellFormed(problem, { ...sample, reasoning, text }) ? 1 : 0,
    language: languageConsistency(reasoning === '' ? text : reasoning, problem.language),
  };
}

/** The problem of a row, or why there is none. `taskName`: where the row does not say. */
export function problemOf(taskName: string, item: unknown): Problem | string {
  const row = rowSchema.safeParse(item);
  if (!row.success) {
    const issue = row.error.issues[0];
    return `the item is no row of a task: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`;
  }
  const { task: own = taskName, split, index, difficulty } = row.data;
  const task = tasks.find(({ name }) => name === own);
  if (task === undefined) return `there is no task ${own}; there are ${tasks.map(({ name }) => name).join(', ')}`;
  return task.generate(split, index, difficulty === undefined ? {} : { difficulty });
}

/** Reasoning and text, where an answer has both in one text. */
function apart({ reasoning, text }: Sample): { readonly reasoning: string; readonly text: string } {
  const [, thought, rest] = /^\s*(?:<think>)?([\s\S]*?)<\/think>\s*([\s\S]*)$/.exec(text) ?? [];
  if (reasoning !== '' || thought === undefined || rest === undefined) return { reasoning, text };
  return { reasoning: thought.trim(), text: rest };
}

/** Whether the answer ends by itself, thinks exactly where it was asked to, says something, and has no tags left in it. */
function isWellFormed(problem: Problem, { reasoning, text, toolCalls, isTruncated }: Sample): boolean {
  const isThinking = problem.kind === 'chat' && problem.thinking;
  const saysSomething = text.trim() !== '' || toolCalls.length > 0;
  const hasTags = /<\/?think>/.test(reasoning + text);
  return !isTruncated && saysSomething && !hasTags && isThinking === (reasoning.trim() !== '');
}

/**
 * The share of words that are of the language: Chinese characters against words of Latin letters. 1 where there are neither.
 * A single letter is no word, as it names a thing.
 */
export function languageConsistency(text: string, language: Language): number {
  const chinese = text.match(/\p{Script=Han}/gu)?.length ?? 0;
  const english = text.match(/\p{Script=Latin}{2,}/gu)?.length ?? 0;
  if (chinese + english === 0) return 1;
  return (language === 'zh' ? chinese : english) / (chinese + english);
}
