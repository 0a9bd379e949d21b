import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { thinkEnd } from '@hadal/formats/special-tokens';
import type { BatchDetails } from '@hadal/protocol/batches';
import { openStore, type Store } from '@hadal/store/store';
import { skipOf } from '@hadal/store/testing/both-stores';
import { type PostgresCluster, startCluster } from '@hadal/store/testing/postgres-cluster';
import { toFile } from 'openai';
import { serveToy } from './testing/serve-toy.ts';
import { clientOf } from './testing/toy-requests.ts';

const skip = skipOf('PostgreSQL');

test('a server whose PostgreSQL goes away waits for it, and goes on with everything when it is back', {
  skip,
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

/** Of a response in the background that has ended while PostgreSQL is away for longer than anybody waits for it. */
async function endedWhileAway(
  cluster: PostgresCluster,
  store: Store<BatchDetails>,
  onBegun: (id: string) => Promise<void> = async () => {},
) {
  const gate = Promise.withResolvers<void>();
  async function* script() {
    yield `so${thinkEnd}first `;
    await gate.promise;
    yield 'second';
  }
  const toy = await serveToy({ script, store });
  const { responses } = clientOf(toy);
  const { id } = await responses.create({ model: 'toy', input: 'Go', background: true });
  const events = Array.fromAsync(await responses.retrieve(id, { stream: true }));
  await onBegun(id);
  await cluster.stop();
  gate.resolve();
  const isTold = (line: Record<string, unknown>) => line.requestId !== undefined && line.msg === 'request failed';
  await until(() => toy.log.some(isTold));
  await delay(2 * patienceMs);
  assert.equal((await responses.retrieve(id)).status, 'in_progress', 'nobody is told what may be lost yet');
  return { toy, id, events };
}

const patienceMs = 200;

test('a response in the background that ends while PostgreSQL is away is kept when it is back', { skip }, async () => {
  await using cluster = await startCluster();
  await using store = await openStore<BatchDetails>({ url: await cluster.createDatabase(), patienceMs, leaseMs: 600 });
  const { toy, id, events } = await endedWhileAway(cluster, store);
  await using _toy = toy;
  await cluster.start();
  const last = (await events).at(-1);
  assert.ok(last?.type === 'response.completed', last?.type);
  const stored = await store.responses.find('', id);
  assert.deepEqual(stored?.state.type === 'over' && stored.state.response, last.response);
  assert.equal((await clientOf(toy).responses.retrieve(id)).output_text, 'first second');
  assert.equal(toy.engine.requests.length, 1, 'it is not answered again');
  assert.equal(await store.ledger.has(id), true);
  assert.equal(await store.leases.claim(`response:${id}`), true, 'the claim has been given back');
});

test('one whose server ends too before PostgreSQL is back is answered again, with the same seed', {
  skip,
}, async () => {
  await using cluster = await startCluster();
  const place = { url: await cluster.createDatabase(), patienceMs, leaseMs: 600 };
  await using store = await openStore<BatchDetails>(place);
  const { toy, id, events } = await endedWhileAway(cluster, store);
  await toy[Symbol.asyncDispose]();
  assert.notEqual((await events.catch(() => [])).at(-1)?.type, 'response.completed');
  await cluster.start();
  assert.equal((await store.responses.find('', id))?.state.type, 'unfinished');

  await using later = await openStore<BatchDetails>(place);
  await using again = await serveToy({ script: () => [`so${thinkEnd}first second`], store: later });
  const { responses } = clientOf(again);
  await until(async () => (await responses.retrieve(id)).status === 'completed');
  assert.equal((await responses.retrieve(id)).output_text, 'first second');
  assert.equal(again.engine.requests[0]?.seed, toy.engine.requests[0]?.seed);
});

test('one that another server has taken up meanwhile is left to that', { skip }, async () => {
  await using cluster = await startCluster();
  const place = { url: await cluster.createDatabase(), patienceMs, leaseMs: 600 };
  await using store = await openStore<BatchDetails>(place);
  // To it, the first has been silent for long.
  await using other = await openStore<BatchDetails>({ ...place, now: () => Date.now() + 600_000 });
  const { toy, id, events } = await endedWhileAway(cluster, store, async (begun) => {
    assert.equal(await other.leases.claim(`response:${begun}`), true);
  });
  await using _toy = toy;
  await cluster.start();
  await delay(1000);
  assert.equal((await store.responses.find('', id))?.state.type, 'unfinished');
  const response = { id, status: 'completed', output: [] };
  await other.responses.finish(id, { type: 'over', response, events: undefined });
  assert.equal((await events).at(-1)?.type, 'response.completed');
  const stored = await store.responses.find('', id);
  assert.deepEqual(stored?.state.type === 'over' && stored.state.response, response);
});

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; !(await isSo()); i++) {
    assert.ok(i < 6000, 'expected it within a minute');
    await delay(10);
  }
}
