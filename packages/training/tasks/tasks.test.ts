// What every task promises.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { deepseekV4 } from '@hadal/formats/chat/deepseek-v4';
import { promptText } from '@hadal/formats/chat/dialect';
import fc from 'fast-check';
import { expertAnswer } from './evaluate-answer.ts';
import { askableTasks, taskNamed } from './registry.ts';
import { type Answer, type ChatProblem, type Problem, type Split, splitOf } from './task.ts';

const splits: readonly Split[] = ['train', 'validation', 'test'];
const count = 150;

function problemsOf(name: string, split: Split, howMany = count): Problem[] {
  const task = taskNamed(name);
  return Array.from({ length: howMany }, (_, index) => task.generate(split, index));
}

function answerOf(problem: Problem): Answer {
  return problem.kind === 'fim' ? { reasoning: '', content: problem.middle, toolCalls: [] } : expertAnswer(problem);
}

/** Everything a model would read and write. */
function textOf(problem: Problem): string {
  if (problem.kind === 'fim') return problem.prefix + problem.suffix + problem.middle;
  const { thinking, tools } = problem;
  return promptText(deepseekV4.prompt([...problem.messages, ...problem.solution], { thinking, tools }));
}

function withContent(answer: Answer, content: string): Answer {
  return { ...answer, content };
}

for (const task of askableTasks) {
  describe(task.name, () => {
    for (const split of splits) {
      it(`judges its own solutions correct in ${split}`, () => {
        for (const problem of problemsOf(task.name, split)) {
          const verdict = problem.judge(answerOf(problem));
          assert.ok(verdict.isCorrect, `${verdict.reason}\n${textOf(problem)}`);
        }
      });
    }

    it('judges an empty and an unrelated answer wrong', () => {
      for (const problem of problemsOf(task.name, 'test', 60)) {
        const answer = answerOf(problem);
        assert.equal(problem.judge({ reasoning: '', content: '', toolCalls: [] }).isCorrect, false, textOf(problem));
        assert.equal(
          problem.judge(withContent(answer, 'Blue.')).isCorrect,
          task.name === 'use-tools' && isDeed(problem),
          textOf(problem),
        );
      }
    });

    it('generates the same problem again, whatever was generated between', () => {
      fc.assert(
        fc.property(fc.constantFrom(...splits), fc.nat(1_000_000), fc.nat(1_000_000), (split, index, other) => {
          const first = textOf(task.generate(split, index));
          task.generate(split, other);
          assert.equal(textOf(task.generate(split, index)), first);
        }),
        { numRuns: 25 },
      );
    });

    it('keeps the splits apart by key', () => {
      const keys = new Map<string, Split>();
      for (const split of splits) {
        for (const problem of problemsOf(task.name, split, 250)) {
          const owner = keys.get(problem.key) ?? split;
          assert.equal(owner, split, `${problem.key} is in ${owner} and ${split}`);
          keys.set(problem.key, split);
        }
      }
    });

    it('speaks both languages', () => {
      const chinese = problemsOf(task.name, 'train').filter((problem) => problem.language === 'zh');
      assert.ok(
        chinese.length > count * 0.05 && chinese.length < count * 0.6,
        `${chinese.length} of ${count} are Chinese`,
      );
      if (task.name === 'fill-middle') return;
      for (const problem of problemsOf(task.name, 'train')) {
        const said =
          problem.kind === 'chat'
            ? problem.solution.map((turn) => turn.content + ('reasoning' in turn ? turn.reasoning : '')).join('')
            : '';
        const asked = problem.kind === 'chat' ? problem.messages.map((message) => message.content).join('') : '';
        if (problem.language === 'en') assert.doesNotMatch(asked + said, /\p{Script=Han}/u);
        else assert.match(asked, /[\p{Script=Han}？。]/u);
      }
    });

    it('stays within its length', () => {
      const lengths = problemsOf(task.name, 'train', 400).map((problem) => textOf(problem).length);
      const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
      const [meanLimit, limit] =
        task.name === 'use-tools'
          ? [2600, 4000]
          : ['extract-json', 'extract-parcel', 'conversation'].includes(task.name)
            ? [750, 1600]
            : [450, 900];
      assert.ok(mean < meanLimit, `mean ${mean}`);
      assert.ok(Math.max(...lengths) < limit, `longest ${Math.max(...lengths)}`);
    });

    it('leaves no part of a template behind', () => {
      for (const problem of problemsOf(task.name, 'train', 300)) {
        // These hold JSON, or any word there is, "undefined" among them.
        if (
          problem.kind === 'fim' ||
          ['extract-json', 'extract-parcel', 'repeat-text', 'repeat'].includes(problem.task)
        )
          continue;
        for (const message of [...problem.messages, ...problem.solution]) {
          if (message.role === 'tool') continue;
          assert.doesNotMatch(message.content, /[{}|]|undefined|NaN|\$[a-z]| {2}/, message.content);
        }
      }
    });
  });
}

/** Deeds are judged by their calls; the words about them are free. */
function isDeed(problem: Problem): boolean {
  return problem.judge({ ...expertAnswer(problem as ChatProblem), content: 'Blue.' }).isCorrect;
}

describe('splits', () => {
  it('give one key in twenty to the test and one to validation', () => {
    const owners = Array.from({ length: 4000 }, (_, i) => splitOf('any', `key ${i}`));
    for (const split of ['test', 'validation'] as const) {
      const share = owners.filter((owner) => owner === split).length / owners.length;
      assert.ok(share > 0.035 && share < 0.065, `${split} has ${share}`);
    }
  });

  it('leave every single-digit fact to train', () => {
    for (const split of ['validation', 'test'] as const) {
      for (const problem of problemsOf('arithmetic', split, 400)) {
        assert.ok(Math.max(...problem.key.split(' ').slice(1).map(Number)) >= 10, problem.key);
      }
    }
  });

  it('share no question between train and test, enumerated', () => {
    for (const name of ['compare-decimals', 'count-letters', 'arithmetic', 'word-problems', 'introduce']) {
      const trained = new Set(
        problemsOf(name, 'train', 1500).map((problem) =>
          problem.kind === 'chat' ? problem.messages.at(-1)!.content : '',
        ),
      );
      for (const problem of problemsOf(name, 'test', 150)) {
        if (problem.kind === 'chat')
          assert.ok(!trained.has(problem.messages.at(-1)!.content), problem.messages.at(-1)!.content);
      }
    }
  });
});
