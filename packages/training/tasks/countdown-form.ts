// The form of an answer to countdown, without a way to find it.
//
// Owns documents for a base model that is to learn by trial and error what nobody shows it (DeepSeek-R1, arXiv 2501.12948,
// section 2.2): the questions of countdown, then attempts drawn at random, each worked out and set against the target ("52=79 no"), in
// either language whatever the question's, and the last of them as the answer, right or wrong. How many there are does not depend on
// whether one was right. Questions and their splits are countdown's own, and so is the judge.

import { countdownProblem } from './countdown.ts';
import { expertTurn } from './evaluate-answer.ts';
import { Random } from './random.ts';
import type { ChatProblem, Task } from './task.ts';

const maxAttempts = 16;

export const countdownForm: Task = {
  name: 'countdown-form',
  generate(split, index, options): ChatProblem {
    const { problem, numbers, target } = countdownProblem(split, index, options);
    const random = new Random(`countdown-form/${split}/${index}`);
    const lines: string[] = [];
    let expression = '';
    for (let left = random.integer(1, maxAttempts); left > 0; left--) {
      const attempt = drawAttempt(random, numbers);
      const words = random.chance(0.5)
        ? { yes: 'yes', no: 'no', attempt: 'try' }
        : { yes: '对', no: '不', attempt: '试' };
      const verdict = attempt.value === target ? words.yes : words.no;
      lines.push(`${words.attempt} ${attempt.steps.join(' ')} ${attempt.value}=${target} ${verdict}`);
      expression = attempt.expression;
    }
    const solution = [expertTurn(problem.thinking, lines.join('\n'), `${expression} = ${target}`)];
    return { ...problem, task: 'countdown-form', solution };
  },
};

interface Attempt {
  /** Calculations of two numbers each. */
  readonly steps: readonly string[];
  readonly expression: string;
  readonly value: number;
}

/** All numbers, in any order, with any operations that stay among whole numbers above 0 that are easy to know. */
function drawAttempt(random: Random, numbers: readonly number[]): Attempt {
  for (;;) {
    const [first, ...rest] = random.shuffle(numbers);
    let [value, expression] = [first as number, String(first)];
    const steps: string[] = [];
    for (const [i, next] of rest.entries()) {
      const made = random.pick(operations)(value, next);
      if (made === undefined) break;
      const inner = i === 0 ? expression : `(${expression})`;
      const [left, right] = made.isSwapped ? [next, value] : [value, next];
      const [leftText, rightText] = made.isSwapped ? [String(next), inner] : [inner, String(next)];
      steps.push(`${left}${made.sign}${right}=${made.value}`);
      [value, expression] = [made.value, `${leftText} ${made.sign} ${rightText}`];
    }
    if (steps.length === rest.length) return { steps, expression, value };
  }
}

interface Made {
  readonly sign: string;
  readonly value: number;
  readonly isSwapped: boolean;
}

const operations: readonly ((a: number, b: number) => Made | undefined)[] = [
  (a, b) => ({ sign: '+', value: a + b, isSwapped: false }),
  (a, b) => (a === b ? undefined : { sign: '-', value: Math.abs(a - b), isSwapped: b > a }),
  (a, b) => (Math.min(a, b) < 10 && a * b < 300 ? { sign: '*', value: a * b, isSwapped: false } : undefined),
  (a, b) => {
    const [high, low] = [Math.max(a, b), Math.min(a, b)];
    return low > 1 && low < 10 && high % low === 0 ? { sign: '/', value: high / low, isSwapped: b > a } : undefined;
  },
];
