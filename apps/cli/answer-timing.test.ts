import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ChatEvent } from '@hadal/protocol/chat-event';
import { timed, timingInWords } from './answer-timing.ts';

const usage = { prompt: 9, cacheHit: 0, completion: 41, reasoning: 0, acceptedPrediction: 0, rejectedPrediction: 0 };
const finish: ChatEvent = { type: 'finish', reason: 'stop', usage };

async function timingOf(answer: readonly [atMs: number, event: ChatEvent][]) {
  let clock = 0;
  async function* stream() {
    for (const [atMs, event] of answer) {
      clock = atMs;
      yield event;
    }
  }
  const { events, timing } = timed(stream(), () => clock);
  assert.deepEqual(
    await Array.fromAsync(events),
    answer.map(([, event]) => event),
  );
  return timing;
}

test('the first word counts from the question, reasoning or not, and the rate from there', async () => {
  const timing = await timingOf([
    [5, { type: 'start' }],
    [250, { type: 'reasoning', text: 'hm', logprobs: [] }],
    [900, { type: 'content', text: 'yes', logprobs: [] }],
    [2250, finish],
  ]);
  assert.deepEqual(timing, { firstTokenMs: 250, tokensPerSecond: 20 });
  assert.equal(timingInWords(timing), 'first word after 0.25 s, then 20.0 tokens/s\n');
});

test('an answer that says nothing has no timing', async () => {
  const timing = await timingOf([[100, finish]]);
  assert.deepEqual(timing, { firstTokenMs: undefined, tokensPerSecond: undefined });
  assert.equal(timingInWords(timing), '');
});
