// countdown: reach a target with given numbers, each used exactly once.
//
// Owns the numbers, wordings, search and judge of the task. The search is written as a bounded list of trials: choose which number
// comes last, write all that the other two make, then what they would have to make ("46-25=21") with yes or no; at the
// first yes, check the whole expression. Every problem has a solution that this search finds.

import { correct, expertTurn, wrong } from './evaluate-answer.ts';
import { evaluateExpression } from './expression.ts';
import { ask, dress, phrase } from './phrasing.ts';
import type { Random } from './random.ts';
import {
  type Answer,
  type ChatProblem,
  type Drawn,
  drawFor,
  type Language,
  type Split,
  type Task,
  type TaskOptions,
  type Verdict,
} from './task.ts';

interface Game extends Drawn {
  readonly numbers: readonly number[];
  readonly target: number;
}

/** A calculation of two numbers and its value. */
interface Made {
  readonly text: string;
  readonly value: number;
}

/** What the pair would have to make when `last` is used last, and how the target follows from it. */
interface Need {
  readonly text: string;
  readonly value: number;
  finish(made: string): string;
}

const name = 'countdown';
const maxTarget = 200;

/** Difficulty is how many numbers: 3, or 2. By default one problem in ten has two. */
export const countdown: Task = {
  name,
  generate: (split, index, options) => countdownProblem(split, index, options).problem,
};

/** The problem of an index, and what it is about. */
export function countdownProblem(
  split: Split,
  index: number,
  options?: TaskOptions,
): { readonly problem: ChatProblem; readonly numbers: readonly number[]; readonly target: number } {
  const { drawn, random } = drawFor(name, split, index, (draws) => drawGame(draws, options?.difficulty));
  const { numbers, target } = drawn;
  const language: Language = random.chance(0.3) ? 'zh' : 'en';
  const thinking = !random.chance(0.12);
  const list = listNumbers(random, numbers, language);
  const question = dress(random, language, phrase(random, questions[language], { list, target }));
  const search = workedSearch(numbers, target, language);
  const problem: ChatProblem = {
    ...{ kind: 'chat', task: name, language, thinking, key: drawn.key },
    messages: ask(random, language, question),
    tools: [],
    solution: [expertTurn(thinking, search.text, `${search.expression} = ${target}`)],
    judge: (final) => judge(final, numbers, target),
  };
  return { problem, numbers, target };
}

function drawGame(random: Random, difficulty: number | undefined): Game {
  const count = difficulty ?? (random.chance(0.1) ? 2 : 3);
  if (count !== 2 && count !== 3) throw new Error(`countdown: expected a difficulty of 2 or 3 numbers, got ${count}`);
  for (;;) {
    const numbers = Array.from({ length: count }, () => drawNumber(random));
    const target = drawTarget(random, numbers);
    if (target === undefined) continue;
    // Four in five would be solved with the first choice of the last number; half as many of them teach going on.
    if (count === 3 && isSolvedAtOnce(numbers, target) && random.chance(0.5)) continue;
    const key = `${[...numbers].sort((a, b) => a - b).join(' ')} to ${target}`;
    return { numbers, target, key, isSmall: false };
  }
}

function drawNumber(random: Random): number {
  return random.weighted([
    [random.integer(1, 10), 55],
    [random.integer(11, 25), 28],
    [random.integer(26, 99), 17],
  ]);
}

/** A target that the search reaches, by a random last step. */
function drawTarget(random: Random, numbers: readonly number[]): number | undefined {
  if (numbers.length === 2) return within(random.pick(pairResults(numbers[0]!, numbers[1]!)).value);
  const last = random.integer(0, 2);
  const [x, y] = without(numbers, last);
  const c = numbers[last]!;
  const r = random.pick(pairResults(x, y)).value;
  const candidates = [r + c, r - c, c - r, r * c, c > 1 && r % c === 0 ? r / c : 0].filter(
    (target) => within(target) !== undefined && needsOf(c, target).some((need) => need.value === r),
  );
  return candidates.length === 0 ? undefined : random.pick(candidates);
}

/** Whether the search ends with the number that it first puts last. */
function isSolvedAtOnce(numbers: readonly number[], target: number): boolean {
  const last = numbers.length - 1;
  const results = pairResults(...without(numbers, last));
  return needsOf(numbers[last]!, target).some((need) => results.some((made) => made.value === need.value));
}

function within(target: number): number | undefined {
  return target >= 1 && target <= maxTarget ? target : undefined;
}

function without(numbers: readonly number[], index: number): [number, number] {
  const rest = numbers.filter((_, i) => i !== index);
  return [rest[0]!, rest[1]!];
}

/** Sum, difference, product and quotient of a pair, where they are positive and small enough to know. */
function pairResults(x: number, y: number): Made[] {
  const high = Math.max(x, y);
  const low = Math.min(x, y);
  const results: Made[] = [{ text: `${x}+${y}`, value: x + y }];
  if (high > low) results.push({ text: `${high}-${low}`, value: high - low });
  if (low < 10) results.push({ text: `${x}*${y}`, value: x * y });
  if (low > 1 && low < 10 && high % low === 0) results.push({ text: `${high}/${low}`, value: high / low });
  return results;
}

