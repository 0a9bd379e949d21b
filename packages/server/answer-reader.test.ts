import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deepseekV4 } from '@hadal/formats/chat/deepseek-v4';
import type { CallReading } from '@hadal/formats/chat/dialect';
import { dsml, thinkEnd, userTurn } from '@hadal/formats/special-tokens';
import type { ChatEvent } from '@hadal/protocol/chat-event';
import fc from 'fast-check';
import { AnswerReader } from './answer-reader.ts';
import { openByteTokenizer } from './testing/toy-engine.ts';

const tokenizer = openByteTokenizer();
const call =
  `\n\n<${dsml}tool_calls>\n<${dsml}invoke name="weather">\n` +
  `<${dsml}parameter name="city" string="true">Paris</${dsml}parameter>\n` +
  `</${dsml}invoke>\n</${dsml}tool_calls>`;

/** Reads `text`, one token for each special token and each byte. */
function read(
  text: string,
  {
    isThinking = true,
    hasLogprobs = true,
    calls = 'as-calls' as CallReading,
    reason = 'stop' as 'stop' | 'length',
  } = {},
): ChatEvent[] {
  const parser = deepseekV4.openParser(isThinking ? 'reasoning' : 'content', calls);
  const reader = new AnswerReader({ tokenizer, parser, hasLogprobs, newCallId: (index) => `call_${index}` });
  const decoder = tokenizer.decoder();
  const ids = tokenizer.encode(text);
  const events = ids.flatMap((id) =>
    reader.token({ type: 'token', id, text: decoder.push(id), logprob: -id, top: [{ id, logprob: -id }] }),
  );
  const counts = { stopString: undefined, promptTokens: 5, completionTokens: ids.length + 1, cacheHitTokens: 0 };
  const finish = { type: 'finish', reason, ...counts, acceptedDraftTokens: 0, rejectedDraftTokens: 0 } as const;
  events.push(...reader.finish(finish));
  return events;
}

function join(events: readonly ChatEvent[], type: 'reasoning' | 'content') {
  const pieces = events.filter((event) => 'logprobs' in event).filter((event) => event.type === type);
  return {
    text: pieces.map((event) => event.text).join(''),
    tokens: pieces.flatMap((event) => event.logprobs).map((item) => -item.logprob),
  };
}

test('reasoning is counted up to, and without, the token that closes it', () => {
  const finish = (text: string, isThinking = true) => read(text, { isThinking }).at(-1);
  const usage = (completion: number, reasoning: number) => ({
    ...{ prompt: 5, cacheHit: 0, completion, reasoning, acceptedPrediction: 0, rejectedPrediction: 0 },
  });
  assert.deepEqual(finish(`abc${thinkEnd}de`), { type: 'finish', reason: 'stop', usage: usage(7, 3) });
  assert.deepEqual(finish('abc'), { type: 'finish', reason: 'stop', usage: usage(4, 3) });
  assert.deepEqual(finish('abc', false), { type: 'finish', reason: 'stop', usage: usage(4, 0) });
});

test('an answer that called a tool finishes with tool_calls, its markup gone', () => {
  const events = read(`hm${thinkEnd}Let me look.${call}`);
  assert.equal(join(events, 'reasoning').text, 'hm');
  assert.equal(join(events, 'content').text, 'Let me look.');
  assert.deepEqual(
    events.filter((event) => event.type === 'tool-call'),
    [{ type: 'tool-call', index: 0, id: 'call_0', name: 'weather' }],
  );
  const args = events.filter((event) => event.type === 'tool-call-arguments').map((event) => event.text);
  assert.equal(args.join(''), '{"city": "Paris"}');
  const finish = events.at(-1);
  assert.ok(finish?.type === 'finish');
  assert.equal(finish.reason, 'tool_calls');
});

test('a call that the model ended without its closing tags is one, and one that was cut off is none', () => {
  const open = call.slice(0, call.indexOf(`</${dsml}parameter>`));
  const answer = (reason: 'stop' | 'length') => {
    const events = read(open, { isThinking: false, reason });
    const args = events.map((event) => (event.type === 'tool-call-arguments' ? event.text : '')).join('');
    const finish = events.at(-1);
    return [args, finish?.type === 'finish' && finish.reason];
  };
  assert.deepEqual(answer('stop'), ['{"city": "Paris"}', 'tool_calls']);
  assert.deepEqual(answer('length'), ['{"city": "Paris', 'length']);
});

test('a call that nobody asked for is told as content, without log-probabilities, and the answer has stopped', () => {
  const events = read(`Hm.${call}ok`, { isThinking: false, calls: 'as-text' });
  assert.deepEqual(join(events, 'content'), {
    text: 'Hm.\nweather({"city": "Paris"})\nok',
    tokens: tokenizer.encode('Hm.ok'),
  });
  const finish = events.at(-1);
  assert.equal(finish?.type === 'finish' && finish.reason, 'stop');
});

test('log-probabilities of all tokens of a text, and of no markup, stand beside it', () => {
  // Held back by the parser: half a tag, line breaks that may begin a block. Several bytes to a character: é, 你. Dropped: tags
  // without a place, special tokens.
  const plain = ['a', '<', '<th', '\n', '\n\n', 'é', '你好', '</thin', ' ', 'x｜'].map((piece) => [piece, piece]);
  const dropped = [
    [`b<${dsml}x`, 'bx'],
    [`b${userTurn}`, 'b'],
    [`b</${dsml}invoke>x`, 'bx'],
  ];
  const text = fc
    .array(fc.constantFrom(...plain, ...dropped), { maxLength: 12 })
    .map((parts) => [0, 1].map((i) => parts.map((part) => part[i]).join('')) as [string, string]);
  fc.assert(
    fc.property(text, text, fc.boolean(), ([thought, reasoning], [said, content], calls) => {
      const events = read(`${thought}${thinkEnd}${said}${calls ? call : ''}`);
      assert.deepEqual(join(events, 'reasoning'), { text: reasoning, tokens: tokenizer.encode(reasoning) });
      assert.deepEqual(join(events, 'content'), { text: content, tokens: tokenizer.encode(content) });
    }),
    { numRuns: 300 },
  );
});

test('without a wish for log-probabilities there are none', () => {
  assert.deepEqual(join(read('ab', { isThinking: false, hasLogprobs: false }), 'content'), { text: 'ab', tokens: [] });
});
