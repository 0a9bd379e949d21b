import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Tokenizer } from '@hadal/formats/tokenizer';
import { NgramDrafter } from './drafters/ngram.ts';
import { plainRequest } from './engine.ts';
import { Sequence } from './sequence.ts';
import { DraftDepth, maxDraftTokens } from './speculation.ts';

const tokenizer = { decoder: () => ({ push: () => '', end: () => '' }) } as unknown as Tokenizer;

function sequenceOf(prompt: readonly number[], prediction: readonly number[] = []): Sequence {
  const request = { ...plainRequest, prompt, prediction, maxTokens: 100 };
  return new Sequence(0, request, { seed: 0, arrivedMs: 0, emit: () => {}, tokenizer });
}

test('what followed the last few tokens the last time is the guess, the longest match first', () => {
  const drafter = new NgramDrafter();
  const guess = (prompt: readonly number[], wanted = 3, prediction: readonly number[] = []) =>
    drafter.guess(sequenceOf(prompt, prediction), wanted);
  assert.deepEqual(guess([1, 2, 3, 4, 5, 1, 2]), [3, 4, 5]);
  // 2, 3 stood twice before: what came after the later one. 1, 2, 3 stood once: that is surer.
  assert.deepEqual(guess([1, 2, 3, 7, 9, 2, 3, 8, 2, 3]), [8, 2, 3]);
  assert.deepEqual(guess([1, 2, 3, 7, 9, 2, 3, 8, 1, 2, 3]), [7, 9, 2]);
  assert.deepEqual(guess([1, 2, 3]), []);
  assert.deepEqual(guess([5, 6], 3, [5, 6, 7]), [7]);
});

test('a text that grows is looked up as it is, token by token', () => {
  const drafter = new NgramDrafter();
  const sequence = sequenceOf([1, 2, 3, 9]);
  assert.deepEqual(drafter.guess(sequence, 2), []);
  for (const id of [1, 2]) sequence.accept({ id, logprob: 0, top: [] });
  assert.deepEqual(drafter.guess(sequence, 2), [3, 9]);
  sequence.accept({ id: 3, logprob: 0, top: [] });
  assert.deepEqual(drafter.guess(sequence, 2), [9, 1]);
});

test('depth follows what comes true: deep where guesses hold, none where they never do, and then a try now and then', () => {
  const sure = new DraftDepth();
  for (let i = 0; i < 50; i++) sure.note(4, 0);
  assert.equal(sure.tokens(0.2), maxDraftTokens);
  const vain = new DraftDepth();
  for (let i = 0; i < 50; i++) vain.note(0, 4);
  const tried = Array.from({ length: 160 }, () => vain.tokens(0.2));
  assert.equal(Math.max(...tried), 1);
  assert.equal(
    tried.reduce((a, b) => a + b),
    10,
  );
  const fair = new DraftDepth();
  for (let i = 0; i < 200; i++) fair.note(2, 1);
  // Two of three come true: the third guess would in 0.3 of the steps, the fourth in 0.2.
  assert.equal(fair.tokens(0.25), 3);
});
