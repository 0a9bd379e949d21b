import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { expertAnswer } from './evaluate-answer.ts';
import { repeat } from './repeat.ts';
import { type FormName, labels, scenes, wordings } from './repeat-wordings.ts';
import { type ChatProblem, type Split, splitOf } from './task.ts';
import { commonWords, furtherWords } from './words.ts';

const splits: readonly Split[] = ['train', 'validation', 'test'];

function problemsOf(split: Split, count = 150): ChatProblem[] {
  return Array.from({ length: count }, (_, index) => repeat.generate(split, index) as ChatProblem);
}

function judgeContent(problem: ChatProblem, content: string): boolean {
  return problem.judge({ reasoning: '', content, toolCalls: [] }).isCorrect;
}

function answerOf(problem: ChatProblem): string {
  return expertAnswer(problem).content;
}

describe('repeat', () => {
  it('judges its own answers correct in every split, and with space around them', () => {
    for (const split of splits) {
      for (const problem of problemsOf(split)) {
        const answer = answerOf(problem);
        assert.ok(judgeContent(problem, answer), answer);
        assert.ok(judgeContent(problem, ` ${answer}\n`), answer);
      }
    }
  });

  it('judges an answer wrong when any one character is another, missing or doubled', () => {
    for (const problem of problemsOf('train', 150)) {
      const answer = answerOf(problem);
      const characters = [...answer];
      for (const [i, character] of characters.entries()) {
        if (!/[\p{L}\p{N}]/u.test(character)) continue;
        for (const other of [character === 'x' ? 'y' : 'x', '', character + character]) {
          const corrupted = characters.with(i, other).join('');
          assert.ok(!judgeContent(problem, corrupted), `${answer} -> ${corrupted}`);
        }
      }
    }
  });

  it('judges an answer wrong when it says more', () => {
    for (const problem of problemsOf('train', 150)) {
      if (answerOf(problem).startsWith('{')) continue;
      assert.ok(!judgeContent(problem, `It is ${answerOf(problem)}`));
      assert.ok(!judgeContent(problem, `${answerOf(problem)} too`));
    }
  });

  it('asks only for what stands in the prompt', () => {
    for (const problem of problemsOf('train')) {
      const asked = problem.messages.map((message) => message.content).join('\n');
      const answer = answerOf(problem);
      const parts = answer.startsWith('{')
        ? Object.entries(JSON.parse(answer) as Record<string, unknown>)
            .flat()
            .map(String)
        : (answer.match(/[\p{L}\p{N}_@.:#-]+/gu) ?? []);
      const letters = [...answer].filter((each) => /[\p{L}\p{N}]/u.test(each));
      // Spelled and reversed words stand there in another order.
      const isThere = parts.every((part) => asked.includes(part) || /^(-|\d\.)$/.test(part));
      assert.ok(isThere || letters.every((letter) => asked.includes(letter)), `${asked}\n${answer}`);
    }
  });

  it('never spells a word of another split', () => {
    const words = new Set([...commonWords, ...furtherWords]);
    for (const split of splits) {
      for (const problem of problemsOf(split)) {
        const answer = answerOf(problem);
        if (!/^[a-z]([ -][a-z])+$/.test(answer)) continue;
        const word = answer.replace(/[ -]/g, '');
        if (words.has(word) && problem.key === word) assert.equal(splitOf('count-letters', word), split, word);
      }
    }
  });

  it('says the same problem again for the same index', () => {
    const first = problemsOf('test', 40).map((problem) => JSON.stringify(problem));
    assert.deepEqual(
      problemsOf('test', 40).map((problem) => JSON.stringify(problem)),
      first,
    );
  });

  it('thinks in some problems and briefly', () => {
    const problems = problemsOf('train');
    const thinking = problems.filter((problem) => problem.thinking);
    assert.ok(thinking.length > problems.length * 0.15 && thinking.length < problems.length * 0.35);
    for (const problem of problems) {
      const { reasoning } = expertAnswer(problem);
      assert.equal(reasoning !== '', problem.thinking);
      assert.ok(reasoning.length < 200, reasoning);
    }
  });

  it('has a dozen wordings or more for every form, and a label for every field of a sentence', () => {
    for (const language of ['en', 'zh'] as const) {
      for (const form of Object.keys(wordings[language]) as FormName[]) {
        const template = wordings[language][form];
        assert.ok(count(template) >= 12, `${language} ${form}: ${count(template)}`);
      }
      for (const scene of scenes[language]) {
        for (const [, kind] of scene.matchAll(/\$([a-z]+)/g)) assert.ok(labels[language][kind!], `${scene}: ${kind}`);
      }
    }
  });
});

/** How many texts a template stands for. */
function count(template: string): number {
  let text = template;
  for (;;) {
    const next = text.replace(
      /\{([^{}]*)\}/g,
      (_, parts: string) => `#${parts.split('|').reduce((sum, part) => sum + product(part), 0)}#`,
    );
    if (next === text) return product(text);
    text = next;
  }
}

function product(part: string): number {
  return [...part.matchAll(/#(\d+)#/g)].reduce((total, [, factor]) => total * Number(factor), 1);
}
