import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { namedProviders } from './model-names.ts';
import { serveToy } from './testing/serve-toy.ts';
import { clientOf, hello, until } from './testing/toy-requests.ts';

test('what is under way goes on under a name that is taken away, and what comes later has the new names', async () => {
  const go = Promise.withResolvers<void>();
  await using toy = await serveToy({
    names: [{ id: 'first' }],
    async *script() {
      yield 'be';
      await go.promise;
      yield 'gun';
    },
  });
  const client = clientOf(toy);
  const stream = await client.chat.completions.create({ ...hello, model: 'first', stream: true });
  const background = await client.responses.create({ model: 'first', input: 'Hello', background: true });
  const line = { custom_id: '1', method: 'POST', url: '/v1/chat/completions', body: { ...hello, model: 'first' } };
  const file = new File([JSON.stringify(line)], 'lines.jsonl');
  const { id: input } = await client.files.create({ file, purpose: 'batch' });
  const asked = { input_file_id: input, endpoint: '/v1/chat/completions', completion_window: '24h' } as const;
  let batch = await client.batches.create(asked);
  await until(() => toy.engine.stats.running === 3);

  toy.server.replace({ providers: namedProviders([toy.provider], [{ id: 'second' }]) });
  const listed = async () => (await client.models.list()).data.map(({ id }) => id);
  assert.deepEqual(await listed(), ['toy', 'second']);
  for (const create of [
    () => client.chat.completions.create({ ...hello, model: 'first' }),
    () => client.responses.create({ model: 'first', input: 'Hello' }),
  ]) {
    await assert.rejects(create, /first/);
  }

  go.resolve();
  const last = await client.chat.completions.create({ ...hello, model: 'second' });
  assert.equal(last.choices[0]?.finish_reason, 'stop');
  let text = '';
  for await (const { choices } of stream) {
    const delta = (choices[0]?.delta ?? {}) as Record<string, string | null>;
    text += (delta.content ?? '') + (delta.reasoning_content ?? '');
  }
  assert.equal(text, 'begun');
  while ((await client.responses.retrieve(background.id)).status !== 'completed') await delay(5);
  while (batch.status !== 'completed') batch = await client.batches.retrieve(batch.id);
  assert.equal(batch.request_counts?.completed, 1);
});

test('providers that cannot be together are refused, and those before stay', async () => {
  await using toy = await serveToy({ script: () => ['a'] });
  assert.throws(() => toy.server.replace({ providers: [] }), /expected at least one/);
  assert.throws(() => toy.server.replace({ providers: [toy.provider, toy.provider] }), /one for each model id/);
  assert.equal((await clientOf(toy).chat.completions.create(hello)).model, 'toy');
});
