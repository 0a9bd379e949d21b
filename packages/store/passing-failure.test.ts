import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { isPassing } from './passing-failure.ts';
import { openStore } from './store.ts';
import { skipOf } from './testing/both-stores.ts';
import { startCluster } from './testing/postgres-cluster.ts';

const completion = { owner: 'ann', createdMs: 1, model: 'x', metadata: {}, completion: {}, messages: [] };

async function failureOf(work: () => unknown): Promise<unknown> {
  try {
    await work();
  } catch (error) {
    return error;
  }
  assert.fail('expected a failure');
}

test('a PostgreSQL that is away passes, what it refuses does not', { skip: skipOf('PostgreSQL') }, async () => {
  await using cluster = await startCluster();
  await using store = await openStore({ url: await cluster.createDatabase(), patienceMs: 100 });
  const add = (id: string, createdMs = 1) => store.completions.add({ ...completion, id, createdMs });
  await add('a');
  for (const refused of [await failureOf(() => add('a')), await failureOf(() => add('b', 1e30))]) {
    assert.equal(isPassing(refused), false, String(refused));
  }
  const others = Promise.allSettled(Array.from({ length: 200 }, (_, i) => add(`c${i}`)));
  await cluster.stop();
  const failed = (await others).filter((one) => one.status === 'rejected').map(({ reason }) => reason);
  for (const away of [...failed, await failureOf(() => add('d'))]) assert.equal(isPassing(away), true, String(away));
  await cluster.start();
  await add('d');
});

test('a SQLite that is busy passes, what it refuses does not, and a bug never does', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'hadal-passing-'));
  const [one, two] = [1, 2].map(() => new DatabaseSync(join(directory, 'x.db'), { timeout: 0 }));
  assert.ok(one && two);
  one.exec('create table t (id text primary key); begin immediate');
  assert.equal(isPassing(await failureOf(() => two.exec('begin immediate'))), true);
  one.exec("insert into t values ('a')");
  assert.equal(isPassing(await failureOf(() => one.exec("insert into t values ('a')"))), false);
  assert.equal(isPassing(await failureOf(() => one.exec('nonsense'))), false);
  for (const bug of [new TypeError('x is not a function'), 'Connection terminated', undefined]) {
    assert.equal(isPassing(bug), false);
  }
  one.close();
  two.close();
  await rm(directory, { recursive: true });
});
