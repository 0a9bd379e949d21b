import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ChatEvent, FinishReason } from '@hadal/protocol/chat-event';
import { answerText } from './answer-text.ts';

const usage = { prompt: 1, cacheHit: 0, completion: 1, reasoning: 0, acceptedPrediction: 0, rejectedPrediction: 0 };
const reasoning = (text: string): ChatEvent => ({ type: 'reasoning', text, logprobs: [] });
const content = (text: string): ChatEvent => ({ type: 'content', text, logprobs: [] });
const finish = (reason: FinishReason): ChatEvent => ({ type: 'finish', reason, usage });

async function textOf(...events: ChatEvent[]): Promise<string> {
  async function* stream() {
    yield* [{ type: 'start' } as const, ...events];
  }
  const pieces = answerText(stream(), { dim: (text) => (text === '' ? '' : `[${text}]`) });
  return (await Array.fromAsync(pieces)).join('');
}

test('reasoning is dimmed and a blank line stands before the answer', async () => {
  const text = await textOf(reasoning('9.80'), reasoning(' > 9.11'), content('9.8'), content('.'), finish('stop'));
  assert.equal(text, '[9.80][ > 9.11]\n\n9.8.\n');
});

test('an answer without reasoning starts at once', async () => {
  assert.equal(await textOf(content('Hello'), finish('stop')), 'Hello\n');
});

test('an answer that ended early says why', async () => {
  assert.equal(await textOf(content('He'), finish('length')), 'He\n[(cut: no more tokens were allowed)\n]');
  assert.equal(await textOf(reasoning('He'), finish('aborted')), '[He]\n[(stopped)\n]');
  assert.equal(await textOf(finish('aborted')), '[(stopped)\n]');
});

test('a tool call is shown with its arguments', async () => {
  const call: ChatEvent = { type: 'tool-call', index: 0, id: 'c', name: 'weather' };
  const text = await textOf(
    reasoning('ask'),
    call,
    { type: 'tool-call-arguments', index: 0, text: '{}' },
    finish('tool_calls'),
  );
  assert.equal(text, '[ask][\nweather ][{}]\n');
});

test('control sequences of a model do not reach the terminal, lines and tabs do', async () => {
  assert.equal(await textOf(content('a\u001b[2Jb\r\n\tc\u009bd'), finish('stop')), 'a[2Jb\n\tcd\n');
});
