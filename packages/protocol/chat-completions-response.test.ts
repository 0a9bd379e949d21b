import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ChoiceEvent,
  type CompletionHead,
  chatCompletionChunk,
  collectChatCompletion,
  totalUsage,
} from './chat-completions-response.ts';
import type { ChatEvent } from './chat-event.ts';

const head: CompletionHead = {
  id: 'id-1',
  created: 1700000000,
  model: 'toy',
  systemFingerprint: 'fp_0',
  isThinking: true,
  hasLogprobs: false,
};
const calm = { ...head, isThinking: false };

const usage = { prompt: 10, cacheHit: 4, completion: 7, reasoning: 3, acceptedPrediction: 2, rejectedPrediction: 1 };
const wireUsage = {
  prompt_tokens: 10,
  completion_tokens: 7,
  total_tokens: 17,
  prompt_tokens_details: { cached_tokens: 4 },
  completion_tokens_details: { reasoning_tokens: 3, accepted_prediction_tokens: 2, rejected_prediction_tokens: 1 },
  prompt_cache_hit_tokens: 4,
  prompt_cache_miss_tokens: 6,
};
const finish: ChatEvent = { type: 'finish', reason: 'stop', usage };

function choiceOf(event: ChatEvent, index = 0): ChoiceEvent {
  return { index, event, usage: event.type === 'finish' ? event.usage : undefined };
}

async function* streamOf(...events: ChatEvent[]): AsyncGenerator<ChoiceEvent> {
  for (const event of events) yield choiceOf(event);
}

test('each event becomes one chunk with the head that all share', () => {
  assert.deepEqual(chatCompletionChunk(choiceOf({ type: 'content', text: 'hi', logprobs: [] }), calm, false), {
    id: 'id-1',
    object: 'chat.completion.chunk',
    created: 1700000000,
    model: 'toy',
    system_fingerprint: 'fp_0',
    choices: [{ index: 0, delta: { content: 'hi' }, logprobs: null, finish_reason: null }],
  });
});

test('deltas have the shapes that DeepSeek documents', () => {
  const delta = (event: ChatEvent, of = head) => chatCompletionChunk(choiceOf(event), of, false).choices[0].delta;
  assert.deepEqual(delta({ type: 'start' }), { role: 'assistant', content: '', reasoning_content: '' });
  assert.deepEqual(delta({ type: 'start' }, calm), { role: 'assistant', content: '' });
  assert.deepEqual(delta({ type: 'reasoning', text: 'hm', logprobs: [] }), { content: null, reasoning_content: 'hm' });
  assert.deepEqual(delta({ type: 'content', text: 'yes', logprobs: [] }), { content: 'yes', reasoning_content: null });
  assert.deepEqual(delta({ type: 'tool-call', index: 1, id: 'call_01_x', name: 'weather' }), {
    tool_calls: [{ index: 1, id: 'call_01_x', type: 'function', function: { name: 'weather', arguments: '' } }],
  });
  assert.deepEqual(delta({ type: 'tool-call-arguments', index: 1, text: '{"a' }), {
    tool_calls: [{ index: 1, function: { arguments: '{"a' } }],
  });
  assert.deepEqual(delta(finish), { content: '', reasoning_content: null, role: null });
});

test('usage rides on the last chunk, and is null before it only when asked for', () => {
  const last = chatCompletionChunk(choiceOf(finish), head, false);
  assert.deepEqual(last.usage, wireUsage);
  assert.equal(last.choices[0].finish_reason, 'stop');
  assert.equal('usage' in chatCompletionChunk(choiceOf({ type: 'start' }), head, false), false);
  assert.equal(chatCompletionChunk(choiceOf({ type: 'start' }), head, true).usage, null);
});

