import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { dsml, thinkEnd } from '@hadal/formats/special-tokens';
import type { BatchDetails } from '@hadal/protocol/batches';
import { openStore } from '@hadal/store/store';
import { testBoth } from '@hadal/store/testing/both-stores';
import OpenAI, { BadRequestError, InternalServerError, NotFoundError } from 'openai';
import { serveToy, type ToyServer } from './testing/serve-toy.ts';

/** The official client, unmodified. */
function clientOf(toy: ToyServer): OpenAI {
  return new OpenAI({ baseURL: `${toy.server.url}/v1`, apiKey: 'any', maxRetries: 0 });
}

const weather = {
  type: 'function' as const,
  name: 'weather',
  description: 'Weather in a city',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  strict: false,
};
const callText =
  `\n\n<${dsml}tool_calls>\n<${dsml}invoke name="weather">\n<${dsml}parameter name="city" string="true">Rome</${dsml}parameter>\n` +
  `</${dsml}invoke>\n</${dsml}tool_calls>`;
const promptOf = (toy: ToyServer) => toy.engine.tokenizer.decode(toy.engine.requests.at(-1)?.prompt ?? []);

test('a response comes whole, with its reasoning, its text and what it took', async () => {
  await using toy = await serveToy({ script: () => [`so${thinkEnd}9.8 is greater`] });
  const response = await clientOf(toy).responses.create({ model: 'toy', instructions: 'Be brief.', input: 'Which?' });
  assert.match(response.id, /^resp_[0-9a-f]{32}$/);
  assert.equal(response.status, 'completed');
  assert.equal(response.output_text, '9.8 is greater');
  const [reasoning, message] = response.output;
  assert.ok(reasoning?.type === 'reasoning' && message?.type === 'message');
  assert.deepEqual(reasoning.content, [{ type: 'reasoning_text', text: 'so' }]);
  assert.deepEqual(message.content, [{ type: 'output_text', text: '9.8 is greater', annotations: [], logprobs: [] }]);
  assert.equal(response.usage?.input_tokens, toy.engine.requests[0]?.prompt.length);
  assert.equal(response.usage?.output_tokens_details.reasoning_tokens, 2);
  assert.match(promptOf(toy), /^<｜begin▁of▁sentence｜>Be brief\.<｜User｜>Which\?<｜Assistant｜><think>$/);
});

test('events come in order, numbered, each item closed before the next, and say what the whole says', async () => {
  await using toy = await serveToy({ script: () => ['let me', ` see${thinkEnd}Here`, ' it is.', callText] });
  const asked = { model: 'toy', input: 'Weather in Rome?', tools: [weather] };
  const events = [];
  for await (const event of await clientOf(toy).responses.create({ ...asked, stream: true })) events.push(event);
  assert.deepEqual(
    events.map(({ sequence_number }) => sequence_number),
    events.map((_, i) => i),
  );
  const types = events.map(({ type }) => type).filter((type) => !type.endsWith('.delta'));
  assert.deepEqual(types, [
    ...['response.created', 'response.in_progress'],
    ...['response.output_item.added', 'response.content_part.added', 'response.reasoning_text.done'],
    ...['response.content_part.done', 'response.output_item.done'],
    ...['response.output_item.added', 'response.content_part.added', 'response.output_text.done'],
    ...['response.content_part.done', 'response.output_item.done'],
    ...['response.output_item.added', 'response.function_call_arguments.done', 'response.output_item.done'],
    'response.completed',
  ]);
  const last = events.at(-1);
  assert.ok(last?.type === 'response.completed');
  const whole = await clientOf(toy).responses.create(asked);
  const withoutIds = ({ output }: { output: OpenAI.Responses.ResponseOutputItem[] }) =>
    output.map((item) => ({ ...item, id: '', ...('call_id' in item && { call_id: '' }) }));
  assert.deepEqual(withoutIds(last.response), withoutIds(whole));
  const texts = events.flatMap((event) => (event.type === 'response.output_text.delta' ? [event.delta] : []));
  assert.equal(texts.join(''), 'Here it is.');
  const raw = await fetch(`${toy.server.url}/responses`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...asked, stream: true }),
  });
  assert.ok(!(await raw.text()).includes('[DONE]'));
});

