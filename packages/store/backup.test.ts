import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import fc from 'fast-check';
import { backupStore } from './backup.ts';
import { latestMigrations, migrate, openDatabase, type StorePlace } from './database.ts';
import { unboundedScope } from './keys.ts';
import { restoreStore } from './restore.ts';
import { openStore, type Store } from './store.ts';
import { emptyStore, skipOf, storeKinds, testBoth } from './testing/both-stores.ts';
import { toyJob } from './testing/toy-job.ts';

const refuse = { existing: 'refuse' } as const;
const replace = { existing: 'replace' } as const;
const usage = { prompt: 1, cacheHit: 0, completion: 2, reasoning: 3 };

/** Some of everything, odd characters and large content included. */
async function fill(store: Store<object>, name: string): Promise<void> {
  const head = { owner: 'ann', createdMs: 1000 };
  const described = { filename: `${name}\0é\x10.txt`, purpose: 'batch', mimeType: 'text/plain', expiresMs: undefined };
  const content = Buffer.from(Array.from({ length: 2_500_000 }, (_, i) => i * 7 + name.length));
  await store.files.write({ ...head, id: `file-${name}` }, [content], () => described);
  const messages = [{ role: 'user', content: '𝄞' }];
  for (let i = 0; i < 50; i++) {
    const metadata = { i: `${i}`, name };
    await store.completions.add({ ...head, id: `c${i}-${name}`, model: 'x', metadata, completion: { i }, messages });
  }
  const state = { type: 'unfinished', request: { name } } as const;
  await store.responses.add({ ...head, id: `r-${name}`, asked: messages, input: [1], state });
  await store.batches.add({ ...head, id: `b-${name}`, expiresMs: 2, status: 'in_progress', details: { name } });
  const lines = Array.from({ length: 1001 }, (_, number) => ({ number, customId: `l${number}`, body: { number } }));
  await store.batches.addLines(`b-${name}`, lines);
  await store.batches.answer(`b-${name}`, 3, { isError: false, json: '{}', usage });
  const event = { createdMs: 1, level: 'info', type: 'metrics', message: 'é', data: { step: 1 } } as const;
  await store.jobs.add(toyJob(`j-${name}`, { details: { metadata: { name } } }), [
    { ...event, id: `e-${name}`, key: 'a' },
  ]);
  const checkpoint = { createdMs: 1, step: 1, directory: 'step-1', isAdapter: false, metrics: { train_loss: 0.5 } };
  await store.jobs.update(`j-${name}`, ['queued'], ({ details }) => ({
    ...{ status: 'running', details },
    checkpoints: [{ ...checkpoint, id: `k-${name}`, model: `ft:toy::${name}` }],
    deliveries: [{ id: `d-${name}`, createdMs: 1, url: 'https://a.example', body: '{}' }],
  }));
  const organization = `o-${name}`;
  await store.keys.addOrganization({ id: organization, name, createdMs: 1 });
  await store.keys.setMember({ id: `m-${name}`, organization, name: 'ann', role: 'admin' });
  const key = { organization, member: `m-${name}`, role: 'member', name, createdMs: 1, expiresMs: 5 } as const;
  await store.keys.add({ ...key, id: `k-${name}`, scope: unboundedScope, keepsText: false }, `sk-${name}`);
  await store.ledger.pay(organization, 'CNY', 'granted', 2 ** 50);
  const used = {
    endedMs: 7,
    organization,
    key: `k-${name}`,
    user: '',
    model: 'x',
    operation: 'o',
    finishReason: 'stop',
  };
  await store.ledger.record({ ...used, id: `u-${name}`, ...usage, cacheMiss: 4, cost: 2 ** 40, currency: 'CNY' });
  await store.ledger.note({ atMs: 1, actor: 'ann', action: 'paid', target: organization, details: {} });
}

