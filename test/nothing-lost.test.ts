// What the server has acknowledged survives `kill -9`: the real program, killed while it works, and started again.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { StorePlace } from '@hadal/store/database';
import { testBoth } from '@hadal/store/testing/both-stores';
import OpenAI, { toFile } from 'openai';
import { hadal, type Running, startHadal } from './hadal.ts';
import { writeTinyCheckpoint } from './tiny-checkpoint.ts';

const directory = mkdtempSync(join(tmpdir(), 'hadal-'));
const started = new Set<Running>();
after(async () => {
  for (const server of started) await server[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});
const checkpoint = join(directory, 'tiny');
writeTinyCheckpoint(checkpoint);

async function start(place: StorePlace): Promise<{ readonly server: Running; readonly client: OpenAI }> {
  const args = ['serve', '--port', '0', '--threads', '1', '--disk-cache', '0', '--model', checkpoint];
  const server = startHadal(args, { env: environmentOf(place) });
  started.add(server);
  const [, url] = await server.untilOutput(/is ready at (http:\S+)\n/);
  return { server, client: new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0 }) };
}

function environmentOf(place: StorePlace): Readonly<Record<string, string>> {
  return 'url' in place ? { DATABASE_URL: place.url } : { HADAL_HOME: dirname(place.path) };
}

async function killed(server: Running): Promise<void> {
  server.kill();
  await server.ended;
}

testBoth('a batch whose server is killed again and again ends with every line answered exactly once', async (place) => {
  const count = 240;
  const body = (i: number) => ({
    model: 'tiny',
    messages: [{ role: 'user', content: `${i}?` }],
    max_tokens: 120,
    seed: i,
  });
  const lines = Array.from({ length: count }, (_, i) =>
    JSON.stringify({ custom_id: `line-${i}`, method: 'POST', url: '/v1/chat/completions', body: body(i) }),
  );
  let { server, client } = await start(place);
  const { id: input } = await client.files.create({
    file: await toFile(Buffer.from(lines.join('\n'))),
    purpose: 'batch',
  });
  const asked = { input_file_id: input, endpoint: '/v1/chat/completions', completion_window: '24h' } as const;
  const { id } = await client.batches.create(asked);
  // In the midst of checking, of answering, and of answering again.
  const answered: number[] = [];
  for (const part of [0, 0.1, 0.2]) {
    for (;;) {
      const { completed = 0 } = (await client.batches.retrieve(id)).request_counts ?? {};
      if (completed < part * count) {
        await delay(5);
        continue;
      }
      answered.push(completed);
      break;
    }
    await killed(server);
    ({ server, client } = await start(place));
  }
  assert.ok((answered[2] ?? count) < count, 'killed before it was over');
  let batch = await client.batches.retrieve(id);
  for (; !['completed', 'failed'].includes(batch.status); batch = await client.batches.retrieve(id)) await delay(50);
  assert.deepEqual(batch.request_counts, { total: count, completed: count, failed: 0 });
  const output = await (await client.files.content(batch.output_file_id ?? '')).text();
  const answers = output
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    answers.map(({ custom_id }) => custom_id),
    Array.from({ length: count }, (_, i) => `line-${i}`),
  );
  // Whoever answered it: with a seed it is the answer that anybody gets.
  const contentOf = ({ choices }: OpenAI.ChatCompletion) => choices[0]?.message;
  for (const i of [0, 40, 239]) {
    const alone = await client.chat.completions.create(body(i) as OpenAI.ChatCompletionCreateParamsNonStreaming);
    assert.deepEqual(contentOf(answers[i].response.body), contentOf(alone));
  }
  await killed(server);
});

testBoth(
  'files, stored completions and responses are there after a kill, and one in the background ends as if nothing had been',
  async (place) => {
    let { server, client } = await start(place);
    const file = await client.files.create({ file: await toFile(Buffer.from('kept'), 'a.txt'), purpose: 'user_data' });
    const asked = {
      model: 'tiny',
      messages: [{ role: 'user' as const, content: 'hello' }],
      max_tokens: 5,
      store: true,
    };
    const completion = await client.chat.completions.create(asked);
    const response = await client.responses.create({
      model: 'tiny',
      input: 'hello',
      max_output_tokens: 5,
      store: true,
    });
    const background = { model: 'tiny', input: 'hello', max_output_tokens: 300, background: true };
    const begun = await client.responses.create({ ...background, stream: true });
    let id = '';
    const seen: OpenAI.Responses.ResponseStreamEvent[] = [];
    for await (const event of begun) {
      if (event.type === 'response.created') ({ id } = event.response);
      seen.push(event);
      if (seen.length === 12) break;
    }
    await killed(server);
    ({ server, client } = await start(place));
    assert.equal(await (await client.files.content(file.id)).text(), 'kept');
    assert.deepEqual((await client.chat.completions.retrieve(completion.id)).choices, completion.choices);
    assert.deepEqual((await client.responses.retrieve(response.id)).output, response.output);
    // It is answered again from its seed: who had followed it goes on where they were.
    const all = await Array.fromAsync(await client.responses.retrieve(id, { stream: true }));
    const textsOf = (events: typeof seen) => events.map((event) => ('delta' in event ? event.delta : event.type));
    assert.deepEqual(textsOf(all.slice(0, seen.length)), textsOf(seen));
    assert.ok(['completed', 'incomplete'].includes((await client.responses.retrieve(id)).status ?? ''));
    await killed(server);
  },
);

testBoth(
  'a backup made while the server runs brings back what there was, into a store of either kind',
  async (place, kind) => {
    const env = environmentOf(place);
    const file = join(directory, `backup-${kind}`);
    const { server, client } = await start(place);
    const upload = async (name: string) =>
      client.files.create({ file: await toFile(Buffer.from(name), name), purpose: 'user_data' });
    const kept = await upload('kept');
    const made = await hadal(['backup', file], { env });
    assert.deepEqual([made.code, made.stderr], [0, '']);
    assert.match(made.stdout, /^.*: [\d.]+ kB, 2 rows \(files 1\), checked\n$/);
    const later = await upload('later');
    await killed(server);

    const refused = await hadal(['restore', file], { env });
    assert.deepEqual([refused.code, refused.stdout], [1, '']);
    assert.match(refused.stderr, /^hadal: the store has 4 rows already; --replace .*\n$/);
    const restored = await hadal(['restore', '--replace', file], { env });
    assert.deepEqual([restored.code, restored.stderr], [0, '']);
    assert.match(restored.stdout, /of 20\S+Z: 2 rows \(files 1\) restored and compared, in the place of 4 rows\n$/);
    const elsewhere = { path: join(directory, `from-${kind}`, 'hadal.db') };
    assert.equal((await hadal(['restore', file], { env: environmentOf(elsewhere) })).code, 0);
    for (const there of [place, elsewhere]) {
      const again = await start(there);
      assert.equal(await (await again.client.files.content(kept.id)).text(), 'kept');
      await assert.rejects(again.client.files.retrieve(later.id), /404/);
      await killed(again.server);
    }
  },
);
