import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noUsage } from '@hadal/protocol/chat-event';
import type { CompletionRequest } from '@hadal/protocol/completions-request';
import type { CompletionEvent } from '@hadal/protocol/completions-response';
import { chatRequest } from '../testing/fake-upstream.ts';
import { CompletionEventReader } from './completion-event-reader.ts';
import { unknownUsage } from './upstream-chunk.ts';
import { UpstreamFailure } from './upstream-failure.ts';

function read(choices: readonly object[], changes: Partial<CompletionRequest> = {}): CompletionEvent[] {
  const { messages, ...sampling } = chatRequest();
  const request = { ...sampling, prompt: 'a', suffix: undefined, echo: false, ...changes };
  const reader = new CompletionEventReader(request);
  return [...choices.flatMap((choice) => reader.read(JSON.stringify({ choices: [choice] }))), ...reader.end()];
}

test('text comes piece by piece, and the end with what it took', () => {
  const { messages, ...sampling } = chatRequest();
  const reader = new CompletionEventReader({ ...sampling, prompt: 'a', suffix: undefined, echo: false });
  assert.deepEqual(reader.read('{"choices": [{"text": ""}]}'), []);
  assert.equal(reader.hasBegun, false);
  assert.deepEqual(reader.read('{"choices": [{"text": "b"}]}'), [{ type: 'text', text: 'b', logprobs: [] }]);
  assert.deepEqual([reader.hasBegun, reader.isOver], [true, false]);
  reader.read('{"choices": [{"text": "", "finish_reason": "length"}]}');
  reader.read('{"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 1}}');
  assert.equal(reader.isOver, true);
  assert.deepEqual(reader.end(), [
    { type: 'finish', reason: 'length', usage: { ...noUsage, prompt: 2, completion: 1 } },
  ]);
  assert.deepEqual(read([{ text: 'b', finish_reason: 'stop' }]).at(-1), {
    ...{ type: 'finish', reason: 'stop', usage: unknownUsage },
  });
});

test("log-probabilities are read in OpenAI's older form and in that of a chat", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const b = { token: 'b', bytes: bytes('b'), logprob: -1 };
  const c = { token: 'c', bytes: bytes('c'), logprob: -0.5 };
  const older = {
    ...{
      tokens: ['a', 'b'],
      token_logprobs: [null, -1],
      top_logprobs: [null, { b: -1, c: -0.5 }],
      text_offset: [0, 1],
    },
  };
  assert.deepEqual(read([{ text: 'ab', logprobs: older }], { topLogprobs: 2 })[0], {
    ...{ type: 'text', text: 'ab' },
    logprobs: [
      { token: 'a', logprob: undefined },
      { ...b, top: [c, b] },
    ],
  });
  const wire = (token: string, logprob: number) => ({ token, logprob, bytes: [...bytes(token)] });
  const chat = { content: [{ ...wire('b', -1), top_logprobs: [wire('c', -0.5), wire('b', -1)] }] };
  assert.deepEqual(read([{ text: 'b', logprobs: chat }], { topLogprobs: 2 })[0], {
    ...{ type: 'text', text: 'b', logprobs: [{ ...b, top: [c, b] }] },
  });
  assert.throws(() => read([{ text: 'b', logprobs: { tokens: 3 } }], { topLogprobs: 2 }), UpstreamFailure);
});