/** All that `fill` has written, as a caller sees it. */
async function contentOf(place: StorePlace, name: string): Promise<unknown> {
  await using store = await openStore<object>(place);
  const file = await store.files.find('ann', `file-${name}`);
  const page = { owner: 'ann', limit: 1000, order: 'asc' } as const;
  return {
    file,
    bytes: file && Buffer.concat(await Array.fromAsync(store.files.read(file))).toString('hex'),
    completions: (await store.completions.list(page))?.rows,
    response: await store.responses.find('ann', `r-${name}`),
    batches: (await store.batches.list(page))?.rows,
    lines: await store.batches.unanswered(`b-${name}`, -1, 5000),
    usage: await store.batches.usage(`b-${name}`),
    jobs: (await store.jobs.list({ ...page, metadata: { name } }))?.rows,
    events: await store.jobs.events(`j-${name}`, page),
    checkpoints: await store.jobs.checkpoints(`j-${name}`, page),
    deliveries: await store.deliveries.due(9, 9),
    organizations: await store.keys.organizations(),
    members: await store.keys.members(`o-${name}`),
    keys: await store.keys.list(),
    balances: await store.ledger.balances(`o-${name}`),
    used: await store.ledger.usage({ fromMs: 0, toMs: 9, by: ['key', 'model'] }),
    audit: await store.ledger.audit(10),
  };
}

async function temporaryDirectory() {
  const directory = await mkdtemp(join(tmpdir(), 'hadal-backup-'));
  return {
    in: (name: string) => join(directory, name),
    names: () => readdir(directory),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  };
}

for (const from of storeKinds) {
  for (const to of storeKinds) {
    test(`what was in ${from} is in ${to} when its backup is restored, and new rows come after it`, {
      skip: skipOf(from) || skipOf(to),
    }, async () => {
      await using source = await emptyStore(from);
      await using target = await emptyStore(to);
      await using directory = await temporaryDirectory();
      {
        await using store = await openStore<object>(source.place);
        await fill(store, 'a');
        assert.equal(await store.leases.claim('work'), true);
      }
      const progress: number[] = [];
      const made = await backupStore(source.place, directory.in('b'), {
        ...refuse,
        now: () => 77,
        onProgress: ({ doneRows, totalRows }) => progress.push(doneRows / totalRows),
      });
      assert.deepEqual(await directory.names(), ['b'], 'one file, and nothing left beside it');
      assert.equal(made.bytes, (await readFile(directory.in('b'))).length);
      assert.equal(progress.at(-1), 1);
      progress.length = 0;
      const restored = await restoreStore(directory.in('b'), target.place, {
        ...refuse,
        onProgress: ({ doneRows, totalRows }) => progress.push(doneRows / totalRows),
      });
      assert.equal(progress.at(-1), 1);
      assert.deepEqual(restored, { madeMs: 77, tables: made.tables, replacedRows: 0 });
      const expected = await contentOf(source.place, 'a');
      assert.deepEqual(await contentOf(target.place, 'a'), expected);
      assert.equal((expected as { bytes: string }).bytes.length, 5_000_000);
      await using store = await openStore<object>(target.place);
      assert.equal(await store.leases.claim('work'), true, 'who worked on what is left behind');
      const head = { owner: 'ann', createdMs: 1, expiresMs: 2 };
      await store.batches.add({ ...head, id: 'new', status: 'done', details: {} });
      const listed = await store.batches.list({ owner: 'ann', limit: 9, order: 'asc' });
      assert.deepEqual(
        listed?.rows.map(({ id }) => id),
        ['b-a', 'new'],
      );
    });
  }
}

testBoth('a backup made while others write has all of a moment, and nothing of later ones', async (place) => {
  await using directory = await temporaryDirectory();
  await using restored = await emptyStore('SQLite');
  const owners = ['a', 'b', 'c'];
  const program = `import { openStore } from ${JSON.stringify(join(import.meta.dirname, 'store.ts'))};
    const store = await openStore(${JSON.stringify(place)});
    async function write(owner) {
      const row = { owner, createdMs: 1, model: 'x', completion: {}, messages: [] };
      for (let i = 0; ; i++) {
        await store.completions.add({ ...row, id: owner + i, metadata: { one: String(i), other: String(i) } });
        process.send(i);
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    await Promise.all(${JSON.stringify(owners)}.map(write));`;
  await writeFile(directory.in('writer.ts'), program);
  const child = fork(directory.in('writer.ts'));
  let written = 0;
  child.on('message', () => written++);
  try {
    const reach = async (count: number) => {
      while (written < count) await new Promise((resolve) => setTimeout(resolve, 5));
    };
    await reach(300);
    const before = written;
    await backupStore(place, directory.in('b'), refuse);
    await restoreStore(directory.in('b'), restored.place, refuse);
    await using copy = await openStore(restored.place);
    let found = 0;
    for (const owner of owners) {
      const rows = (await copy.completions.list({ owner, limit: 1e6, order: 'asc' }))?.rows ?? [];
      assert.deepEqual(
        rows.map(({ id, metadata }) => [id, metadata.one, metadata.other]),
        rows.map((_, i) => [`${owner}${i}`, `${i}`, `${i}`]),
        'in the order of writing, without a gap and whole',
      );
      found += rows.length;
    }
    assert.ok(found >= before, `${found} of at least ${before}`);
    await reach(found + 1);
  } finally {
    child.kill('SIGKILL');
    await once(child, 'close');
  }
});

