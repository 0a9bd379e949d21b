import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import type { StoredFile } from './files.ts';
import { openStore, type Store } from './store.ts';

const description = { filename: 'a.txt', purpose: 'user_data', mimeType: 'text/plain', expiresMs: undefined };

function write(
  store: Store,
  id: string,
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  { owner = 'ann', ...more }: Partial<StoredFile> = {},
): Promise<StoredFile> {
  return store.files.write({ id, owner, createdMs: 1000 }, content, () => ({ ...description, ...more }));
}
const page = { owner: 'ann', limit: 10, order: 'asc' } as const;

async function bytesOf(content: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of content) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test('a file comes back byte for byte, however it was cut into pieces', async () => {
  await using store = await openStore({ path: ':memory:' });
  const large = Buffer.from(Array.from({ length: 3_000_001 }, (_, i) => i * 31));
  const cuts = fc.array(fc.nat(large.length), { maxLength: 6 }).map((places) => places.sort((a, b) => a - b));
  await fc.assert(
    fc.asyncProperty(cuts, async (places) => {
      const pieces = [0, ...places].map((start, i) => large.subarray(start, places[i] ?? large.length));
      const written = await write(store, 'f', pieces);
      assert.equal(written.bytes, large.length);
      const found = await store.files.find('ann', 'f');
      assert.deepEqual(found, written);
      assert.equal(Buffer.compare(await bytesOf(store.files.read(written)), large), 0);
    }),
    { numRuns: 10, seed: 1 },
  );
});

test('nothing is left of an upload that fails, and a file half written is none', async () => {
  let nowMs = 1000;
  await using store = await openStore({ path: ':memory:', now: () => nowMs });
  const { promise: rest, reject } = Promise.withResolvers<Uint8Array>();
  async function* content() {
    yield Buffer.alloc(2 ** 21);
    yield await rest;
  }
  const writing = write(store, 'f', content());
  assert.equal(await store.files.find('ann', 'f'), undefined);
  assert.deepEqual((await store.files.list(page))?.rows, []);
  nowMs += 60_000;
  await store.files.sweep();
  reject(new Error('gone'));
  await assert.rejects(writing, /gone/);
  assert.deepEqual(await store.files.total('ann'), { count: 0, bytes: 0 });
});

test('a file ends when it expires, and its owner alone sees it', async () => {
  let nowMs = 1000;
  await using store = await openStore({ path: ':memory:', now: () => nowMs });
  await write(store, 'f', [Buffer.from('x')], { expiresMs: 5000 });
  assert.equal(await store.files.find('bob', 'f'), undefined);
  assert.equal(await store.files.delete('bob', 'f'), false);
  assert.equal((await store.files.find('ann', 'f'))?.bytes, 1);
  nowMs = 5000;
  assert.equal(await store.files.find('ann', 'f'), undefined);
  await store.files.sweep();
  assert.equal(await store.files.delete('ann', 'f'), false, 'the sweep has taken it');
});

test('pages of a list join without gaps, forwards and backwards', async () => {
  await using store = await openStore({ path: ':memory:' });
  const ids = ['a', 'b', 'c', 'd', 'e'];
  for (const id of ids) await write(store, id, [], { purpose: id === 'c' ? 'batch' : 'user_data' });
  await write(store, 'z', [], { owner: 'bob' });
  const list = async (query: object) => {
    const found = await store.files.list({ ...page, limit: 2, ...query });
    return found && [found.rows.map(({ id }) => id).join(''), found.hasMore];
  };
  assert.deepEqual(await list({}), ['ab', true]);
  assert.deepEqual(await list({ after: 'b' }), ['cd', true]);
  assert.deepEqual(await list({ after: 'd' }), ['e', false]);
  assert.deepEqual(await list({ order: 'desc' }), ['ed', true]);
  assert.deepEqual(await list({ order: 'desc', after: 'b' }), ['a', false]);
  assert.deepEqual(await list({ before: 'd' }), ['bc', true]);
  assert.deepEqual(await list({ before: 'b' }), ['a', false]);
  assert.deepEqual(await list({ purpose: 'user_data', after: 'b' }), ['de', false]);
  assert.equal(await list({ after: 'z' }), undefined, "another owner's");
});

