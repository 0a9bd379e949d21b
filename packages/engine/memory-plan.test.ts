import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MemoryEstimate } from './memory-estimate.ts';
import { type MemoryRequest, planMemory } from './memory-plan.ts';

const gigabyte = 1e9;
const estimate: MemoryEstimate = {
  ...{ weights: 10 * gigabyte, experts: 8 * gigabyte, tablesPerToken: 500, cachePerToken: 100_000 },
  scratch: gigabyte / 2,
};
const usual: MemoryRequest = { contextLength: undefined, experts: 'resident' };

test('with memory to spare a model gets all of its context, and a cache for it', () => {
  const plan = planMemory(estimate, 131_072, usual, 100 * gigabyte);
  assert.equal(plan.contextLength, 131_072);
  assert.equal(plan.cache, 131_072 * 100_000);
  assert.equal(plan.total, plan.weights + plan.tables + plan.cache + plan.scratch);
  assert.ok(plan.fits);
});

test('a model of short context still gets a cache for many sequences, as far as there is memory', () => {
  assert.equal(planMemory(estimate, 512, usual, 100 * gigabyte).cache, 512 * 2 ** 20);
  const tight = planMemory(estimate, 512, usual, 11.3 * gigabyte);
  assert.ok(tight.fits && tight.cache < 512 * 2 ** 20 && tight.cache >= 512 * 100_000);
});

test('with less memory the context is what fits into half of the rest', () => {
  const plan = planMemory(estimate, 131_072, usual, 20 * gigabyte);
  const rest = 20 * gigabyte * 0.95 - 10.5 * gigabyte;
  assert.ok(plan.fits);
  assert.equal(plan.contextLength % 64, 0);
  assert.ok(plan.cache + plan.tables <= rest / 2);
  assert.ok((plan.contextLength + 64) * 100_500 > rest / 2);
});

test('a model that fits only with a context too short to be of use does not fit', () => {
  const plan = planMemory(estimate, 131_072, usual, 11.1 * gigabyte);
  assert.equal(plan.contextLength, 2048);
  assert.ok(!plan.fits);
});

test('what is asked for is given or refused, never cut down', () => {
  const asked = planMemory(estimate, 131_072, { ...usual, contextLength: 60_000 }, 20 * gigabyte);
  assert.ok(asked.fits && asked.contextLength === 60_000 && asked.cache >= 60_000 * 100_000);
  const tooLong = planMemory(estimate, 131_072, { ...usual, contextLength: 120_000 }, 20 * gigabyte);
  assert.ok(!tooLong.fits && tooLong.contextLength === 120_000);
  assert.throws(() => planMemory(estimate, 4096, { ...usual, contextLength: 5000 }, 20 * gigabyte), {
    message: 'context: expected at most 4096 tokens, which the model was made for, got 5000',
  });
});

test('experts that stay on disk take no memory', () => {
  const resident = planMemory(estimate, 4096, usual, 5 * gigabyte);
  const paged = planMemory(estimate, 4096, { ...usual, experts: 'paged' }, 5 * gigabyte);
  assert.deepEqual([resident.fits, paged.fits], [false, true]);
  assert.equal(resident.weights - paged.weights, 8 * gigabyte);
});
