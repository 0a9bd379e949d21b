import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { thinkEnd } from '@hadal/formats/special-tokens';
import type { BatchDetails } from '@hadal/protocol/batches';
import { operations } from '@hadal/protocol/openapi/operations';
import { type OperationId, type Route, routes } from '@hadal/protocol/routes';
import { type KeyScope, type StoredKey, unboundedScope } from '@hadal/store/keys';
import { openStore } from '@hadal/store/store';
import OpenAI, { APIError, AuthenticationError, PermissionDeniedError, RateLimitError, toFile } from 'openai';
import { noPrices, type PriceList } from './prices.ts';
import { serveToy, type ToyServer } from './testing/serve-toy.ts';
import { calm, hello, until } from './testing/toy-requests.ts';

const everything = { fromMs: 0, toMs: 1e15, by: [] };

/** One millionth for each token read, ten for each that is written. */
const prices: PriceList = {
  ...noPrices,
  models: new Map([['toy', { cacheHit: 1_000_000, cacheMiss: 1_000_000, output: 10_000_000, windows: [] }]]),
};

interface KeyOptions extends Partial<Omit<StoredKey, 'scope'>> {
  readonly scope?: Partial<KeyScope>;
}

async function addKey(toy: ToyServer, secret: string, { scope, ...more }: KeyOptions = {}): Promise<OpenAI> {
  await toy.store.keys.add(
    {
      ...{ id: `key_${secret}`, organization: '', member: undefined, role: 'member', name: secret, createdMs: 0 },
      ...{ expiresMs: undefined, keepsText: false, ...more, scope: { ...unboundedScope, ...scope } },
    },
    secret,
  );
  return clientOf(toy, secret);
}

function clientOf(toy: ToyServer, secret: string): OpenAI {
  return new OpenAI({ baseURL: `${toy.server.url}/v1`, apiKey: secret, maxRetries: 0 });
}

const ask = (client: OpenAI, more: object = {}) => client.chat.completions.create({ ...hello, ...more, stream: false });
const is = (status: number) => (error: unknown) => error instanceof APIError && error.status === status;

test('without keys anybody may ask; from the first key on, only who has one that is valid', async () => {
  let nowMs = 1000;
  await using toy = await serveToy({ script: () => ['ok'], now: () => nowMs });
  await ask(clientOf(toy, 'anything'));
  const client = await addKey(toy, 'sk-one', { expiresMs: 5000 });
  await ask(client);
  for (const wrong of ['anything', 'sk-on', 'sk-one2']) {
    await assert.rejects(ask(clientOf(toy, wrong)), (error) => {
      assert.ok(error instanceof AuthenticationError);
      assert.match(error.message, new RegExp(`Your api key: \\*\\*\\*\\*${wrong.slice(-4)} is invalid$`));
      return true;
    });
  }
  assert.equal((await fetch(`${toy.server.url}/models`)).status, 401);
  assert.equal((await fetch(`${toy.server.url}/healthz`)).status, 200);
  const headers = { 'x-api-key': 'sk-one' };
  assert.equal((await fetch(`${toy.server.url}/anthropic/v1/models`, { headers })).status, 200);
  nowMs = 5000;
  await assert.rejects(ask(client), AuthenticationError);
  const other = await addKey(toy, 'sk-two');
  await ask(other);
  assert.equal(await toy.store.keys.revoke('key_sk-two', nowMs), true);
  await assert.rejects(ask(other), AuthenticationError);
});

test('a key does what its scope allows', async () => {
  const gate = Promise.withResolvers<void>();
  async function* script(prompt: string) {
    if (prompt.includes('Slow')) await gate.promise;
    yield 'ok';
  }
  let nowMs = 0;
  await using toy = await serveToy({ script, names: true, now: () => nowMs });
  const some = await addKey(toy, 'models', {
    scope: { models: ['deepseek-chat'], operations: ['createChatCompletion'] },
  });
  await ask(some, { model: 'deepseek-chat' });
  await assert.rejects(ask(some), PermissionDeniedError);
  await assert.rejects(some.models.list(), PermissionDeniedError);
  const viewer = await addKey(toy, 'viewer', { role: 'viewer' });
  await viewer.models.list();
  await assert.rejects(ask(viewer), PermissionDeniedError);

  const rated = await addKey(toy, 'rated', { scope: { requestsPerMinute: 2 } });
  await ask(rated);
  await ask(rated);
  await assert.rejects(
    ask(rated),
    (error) => error instanceof RateLimitError && error.headers.get('retry-after') === '30',
  );
  nowMs += 30_000;
  await ask(rated);
  const heavy = await addKey(toy, 'heavy', { scope: { tokensPerMinute: 10 } });
  await ask(heavy);
  await assert.rejects(ask(heavy), RateLimitError);
  nowMs += 3 * 60_000;
  await ask(heavy);

  const single = await addKey(toy, 'single', { scope: { concurrency: 1 } });
  const slow = ask(single, { messages: [{ role: 'user', content: 'Slow' }] });
  await until(() => toy.engine.stats.running === 1);
  await assert.rejects(ask(single), RateLimitError);
  gate.resolve();
  await slow;
  await until(() => toy.engine.stats.running === 0);
  await ask(single);
});

