// arithmetic: sums, differences and products, worked out in the reasoning.
//
// Owns the numbers and wordings of the task; how a calculation is written out is digits.ts. Addition and subtraction to five digits
// (negative results too), products to three by two digits. Single-digit facts belong to train alone: there are too few to hold out.
import { workedDifference, workedProduct, workedSum } from './digits.ts';
import { expertTurn, judgeNumber } from './evaluate-answer.ts';
import { ask, dress, phrase } from './phrasing.ts';
import type { Random } from './random.ts';
import { type ChatProblem, type Drawn, drawFor, type Language, type Task } from './task.ts';

export type Operation = '+' | '-' | '*';

interface Calculation extends Drawn {
  readonly operation: Operation;
  readonly a: number;
  readonly b: number;
}

const name = 'arithmetic';

/** All three operations: 40 % sums, 32 % differences, 28 % products. */
export const arithmetic: Task = arithmeticTask(name, [
  ['+', 40],
  ['-', 32],
  ['*', 28],
]);

/** Sums and differences alone, to be measured apart from products; the same keys and splits as `arithmetic`. */
export const addAndSubtract: Task = arithmeticTask('add-and-subtract', [
  ['+', 55],
  ['-', 45],
]);

/** Products alone; the same keys and splits as `arithmetic`. */
export const multiply: Task = arithmeticTask('multiply', [['*', 1]]);

function arithmeticTask(taskName: string, operations: readonly (readonly [Operation, number])[]): Task {
  return {
    name: taskName,
    generate(split, index): ChatProblem {
      // Drawn under one name whatever the variant, so that a key has one split.
      const { drawn, random } = drawFor(name, split, index, (draws) =>
        drawCalculation(draws, draws.weighted(operations)),
      );
      const { operation, a, b } = drawn;
      const asked: Language = random.chance(0.3) ? 'zh' : 'en';
      const thinking = !random.chance(0.18);
      const question = dress(random, asked, askCalculation(random, asked, operation, a, b));
      // Symbols alone have no language, and are answered in English.
      const language: Language = /[\p{Script=Han}？。]/u.test(question) ? asked : 'en';
      const worked = work(operation, a, b);
      const opening = worked.text.includes('\n') ? `${openings[language][operation]}\n` : '';

      return {
        kind: 'chat',
        task: taskName,
        language,
        thinking,
        key: drawn.key,
        messages: ask(random, language, question),
        tools: [],
        solution: [
          expertTurn(thinking, opening + worked.text, phrase(random, answers[language], { r: worked.result })),
        ],
        judge: (final) => judgeNumber(worked.result, final),
      };
    },
  };
}

function work(operation: Operation, a: number, b: number) {
  if (operation === '+') return workedSum(a, b);
  return operation === '-' ? workedDifference(a, b) : workedProduct(a, b);
}

function drawCalculation(random: Random, operation: Operation): Calculation {
  let a: number;
  let b: number;
  if (operation === '*') {
    const [digitsA, digitsB] = random.weighted([
      [[3, 2], 42],
      [[2, 2], 25],
      [[3, 1], 15],
      [[2, 1], 12],
      [[1, 1], 6],
    ] as const);
    a = drawNumber(random, digitsA);
    b = drawNumber(random, digitsB);
    if (random.chance(0.35)) [a, b] = [b, a];
  } else {
    const digits = random.weighted([
      [1, 4],
      [2, 14],
      [3, 24],
      [4, 28],
      [5, 30],
    ]);
    a = drawNumber(random, digits);
    b = drawNumber(random, random.chance(0.6) ? digits : random.integer(1, digits));
    // A question is more often about a positive difference; sums come either way round.
    const swaps = operation === '-' ? a < b && random.chance(0.5) : random.chance(0.4);
    if (swaps) [a, b] = [b, a];
  }
  const key = `${operation} ${Math.min(a, b)} ${Math.max(a, b)}`;
  return { operation, a, b, key, isSmall: a < 10 && b < 10 };
}

/** A number of exactly `digits` digits; sometimes a round one. */
function drawNumber(random: Random, digits: number): number {
  const low = digits === 1 ? 0 : 10 ** (digits - 1);
  const number = random.integer(low, 10 ** digits - 1);
  return digits >= 2 && random.chance(0.06) ? Math.max(low, number - (number % 10)) : number;
}