test('the whole answer joins the pieces', async () => {
  const completion = await collectChatCompletion(
    streamOf(
      { type: 'start' },
      { type: 'reasoning', text: 'th', logprobs: [] },
      { type: 'reasoning', text: 'ink', logprobs: [] },
      { type: 'content', text: 'look', logprobs: [] },
      { type: 'tool-call', index: 0, id: 'c0', name: 'a' },
      { type: 'tool-call-arguments', index: 0, text: '{"x"' },
      { type: 'tool-call-arguments', index: 0, text: ':1}' },
      { type: 'tool-call', index: 1, id: 'c1', name: 'b' },
      { type: 'finish', reason: 'tool_calls', usage },
    ),
    head,
  );
  assert.deepEqual(completion, {
    id: 'id-1',
    object: 'chat.completion',
    created: 1700000000,
    model: 'toy',
    system_fingerprint: 'fp_0',
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: 'look',
          refusal: null,
          reasoning_content: 'think',
          tool_calls: [
            { index: 0, id: 'c0', type: 'function', function: { name: 'a', arguments: '{"x":1}' } },
            { index: 1, id: 'c1', type: 'function', function: { name: 'b', arguments: '' } },
          ],
        },
        logprobs: null,
        finish_reason: 'tool_calls',
      },
    ],
    usage: wireUsage,
  });
});

test('an answer without thinking has neither reasoning nor tool calls in its message', async () => {
  const { choices } = await collectChatCompletion(streamOf({ type: 'start' }, finish), calm);
  assert.deepEqual(choices[0]?.message, { role: 'assistant', content: '', refusal: null });
});

test('of several answers each is put together by itself, and the prompt is counted once', async () => {
  async function* both(): AsyncGenerator<ChoiceEvent> {
    yield choiceOf({ type: 'content', text: 'b', logprobs: [] }, 1);
    yield choiceOf({ type: 'content', text: 'a', logprobs: [] }, 0);
    yield { ...choiceOf(finish, 1), usage: undefined };
    yield { ...choiceOf(finish, 0), usage: totalUsage([usage, { ...usage, cacheHit: 10, completion: 5 }], 2) };
  }
  const { choices, usage: total } = await collectChatCompletion(both(), calm);
  assert.deepEqual(
    choices.map(({ index, message }) => [index, message.content]),
    [
      [0, 'a'],
      [1, 'b'],
    ],
  );
  assert.deepEqual(
    [total.prompt_tokens, total.prompt_cache_hit_tokens, total.completion_tokens, total.total_tokens],
    [10, 4, 12, 22],
  );
  assert.equal(chatCompletionChunk({ ...choiceOf(finish, 1), usage: undefined }, calm, true).usage, null);
});

test('an answer that ends without finish is a failure', async () => {
  await assert.rejects(collectChatCompletion(streamOf({ type: 'start' }), head), /expected a finish/);
});

test('log-probabilities stand beside the text they belong to, with its bytes', async () => {
  const event: ChatEvent = {
    type: 'content',
    text: 'é',
    logprobs: [
      {
        token: 'é',
        bytes: Uint8Array.of(0xc3, 0xa9),
        logprob: -0.5,
        top: [{ token: '\ufffd', bytes: Uint8Array.of(0xc3), logprob: -Infinity }],
      },
    ],
  };
  const items = [
    {
      token: 'é',
      logprob: -0.5,
      bytes: [0xc3, 0xa9],
      top_logprobs: [{ token: '\ufffd', logprob: -9999, bytes: [0xc3] }],
    },
  ];
  const asked = { ...head, hasLogprobs: true };
  assert.deepEqual(chatCompletionChunk(choiceOf(event), asked, false).choices[0].logprobs, {
    content: items,
    refusal: null,
    reasoning_content: null,
  });
  assert.equal(chatCompletionChunk(choiceOf(finish), asked, false).choices[0].logprobs, null);
  const completion = await collectChatCompletion(streamOf({ type: 'start' }, event, finish), asked);
  assert.deepEqual(completion.choices[0]?.logprobs, { content: items, refusal: null, reasoning_content: [] });
});
