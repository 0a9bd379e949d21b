import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { thinkEnd } from '@hadal/formats/special-tokens';
import type { BatchDetails } from '@hadal/protocol/batches';
import { openStore } from '@hadal/store/store';
import { skipOf } from '@hadal/store/testing/both-stores';
import { startCluster } from '@hadal/store/testing/postgres-cluster';
import { toFile } from 'openai';
import { serveToy } from './testing/serve-toy.ts';
import { clientOf } from './testing/toy-requests.ts';

test('a server whose PostgreSQL goes away waits for it, and goes on with everything when it is back', {
  skip: skipOf('PostgreSQL'),
}, async () => {
  await using cluster = await startCluster();
  await using store = await openStore<BatchDetails>({ url: await cluster.createDatabase(), leaseMs: 600 });
  let isSlow = true;
  async function* script(prompt: string) {
    if (isSlow && /line \d*[5-9]</.test(prompt)) await until(() => !isSlow);
    yield `so${thinkEnd}Hi`;
  }
  await using toy = await serveToy({ script, store });
  const client = clientOf(toy, '/v1');
  const question = (content: string) => ({ model: 'toy', messages: [{ role: 'user' as const, content }] });
  const lines = Array.from({ length: 20 }, (_, i) =>
    JSON.stringify({ custom_id: `q${i}`, method: 'POST', url: '/v1/chat/completions', body: question(`line ${i}`) }),
  );
  const file = await client.files.create({ file: await toFile(Buffer.from(lines.join('\n'))), purpose: 'batch' });
  const asked = { input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h' } as const;
  const { id } = await client.batches.create(asked);
  const background = await client.responses.create({ model: 'toy', input: 'line 5', background: true });
  await until(async () => ((await client.batches.retrieve(id)).request_counts?.completed ?? 0) >= 10);

  await cluster.stop();
  const waiting = Promise.all([client.chat.completions.create(question('Hello')), client.files.retrieve(file.id)]);
  isSlow = false;
  await delay(700);
  await cluster.start();
  const [answer, found] = await waiting;
  assert.deepEqual([answer.choices[0]?.message.content, found.id], ['Hi', file.id], 'asked while it was away');

  await until(async () => (await client.batches.retrieve(id)).status === 'completed');
  assert.deepEqual((await client.batches.retrieve(id)).request_counts, { total: 20, completed: 20, failed: 0 });
  await until(async () => (await client.responses.retrieve(background.id)).status === 'completed');
  assert.equal((await client.responses.create({ model: 'toy', input: 'a', store: true })).output_text, 'Hi');
});

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; !(await isSo()); i++) {
    assert.ok(i < 6000, 'expected it within a minute');
    await delay(10);
  }
}