test('tools make a round trip, by what is sent back and by the earlier response alone', async () => {
  const script = (prompt: string) =>
    prompt.includes('<tool_result>') ? [`seen${thinkEnd}Sunny.`] : [`I must look${thinkEnd}${callText}`];
  await using toy = await serveToy({ script });
  const client = clientOf(toy);
  const asked = { model: 'toy', tools: [weather] };
  const first = await client.responses.create({ ...asked, input: 'Weather in Rome?' });
  const call = first.output.find((item) => item.type === 'function_call');
  assert.ok(call?.type === 'function_call');
  assert.deepEqual([call.name, JSON.parse(call.arguments)], ['weather', { city: 'Rome' }]);
  const result = { type: 'function_call_output' as const, call_id: call.call_id, output: 'sunny' };
  const sentBack = await client.responses.create({
    ...asked,
    input: [{ role: 'user', content: 'Weather in Rome?' }, ...(first.output as never[]), result],
  });
  assert.equal(sentBack.output_text, 'Sunny.');
  const prompt = promptOf(toy);
  assert.ok(prompt.includes(`<think>I must look${thinkEnd}${callText}`), prompt);
  const chained = await client.responses.create({ ...asked, previous_response_id: first.id, input: [result] });
  assert.equal(chained.output_text, 'Sunny.');
  assert.equal(promptOf(toy), prompt);
  const further = await client.responses.create({ model: 'toy', previous_response_id: chained.id, input: 'Thanks' });
  assert.equal(further.previous_response_id, chained.id);
  assert.ok(promptOf(toy).includes('Sunny.'));
});

test('a response in the background goes on alone, can be followed, fetched, cancelled and deleted', async () => {
  const gate = Promise.withResolvers<void>();
  async function* script() {
    yield `so${thinkEnd}first `;
    await gate.promise;
    yield 'second';
  }
  await using toy = await serveToy({ script });
  const client = clientOf(toy);
  const begun = await client.responses.create({ model: 'toy', input: 'Go', background: true });
  assert.equal(begun.status, 'in_progress');
  assert.equal((await client.responses.retrieve(begun.id)).status, 'in_progress');
  const cancelled = await client.responses.create({ model: 'toy', input: 'Go', background: true });
  await delay(20);
  assert.equal((await client.responses.cancel(cancelled.id)).status, 'cancelled');
  assert.equal(toy.engine.stats.aborted, 1);
  gate.resolve();
  let text = '';
  for await (const event of await client.responses.retrieve(begun.id, { stream: true, starting_after: 1 })) {
    if (event.type === 'response.output_text.delta') text += event.delta;
  }
  assert.equal(text, 'first second');
  const done = await client.responses.retrieve(begun.id);
  assert.deepEqual([done.status, done.output_text], ['completed', 'first second']);
  const items = await client.responses.inputItems.list(begun.id);
  assert.deepEqual((items.data[0] as { content?: unknown }).content, [{ type: 'input_text', text: 'Go' }]);
  await client.responses.delete(begun.id);
  await assert.rejects(client.responses.retrieve(begun.id), NotFoundError);
});

test('a call without a body may announce one', async () => {
  await using toy = await serveToy({ script: () => ['ok'] });
  const headers = { 'content-type': 'application/json' };
  for (const method of ['POST', 'DELETE']) {
    const path = `/responses/resp_0${method === 'POST' ? '/cancel' : ''}`;
    const response = await fetch(toy.server.url + path, { method, headers });
    assert.match(await response.text(), /Response with id 'resp_0' not found/);
  }
});

test('an answer that is cut off is incomplete, and says why', async () => {
  await using toy = await serveToy({ script: () => ['abcdefgh'] });
  const { responses } = clientOf(toy);
  const cut = await responses.create({
    model: 'toy',
    input: 'Go',
    max_output_tokens: 3,
    reasoning: { effort: 'none' },
  });
  assert.deepEqual(
    [cut.status, cut.incomplete_details, cut.output_text],
    ['incomplete', { reason: 'max_output_tokens' }, 'abc'],
  );
});

