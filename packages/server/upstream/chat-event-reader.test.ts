import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dsml } from '@hadal/formats/special-tokens';
import type { ChatEvent } from '@hadal/protocol/chat-event';
import type { ChatRequest } from '@hadal/protocol/chat-request';
import fc from 'fast-check';
import { chatRequest } from '../testing/fake-upstream.ts';
import { callText } from '../testing/toy-requests.ts';
import { ChatEventReader } from './chat-event-reader.ts';
import { UpstreamFailure } from './upstream-failure.ts';

const tool = { name: 'weather', description: undefined, parameters: { type: 'object' }, isStrict: false };
const withTools = { tools: [tool], toolChoice: { type: 'auto' } } as const;

interface Told {
  reasoning: string;
  content: string;
  readonly calls: { id: string; name: string; arguments: string }[];
  reason?: string;
  finish?: Extract<ChatEvent, { type: 'finish' }>;
}

function tell(events: readonly ChatEvent[]): Told {
  const told: Told = { reasoning: '', content: '', calls: [] };
  for (const event of events) {
    if (event.type === 'reasoning' || event.type === 'content') told[event.type] += event.text;
    if (event.type === 'tool-call') told.calls[event.index] = { id: event.id, name: event.name, arguments: '' };
    if (event.type === 'tool-call-arguments')
      (told.calls[event.index] as { arguments: string }).arguments += event.text;
    if (event.type === 'finish') Object.assign(told, { reason: event.reason, finish: event });
  }
  return told;
}

function read(deltas: readonly object[], request: Partial<ChatRequest> = {}, reason = 'stop', beginsInThought = false) {
  const reader = new ChatEventReader({
    ...{ request: chatRequest(request), beginsInThought },
    newCallId: (index) => `new_${index}`,
  });
  const events = deltas.flatMap((delta) => reader.read(JSON.stringify({ choices: [{ delta }] })));
  const last = reader.read(JSON.stringify({ choices: [{ delta: {}, finish_reason: reason }] }));
  return tell([...events, ...last, ...reader.end()]);
}

const call = (fields: object, args?: unknown, name?: string) => ({
  tool_calls: [{ ...fields, function: { ...(name && { name }), ...(args !== undefined && { arguments: args }) } }],
});

test('reasoning has three ways to come', () => {
  const expected = { reasoning: 'hm', content: 'so', calls: [] };
  for (const [deltas, beginsInThought] of [
    [[{ reasoning_content: 'hm' }, { content: 'so' }], false],
    [[{ reasoning: 'hm' }, { content: 'so' }], false],
    [[{ content: '<thi' }, { content: 'nk>hm</thi' }, { content: 'nk>so' }], false],
    [[{ content: 'hm</think>' }, { content: 'so' }], true],
    [[{ reasoning_content: 'hm' }, { content: '</think>so' }], false],
  ] as const) {
    const { reasoning, content, calls } = read(deltas, {}, 'stop', beginsInThought);
    assert.deepEqual({ reasoning, content, calls }, expected);
  }
});

test('calls are put together, whatever their parts lack', () => {
  const whole = [{ id: 'a', name: 'weather', arguments: '{"city": "Ulm"}' }];
  for (const deltas of [
    [call({ index: 0, id: 'a' }, '', 'weather'), call({ index: 0 }, '{"city": '), call({ index: 0 }, '"Ulm"}')],
    [call({ id: 'a' }, '{"city": ', 'weather'), call({}, '"Ulm"}')],
    [call({ index: 0, id: 'a' }), call({ index: 0 }, '{"city": "Ulm"}', 'weather')],
    [call({ index: 0, id: 'a' }, '{"city": ', 'weather'), call({ index: 0, id: 'a' }, '"Ulm"}', 'weather')],
  ]) {
    const told = read(deltas, withTools, 'tool_calls');
    assert.deepEqual(told.calls, whole);
    assert.equal(told.reason, 'tool_calls');
  }
  assert.deepEqual(read([call({ id: 'a' }, { city: 'Ulm' }, 'weather')], withTools).calls, [
    { id: 'a', name: 'weather', arguments: '{"city":"Ulm"}' },
  ]);
  assert.deepEqual(read([call({ index: 0 }, undefined, 'weather')], withTools).calls, [
    { id: 'new_0', name: 'weather', arguments: '{}' },
  ]);
});

test('several calls are told apart by number, by id or by name, and never mixed', () => {
  const names = (deltas: object[]) => read(deltas, withTools).calls.map(({ id, arguments: args }) => [id, args]);
  const two = [
    ['a', '{}'],
    ['b', '[]'],
  ];
  assert.deepEqual(names([call({ index: 0, id: 'a' }, '{}', 'f'), call({ index: 1, id: 'b' }, '[]', 'f')]), two);
  assert.deepEqual(names([call({ index: 0, id: 'a' }, '{}', 'f'), call({ index: 0, id: 'b' }, '[]', 'f')]), two);
  assert.deepEqual(names([call({ id: 'a' }, '{}', 'f'), call({ id: 'b' }, '[]', 'f')]), two);
  assert.throws(
    () =>
      names([call({ index: 0, id: 'a' }, '{', 'f'), call({ index: 1, id: 'b' }, '[', 'f'), call({ index: 0 }, '}')]),
    UpstreamFailure,
  );
});

