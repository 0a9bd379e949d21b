import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ChatEvent, FinishReason } from '@hadal/protocol/chat-event';
import type { Message } from '@hadal/protocol/chat-request';
import type { AnswerSettings, AnswerSource } from './answer-source.ts';
import { Conversation } from './conversation.ts';

const settings: AnswerSettings = {
  thinking: 'high',
  temperature: undefined,
  topP: undefined,
  maxTokens: undefined,
  seed: 7,
};
const usage = { prompt: 1, cacheHit: 0, completion: 1, reasoning: 0, acceptedPrediction: 0, rejectedPrediction: 0 };

/** Answers each question with the next of `answers`, and remembers what it was asked. */
function toySource(answers: readonly (ChatEvent | Error)[][]) {
  const asked: { messages: readonly Message[]; settings: AnswerSettings }[] = [];
  const source: AnswerSource = {
    model: 'toy',
    description: 'toy',
    async *answer(messages, given) {
      asked.push({ messages, settings: given });
      for (const event of answers[asked.length - 1] ?? []) {
        if (event instanceof Error) throw event;
        yield event;
      }
    },
    async [Symbol.asyncDispose]() {},
  };
  return { source, asked };
}

function answerOf(reason: FinishReason, reasoning: string, content: string): ChatEvent[] {
  return [
    { type: 'start' },
    ...(reasoning === '' ? [] : [{ type: 'reasoning' as const, text: reasoning, logprobs: [] }]),
    ...[...content].map((text) => ({ type: 'content' as const, text, logprobs: [] })),
    { type: 'finish', reason, usage },
  ];
}

async function say(conversation: Conversation, text: string): Promise<ChatEvent[]> {
  return await Array.fromAsync(conversation.say(text, new AbortController().signal));
}

const user = (content: string): Message => ({ role: 'user', content });
const assistant = (content: string): Message => ({ role: 'assistant', content, reasoning: '', toolCalls: [] });

test('each question carries the turns before it, without their reasoning', async () => {
  const { source, asked } = toySource([answerOf('stop', 'hm', 'AB'), answerOf('stop', '', 'C')]);
  const conversation = new Conversation(source, settings, 'Be brief.');
  const events = await say(conversation, 'one');
  await say(conversation, 'two');
  assert.deepEqual(events, answerOf('stop', 'hm', 'AB'));
  const system: Message = { role: 'system', content: 'Be brief.' };
  assert.deepEqual(
    asked.map(({ messages }) => messages),
    [
      [system, user('one')],
      [system, user('one'), assistant('AB'), user('two')],
    ],
  );
});

test('a stopped answer keeps what was said, and one stopped before it began leaves no trace', async () => {
  const { source, asked } = toySource([
    answerOf('aborted', 'hm', ''),
    answerOf('aborted', 'hm', 'A'),
    answerOf('stop', '', 'B'),
  ]);
  const conversation = new Conversation(source, settings, undefined);
  for (const text of ['one', 'two', 'three']) await say(conversation, text);
  assert.deepEqual(asked.at(-1)?.messages, [user('two'), assistant('A'), user('three')]);
});

test('a turn that failed leaves no trace', async () => {
  const { source, asked } = toySource([[new Error('too long')], answerOf('stop', '', 'A')]);
  const conversation = new Conversation(source, settings, undefined);
  await assert.rejects(say(conversation, 'one'), /too long/);
  await say(conversation, 'two');
  assert.deepEqual(asked.at(-1)?.messages, [user('two')]);
});

test('forgetting keeps the system message, and thinking changes from the next question on', async () => {
  const { source, asked } = toySource([answerOf('stop', '', 'A'), answerOf('stop', '', 'B')]);
  const conversation = new Conversation(source, settings, 's');
  await say(conversation, 'one');
  conversation.forget();
  conversation.think('off');
  await say(conversation, 'two');
  assert.deepEqual(asked[1]?.messages, [{ role: 'system', content: 's' }, user('two')]);
  assert.deepEqual(
    asked.map(({ settings: { thinking, seed } }) => [thinking, seed]),
    [
      ['high', 7],
      ['off', 7],
    ],
  );
});
