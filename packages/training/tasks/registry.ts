// All tasks by name.
//
// Owns the table that training and evaluation choose from. Knows nothing about what a task does or how much of it a
// model is trained on: a recipe says that.
import { addAndSubtract, arithmetic, multiply } from './arithmetic.ts';
import { compareDecimals } from './compare-decimals.ts';
import { conversation } from './conversation.ts';
import { countLetters } from './count-letters.ts';
import { countdown } from './countdown.ts';
import { countdownForm } from './countdown-form.ts';
import { extractJson } from './extract-json.ts';
import { extractParcel } from './extract-parcel.ts';
import { fillMiddle } from './fill-middle.ts';
import { introduce } from './introduce.ts';
import { repeatText } from './repeat-text.ts';
import type { Task } from './task.ts';
import { useTools } from './use-tools.ts';
import { wordProblems } from './word-problems.ts';

/** What hadal-nano is trained on and an evaluation asks where nobody says what. */
export const tasks: readonly Task[] = [
  compareDecimals,
  countLetters,
  arithmetic,
  addAndSubtract,
  multiply,
  countdown,
  wordProblems,
  extractJson,
  useTools,
  fillMiddle,
  introduce,
  repeatText,
  conversation,
];

/** What can be asked and judged: the tasks, and narrow ones that are in no mixture, so that a model meets them unprepared. */
export const askableTasks: readonly Task[] = [...tasks, extractParcel];

/** What is only trained on: its documents show a form, and no solution that a judge would pass. */
const drills: readonly Task[] = [countdownForm];

/** The task, or drill, of that name; the error lists the names there are. */
export function taskNamed(name: string): Task {
  const known = [...askableTasks, ...drills];
  const task = known.find((each) => each.name === name);
  if (task === undefined)
    throw new Error(`task: expected one of ${known.map((each) => each.name).join(', ')}, got ${name}`);
  return task;
}
