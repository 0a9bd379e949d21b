import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Tokenizer } from '@hadal/formats/tokenizer';
import { NgramDrafter } from './drafters/ngram.ts';
import { plainRequest } from './engine.ts';
import { Sequence } from './sequence.ts';
import { DraftDepth, maxDraftTokens } from './speculation.ts';
import { StepThreads } from './step-threads.ts';
import { StepTimes } from './step-times.ts';

const tokenizer = { decoder: () => ({ push: () => '', end: () => '' }) } as unknown as Tokenizer;

function sequenceOf(prompt: readonly number[], prediction: readonly number[] = []): Sequence {
  const request = { ...plainRequest, prompt, prediction, maxTokens: 100 };
  return new Sequence(0, request, { seed: 0, arrivedMs: 0, emit: () => {}, tokenizer, matcher: undefined });
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
  assert.equal(fair.tokens(0.25), 2, 'the third never comes true');
  const even = new DraftDepth();
  for (let i = 0; i < 400; i++) even.note(i % 2, 1 - (i % 2));
  // One of two comes true: (1 + 1/2) / 1.4 is more than 1 and than (1 + 1/2 + 1/4) / 1.8.
  assert.equal(even.tokens(0.4), 1);
  assert.equal(even.tokens(0.6), 0);
});

test('small steps run on one thread where that is faster, large ones on all', () => {
  const run = (allMs: number, aloneMs: number, rows: number) => {
    const threads = new StepThreads();
    const choices = Array.from({ length: 640 }, () => {
      const isAlone = threads.isAlone(rows);
      threads.note(rows, isAlone, isAlone ? aloneMs : allMs);
      return Number(isAlone);
    });
    return choices.slice(-128).reduce((a, b) => a + b) / 128;
  };
  assert.ok(run(0.5, 0.3, 1) > 0.95);
  assert.ok(run(0.3, 0.5, 1) < 0.05);
  assert.equal(run(20, 30, 4), 0, 'not even tried');
});

test('what a guess costs is learnt from the times of steps and of drafters', () => {
  const times = new StepTimes();
  assert.equal(times.draftCost('mtp', 1, 0.25), 0.25, 'nothing is known yet');
  for (let i = 0; i < 40; i++) {
    const rows = 1 + (i % 4);
    times.noteStep(rows, 8 + 0.5 * rows);
    times.noteDraft('mtp', 2, 2 * 1.5);
  }
  assert.ok(Math.abs(times.draftCost('mtp', 1, 0.25) - 2 / 8.5) < 1e-6);
  // For four at a time the drafter still runs once for each depth, and a step has four more rows.
  assert.ok(Math.abs(times.draftCost('mtp', 4, 0.25) - 3.5 / 10) < 1e-6);
  assert.ok(
    Math.abs(times.draftCost('ngram', 1, 0.15) - 0.5 / 8.5) < 1e-6,
    'a drafter that was never timed takes no time',
  );
});