test('who goes away while the key is looked up takes up no place', async () => {
  await using toy = await serveToy({ script: () => ['ok'] });
  const client = await addKey(toy, 'single', { scope: { concurrency: 1 } });
  const { keys } = toy.store;
  const find = keys.find.bind(keys);
  const asked = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  keys.find = async (secret) => {
    asked.resolve();
    await gate.promise;
    return await find(secret);
  };
  const controller = new AbortController();
  const left = client.chat.completions.create(hello, { signal: controller.signal });
  await asked.promise;
  controller.abort();
  await assert.rejects(left);
  await until(() => toy.log.some(({ path }) => path === '/v1/chat/completions'));
  keys.find = find;
  gate.resolve();
  await ask(client);
  await ask(client);
  assert.equal(toy.engine.stats.running, 0, 'nobody waits for the first');
});

test('every answered call has one row, written before its last chunk is sent', async () => {
  await using toy = await serveToy({ script: () => [`hm${thinkEnd}ok`], prices });
  const client = clientOf(toy, 'any');
  const rows = async () => (await toy.store.ledger.usage(everything)).reduce((sum, { requests }) => sum + requests, 0);
  let known = -1;
  for await (const chunk of await client.chat.completions.create({ ...hello, stream: true, n: 2 })) {
    if (chunk.usage) known = await rows();
  }
  assert.equal(known, 1);
  await client.completions.create({ model: 'toy', prompt: 'a' });
  await client.responses.create({ model: 'toy', input: 'a' });
  const begun = await client.responses.create({ model: 'toy', input: 'a', background: true });
  await Array.fromAsync(await client.responses.retrieve(begun.id, { stream: true }));
  await client.responses.retrieve(begun.id);
  const message = { model: 'toy', max_tokens: 9, messages: hello.messages };
  await fetch(`${toy.server.url}/v1/messages`, {
    ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(message) },
  });
  await assert.rejects(ask(client, { temperature: 9 }));
  assert.equal(await rows(), 5);
  const byOperation = await toy.store.ledger.usage({ ...everything, by: ['operation'] });
  assert.deepEqual(
    byOperation.map(({ axes, requests }) => [axes.operation, requests]),
    [
      ['createChatCompletion', 1],
      ['createCompletion', 1],
      ['createMessage', 1],
      ['createResponse', 2],
    ],
  );
  const [chat] = byOperation;
  const prompt = toy.engine.requests[0]?.prompt.length ?? 0;
  assert.deepEqual([chat?.cacheMiss, chat?.completion, chat?.reasoning], [prompt, 12, 4], 'the prompt is counted once');
  assert.equal(chat?.cost, prompt + 120);
});

test('who leaves in the midst pays for what was said by then, once', async () => {
  async function* script() {
    yield 'first';
    await new Promise(() => {});
  }
  await using toy = await serveToy({ script, prices });
  const controller = new AbortController();
  const asked = { ...hello, ...calm, stream: true as const };
  const stream = await clientOf(toy, 'any').chat.completions.create(asked, { signal: controller.signal });
  for await (const chunk of stream) if (chunk.choices[0]?.delta.content === 't') break;
  controller.abort();
  await until(() => toy.engine.stats.running === 0);
  let rows = await toy.store.ledger.usage(everything);
  for (let i = 0; rows.length === 0 && i < 100; i++) rows = await toy.store.ledger.usage(everything);
  assert.deepEqual(
    rows.map(({ requests, completion }) => [requests, completion]),
    [[1, 5]],
  );
});