testBoth('a store that has something is replaced only when that is asked for', async (place) => {
  await using directory = await temporaryDirectory();
  await using source = await emptyStore('SQLite');
  await fillAt(source.place, 'new');
  await backupStore(source.place, directory.in('b'), refuse);
  await fillAt(place, 'old');
  const old = await contentOf(place, 'old');
  await assert.rejects(restoreStore(directory.in('b'), place, refuse), /the store has 1\d{3} rows already; --replace/);
  assert.deepEqual(await contentOf(place, 'old'), old);
  const { replacedRows } = await restoreStore(directory.in('b'), place, replace);
  assert.ok(replacedRows > 1000);
  assert.deepEqual(await contentOf(place, 'new'), await contentOf(source.place, 'new'));
});

testBoth('a store whose restore is killed at any moment has what it had', async (place) => {
  await using directory = await temporaryDirectory();
  await using source = await emptyStore('SQLite');
  await fillAt(source.place, 'new');
  await backupStore(source.place, directory.in('b'), refuse);
  await fillAt(place, 'old');
  const old = await contentOf(place, 'old');
  const program = `import { restoreStore } from ${JSON.stringify(join(import.meta.dirname, 'restore.ts'))};
    const onProgress = ({ doneRows, totalRows }) => {
      if (doneRows / totalRows > Number(process.argv[2])) process.kill(process.pid, 'SIGKILL');
    };
    const place = ${JSON.stringify(place)};
    await restoreStore(${JSON.stringify(directory.in('b'))}, place, { existing: 'replace', onProgress });`;
  await writeFile(directory.in('restore.ts'), program);
  // While it is checked, just after the old rows have gone, while new ones come, and while they are compared.
  for (const part of [0.1, 0.334, 0.5, 0.8, 0.999]) {
    const child = fork(directory.in('restore.ts'), [`${part}`]);
    assert.deepEqual(await once(child, 'close'), [null, 'SIGKILL']);
    assert.deepEqual(await contentOf(place, 'old'), old, `killed after ${part}`);
  }
  await restoreStore(directory.in('b'), place, replace);
  assert.deepEqual(await contentOf(place, 'new'), await contentOf(source.place, 'new'));
});

test('a backup with any byte changed is refused, or what was changed was no content', async () => {
  await using directory = await temporaryDirectory();
  await using source = await emptyStore('SQLite');
  await using target = await emptyStore('SQLite');
  {
    await using store = await openStore<object>(source.place);
    for (let i = 0; i < 40; i++) {
      const row = { owner: 'ann', createdMs: i, model: 'x', completion: { i }, messages: [] };
      await store.completions.add({ ...row, id: `c${i}`, metadata: { name: 'value'.repeat(20) } });
    }
  }
  await backupStore(source.place, directory.in('b'), refuse);
  const bytes = await readFile(directory.in('b'));
  const list = { owner: 'ann', limit: 100, order: 'asc' } as const;
  await using before = await openStore(source.place);
  const expected = await before.completions.list(list);
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ change;
      await writeFile(directory.in('changed'), changed);
      const failure = await restoreStore(directory.in('changed'), target.place, replace).then(
        () => undefined,
        (error: Error) => error,
      );
      if (failure === undefined) {
        await using store = await openStore(target.place);
        assert.deepEqual(await store.completions.list(list), expected, `byte ${at}`);
      } else {
        refused++;
        assert.match(failure.message, /changed: .*(damaged|not a backup|expected \d+ rows|expected a|later version)/);
        assert.ok(!(failure instanceof TypeError), failure.stack);
      }
    }),
    { numRuns: 150, seed: 3 },
  );
  assert.ok(refused > 10, `${refused} refused`);
});

