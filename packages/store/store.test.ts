import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import type { StoredFile } from './files.ts';
import type { NewEvent } from './jobs.ts';
import { openStore, type Store } from './store.ts';
import { testBoth } from './testing/both-stores.ts';
import { toyJob } from './testing/toy-job.ts';

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

testBoth('a file comes back byte for byte, however it was cut into pieces', async (place) => {
  await using store = await openStore(place);
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

testBoth('nothing is left of an upload that fails, and a file half written is none', async (place) => {
  let nowMs = 1000;
  await using store = await openStore({ ...place, now: () => nowMs });
  const { promise: rest, reject } = Promise.withResolvers<Uint8Array>();
  const { promise: halfWritten, resolve } = Promise.withResolvers<void>();
  async function* content() {
    yield Buffer.alloc(2 ** 21);
    resolve();
    yield await rest;
  }
  const writing = write(store, 'f', content());
  await halfWritten;
  assert.equal(await store.files.find('ann', 'f'), undefined);
  assert.deepEqual((await store.files.list(page))?.rows, []);
  nowMs += 60_000;
  await store.files.sweep();
  reject(new Error('gone'));
  await assert.rejects(writing, /gone/);
  assert.deepEqual(await store.files.total('ann'), { count: 0, bytes: 0 });
});

testBoth('a file ends when it expires, and its owner alone sees it', async (place) => {
  let nowMs = 1000;
  await using store = await openStore({ ...place, now: () => nowMs });
  await write(store, 'f', [Buffer.from('x')], { expiresMs: 5000 });
  assert.equal(await store.files.find('bob', 'f'), undefined);
  assert.equal(await store.files.delete('bob', 'f'), false);
  assert.equal((await store.files.find('ann', 'f'))?.bytes, 1);
  nowMs = 5000;
  assert.equal(await store.files.find('ann', 'f'), undefined);
  await store.files.sweep();
  assert.equal(await store.files.delete('ann', 'f'), false, 'the sweep has taken it');
});

testBoth('pages of a list join without gaps, forwards and backwards', async (place) => {
  await using store = await openStore(place);
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

testBoth('completions are narrowed by model and by metadata, which can be replaced', async (place) => {
  await using store = await openStore(place);
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

testBoth('a line of a batch is answered once, and no custom id stands twice', async (place) => {
  await using store = await openStore<object>(place);
  const { batches } = store;
  await batches.add({ id: 'b', owner: 'ann', createdMs: 1, expiresMs: 2, status: 'in_progress', details: {} });
  const line = (number: number, customId = `c${number}`) => ({ number, customId, body: { n: number } });
  await batches.addLines('b', [line(0), line(1)]);
  await assert.rejects(batches.addLines('b', [line(2), line(3, 'c1')]), /unique/i);
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

testBoth('a job changes as one, and what is told twice stands once', async (place) => {
  await using store = await openStore(place);
  const { jobs, deliveries } = store;
  const event = (key: string): NewEvent => ({
    ...{ id: `ftevent-${key}`, key, createdMs: 1, level: 'info', type: 'metrics', message: key, data: { step: 1 } },
  });
  const checkpoint = (step: number) => ({
    ...{ id: `ftckpt_${step}`, createdMs: 2, step, model: `ft:toy::1:ckpt-step-${step}` },
    ...{ directory: `step-${step}`, isAdapter: step === 2, metrics: { train_loss: 0.5 } },
  });
  await jobs.add(toyJob('j', { details: { metadata: { a: 'b' } } }), [event('created')]);
  await jobs.add(toyJob('k', { owner: 'bob' }), [event('of-bob')]);
  const change = (steps: number[], keys: string[]) =>
    jobs.update('j', ['queued', 'running'], ({ details }) => ({
      ...{ status: 'running', details: { ...details, journalBytes: 7 } },
      ...{ events: keys.map(event), checkpoints: steps.map(checkpoint) },
      deliveries: keys.map((key) => ({ id: key, createdMs: 5, url: 'https://a.example', body: '{}' })),
    }));
  assert.equal((await change([1], ['m1']))?.status, 'running');
  await jobs.note({ id: 'j', owner: 'ann' }, [event('m1'), event('m2')]);
  await assert.rejects(change([2], ['m3', 'm1']), /unique/i, 'a delivery that is there already');
  assert.equal((await jobs.find('ann', 'j'))?.details.journalBytes, 7);
  assert.equal(await jobs.find('bob', 'j'), undefined);
  assert.equal(await jobs.update('j', ['queued'], ({ status, details }) => ({ status, details })), undefined);
  assert.equal(await jobs.update('j', ['running'], () => undefined), undefined);
  await change([1, 2], []);
  const all = { owner: 'ann', limit: 10, order: 'asc' } as const;
  const events = await jobs.events('j', all);
  assert.deepEqual(
    events?.rows.map(({ id }) => id),
    ['ftevent-created', 'ftevent-m1', 'ftevent-m2'],
  );
  assert.deepEqual(events?.rows[1], (({ key: _, ...rest }) => rest)(event('m1')));
  assert.deepEqual(
    (await jobs.checkpoints('j', all))?.rows,
    [1, 2].map((step) => ({ ...checkpoint(step), owner: 'ann', jobId: 'j' })),
  );
  assert.equal(await jobs.events('j', { ...all, after: 'ftevent-of-bob' }), undefined, "another job's");
  assert.deepEqual((await jobs.events('k', all))?.rows, [], "another owner's");
  assert.deepEqual(
    (await jobs.allCheckpoints()).map((one) => [one.checkpoint.step, one.job.id]),
    [
      [1, 'j'],
      [2, 'j'],
    ],
  );
  const list = async (query: object) => (await jobs.list({ ...all, ...query }))?.rows.map(({ id }) => id);
  assert.deepEqual([await list({ metadata: { a: 'b' } }), await list({ metadata: { a: 'c' } })], [['j'], []]);
  assert.deepEqual(
    (await jobs.inState(['queued'])).map(({ id }) => id),
    ['k'],
  );
  assert.deepEqual(
    (await deliveries.due(5, 9)).map(({ id, attempts }) => [id, attempts]),
    [['m1', 0]],
  );
  await deliveries.postpone('m1', 1, 9);
  assert.deepEqual([await deliveries.due(8, 9), (await deliveries.due(9, 9))[0]?.attempts], [[], 1]);
  await deliveries.remove('m1');
  assert.deepEqual(await deliveries.due(99, 9), []);
});

testBoth('a claim holds until it is given back or its holder falls silent', async (place) => {
  let nowMs = 0;
  await using one = await openStore({ ...place, now: () => nowMs, leaseMs: 100 });
  await using two = await openStore({ ...place, now: () => nowMs, leaseMs: 100 });
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
});

testBoth('what was written is there after the process was killed in the middle of more', async (place) => {
  const directory = await mkdtemp(join(tmpdir(), 'hadal-store-'));
  try {
    const program = join(directory, 'writer.ts');
    await writeFile(
      program,
      `import { openStore } from ${JSON.stringify(join(import.meta.dirname, 'store.ts'))};
       const store = await openStore(${JSON.stringify(place)});
       await store.leases.claim('work');
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
    await using store = await openStore(place);
    assert.equal(await store.leases.claim('work'), true, 'its holder is seen to be dead');
    for (let i = 0; i <= told; i++) {
      const found = await store.files.find('ann', `f${i}`);
      assert.ok(found, `file ${i} of ${told} was acknowledged`);
      assert.deepEqual(await bytesOf(store.files.read(found)), Buffer.alloc(1000, i));
    }
  } finally {
    await rm(directory, { recursive: true });
  }
});

testBoth('several that open an empty store at once all find its tables', async (place) => {
  const program = `import { openStore } from ${JSON.stringify(join(import.meta.dirname, 'store.ts'))};
    process.send('ready');
    process.once('message', async () => {
      await using store = await openStore(${JSON.stringify(place)});
      await store.files.total('ann');
      process.disconnect();
    });`;
  const directory = await mkdtemp(join(tmpdir(), 'hadal-store-'));
  try {
    await writeFile(join(directory, 'opener.ts'), program);
    const children = Array.from({ length: 5 }, () => fork(join(directory, 'opener.ts')));
    const ends = children.map((child) => once(child, 'close'));
    await Promise.all(children.map((child) => once(child, 'message')));
    for (const child of children) child.send('go');
    assert.deepEqual(
      (await Promise.all(ends)).map(([code]) => code),
      [0, 0, 0, 0, 0],
    );
  } finally {
    await rm(directory, { recursive: true });
  }
});

testBoth('changes to one batch from several sides all happen, one after another', async (place) => {
  await using one = await openStore<{ count: number }>(place);
  await using two = await openStore<{ count: number }>(place);
  await one.batches.add({ id: 'b', owner: 'ann', createdMs: 1, expiresMs: 2, status: 'open', details: { count: 0 } });
  const add = (store: Store<{ count: number }>) =>
    store.batches.update('b', ['open'], ({ details }) => ({ status: 'open', details: { count: details.count + 1 } }));
  await Promise.all(Array.from({ length: 40 }, (_, i) => add(i % 2 === 0 ? one : two)));
  assert.equal((await one.batches.find('ann', 'b'))?.details.count, 40);
  const end = (store: Store<{ count: number }>) =>
    store.batches.update('b', ['open'], ({ details }) => ({ status: 'over', details }));
  const ends = await Promise.all(Array.from({ length: 8 }, (_, i) => end(i % 2 === 0 ? one : two)));
  assert.equal(ends.filter((ended) => ended !== undefined).length, 1, 'it is over once');
});

testBoth('metadata replaced from several sides is one of the new ones, whole', async (place) => {
  await using one = await openStore(place);
  await using two = await openStore(place);
  const row = { id: 'c', owner: 'ann', createdMs: 1, model: 'x', completion: {}, messages: [] };
  await one.completions.add({ ...row, metadata: { from: 'start', by: 'start' } });
  const replaced = Array.from({ length: 20 }, (_, i) =>
    (i % 2 === 0 ? one : two).completions.setMetadata('ann', 'c', { from: `${i}`, by: `${i}` }),
  );
  assert.ok((await Promise.all(replaced)).every((was) => was));
  const { from, by } = (await two.completions.find('ann', 'c'))?.metadata ?? {};
  assert.equal(from, by);
});

testBoth('text comes back as it was, whatever is in it, and numbers come back as numbers', async (place) => {
  await using store = await openStore(place);
  const names = fc.string({ unit: 'binary', maxLength: 8 });
  const zeros = fc.string({ unit: fc.constantFrom('\0', '\x10', '0', '1', 'é', '𝄞'), maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(fc.oneof(names, zeros), async (filename) => {
      await write(store, 'f', [], { filename });
      assert.equal((await store.files.find('ann', 'f'))?.filename, filename);
    }),
    { numRuns: 200, seed: 2 },
  );
  const createdMs = Number.MAX_SAFE_INTEGER;
  await store.files.write({ id: '\0', owner: '\0', createdMs }, [], () => description);
  assert.equal((await store.files.find('\0', '\0'))?.createdMs, createdMs);
  assert.equal(await store.files.find('\0', '\x100'), undefined);
});
