import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Message } from '@hadal/protocol/chat-request';
import { type CallingTurn, TurnMemory } from './turn-memory.ts';

const callsOf = (ids: readonly string[]) => ids.map((id) => ({ id, name: 'f', arguments: '{}' }));

function turn(ids: readonly string[], reasoning: string, text = reasoning): CallingTurn {
  return { text, beginning: 'reasoning', reasoning, content: '', toolCalls: callsOf(ids) };
}

function sent(ids: readonly string[], reasoning = ''): Message {
  return { role: 'assistant', content: '', reasoning, toolCalls: callsOf(ids) };
}

function recalled(messages: readonly Message[]) {
  return messages.flatMap((message) =>
    message.role === 'assistant' ? [[message.reasoning, message.written?.text]] : [],
  );
}

test('a turn is found by any of its calls and by nobody else, and is written as it was only where nothing was changed', () => {
  const memory = new TurnMemory();
  memory.keep('a', turn(['1', '2'], 'first', 'first</think>calls'));
  const asked = [sent(['1', '2']), sent(['1', '2'], 'first'), sent(['2']), sent(['1', '2'], 'other'), sent([])];
  assert.deepEqual(recalled(memory.recall('a', asked)), [
    ['first', 'first</think>calls'],
    ['first', 'first</think>calls'],
    ['first', undefined],
    ['other', undefined],
    ['', undefined],
  ]);
  assert.deepEqual(
    recalled(memory.recall('b', asked)),
    ['', 'first', '', 'other', ''].map((reasoning) => [reasoning, undefined]),
  );
});

test('the oldest turn goes when there is too much', () => {
  const memory = new TurnMemory({ maxCharacters: 10 });
  memory.keep('', turn(['1'], '12345'));
  memory.keep('', turn(['2'], '12345'));
  memory.keep('', turn(['2'], '54321'));
  const reasoning = (...ids: string[]) =>
    recalled(
      memory.recall(
        '',
        ids.map((id) => sent([id])),
      ),
    ).map(([found]) => found);
  assert.deepEqual(reasoning('1', '2'), ['12345', '54321']);
  memory.keep('', turn(['3'], '1'));
  assert.deepEqual(reasoning('1', '2', '3'), ['', '54321', '1']);
});