test('a backup that was cut short is refused wherever it was cut', async () => {
  await using directory = await temporaryDirectory();
  await using source = await emptyStore('SQLite');
  await using target = await emptyStore('SQLite');
  await fillAt(source.place, 'a');
  await backupStore(source.place, directory.in('b'), refuse);
  const bytes = await readFile(directory.in('b'));
  for (const part of [0, 0.00001, 0.01, 0.3, 0.6, 0.9, 0.999999]) {
    await writeFile(directory.in('cut'), bytes);
    await truncate(directory.in('cut'), Math.floor(bytes.length * part));
    await assert.rejects(
      restoreStore(directory.in('cut'), target.place, refuse),
      /cut: (damaged|not a backup)/,
      `${part}`,
    );
  }
  await restoreStore(directory.in('b'), target.place, refuse);
});

test('what is no backup, or one of a later version, is told', async () => {
  await using directory = await temporaryDirectory();
  await using source = await emptyStore('SQLite');
  await fillAt(source.place, 'a');
  const restore = (file: string) => restoreStore(file, { path: directory.in('store') }, refuse);
  await assert.rejects(restore(directory.in('none')), /none: expected a backup \(ENOENT/);
  await assert.rejects(restore(directory.in('')), /expected a backup \(EISDIR/);
  await writeFile(directory.in('text'), 'hello, this is not a database at all');
  await assert.rejects(restore(directory.in('text')), /text: not a backup/);
  assert.ok('path' in source.place);
  await assert.rejects(restore(source.place.path), /hadal\.db: not a backup: .* this is another database/);
  await backupStore(source.place, directory.in('b'), refuse);
  const later = new DatabaseSync(directory.in('b'));
  later.exec("insert into kysely_migration (name, timestamp) values ('999-later', '')");
  later.close();
  await assert.rejects(restore(directory.in('b')), /b: made by a later version of Hadal \(999-later\)/);
});

test('a backup does not take the place of another file unasked, and never of the store', async () => {
  await using directory = await temporaryDirectory();
  await using source = await emptyStore('SQLite');
  assert.ok('path' in source.place);
  const { path } = source.place;
  await assert.rejects(backupStore(source.place, directory.in('b'), refuse), /hadal\.db: there is no store yet/);
  await fillAt(source.place, 'a');
  await writeFile(directory.in('b'), 'precious');
  await assert.rejects(
    backupStore(source.place, directory.in('b'), refuse),
    /b: there is such a file already; --replace/,
  );
  assert.equal(await readFile(directory.in('b'), 'utf8'), 'precious');
  await assert.rejects(backupStore(source.place, path, replace), /this is the store/);
  await assert.rejects(backupStore(source.place, directory.in('not/there'), refuse), /not\/there/);
  await backupStore(source.place, directory.in('b'), replace);
  assert.deepEqual(await directory.names(), ['b']);
  new DatabaseSync(directory.in('empty.db')).close();
  const empty = { path: directory.in('empty.db') };
  await assert.rejects(backupStore(empty, directory.in('c'), refuse), /there is no store in this database yet/);
});

testBoth('a store of every earlier version is backed up as it is, and restored as of this one', async (place) => {
  await using directory = await temporaryDirectory();
  for (const [i, version] of latestMigrations.entries()) {
    await using source = await emptyStore('SQLite');
    const db = await openDatabase(source.place);
    await migrate(db, version);
    await db
      .insertInto('files')
      .values({ ...file, id: `f${i}` })
      .execute();
    await db.destroy();
    await backupStore(source.place, directory.in(`${i}`), refuse);
    await restoreStore(directory.in(`${i}`), place, replace);
    await using store = await openStore(place);
    assert.equal((await store.files.find('ann', `f${i}`))?.bytes, 0);
  }
  // Before the first: what there would be to restore is nothing.
  const none = new DatabaseSync(directory.in('none'));
  none.exec(`create table kysely_migration (name, timestamp); create table kysely_migration_lock (id, is_locked);
    create table backup (made_ms); insert into backup values (1); create table backup_tables ("table", rows, digest)`);
  none.close();
  await restoreStore(directory.in('none'), place, replace);
  await using store = await openStore(place);
  assert.deepEqual(await store.files.total('ann'), { count: 0, bytes: 0 });
});

const file = {
  ...{ owner: 'ann', filename: 'a', purpose: 'batch', mime_type: 'text/plain', bytes: 0 },
  ...{ created_ms: 1, expires_ms: null },
};

async function fillAt(place: StorePlace, name: string): Promise<void> {
  await using store = await openStore<object>(place);
  await fill(store, name);
}
