// What is wrong with a grader, before anything is graded.
//
// Owns the checks that need no answer: that templates name something, that a formula can be read, that programs compile and define
// `grade`, that a built-in task exists and, with the rows of a file, that each row has what is asked of it and that programs end on
// the first of them. Tells all mistakes at once, each with its field.

import type { Grader, GraderOfType, SingleGrader } from '@hadal/protocol/graders';
import { askableTasks } from '../tasks/registry.ts';
import { FormulaError, parseFormula } from './formula.ts';
import { namespacesOf, textSample } from './sample.ts';
import type { SandboxPool } from './sandbox/sandbox-pool.ts';
import { textsOf } from './score-model.ts';
import { problemOf } from './task-grader.ts';
import { type NumberedItem, templateMistakes } from './template.ts';

export type { NumberedItem } from './template.ts';

export interface GraderMistake {
  /** Of the grader, such as `graders.a.source`. */
  readonly field: string;
  readonly problem: string;
}

export interface ValidationResources {
  readonly sandboxes: Pick<SandboxPool, 'run'>;
  readonly signal?: AbortSignal;
}

/** Empty where the grader is fine. `items`: the rows that it will grade answers to; without them only the grader is looked at. */
export async function validateGrader(
  grader: Grader,
  resources: ValidationResources,
  items: readonly NumberedItem[] = [],
): Promise<GraderMistake[]> {
  if (grader.type !== 'multi') return await mistakesOf(grader, '', resources, items);
  const parts = await Promise.all(
    Object.entries(grader.graders).map(([name, each]) => mistakesOf(each, `graders.${name}.`, resources, items)),
  );
  return [...parts.flat(), ...formulaMistakes(grader)];
}

function formulaMistakes({ graders, calculate_output: formula }: GraderOfType<'multi'>): GraderMistake[] {
  try {
    parseFormula(formula, Object.keys(graders));
    return [];
  } catch (error) {
    if (!(error instanceof FormulaError)) throw error;
    return [{ field: 'calculate_output', problem: error.message }];
  }
}

async function mistakesOf(
  grader: SingleGrader,
  prefix: string,
  resources: ValidationResources,
  items: readonly NumberedItem[],
): Promise<GraderMistake[]> {
  switch (grader.type) {
    case 'string_check':
    case 'text_similarity':
      return (['input', 'reference'] as const).flatMap((field) =>
        templateMistakes(grader[field], items).map((problem) => ({ field: prefix + field, problem })),
      );
    case 'score_model':
      return grader.input.flatMap(({ content }, i) =>
        textsOf(content)
          .flatMap((text) => templateMistakes(text, items))
          .map((problem) => ({ field: `${prefix}input[${i}].content`, problem })),
      );
    case 'python':
    case 'javascript':
      return await programMistakes(grader, prefix, resources, items);
    case 'webhook':
      return [];
    case 'task':
      return taskMistakes(grader, prefix, items);
  }
}

/** Compiled and defined in the sandbox; with rows also called, on an answer that says nothing, to see that it ends. */
async function programMistakes(
  { type, source }: GraderOfType<'python' | 'javascript'>,
  prefix: string,
  { sandboxes, signal }: ValidationResources,
  items: readonly NumberedItem[],
): Promise<GraderMistake[]> {
  const mistake = (problem: string): GraderMistake[] => [{ field: `${prefix}source`, problem }];
  const checked = await sandboxes.run(type, { type: 'check', source }, signal);
  if (checked.type !== 'fine') return mistake(checked.message);
  const [first] = items;
  if (first === undefined) return [];
  const { item, sample } = namespacesOf({ item: first.item, sample: textSample('') });
  const called = await sandboxes.run(type, { type: 'grade', source, item, sample }, signal);
  // That nothing is no good answer may well be an error of the program's.
  if (called.type === 'fine' || called.type === 'mistake') return [];
  return mistake(`with the row of line ${first.line} and an empty answer: ${called.message}`);
}

function taskMistakes({ task }: GraderOfType<'task'>, prefix: string, items: readonly NumberedItem[]): GraderMistake[] {
  const mistake = (problem: string): GraderMistake[] => [{ field: `${prefix}task`, problem }];
  if (!askableTasks.some(({ name }) => name === task)) {
    return mistake(`expected one of ${askableTasks.map(({ name }) => name).join(', ')}, got ${task}`);
  }
  for (const { line, item } of items) {
    const problem = problemOf(task, item);
    if (typeof problem === 'string') return mistake(`the row of line ${line}: ${problem}`);
  }
  return [];
}
