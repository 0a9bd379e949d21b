import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { thinkEnd } from '@hadal/formats/special-tokens';
import type { BatchDetails } from '@hadal/protocol/batches';
import { openStore } from '@hadal/store/store';
import { testBoth } from '@hadal/store/testing/both-stores';
import type OpenAI from 'openai';
import { BadRequestError, NotFoundError, toFile } from 'openai';
import { serveToy } from './testing/serve-toy.ts';
import { clientOf, until } from './testing/toy-requests.ts';

const question = (content: string) => ({
  model: 'toy',
  messages: [{ role: 'user', content }],
  thinking: { type: 'disabled' },
});
const line = (id: string, body: object, url = '/v1/chat/completions') => ({ custom_id: id, method: 'POST', url, body });
/** Says after the last user turn what was said in it. */
const echo = (prompt: string) => [/<｜User｜>([^<]*)<｜Assistant｜>(?!.*<｜User｜>)/s.exec(prompt)?.[1] ?? ''];

async function upload(client: OpenAI, lines: readonly (object | string)[], purpose: 'batch' | 'user_data' = 'batch') {
  const text = lines.map((one) => (typeof one === 'string' ? one : JSON.stringify(one))).join('\n');
  return await client.files.create({ file: await toFile(Buffer.from(text), 'batch.jsonl'), purpose });
}

async function submit(client: OpenAI, lines: readonly (object | string)[], more: object = {}) {
  const { id } = await upload(client, lines);
  const window = { completion_window: '24h', endpoint: '/v1/chat/completions' } as const;
  return await client.batches.create({ ...window, input_file_id: id, ...more });
}

const ended = ['completed', 'failed', 'expired', 'cancelled'];

async function outcome(client: OpenAI, id: string) {
  for (let i = 0; i < 500; i++) {
    const batch = await client.batches.retrieve(id);
    if (ended.includes(batch.status)) return batch;
    await delay(10);
  }
  throw new Error('expected the batch to end within five seconds');
}

interface Answer {
  readonly id: string;
  readonly custom_id: string;
  readonly response: { readonly status_code: number; readonly request_id: string; readonly body: never } | null;
  readonly error: { readonly code: string; readonly message: string } | null;
}

async function answersOf(client: OpenAI, fileId: string | undefined): Promise<Answer[]> {
  if (fileId === undefined) return [];
  const text = await (await client.files.content(fileId)).text();
  assert.ok(text.endsWith('\n'));
  return text
    .trimEnd()
    .split('\n')
    .map((json) => JSON.parse(json));
}

test('every line is answered once, by the endpoint it names, and mistakes go into a file of their own', async () => {
  await using toy = await serveToy({ script: echo });
  const client = clientOf(toy, '/v1');
  const lines = Array.from({ length: 40 }, (_, i) => line(`q${i}`, question(`say ${i}`)));
  const made = await submit(client, [...lines, '', line('bad', { ...question('x'), temperature: 9 })], {
    metadata: { a: 'b' },
  });
  assert.match(made.id, /^batch_[0-9a-f]{32}$/);
  assert.deepEqual([made.object, made.status, made.metadata], ['batch', 'validating', { a: 'b' }]);
  const batch = await outcome(client, made.id);
  assert.equal(batch.status, 'completed');
  assert.deepEqual(batch.request_counts, { total: 41, completed: 40, failed: 1 });
  const answers = await answersOf(client, batch.output_file_id);
  assert.deepEqual(
    answers.map(({ custom_id }) => custom_id),
    lines.map(({ custom_id }) => custom_id),
    'in the order of the input',
  );
  for (const [i, { response, error }] of answers.entries()) {
    assert.deepEqual([response?.status_code, error], [200, null]);
    const body = response?.body as unknown as OpenAI.ChatCompletion;
    assert.equal(body.choices[0]?.message.content, `say ${i}`);
    assert.equal(body.id, response?.request_id);
  }
  const [bad] = await answersOf(client, batch.error_file_id);
  assert.deepEqual([bad?.custom_id, bad?.response?.status_code, bad?.error], ['bad', 400, null]);
  assert.match(JSON.stringify(bad?.response?.body), /temperature: expected number from 0 to 2, got 9/);
  const tokens = toy.engine.requests.reduce((sum, { prompt }) => sum + prompt.length, 0);
  assert.equal(batch.usage?.input_tokens, tokens);
  assert.ok(toy.engine.requests.every(({ priority }) => priority === 'batch'));
  assert.deepEqual((await client.files.retrieve(batch.output_file_id ?? '')).purpose, 'batch_output');
});

