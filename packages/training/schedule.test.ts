import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scheduleFactor } from './schedule.ts';

test('the rate rises over the warm-up, stays, and falls to almost nothing by the last step', () => {
  const schedule = { steps: 100, warmupSteps: 10, decayShare: 0.5 };
  assert.equal(scheduleFactor(schedule, 1), 0.1);
  assert.equal(scheduleFactor(schedule, 10), 1);
  assert.equal(scheduleFactor(schedule, 50), 1);
  assert.ok(Math.abs(scheduleFactor(schedule, 100) - 1 / 45) < 1e-12);
  for (let step = 57; step < 100; step++) {
    assert.ok(scheduleFactor(schedule, step + 1) < scheduleFactor(schedule, step));
  }
});

test('without decay the rate stays to the end', () => {
  assert.equal(scheduleFactor({ steps: 5, warmupSteps: 0, decayShare: 0 }, 5), 1);
});
