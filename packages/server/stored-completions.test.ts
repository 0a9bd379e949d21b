import assert from 'node:assert/strict';
import { test } from 'node:test';
import { thinkEnd } from '@hadal/formats/special-tokens';
import { BadRequestError, NotFoundError } from 'openai';
import { serveToy } from './testing/serve-toy.ts';
import { callText, calm, clientOf, hello, weather } from './testing/toy-requests.ts';

const stored = { ...hello, store: true };

test('a completion that is to be stored can be fetched when its last chunk is there, and no other', async () => {
  await using toy = await serveToy({ script: () => [`so${thinkEnd}9.8 is greater`] });
  const { completions } = clientOf(toy, '/v1').chat;
  const whole = await completions.create({ ...stored, metadata: { task: 'compare' }, n: 2 });
  const fetched = await completions.retrieve(whole.id);
  assert.deepEqual(fetched, { ...whole, metadata: { task: 'compare' } });
  assert.deepEqual(fetched.choices.length, 2);
  let [id, content, isThere] = ['', '', false];
  for await (const chunk of await completions.create({ ...stored, stream: true })) {
    ({ id } = chunk);
    content += chunk.choices[0]?.delta.content ?? '';
    if (chunk.choices[0]?.finish_reason) isThere = (await completions.retrieve(id)).id === id;
  }
  assert.ok(isThere, 'with the last chunk');
  assert.equal((await completions.retrieve(id)).choices[0]?.message.content, content);
  const { id: other } = await completions.create(hello);
  await assert.rejects(completions.retrieve(other), NotFoundError);
});

test('stored completions are listed by model and metadata, changed and deleted', async () => {
  await using toy = await serveToy({ script: () => ['ok'], names: true });
  const { completions } = clientOf(toy, '/v1').chat;
  const make = async (model: string, metadata: Record<string, string>) =>
    (await completions.create({ ...stored, ...calm, model, metadata })).id;
  const one = await make('toy', { task: 'sum' });
  const two = await make('deepseek-chat', { task: 'sum' });
  const three = await make('toy', {});
  const ids = async (query: object) => (await Array.fromAsync(completions.list(query))).map(({ id }) => id);
  assert.deepEqual(await ids({ limit: 1 }), [one, two, three]);
  assert.deepEqual(await ids({ order: 'desc' }), [three, two, one]);
  assert.deepEqual(await ids({ model: 'deepseek-chat' }), [two]);
  assert.deepEqual(await ids({ metadata: { task: 'sum' } }), [one, two]);
  const changed = await completions.update(three, { metadata: { task: 'sum' } });
  assert.deepEqual(changed.metadata, { task: 'sum' });
  assert.deepEqual(await ids({ metadata: { task: 'sum' }, model: 'toy' }), [one, three]);
  assert.deepEqual(await completions.delete(one), { object: 'chat.completion.deleted', id: one, deleted: true });
  assert.deepEqual(await ids({}), [two, three]);
  for (const ask of [
    () => completions.retrieve(one),
    () => completions.delete(one),
    () => completions.update(one, { metadata: {} }),
    async () => await completions.messages.list(one),
  ]) {
    await assert.rejects(
      ask,
      (error) =>
        error instanceof NotFoundError && error.message.includes(`Chat completion with id '${one}' not found.`),
    );
  }
});

test('what a completion answers is listed too, message by message', async () => {
  const script = (prompt: string) => [prompt.includes('tool_result') ? 'Sunny.' : callText('weather', 'Rome')];
  await using toy = await serveToy({ script });
  const { completions } = clientOf(toy, '/v1').chat;
  const asked = { ...stored, ...calm, tools: [weather] };
  const first = await completions.create(asked);
  const message = first.choices[0]?.message;
  const call = message?.tool_calls?.[0];
  assert.ok(message && call);
  const parts = [
    { type: 'text' as const, text: 'sun' },
    { type: 'text' as const, text: 'ny' },
  ];
  const messages = [...hello.messages, message, { role: 'tool' as const, tool_call_id: call.id, content: parts }];
  const second = await completions.create({ ...asked, messages });
  const listed = await Array.fromAsync(completions.messages.list(second.id, { limit: 2 }));
  assert.deepEqual(
    listed.map(({ role, content }) => [role, content]),
    [
      ['user', 'Hello'],
      ['assistant', ''],
      ['tool', 'sun\n\nny'],
    ],
  );
  assert.deepEqual((listed[2] as { content_parts?: unknown }).content_parts, parts);
  assert.equal(new Set(listed.map(({ id }) => id)).size, 3);
});

test('metadata out of its bounds is refused by name', async () => {
  await using toy = await serveToy({ script: () => ['ok'] });
  const { completions } = clientOf(toy, '/v1').chat;
  const many = Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, 'v']));
  for (const [metadata, message] of [
    [{ a: 'x'.repeat(513) }, /metadata\.a: expected string of at most 512 characters/],
    [{ a: 5 }, /metadata\.a: expected string of at most 512 characters, got number/],
    [many, /metadata: expected at most 16 keys/],
  ] as const) {
    await assert.rejects(
      completions.create({ ...stored, metadata: metadata as never }),
      (error) => error instanceof BadRequestError && message.test(error.message),
    );
  }
});