test('any endpoint that answers with words can be asked, each in its own shape', async () => {
  await using toy = await serveToy({ script: () => [`hm${thinkEnd}yes`] });
  const client = clientOf(toy, '/v1');
  const bodies = {
    '/v1/completions': { model: 'toy', prompt: 'a' },
    '/v1/responses': { model: 'toy', input: 'a' },
    '/v1/messages': { model: 'toy', max_tokens: 50, messages: [{ role: 'user', content: 'a' }] },
    '/v1/embeddings': { model: 'toy', input: 'a' },
  };
  const objects = [];
  for (const [endpoint, body] of Object.entries(bodies)) {
    const lines = [line('1', body, endpoint), line('2', { ...body, model: 7 }, endpoint)];
    const batch = await outcome(client, (await submit(client, lines, { endpoint: endpoint as '/v1/responses' })).id);
    const all = [...(await answersOf(client, batch.output_file_id)), ...(await answersOf(client, batch.error_file_id))];
    assert.deepEqual(
      all.map(({ custom_id }) => custom_id),
      ['1', '2'],
    );
    const [first, second] = all.map(({ response }) => response?.body as unknown as Record<string, string>);
    objects.push(first?.object ?? first?.type);
    assert.ok(second && 'error' in second);
    assert.equal(second.type, endpoint === '/v1/messages' ? 'error' : undefined);
  }
  assert.deepEqual(objects, ['text_completion', 'response', 'message', undefined]);
});

test('a file that cannot be a batch fails with every line that is to blame', async () => {
  await using toy = await serveToy({ script: echo });
  const client = clientOf(toy, '/v1');
  const made = await submit(client, [
    line('a', question('x')),
    '{"custom_id": "b",',
    '[]',
    line('a', question('x')),
    { ...line('c', question('x')), url: '/v1/responses' },
    { ...line('d', question('x')), method: 'GET' },
  ]);
  const batch = await outcome(client, made.id);
  assert.equal(batch.status, 'failed');
  assert.ok(batch.failed_at);
  assert.deepEqual(
    batch.errors?.data?.map(({ line: number }) => number),
    [2, 3, 4, 5, 6],
  );
  const messages = batch.errors?.data?.map(({ message = '' }) => message) ?? [];
  for (const [i, part] of ['JSON', 'expected object', 'custom_id', 'url: expected', 'method: expected'].entries()) {
    assert.ok(messages[i]?.includes(part), messages[i]);
  }
  assert.equal(toy.engine.requests.length, 0);
  assert.equal(
    (await outcome(client, (await submit(client, [''])).id)).errors?.data?.[0]?.message,
    'file: expected at least one line, it is empty',
  );
});

test('mistakes of who makes a batch are refused at once', async () => {
  await using toy = await serveToy({ script: echo });
  const client = clientOf(toy, '/v1');
  const refused = (pending: Promise<unknown>, message: RegExp) =>
    assert.rejects(pending, (error) => error instanceof BadRequestError && message.test(error.message));
  await refused(submit(client, [], { endpoint: '/v1/images' }), /endpoint: expected one of "\/v1\/chat\/completions"/);
  await refused(submit(client, [], { completion_window: '1d' }), /completion_window: expected a number of hours/);
  await refused(submit(client, [], { metadata: { a: 1 } }), /metadata\.a: expected string/);
  await assert.rejects(submit(client, [], { input_file_id: 'file-api-x' }), NotFoundError);
  const { id } = await upload(client, ['{}'], 'user_data');
  await refused(
    submit(client, [], { input_file_id: id }),
    /input_file_id: expected a file uploaded with purpose "batch"/,
  );
  await assert.rejects(client.batches.retrieve('batch_x'), NotFoundError);
  const made = await outcome(client, (await submit(client, [line('a', question('x'))])).id);
  await refused(client.batches.cancel(made.id), /id: expected a batch that is not over, .* is completed/);
  const list = await Array.fromAsync(client.batches.list({ limit: 1 }));
  assert.deepEqual(
    list.map((batch) => batch.id),
    [made.id],
  );
});