test('a schema is enforced and shown, and the response says what was asked', async () => {
  await using toy = await serveToy({ script: () => ['{}'] });
  const format = {
    type: 'json_schema' as const,
    name: 'n',
    strict: true,
    schema: { type: 'object', properties: { depth: {} } },
  };
  const response = await clientOf(toy).responses.create({
    ...{ model: 'toy', input: 'Go', text: { format }, reasoning: { effort: 'none' }, metadata: { a: 'b' } },
  });
  assert.deepEqual(toy.engine.requests[0]?.constraint, { type: 'json-schema', schema: format.schema, isStrict: true });
  assert.match(promptOf(toy), /"properties": \{"depth"/);
  assert.deepEqual([response.metadata, response.text?.format], [{ a: 'b' }, format]);
});

test('what cannot be answered is refused, and a failure ends the stream with an event that says so', async () => {
  await using toy = await serveToy({
    script: async function* () {
      yield 'be';
      throw new Error('the engine broke');
    },
  });
  const { responses } = clientOf(toy);
  const image = [
    { role: 'user' as const, content: [{ type: 'input_image' as const, image_url: 'x', detail: 'auto' as const }] },
  ];
  for (const [body, message] of [
    [{ model: 'toy' }, /input: expected input or instructions, got neither/],
    [{ model: 'other', input: 'a' }, /supported API model names are toy/],
    [{ model: 'toy', input: 'a', background: true, store: false }, /background: cannot be fetched later/],
    [{ model: 'toy', input: image }, /input\[0\]\.content\[0\]: This model does not support image/],
  ] as const) {
    await assert.rejects(responses.create(body as never), (error) => {
      assert.ok(error instanceof BadRequestError);
      assert.match(error.message, message);
      return true;
    });
  }
  await assert.rejects(responses.create({ model: 'toy', input: 'a', previous_response_id: 'resp_0' }), NotFoundError);
  const events = [];
  for await (const event of await responses.create({ model: 'toy', input: 'a', stream: true })) events.push(event);
  const last = events.at(-1);
  assert.ok(last?.type === 'response.failed');
  assert.match(last.response.error?.message ?? '', /had an error/);
  assert.equal((await responses.create({ model: 'toy', input: 'a' })).status, 'failed');
});

testBoth('a response that is asked to be stored outlives the server; one that is not does not', async (place) => {
  const open = () => openStore<BatchDetails>({ ...place, leaseMs: 500 });
  let [kept, forgotten] = ['', ''];
  {
    await using store = await open();
    await using toy = await serveToy({ script: () => [`so${thinkEnd}Hi`], store });
    const { responses } = clientOf(toy);
    kept = (await responses.create({ model: 'toy', input: 'Hello', store: true, metadata: { a: 'b' } })).id;
    forgotten = (await responses.create({ model: 'toy', input: 'Hello' })).id;
    assert.equal((await responses.retrieve(forgotten)).output_text, 'Hi');
  }
  await using store = await open();
  await using toy = await serveToy({ script: () => [`and${thinkEnd}Bye`], store });
  const { responses } = clientOf(toy);
  const found = await responses.retrieve(kept);
  assert.deepEqual([found.status, found.output_text, found.metadata], ['completed', 'Hi', { a: 'b' }]);
  await assert.rejects(responses.retrieve(forgotten), NotFoundError);
  await responses.create({ model: 'toy', previous_response_id: kept, input: 'Go on' });
  assert.match(promptOf(toy), /Hello.*Hi.*Go on/s);
  const [item] = (await responses.inputItems.list(kept)).data;
  assert.deepEqual((item as { content?: unknown }).content, [{ type: 'input_text', text: 'Hello' }]);
  await responses.delete(kept);
  await assert.rejects(responses.retrieve(kept), NotFoundError);
});

testBoth(
  'what the end of a server cuts short in the background is answered again, with the same seed',
  async (place) => {
    const open = () => openStore<BatchDetails>({ ...place, leaseMs: 500 });
    let begun = '';
    let seed: number | undefined;
    {
      await using store = await open();
      async function* script() {
        yield `so${thinkEnd}first `;
        await new Promise(() => {});
      }
      await using toy = await serveToy({ script, store });
      begun = (await clientOf(toy).responses.create({ model: 'toy', input: 'Go', background: true })).id;
      seed = toy.engine.requests[0]?.seed;
      assert.equal(typeof seed, 'number');
    }
    await using store = await open();
    await using toy = await serveToy({ script: () => [`so${thinkEnd}first second`], store });
    const { responses } = clientOf(toy);
    let text = '';
    const events = [];
    for await (const event of await responses.retrieve(begun, { stream: true })) {
      events.push(event);
      if (event.type === 'response.output_text.delta') text += event.delta;
    }
    assert.equal(text, 'first second');
    assert.equal(toy.engine.requests[0]?.seed, seed);
    assert.deepEqual((await responses.retrieve(begun)).status, 'completed');
    const again = await Array.fromAsync(await responses.retrieve(begun, { stream: true, starting_after: 3 }));
    assert.deepEqual(again, events.slice(4), 'the events are stored too');
  },
);

testBoth('a response that is deleted or cancelled while it is made stays so', async (place) => {
  const open = () => openStore<BatchDetails>({ ...place, leaseMs: 500 });
  await using store = await open();
  const gate = Promise.withResolvers<void>();
  async function* script() {
    yield `so${thinkEnd}first `;
    await gate.promise;
    yield 'second';
  }
  await using toy = await serveToy({ script, store });
  const { responses } = clientOf(toy);
  const asked = { model: 'toy', input: 'Go', background: true };
  const [one, two] = [await responses.create(asked), await responses.create(asked)];
  assert.equal((await responses.cancel(one.id)).status, 'cancelled');
  await responses.delete(two.id);
  gate.resolve();
  assert.equal((await responses.retrieve(one.id)).status, 'cancelled');
  await assert.rejects(responses.retrieve(two.id), NotFoundError);
  assert.deepEqual(await store.responses.unfinished(), []);
});

test('a response that the store does not take keeps no server from ending', { timeout: 20_000 }, async (t) => {
  await using store = await openStore<BatchDetails>({ path: ':memory:' });
  await using toy = await serveToy({ script: () => [`so${thinkEnd}Hi`], store });
  t.mock.method(store.responses, 'add', () => Promise.reject(new Error('away')), { times: 1 });
  const asked = { model: 'toy', input: 'Go', background: true };
  await assert.rejects(clientOf(toy).responses.create(asked), InternalServerError);
  assert.equal(toy.engine.requests.length, 0);
});

test('a custom tool takes its input as it is, streamed and not, and the call goes back as it was written', async () => {
  const patch = '*** Begin Patch\n*** Add File: "a"\n+\\é\n*** End Patch\n';
  const call =
    `\n\n<${dsml}tool_calls>\n<${dsml}invoke name="apply_patch">\n` +
    `<${dsml}parameter name="input" string="true">${patch}</${dsml}parameter>\n</${dsml}invoke>\n</${dsml}tool_calls>`;
  const script = (prompt: string) =>
    prompt.includes('<tool_result>') ? [`seen${thinkEnd}Done.`] : [`hm${thinkEnd}`, ...call];
  await using toy = await serveToy({ script });
  const { responses } = clientOf(toy);
  const format = { type: 'grammar' as const, syntax: 'lark' as const, definition: 'start: begin_patch' };
  const tools = [{ type: 'custom' as const, name: 'apply_patch', description: 'Edits files', format }];
  const asked = { model: 'toy', tools, input: 'Go' };
  const whole = await responses.create(asked);
  const item = whole.output[1];
  assert.ok(item?.type === 'custom_tool_call');
  assert.deepEqual([item.name, item.input], ['apply_patch', patch]);
  assert.match(
    promptOf(toy),
    /"input": \{"type": "string", "description": "Follows this grammar:\\nstart: begin_patch"/,
  );
  const said: string[] = [];
  const inputs = { delta: '', done: '', item: '' };
  for await (const event of await responses.create({ ...asked, stream: true })) {
    if (said.at(-1) !== event.type) said.push(event.type);
    if (event.type === 'response.custom_tool_call_input.delta') inputs.delta += event.delta;
    if (event.type === 'response.custom_tool_call_input.done') inputs.done = event.input;
    if (event.type === 'response.output_item.done' && event.item.type === 'custom_tool_call')
      inputs.item = event.item.input;
  }
  assert.deepEqual(inputs, { delta: patch, done: patch, item: patch });
  assert.deepEqual(said.slice(-5), [
    ...['response.output_item.added', 'response.custom_tool_call_input.delta', 'response.custom_tool_call_input.done'],
    ...['response.output_item.done', 'response.completed'],
  ]);
  const result = { type: 'custom_tool_call_output' as const, call_id: item.call_id, output: 'ok' };
  const sentBack = { ...asked, input: [{ role: 'user', content: 'Go' }, ...whole.output, result] as never };
  assert.equal((await responses.create(sentBack)).output_text, 'Done.');
  assert.ok(promptOf(toy).includes(`hm${thinkEnd}${call}`), promptOf(toy));
  const chained = { ...asked, previous_response_id: whole.id, input: [result] };
  assert.equal((await responses.create(chained)).output_text, 'Done.');
  assert.ok(promptOf(toy).includes(`hm${thinkEnd}${call}`), promptOf(toy));
  const other = { ...asked, tools: [{ type: 'custom' as const, name: 'other' }] };
  await assert.rejects(
    responses.create(other),
    /tools\[0\]\.name: expected apply_patch, the only custom tool, got "other"/,
  );
});
