// Conversations of several problems.
//
// Owns how chat problems become one document: earlier problems as turns already answered, the last one to be solved. Knows
// nothing of what the problems ask. Only the last problem's solution is the model's to learn: where it thinks, an earlier
// answer stands there without its reasoning, as the chat encoding shows it, and learning that would teach answering without thought.
import type { ChatMessage } from '@hadal/formats/chat/message';
import { arithmetic } from './arithmetic.ts';
import { compareDecimals } from './compare-decimals.ts';
import { countLetters } from './count-letters.ts';
import { countdown } from './countdown.ts';
import { introduce } from './introduce.ts';
import { Random } from './random.ts';
import type { ChatProblem, Split, Task } from './task.ts';
import { wordProblems } from './word-problems.ts';

const name = 'conversation';

/** Tasks that need no tools and no system message, or their texts would contradict each other. */
const joinable: readonly Task[] = [arithmetic, compareDecimals, countLetters, wordProblems, introduce, countdown];

/** Two or three problems of one language, each of the split asked for, in one conversation. A pure function. */
export function composeConversation(split: Split, index: number): ChatProblem {
  const random = new Random(`${name}/${split}/${index}`);
  const count = random.chance(0.7) ? 2 : 3;
  const problems: ChatProblem[] = [];
  for (let attempt = 0; problems.length < count; attempt++) {
    const problem = drawPart(random, split, attempt);
    const first = problems[0] ?? problem;
    if (problem.language === first.language && problem.thinking === first.thinking) problems.push(problem);
  }
  return joinProblems(problems);
}

export const conversation: Task = { name, generate: composeConversation };

/** The problems as one: the last is solved, the others are its history. */
export function joinProblems(problems: readonly ChatProblem[]): ChatProblem {
  const last = problems.at(-1);
  if (last === undefined) throw new Error('conversation: expected at least one problem, got none');
  const history = problems.slice(0, -1).flatMap((problem): ChatMessage[] => {
    const answer = problem.solution.at(-1);
    if (problem.tools.length > 0 || answer?.role !== 'assistant') {
      throw new Error(`conversation: expected problems without tools, got ${problem.task}`);
    }
    return [...withoutSystem(problem), { role: 'assistant', content: answer.content }];
  });
  return {
    ...last,
    task: name,
    key: problems.map((problem) => `${problem.task}: ${problem.key}`).join('; '),
    messages: [...history, ...withoutSystem(last)],
  };
}

function withoutSystem(problem: ChatProblem): readonly ChatMessage[] {
  return problem.messages.filter((message) => message.role !== 'system');
}

function drawPart(random: Random, split: Split, attempt: number): ChatProblem {
  const task = random.fork(`task ${attempt}`).pick(joinable);
  // Far from the indices that stand alone, so that a conversation repeats no document.
  const problem = task.generate(split, random.fork(`index ${attempt}`).integer(500_000_000, 999_999_999));
  if (problem.kind !== 'chat') throw new Error(`conversation: expected messages, got ${problem.kind} of ${task.name}`);
  return problem;
}