test('a cancelled batch keeps what was answered', async () => {
  const gate = Promise.withResolvers<void>();
  async function* script(prompt: string) {
    if (!prompt.includes('quick')) await gate.promise;
    yield 'ok';
  }
  await using toy = await serveToy({ script });
  const client = clientOf(toy, '/v1');
  const made = await submit(client, [line('1', question('quick')), line('2', question('slow'))]);
  await until(() => toy.engine.stats.running === 1 && toy.engine.requests.length === 2);
  assert.equal((await client.batches.retrieve(made.id)).request_counts?.completed, 1);
  const cancelling = await client.batches.cancel(made.id);
  assert.equal(cancelling.status, 'cancelling');
  const batch = await outcome(client, made.id);
  assert.equal(batch.status, 'cancelled');
  assert.deepEqual(
    (await answersOf(client, batch.output_file_id)).map(({ custom_id }) => custom_id),
    ['1'],
  );
  assert.equal(batch.error_file_id, undefined);
  assert.equal(toy.engine.stats.aborted, 1);
});

test('what is not answered in time says so', async () => {
  const hour = 3600_000;
  let passed = 0;
  const now = () => Date.now() + passed;
  async function* script(prompt: string) {
    if (prompt.includes('slow')) await delay(200);
    passed = 2 * hour;
    yield 'ok';
  }
  const store = await openStore<BatchDetails>({ path: ':memory:', now });
  await using toy = await serveToy({ script, store, now, capacity: 1 });
  const client = clientOf(toy, '/v1');
  const made = await submit(client, [line('1', question('quick')), line('2', question('later'))], {
    completion_window: '1h',
  });
  const batch = await outcome(client, made.id);
  assert.equal(batch.status, 'expired');
  const [late] = await answersOf(client, batch.error_file_id);
  assert.deepEqual([late?.custom_id, late?.response, late?.error?.code], ['2', null, 'batch_expired']);
});

test('a full queue is waited for, and no answer', async () => {
  await using toy = await serveToy({ script: echo, capacity: 1 });
  const client = clientOf(toy, '/v1');
  const made = await submit(client, [line('1', question('a')), line('2', question('b'))]);
  await until(() => toy.engine.requests.length > 2);
  const batch = await client.batches.retrieve(made.id);
  assert.deepEqual(batch.request_counts, { total: 2, completed: 1, failed: 0 });
});

testBoth('a batch goes on where a stopped server left it, and no line is answered twice', async (place) => {
  const open = () => openStore<BatchDetails>({ ...place, leaseMs: 500 });
  let id: string;
  {
    await using store = await open();
    async function* script(prompt: string) {
      if (/say \d*[5-9]</.test(prompt)) await new Promise(() => {});
      yield* echo(prompt);
    }
    await using toy = await serveToy({ script, store });
    const client = clientOf(toy, '/v1');
    const lines = Array.from({ length: 20 }, (_, i) => line(`q${i}`, question(`say ${i}`)));
    ({ id } = await submit(client, lines));
    await until(() => toy.engine.stats.running >= 10 && toy.engine.requests.length >= 20);
  }
  await using store = await open();
  await using toy = await serveToy({ script: echo, store });
  const client = clientOf(toy, '/v1');
  const batch = await outcome(client, id);
  assert.deepEqual(batch.request_counts, { total: 20, completed: 20, failed: 0 });
  const answers = await answersOf(client, batch.output_file_id);
  assert.deepEqual(
    answers.map(({ custom_id }) => custom_id),
    Array.from({ length: 20 }, (_, i) => `q${i}`),
  );
  assert.equal(toy.engine.requests.length, 10, 'only what had no answer');
});
