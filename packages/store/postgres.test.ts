import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { openStore, type Store } from './store.ts';
import { emptyStore, skipOf } from './testing/both-stores.ts';
import { startCluster } from './testing/postgres-cluster.ts';

const skip = skipOf('PostgreSQL');
const completion = { owner: 'ann', createdMs: 1, model: 'x', metadata: { a: 'b' }, completion: {}, messages: [] };

test('a server that goes away fails what is being asked, is waited for when it comes back, and has lost nothing', {
  skip,
}, async () => {
  await using cluster = await startCluster();
  await using store = await openStore({ url: await cluster.createDatabase() });
  const acknowledged: string[] = [];
  const failed: unknown[] = [];
  let isOver = false;
  async function write(name: string): Promise<void> {
    for (let i = 0; !isOver; i++) {
      const id = `${name}${i}`;
      await store.completions.add({ ...completion, id }).then(
        () => acknowledged.push(id),
        (error) => failed.push(error),
      );
    }
  }
  const writers = ['a', 'b', 'c', 'd'].map(write);
  for (let round = 0; round < 2; round++) {
    await until(() => acknowledged.length >= 50 * (round + 1));
    await cluster.stop();
    const before = acknowledged.length;
    setTimeout(() => void cluster.start(), 300);
    await until(() => acknowledged.length > before + 20);
  }
  isOver = true;
  await Promise.all(writers);
  assert.ok(failed.length >= 1 && failed.length <= 8, `${failed.length} failed: at most what was being asked`);
  for (const id of acknowledged) assert.deepEqual((await store.completions.find('ann', id))?.metadata, { a: 'b' }, id);
});

test('a connection that is ended from outside is replaced, also in the middle of a transaction', { skip }, async () => {
  await using place = await emptyStore('PostgreSQL');
  assert.ok('url' in place.place);
  await using store: Store<number> = await openStore(place.place);
  await store.batches.add({ id: 'b', owner: 'ann', createdMs: 1, expiresMs: 2, status: 'open', details: 0 });
  const killer = new pg.Client({ connectionString: place.place.url });
  await killer.connect();
  const others = "from pg_stat_activity where application_name = 'hadal' and datname = current_database()";
  // Somebody else has the row, so that the transaction waits in its middle.
  await killer.query('begin');
  await killer.query("update batches set status = 'open' where id = 'b'");
  const change = store.batches.update('b', ['open'], () => ({ status: 'over', details: 1 }));
  const refused = assert.rejects(change);
  await until(async () => (await killer.query(`select 1 ${others} and wait_event_type = 'Lock'`)).rows.length === 1);
  await killer.query(`select pg_terminate_backend(pid) ${others}`);
  await refused;
  await killer.query('rollback');
  await killer.end();
  assert.equal((await store.batches.find('ann', 'b'))?.status, 'open');
  assert.equal((await store.batches.update('b', ['open'], () => ({ status: 'over', details: 1 })))?.status, 'over');
});

test('a database that cannot be had is told in one line, without the password', async () => {
  const silent = createServer((socket) => socket.destroy());
  await once(silent.listen(0, '127.0.0.1'), 'listening');
  const address = silent.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const messageOf = (url: string) =>
    openStore({ url }).then(
      () => assert.fail('it was opened'),
      (error: Error) => error.message,
    );
  const secret = 'hunter2';
  for (const [url, expected] of [
    [
      `postgres://ann:${secret}@127.0.0.1:1/hadal`,
      /^PostgreSQL, database hadal at 127\.0\.0\.1:1 as ann: .*ECONNREFUSED/,
    ],
    [`postgres://ann:${secret}@localhost:1/hadal`, /^PostgreSQL, database hadal at localhost:1 as ann: .*ECONNREFUSED/],
    [`postgres://ann:${secret}@127.0.0.1:${port}/hadal`, /^PostgreSQL, .*: Connection terminated/],
    [`mysql://ann:${secret}@127.0.0.1/hadal`, /expected postgres:\/\/user:password@host\/name/],
    [`postgres://ann:${secret}@127.0.0.1:999999/hadal`, /expected postgres:\/\/user:password@host\/name/],
    [`postgres://ann:${secret}%zz@127.0.0.1:1/hadal`, /./],
  ] as const) {
    const message = await messageOf(url);
    assert.match(message, expected);
    assert.ok(!message.includes(secret) && !message.includes('\n'), message);
  }
  silent.close();
});

test('a database that is not there, or whose text is not UTF-8, is told', { skip }, async () => {
  await using place = await emptyStore('PostgreSQL');
  assert.ok('url' in place.place);
  const { url } = place.place;
  await assert.rejects(openStore({ url: `${url}_not` }), /database "test_\d+_not" does not exist$/);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query("create database latin encoding 'LATIN1' locale 'C' template template0");
  await assert.rejects(openStore({ url: url.replace(/\w+$/, 'latin') }), /expected a database in UTF8, .* LATIN1$/);
  await client.query('drop database latin');
  await client.end();
});

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; !(await isSo()); i++) {
    if (i > 2000) throw new Error('expected it within twenty seconds');
    await delay(10);
  }
}