/** A question about `a operation b`, in symbols or words. */
export function askCalculation(random: Random, language: Language, operation: Operation, a: number, b: number): string {
  const sign =
    operation === '*'
      ? random.weighted([
          ['*', 50],
          ['×', 30],
          ['x', 20],
        ] as const)
      : operation;
  const spaced = random.chance(0.6) ? ` ${sign} ` : sign;
  const grouped = random.chance(0.03);
  const x = grouped ? a.toLocaleString('en-US') : String(a);
  const y = grouped ? b.toLocaleString('en-US') : String(b);
  const values = { e: `${x}${spaced}${y}`, a: x, b: y };
  const template = random.chance(0.55) ? expressions[language] : inWords[language][operation];
  return phrase(random, template, values);
}

const expressions: Readonly<Record<Language, string>> = {
  en:
    "{{What is|What's|whats|How much is|Calculate|Compute|Work out|Find|Solve|Evaluate|Please calculate|Can you compute|" +
    'Could you work out|Do you know|Tell me|What does|I need} $e{?||.}|$e{=?| = ?|=| =||?}|' +
    '{The result of|Result of|The answer to|The value of} $e{?|, please.|}|{What do I get for|What do you get for|How much is it:} $e?}',
  zh: '{{$e{等于多少|等于几|是多少|得多少|的结果是多少|的结果是什么|怎么算}？|{计算|算一下|算一算|请计算|请算|帮我算|求}{：|}$e{。|}|$e{=?| = ?|=|=？|＝？}|$e{等于？|？|}}}',
};

const inWords: Readonly<Record<Language, Readonly<Record<Operation, string>>>> = {
  en: {
    '+':
      "{{What is|What's|How much is|Calculate|Compute} {$a plus $b|the sum of $a and $b|$a added to $b|$a and $b together}{?|}|" +
      'Add {$a and $b|$a to $b|the numbers $a and $b}{.|}|{If I add|Adding} $a and $b, what {do I get|is the result}?|' +
      'What do you get when you add $a and $b?|Sum of $a and $b{?|}|What is the total of $a and $b?}',
    '-':
      "{{What is|What's|How much is|Calculate|Compute} {$a minus $b|$a less $b|$a take away $b}{?|}|" +
      'Subtract $b from $a{.|}|{If I take|Taking} $b {away |}from $a, what is left?|Take $b from $a{.|}|' +
      'What do you get when you subtract $b from $a?|What remains of $a after subtracting $b?}',
    '*':
      "{{What is|What's|How much is|Calculate|Compute} {$a times $b|the product of $a and $b|$a multiplied by $b}{?|}|" +
      'Multiply {$a by $b|$a and $b|$a with $b}{.|}|{If I multiply|Multiplying} $a by $b, what {do I get|is the result}?|' +
      'What do you get when you multiply $a by $b?|Product of $a and $b{?|}}',
  },
  zh: {
    '+': '{$a加$b{等于多少|等于几|是多少|得多少}？|$a{和|与}$b{的和|加起来|相加|一共}{是多少|等于多少}？|{把|将}$a和$b{相加|加起来}{，结果是多少？|。|}|求$a与$b的和{。|}}',
    '-': '{$a减$b{等于多少|等于几|是多少|得多少}？|$a减去$b{等于多少|还剩多少|是多少}？|$a{和|与}$b的差，用前面的减后面的{，是多少？|。}|从$a里{减去|去掉|拿走}$b{，还剩多少？|是多少？}|求$a减$b的差{。|}}',
    '*': '{$a乘$b{等于多少|等于几|是多少|得多少}？|$a乘以$b{等于多少|是多少}？|$a{和|与}$b的{积|乘积}是多少？|{把|将}$a和$b相乘{，结果是多少？|。|}|求$a与$b的积{。|}}',
  },
};

const openings: Readonly<Record<Language, Readonly<Record<Operation, string>>>> = {
  en: { '+': 'Add column by column:', '-': 'Subtract column by column:', '*': 'Multiply digit by digit:' },
  zh: { '+': '逐位相加：', '-': '逐位相减：', '*': '逐位相乘：' },
};

const answers: Readonly<Record<Language, string>> = {
  en: 'The answer is $r.',
  zh: '答案是$r。',
};