test('what is granted goes before what was paid in, and when nothing is left there is no more', async () => {
  await using toy = await serveToy({ script: () => ['ok'], prices });
  const { ledger } = toy.store;
  const client = await addKey(toy, 'sk-one');
  const balance = async () => (await client.get<Record<string, unknown>>('/user/balance')) as Record<string, unknown>;
  assert.deepEqual(await balance(), { is_available: true, balance_infos: [] });
  await ask(client, calm);
  await ledger.pay('', 'USD', 'granted', 20);
  await ledger.pay('', 'USD', 'topped-up', 100);
  const cost = (toy.engine.requests[0]?.prompt.length ?? 0) + 30;
  await ask(client, calm);
  assert.deepEqual(await ledger.balances(''), [{ currency: 'USD', granted: 0, toppedUp: 120 - cost }]);
  assert.deepEqual(await balance(), {
    is_available: true,
    balance_infos: [
      {
        currency: 'USD',
        ...{ total_balance: `0.${String(120 - cost).padStart(6, '0')}`, granted_balance: '0.00' },
        topped_up_balance: `0.${String(120 - cost).padStart(6, '0')}`,
      },
    ],
  });
  while (((await ledger.balances(''))[0]?.toppedUp as number) > 0) await ask(client, calm);
  await assert.rejects(ask(client), is(402));
  assert.equal((await balance()).is_available, false);
  await client.models.list();
  await ledger.pay('', 'USD', 'topped-up', 1000);
  await ask(client, calm);
  const bounded = await addKey(toy, 'bounded', { scope: { budget: 1 } });
  await ask(bounded, calm);
  await assert.rejects(ask(bounded), is(402));
});

