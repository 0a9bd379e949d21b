import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Message } from '@hadal/protocol/chat-request';
import { ReasoningMemory } from './reasoning-memory.ts';

function turn(ids: readonly string[], reasoning = ''): Message {
  const toolCalls = ids.map((id) => ({ id, name: 'f', arguments: '{}' }));
  return { role: 'assistant', content: '', reasoning, toolCalls };
}

function reasoningOf(messages: readonly Message[]): string[] {
  return messages.flatMap((message) => (message.role === 'assistant' ? [message.reasoning] : []));
}

test('reasoning is found by any of the calls after it, by nobody else, and never replaces what was sent', () => {
  const memory = new ReasoningMemory();
  memory.keep('a', ['1', '2'], 'first');
  memory.keep('a', ['3'], '');
  const asked = [turn(['2', '1']), turn(['3']), turn(['1'], 'other'), turn([])];
  assert.deepEqual(reasoningOf(memory.recall('a', asked)), ['first', '', 'other', '']);
  assert.deepEqual(reasoningOf(memory.recall('b', asked)), ['', '', 'other', '']);
});

test('the oldest reasoning goes when there is too much', () => {
  const memory = new ReasoningMemory({ maxCharacters: 10 });
  memory.keep('', ['1'], '12345');
  memory.keep('', ['2'], '12345');
  memory.keep('', ['2'], '54321');
  assert.deepEqual(reasoningOf(memory.recall('', [turn(['1']), turn(['2'])])), ['12345', '54321']);
  memory.keep('', ['3'], '1');
  assert.deepEqual(reasoningOf(memory.recall('', [turn(['1']), turn(['2']), turn(['3'])])), ['', '54321', '1']);
});