function needsOf(last: number, target: number): Need[] {
  const needs: Need[] = [];
  if (target > last) {
    needs.push({ text: `${target}-${last}`, value: target - last, finish: (made) => `${made} + ${last}` });
  }
  needs.push({ text: `${target}+${last}`, value: target + last, finish: (made) => `${made} - ${last}` });
  if (target % last === 0 && (last < 10 || target / last < 10)) {
    needs.push({ text: `${target}/${last}`, value: target / last, finish: (made) => `${made} * ${last}` });
  }
  if (last > target) {
    needs.push({ text: `${last}-${target}`, value: last - target, finish: (made) => `${last} - ${made}` });
  }
  if (last > 1 && last < 10) {
    needs.push({ text: `${target}*${last}`, value: target * last, finish: (made) => `${made} / ${last}` });
  }
  return needs;
}

function workedSearch(
  numbers: readonly number[],
  target: number,
  language: Language,
): { readonly text: string; readonly expression: string } {
  const words = workings[language];
  const lines: string[] = [`${words.target}${target}${words.from}${numbers.join(language === 'zh' ? '，' : ', ')}`];
  if (numbers.length === 2) {
    const trials: string[] = [];
    for (const made of pairResults(numbers[0]!, numbers[1]!)) {
      const isFound = made.value === target;
      trials.push(`${made.text}=${made.value} ${isFound ? words.yes : words.no}`);
      if (isFound) return { text: [...lines, trials.join(' ')].join('\n'), expression: spaced(made.text) };
    }
  } else {
    for (let last = numbers.length - 1; last >= 0; last--) {
      const [x, y] = without(numbers, last);
      const c = numbers[last]!;
      const results = pairResults(x, y);
      let line = `${words.last(c)} ${results.map((made) => `${made.text}=${made.value}`).join(' ')};`;
      for (const need of needsOf(c, target)) {
        const found = results.find((made) => made.value === need.value);
        line += ` ${need.text}=${need.value} ${found ? words.yes : words.no}`;
        if (found) {
          const check = need.finish(String(found.value)).replaceAll(' ', '');
          lines.push(line, `${found.text}=${found.value} ${check}=${target}`);
          return { text: lines.join('\n'), expression: need.finish(`(${spaced(found.text)})`) };
        }
      }
      lines.push(line);
    }
  }
  throw new Error(`countdown: expected the search to reach ${target} from ${numbers.join(', ')}`);
}

function spaced(expression: string): string {
  return expression.replace(/([-+*/])/, ' $1 ');
}

const workings = {
  en: { target: 'Target ', from: ' from ', last: (c: number) => `${c} last:`, yes: 'yes', no: 'no' },
  zh: { target: '目标', from: '，数字', last: (c: number) => `最后用${c}：`, yes: '对', no: '不' },
} as const;

function judge(final: Answer, numbers: readonly number[], target: number): Verdict {
  const expected = `an expression of ${numbers.join(', ')} worth ${target}`;
  const line = final.content.trim().split('\n').at(-1)!.replaceAll('×', '*').replaceAll('÷', '/').replaceAll('−', '-');
  for (const candidate of line.match(/[\d(][\d\s+\-*/()]*[\d)]/g) ?? []) {
    const used = candidate.match(/\d+/g)?.map(Number) ?? [];
    if (used.length !== numbers.length) continue;
    const sorted = (values: readonly number[]): string => [...values].sort((a, b) => a - b).join(' ');
    if (sorted(used) === sorted(numbers) && evaluateExpression(candidate) === target) return correct;
  }
  return wrong(expected, final.content);
}

function listNumbers(random: Random, numbers: readonly number[], language: Language): string {
  const head = numbers.slice(0, -1);
  const tail = numbers.at(-1)!;
  if (language === 'zh') {
    return random.pick([numbers.join('、'), numbers.join('，'), `${head.join('、')}和${tail}`, numbers.join(' ')]);
  }
  return random.pick([
    numbers.join(', '),
    `${head.join(', ')} and ${tail}`,
    `[${numbers.join(', ')}]`,
    numbers.join(' '),
  ]);
}

const questions: Readonly<Record<Language, string>> = {
  en:
    '{{Use|Combine} {the numbers |}$list to {make|reach|get} $target. {Use each number {exactly |}once|Each number once|Every number must be used once}.|' +
    '{Make|Reach|Get|Form} $target {from|with|using} {the numbers |}$list{, each {exactly |}once|, using each number once}.|' +
    'Using {the numbers |}$list, {create|write|find|build} an {expression|equation} that {equals|gives|makes} $target. {Use each number once.|You can use + - * /, each number once.}|' +
    '{Countdown|Numbers game|Numbers round}: {numbers |}$list, target $target.|' +
    'How can {I|you} {make|get|reach} $target {from|with|out of} $list{, using each number once|, each used once|}?|' +
    '{Numbers|Given}: $list. Target: $target.{ Each number once.|}|' +
    'Can you {make|get|reach} $target {from|with} $list{ using each once|}?|' +
    'Find a way to {get|make} $target with $list and + - * /{, each number once|}.}',
  zh:
    '{用{数字|}$list{算出|得到|凑出}$target{，每个数{只能|必须|恰好|}用一次|}。|{请|}用$list{和加减乘除|}{写一个|列一个}等于$target的{算式|式子}{，每个数用一次|}。|' +
    '怎样用$list{得到|算出|凑成}$target？{每个数用一次。|}|数字：$list，目标：$target。{每个数用一次。|}|$list，{怎么算|如何}{等于|得到}$target？|' +
    '给你$list，每个数{用一次|只用一次}，{算出|凑出}$target。|数字游戏：$list，目标$target。}',
};