test('a batch is charged to the key that made it, at half the price, a row for each line', async () => {
  await using toy = await serveToy({ script: () => ['ok'], prices });
  const client = await addKey(toy, 'sk-one');
  const line = (id: string) =>
    JSON.stringify({ custom_id: id, method: 'POST', url: '/v1/chat/completions', body: { ...hello, ...calm } });
  const file = await client.files.create({
    file: await toFile(Buffer.from(`${line('a')}\n${line('b')}`)),
    purpose: 'batch',
  });
  const { id } = await client.batches.create({
    ...{ input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h' },
  });
  while ((await client.batches.retrieve(id)).status !== 'completed');
  const [sum] = await toy.store.ledger.usage({ ...everything, by: ['key'] });
  const prompt = toy.engine.requests[0]?.prompt.length ?? 0;
  assert.deepEqual([sum?.axes.key, sum?.requests], ['key_sk-one', 2]);
  assert.equal(sum?.cost, 2 * Math.floor((prompt + 30 + 1) / 2));
});

test('usage is shown by what it is asked to be added up by', async () => {
  const nowMs = Date.parse('2026-11-26T12:00:00Z');
  await using toy = await serveToy({ script: () => ['ok'], prices, now: () => nowMs });
  const client = await addKey(toy, 'sk-one');
  await ask(client, { ...calm, user: 'ann' });
  await ask(client, { ...calm, user: 'bob' });
  const usage = async (query: string) =>
    (await client.get<{ data: Record<string, unknown>[] }>(`/user/usage${query}`)).data;
  assert.deepEqual(
    (await usage('?by=user,day')).map(({ user, day, requests }) => [user, day, requests]),
    [
      ['ann', '2026-11-26', 1],
      ['bob', '2026-11-26', 1],
    ],
  );
  assert.deepEqual((await usage('?from=2026-11-26&to=2026-11-26&by=')).length, 1);
  assert.deepEqual(await usage('?to=2026-11-25'), []);
  await assert.rejects(usage('?by=moon'), /by: expected some of day, key, model, user, operation, got "moon"/);
  await assert.rejects(usage('?from=1.1.2026'), /from: expected a day such as/);
});

test("nobody sees anything of another organization's, by any route", async () => {
  await using toy = await serveToy({ script: () => [`hm${thinkEnd}ok`], names: true, trains: true });
  await toy.store.keys.addOrganization({ id: 'org_b', name: 'b', createdMs: 0 });
  const ann = await addKey(toy, 'sk-ann', { role: 'owner' });
  await addKey(toy, 'sk-bob', { organization: 'org_b', role: 'owner' });
  const line = JSON.stringify({ custom_id: 'a', method: 'POST', url: '/v1/chat/completions', body: hello });
  const file = (await ann.files.create({ file: await toFile(Buffer.from(line)), purpose: 'batch' })).id;
  const rows = (await ann.files.create({ file: await toFile(Buffer.from('{}')), purpose: 'fine-tune' })).id;
  const { id: job } = await ann.fineTuning.jobs.create({ model: 'toy', training_file: rows });
  while ((await ann.fineTuning.jobs.retrieve(job)).status !== 'succeeded') await setTimeout(10);
  const [event] = (await ann.fineTuning.jobs.listEvents(job)).data;
  const [checkpoint] = (await ann.fineTuning.jobs.checkpoints.list(job)).data;
  const tuned = checkpoint?.fine_tuned_model_checkpoint ?? '';
  const ids = [
    ...[file, rows, job, event?.id ?? '', checkpoint?.id ?? ''],
    (await ask(ann, { store: true })).id,
    (await ann.responses.create({ model: 'toy', input: 'a', store: true })).id,
    (await ann.responses.create({ model: 'toy', input: 'a' })).id,
    (await ann.responses.create({ model: 'toy', input: 'a', background: true })).id,
    (
      await ann.batches.create({
        ...{ input_file_id: file, endpoint: '/v1/chat/completions', completion_window: '24h' },
      })
    ).id,
  ];
  const call = async (route: Route, base: string, id: string, body: object | undefined) => {
    const headers = { authorization: 'Bearer sk-bob', 'anthropic-beta': 'files-api-2025-04-14' };
    const sent = body && { headers: { ...headers, 'content-type': 'application/json' }, body: JSON.stringify(body) };
    const path = base + route.path.replace(':id', id);
    return await fetch(toy.server.url + path, { method: route.method, headers, ...sent });
  };
  let tried = 0;
  for (const [name, route] of Object.entries<Route>(routes)) {
    if (!route.path.includes(':id') || route.path.includes('/models/')) continue;
    const notes = operations[name as OperationId];
    for (const id of ids) {
      for (const base of route.bases) {
        const response = await call(route, base, id, 'body' in notes ? notes.body.example : undefined);
        assert.equal(response.status, 404, `${route.method} ${base}${route.path} with ${id}`);
        tried++;
      }
    }
  }
  assert.ok(tried > 200, `${tried}`);
  const lists = [routes.listFiles, routes.listBatches, routes.listChatCompletions, routes.listAnthropicFiles];
  for (const route of [...lists, routes.listFineTuningJobs]) {
    const { data } = (await (await call(route, route.bases[0] as string, '', undefined)).json()) as { data: unknown[] };
    assert.deepEqual(data, []);
    for (const id of ids) {
      const cursor = await call(
        { ...route, path: `${route.path}?after=${id}&after_id=${id}` },
        route.bases[0] as string,
        '',
        undefined,
      );
      assert.equal(cursor.status, 400);
    }
  }
  const post = async (path: string, body: object) =>
    await fetch(toy.server.url + path, {
      method: 'POST',
      headers: { authorization: 'Bearer sk-bob', 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const ofResponses = ids.filter((id) => id.startsWith('resp_'));
  for (const id of ofResponses) {
    assert.equal((await post('/responses', { model: 'toy', input: 'a', previous_response_id: id })).status, 404);
  }
  const asked = { input_file_id: file, endpoint: '/v1/chat/completions', completion_window: '24h' };
  assert.equal((await post('/batches', asked)).status, 404);
  for (const more of [{}, { training_file: file, validation_file: rows }]) {
    assert.equal((await post('/fine_tuning/jobs', { model: 'toy', training_file: rows, ...more })).status, 404);
  }
  // Models that were made of hers are hers alone.
  const bob = clientOf(toy, 'sk-bob');
  for (const [client, isThere] of [
    [ann, true],
    [bob, false],
  ] as const) {
    assert.equal(
      (await client.models.list()).data.some(({ id }) => id === tuned),
      isThere,
    );
  }
  for (const refused of [() => ask(bob, { model: tuned }), () => bob.models.retrieve(tuned)]) {
    await assert.rejects(refused, is(400));
  }
  for (const path of [`/models/${tuned}/files`, `/models/${tuned}/files/content?name=config.json`]) {
    await assert.rejects(bob.get(path), is(400));
    await ann.get(path);
  }
  assert.equal((await post('/responses', { model: tuned, input: 'a' })).status, 400);
  assert.equal((await post('/fine_tuning/jobs', { model: tuned, training_file: rows })).status, 400);
  assert.equal((await ask(ann, { model: tuned })).model, tuned);
  // Ann still has all of it, and caches are not shared.
  assert.equal(ofResponses.length, 3);
  for (const id of ofResponses) assert.equal((await ann.responses.retrieve(id)).id, id);
  await ask(clientOf(toy, 'sk-bob'));
  const namespaces = new Set(toy.engine.requests.map(({ namespace }) => namespace));
  assert.deepEqual([...namespaces].sort(), ['', 'org_b\n']);
});

test('who is cut off by the end of the server is charged before the store is closed', async () => {
  async function* script() {
    yield 'first';
    await new Promise(() => {});
  }
  const store = await openStore<BatchDetails>({ path: ':memory:' });
  const toy = await serveToy({ script, prices, store });
  const asked = { ...hello, ...calm, stream: true as const };
  const stream = await clientOf(toy, 'any').chat.completions.create(asked);
  let closed: Promise<void> | undefined;
  for await (const chunk of stream) {
    if (chunk.choices[0]?.delta.content !== 't') continue;
    // The last connection ends while the server waits for it, which hears of that before the answer does.
    closed = toy.server.close();
    await setTimeout(50);
    break;
  }
  await closed;
  const [sum] = await store.ledger.usage(everything);
  assert.deepEqual([sum?.requests, sum?.completion], [1, 5]);
  assert.deepEqual(
    toy.log.filter(({ level }) => Number(level) >= 50),
    [],
  );
  await store[Symbol.asyncDispose]();
});
