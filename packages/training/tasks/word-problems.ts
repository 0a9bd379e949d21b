// word-problems: small stories with one to three steps of arithmetic.
//
// Owns how a story becomes a problem: wording, worked steps and judge. The situations are a grammar in
// the stories-of-*.ts files; how a calculation is written out is digits.ts. A problem's key is its situation with its
// steps and numbers, whoever appears in it.
import { workedDifference, workedProduct, workedQuotient, workedSum } from './digits.ts';
import { expertTurn, judgeNumber } from './evaluate-answer.ts';
import { ask, dress } from './phrasing.ts';
import type { Random } from './random.ts';
import { drawBus, drawChanges } from './stories-of-change.ts';
import { drawAges, drawReading, drawRectangle, drawSaving, drawShopping, drawTravel } from './stories-of-measures.ts';
import { drawClass, drawCompared, drawGroups, drawRecipe, drawSeats, drawSharing } from './stories-of-parts.ts';
import { type Step, type Story, tellStory } from './story.ts';
import { type ChatProblem, drawFor, type Language, type Task } from './task.ts';

const name = 'word-problems';

const situations: readonly (readonly [(random: Random) => Story, number])[] = [
  [drawChanges, 26],
  [drawGroups, 14],
  [drawCompared, 12],
  [drawShopping, 13],
  [drawTravel, 8],
  [drawReading, 7],
  [drawAges, 5],
  [drawSharing, 9],
  [drawRectangle, 5],
  [drawBus, 9],
  [drawSeats, 5],
  [drawSaving, 8],
  [drawClass, 6],
  [drawRecipe, 6],
];

export const wordProblems: Task = {
  name,
  generate(split, index): ChatProblem {
    const { drawn, random } = drawFor(name, split, index, (draws) => {
      const story = draws.weighted(situations)(draws);
      return { story, key: `${story.situation} ${story.numbers.join(' ')}`, isSmall: false };
    });
    const language: Language = random.chance(0.3) ? 'zh' : 'en';
    const thinking = !random.chance(0.12);
    const told = tellStory(random, drawn.story, language);
    const { text, result } = workSteps(told.steps, language);
    return {
      kind: 'chat',
      task: name,
      language,
      thinking,
      key: drawn.key,
      messages: ask(random, language, dress(random, language, told.text, 'kept')),
      tools: [],
      solution: [expertTurn(thinking, text, told.answer(result))],
      judge: (final) => judgeNumber(result, final),
    };
  },
};

/** "Buys 13: 24 + 13 ... = 37", a line or block for each step. A step's operand of undefined is the result so far. */
function workSteps(steps: readonly Step[], language: Language): { readonly text: string; readonly result: number } {
  const lines: string[] = [];
  const results: number[] = [];
  for (const step of steps) {
    const a = typeof step.a === 'number' ? step.a : results[step.a.step]!;
    const b = typeof step.b === 'number' ? step.b : results[step.b.step]!;
    const worked = work(step.operation, a, b);
    lines.push(`${step.cue}${language === 'zh' ? '：' : ': '}${worked.text}`);
    results.push(worked.result);
  }
  return { text: lines.join('\n'), result: results.at(-1)! };
}

function work(operation: Step['operation'], a: number, b: number) {
  switch (operation) {
    case '+':
      return workedSum(a, b);
    case '-':
      return workedDifference(a, b);
    case '*':
      return workedProduct(a, b);
    case '/':
      return workedQuotient(a, b);
  }
}