test('markup that the upstream has let through is read, wherever the text is divided', () => {
  const marked =
    '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n{"city": "Ulm"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>';
  for (const [text, kind] of [
    [`Let me see.${callText('weather', 'Ulm')}`, 'content'],
    [`Let me see.${callText('weather', 'Ulm')}`, 'reasoning_content'],
    [`Let me see.${marked}<｜end▁of▁sentence｜>`, 'content'],
    [`Let me see.${marked}`, 'reasoning_content'],
  ] as const) {
    fc.assert(
      fc.property(fc.array(fc.nat(text.length), { maxLength: 8 }), (cuts) => {
        const places = [0, ...cuts.sort((a, b) => a - b), text.length];
        const deltas = places.slice(1).map((end, i) => ({ [kind]: text.slice(places[i], end) }));
        const told = read(deltas, withTools);
        assert.deepEqual(
          told.calls.map(({ name, arguments: args }) => [name, JSON.parse(args)]),
          [['weather', { city: 'Ulm' }]],
        );
        assert.equal(told.reason, 'tool_calls');
        assert.equal(told.content + told.reasoning, 'Let me see.');
      }),
      { numRuns: 50 },
    );
  }
});

test('calls that were leaked and calls that were not are numbered as one list', () => {
  const told = read(
    [{ content: callText('weather', 'Ulm') }, call({ index: 0, id: 'x' }, '{}', 'weather')],
    withTools,
    'tool_calls',
  );
  assert.deepEqual(
    told.calls.map(({ id }) => id),
    ['new_0', 'x'],
  );
});

test('a call that nobody offered is told as text', () => {
  const { content, calls, reason } = read([call({ index: 0, id: 'a' }, '{"b": 1}', 'f')], {}, 'tool_calls');
  assert.deepEqual([content, calls, reason], ['f({"b": 1})', [], 'stop']);
  assert.equal(read([{ content: callText('f', 'Ulm') }]).content, 'f({"city": "Ulm"})');
});

test('plain text passes as it is, and no mark is ever left in any', () => {
  const plain = fc.stringMatching(/^[a-z <>/"'{}\n|｜杭州]{0,40}$/);
  const piece = fc.oneof(plain, fc.constantFrom(dsml, `<${dsml}`, '<｜end▁of▁sentence｜>', '<｜tool▁sep｜>'));
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), fc.constantFrom('stop', 'length'), (texts, reason) => {
      const { content, reasoning } = read(
        texts.map((text) => ({ content: text })),
        {},
        reason,
      );
      for (const mark of [dsml, '<｜end▁of▁sentence｜>', '<｜tool▁sep｜>'])
        assert.ok(!(content + reasoning).includes(mark));
      if (texts.every((text) => !text.includes('｜') && !text.includes('</think>')))
        assert.equal(content, texts.join(''));
    }),
  );
});

test('usage is understood in both spellings', () => {
  const usage = (wire: object) => {
    const reader = new ChatEventReader({ request: chatRequest(), beginsInThought: false, newCallId: String });
    reader.read(JSON.stringify({ choices: [{ delta: {}, finish_reason: 'stop' }], usage: wire }));
    return tell(reader.end()).finish?.usage;
  };
  const counts = { prompt_tokens: 10, completion_tokens: 5 };
  const expected = {
    ...{ prompt: 10, cacheHit: 4, completion: 5, reasoning: 2, acceptedPrediction: 0, rejectedPrediction: 0 },
  };
  assert.deepEqual(
    usage({ ...counts, prompt_cache_hit_tokens: 4, completion_tokens_details: { reasoning_tokens: 2 } }),
    expected,
  );
  assert.deepEqual(usage({ ...counts, prompt_tokens_details: { cached_tokens: 4 }, reasoning_tokens: 2 }), expected);
  assert.throws(() => usage({ prompt_tokens: -1 }), UpstreamFailure);
});

test('log-probabilities go to the text that their tokens are in, each once', () => {
  const item = (token: string) => ({ token, logprob: -0.5, top_logprobs: [{ token, logprob: -0.5 }] });
  const reader = new ChatEventReader({
    request: chatRequest({ topLogprobs: 1 }),
    ...{ beginsInThought: false, newCallId: String },
  });
  const events = ['a', '\n', '\n', 'b'].flatMap((token) =>
    reader.read(JSON.stringify({ choices: [{ delta: { content: token }, logprobs: { content: [item(token)] } }] })),
  );
  const tokens = events.map((event) => (event.type === 'content' ? event.logprobs.map(({ token }) => token) : []));
  assert.deepEqual(tokens.flat(), ['a', '\n', '\n', 'b']);
  assert.deepEqual(tokens[0], ['a']);
});

test('endings have one name each, and the text that ended the answer is told', () => {
  const reasonOf = (reason: string) => read([{ content: 'a' }], {}, reason).reason;
  assert.deepEqual(['eos', 'length', 'content_filter', 'abort', 'tool_calls', 'function_call'].map(reasonOf), [
    'stop',
    'length',
    'content_filter',
    'insufficient_system_resource',
    'stop',
    'stop',
  ]);
  const reader = new ChatEventReader({
    request: chatRequest({ stop: ['END'] }),
    ...{ beginsInThought: false, newCallId: String },
  });
  reader.read(JSON.stringify({ choices: [{ delta: {}, finish_reason: 'stop', stop_reason: 'END' }] }));
  assert.equal(tell(reader.end()).finish?.stopString, 'END');
});

test('an answer that is cut off in a call leaves the call without an end', () => {
  const told = read([call({ index: 0, id: 'a' }, '{"city": "U', 'weather')], withTools, 'length');
  assert.deepEqual([told.calls[0]?.arguments, told.reason], ['{"city": "U', 'length']);
});