test('completions are narrowed by model and by metadata, which can be replaced', async () => {
  await using store = await openStore({ path: ':memory:' });
  const add = (id: string, model: string, metadata: Record<string, string>) =>
    store.completions.add({
      ...{ id, owner: 'ann', createdMs: 1, model, metadata, completion: { id }, messages: [{ role: 'user' }] },
    });
  await add('1', 'x', { task: 'sum', size: 'small' });
  await add('2', 'y', { task: 'sum' });
  await add('3', 'x', {});
  const list = async (query: object) => (await store.completions.list({ ...page, ...query }))?.rows.map(({ id }) => id);
  assert.deepEqual(await list({}), ['1', '2', '3']);
  assert.deepEqual(await list({ model: 'x' }), ['1', '3']);
  assert.deepEqual(await list({ metadata: { task: 'sum' } }), ['1', '2']);
  assert.deepEqual(await list({ metadata: { task: 'sum', size: 'small' } }), ['1']);
  assert.equal(await store.completions.setMetadata('ann', '3', { task: 'sum' }), true);
  assert.equal(await store.completions.setMetadata('bob', '1', {}), false);
  assert.deepEqual(await list({ metadata: { task: 'sum' } }), ['1', '2', '3']);
  assert.deepEqual((await store.completions.find('ann', '3'))?.metadata, { task: 'sum' });
  assert.equal(await store.completions.delete('bob', '1'), false);
  assert.equal(await store.completions.delete('ann', '1'), true);
  assert.deepEqual(await list({}), ['2', '3']);
});

test('a line of a batch is answered once, and no custom id stands twice', async () => {
  await using store = await openStore<object>({ path: ':memory:' });
  const { batches } = store;
  await batches.add({ id: 'b', owner: 'ann', createdMs: 1, expiresMs: 2, status: 'in_progress', details: {} });
  const line = (number: number, customId = `c${number}`) => ({ number, customId, body: { n: number } });
  await batches.addLines('b', [line(0), line(1)]);
  await assert.rejects(batches.addLines('b', [line(2), line(3, 'c1')]), /UNIQUE/);
  assert.deepEqual(await batches.counts('b'), { total: 2, completed: 0, failed: 0 }, 'all or none');
  const usage = { prompt: 10, cacheHit: 4, completion: 2, reasoning: 1 };
  assert.equal(await batches.answer('b', 1, { isError: false, json: 'first', usage }), true);
  assert.equal(await batches.answer('b', 1, { isError: true, json: 'second', usage }), false);
  assert.deepEqual(await batches.unanswered('b', -1, 10), [line(0)]);
  assert.equal(await batches.answer('b', 0, { isError: true, json: 'bad', usage }), true);
  assert.deepEqual(await Array.fromAsync(batches.answers('b', 'answers')), ['first']);
  assert.deepEqual(await Array.fromAsync(batches.answers('b', 'errors')), ['bad']);
  assert.deepEqual(await batches.counts('b'), { total: 2, completed: 1, failed: 1 });
  assert.deepEqual(await batches.usage('b'), { prompt: 20, cacheHit: 8, completion: 4, reasoning: 2 });
  const status = async (from: string, to: string) =>
    (await batches.update('b', [from], ({ details }) => ({ status: to, details })))?.status;
  assert.deepEqual([await status('validating', 'failed'), await status('in_progress', 'done')], [undefined, 'done']);
});

test('a claim holds until it is given back or its holder falls silent', async () => {
  let nowMs = 0;
  const path = join(await mkdtemp(join(tmpdir(), 'hadal-store-')), 'store.db');
  try {
    await using one = await openStore({ path, now: () => nowMs, leaseMs: 100 });
    await using two = await openStore({ path, now: () => nowMs, leaseMs: 100 });
    assert.equal(await one.leases.claim('work'), true);
    assert.equal(await two.leases.claim('work'), false);
    nowMs = 90;
    assert.equal(await one.leases.claim('work'), true, 'renewed');
    nowMs = 150;
    assert.equal(await two.leases.claim('work'), false);
    nowMs = 190;
    assert.equal(await two.leases.claim('work'), true, 'the first fell silent');
    assert.equal(await one.leases.claim('work'), false);
    await one.leases.release('work');
    assert.equal(await one.leases.claim('work'), false, "nobody gives back another's");
    {
      await using _held = await two.leases.hold('work');
    }
    assert.equal(await one.leases.claim('work'), true);
  } finally {
    await rm(join(path, '..'), { recursive: true });
  }
});

test('what was written is there after the process was killed in the middle of more', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'hadal-store-'));
  try {
    const path = join(directory, 'store.db');
    const program = join(directory, 'writer.ts');
    await writeFile(
      program,
      `import { openStore } from ${JSON.stringify(join(import.meta.dirname, 'store.ts'))};
       const store = await openStore({ path: ${JSON.stringify(path)} });
       for (let i = 0; ; i++) {
         const head = { id: 'f' + i, owner: 'ann', createdMs: i };
         await store.files.write(head, [Buffer.alloc(1000, i)], () => (${JSON.stringify(description)}));
         process.send(i);
       }`,
    );
    const child = fork(program);
    let told = -1;
    child.on('message', (count) => {
      told = Number(count);
      if (told === 50) child.kill('SIGKILL');
    });
    await new Promise((resolve) => child.once('close', resolve));
    await using store = await openStore({ path });
    for (let i = 0; i <= told; i++) {
      const found = await store.files.find('ann', `f${i}`);
      assert.ok(found, `file ${i} of ${told} was acknowledged`);
      assert.deepEqual(await bytesOf(store.files.read(found)), Buffer.alloc(1000, i));
    }
  } finally {
    await rm(directory, { recursive: true });
  }
});
