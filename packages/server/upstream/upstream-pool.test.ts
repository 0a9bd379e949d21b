import assert from 'node:assert/strict';
import { test } from 'node:test';
import { watchHealth } from './upstream-health.ts';
import { type Clock, type Lease, type PoolOptions, prefixKeys, UpstreamPool } from './upstream-pool.ts';

const never = new AbortController().signal;

/** A clock that stands until it is moved. */
function stillClock(): Clock & { move(ms: number): void } {
  let now = 0;
  const timers = new Set<{ readonly at: number; readonly call: () => void }>();
  return {
    now: () => now,
    after(ms, call) {
      const timer = { at: now + ms, call };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    move(ms) {
      now += ms;
      for (const timer of [...timers]) {
        if (timer.at > now || !timers.delete(timer)) continue;
        timer.call();
      }
    },
  };
}

function openPool(concurrency: readonly number[], options: Partial<PoolOptions> = {}) {
  const clock = stillClock();
  const pool = new UpstreamPool({
    ...{ concurrency, maxWaiting: 10, breakerFailures: 3, breakerMs: 1000, breakerMaxMs: 8000, clock },
    ...options,
  });
  const acquire = (wanted: { prefixes?: string[]; tried?: number[]; priority?: 'batch' } = {}, signal = never) =>
    pool.acquire(
      {
        ...{ prefixes: wanted.prefixes ?? [], tried: new Set(wanted.tried ?? []) },
        priority: wanted.priority ?? 'interactive',
      },
      signal,
    );
  /** One request that ends so; the server it was sent to. */
  const run = async (type: 'success' | 'failure', wanted: Parameters<typeof acquire>[0] = {}) => {
    const lease = await acquire(wanted);
    lease?.release({ type });
    return lease?.server;
  };
  return { pool, clock, acquire, run };
}

const server = (lease: Lease | undefined) => lease?.server;

test('the server with the most room is asked, and of equals the one that was not asked for longest', async () => {
  const { acquire } = openPool([4, 2]);
  const servers: (number | undefined)[] = [];
  for (let i = 0; i < 6; i++) servers.push(server(await acquire()));
  assert.deepEqual(servers, [0, 1, 0, 1, 0, 0]);
  const { run } = openPool([4, 4, 4]);
  assert.deepEqual(
    [await run('success'), await run('success'), await run('success'), await run('success')],
    [0, 1, 2, 0],
  );
});

test('after failures in a row a server is left alone, longer each time its trial fails, until one succeeds', async () => {
  const { pool, clock, run } = openPool([4]);
  const breaker = () => pool.status[0]?.breaker;
  await run('failure');
  await run('failure');
  await run('success');
  for (let i = 0; i < 3; i++) {
    assert.equal(breaker(), 'closed');
    await run('failure');
  }
  for (const ms of [1000, 2000, 4000, 8000, 8000]) {
    assert.equal(await run('success'), undefined);
    clock.move(ms - 1);
    assert.equal(breaker(), 'open');
    clock.move(1);
    assert.equal(breaker(), 'half-open');
    await run('failure');
  }
  clock.move(8000);
  assert.equal(await run('success'), 0);
  assert.equal(breaker(), 'closed');
  for (let i = 0; i < 3; i++) await run('failure');
  clock.move(1000);
  assert.equal(breaker(), 'half-open');
});

test('a half-open breaker lets one trial through, and the others wait for how it ends', async () => {
  for (const type of ['success', 'failure'] as const) {
    const { clock, acquire, run } = openPool([4]);
    for (let i = 0; i < 3; i++) await run('failure');
    clock.move(1000);
    const trial = await acquire();
    const waiting = [acquire(), acquire()];
    trial?.release({ type });
    assert.deepEqual((await Promise.all(waiting)).map(server), type === 'success' ? [0, 0] : [undefined, undefined]);
  }
});

test('what ended before a breaker opened does not close it', async () => {
  const { pool, acquire, run } = openPool([9]);
  const early = await acquire();
  for (let i = 0; i < 3; i++) await run('failure');
  early?.release({ type: 'success' });
  assert.equal(pool.status[0]?.breaker, 'open');
});

test('a request goes on to servers that were not tried, and back to them only where there are no others', async () => {
  const { acquire, run } = openPool([4, 4, 4]);
  assert.equal(server(await acquire({ tried: [0, 2] })), 1);
  assert.ok([0, 1, 2].includes(server(await acquire({ tried: [0, 1, 2] })) as number));
  for (let i = 0; i < 3; i++) await run('failure', { tried: [0, 2] });
  assert.notEqual(server(await acquire({ tried: [0, 2] })), 1);
});

test('a server that asks for a rest gets it, and whoever waits is let in when it is over', async () => {
  const { clock, acquire } = openPool([4]);
  (await acquire())?.release({ type: 'busy', forMs: 500 });
  let admitted: Lease | undefined;
  const waiting = acquire().then((lease) => {
    admitted = lease;
  });
  clock.move(499);
  await Promise.resolve();
  assert.equal(admitted, undefined);
  clock.move(1);
  await waiting;
  assert.equal(server(admitted), 0);
});

test('those who have somebody waiting go first, the others in the order in which they came', async () => {
  const { acquire } = openPool([1]);
  const order: string[] = [];
  const first = await acquire();
  const leave = (name: string) => (lease: Lease | undefined) => {
    order.push(name);
    lease?.release({ type: 'success' });
  };
  const waiting = [
    acquire({ priority: 'batch' }).then(leave('batch')),
    acquire().then(leave('a')),
    acquire().then(leave('b')),
  ];
  first?.release({ type: 'success' });
  await Promise.all(waiting);
  assert.deepEqual(order, ['a', 'b', 'batch']);
});

test('whoever leaves the line has no place in it', async () => {
  const { pool, acquire } = openPool([1], { maxWaiting: 1 });
  const first = await acquire();
  const controller = new AbortController();
  const waiting = acquire({}, controller.signal);
  await assert.rejects(acquire(), /1 requests are waiting/);
  controller.abort();
  assert.equal(await waiting, undefined);
  assert.equal(pool.waiting, 0);
  first?.release({ type: 'success' });
  first?.release({ type: 'success' });
  assert.equal(pool.status[0]?.running, 0);
});

test('a conversation stays where it was, unless that is gone or has much more to do than another', async () => {
  const { pool, acquire } = openPool([100, 100]);
  const turns = prefixKeys('eva', ['one', 'two', 'three']);
  pool.remember(turns.slice(0, 2), 1);
  const held: (Lease | undefined)[] = [];
  for (let i = 0; i < 26; i++) held.push(await acquire({ prefixes: turns }));
  assert.ok(held.every((lease) => lease?.server === 1));
  assert.equal(server(await acquire({ prefixes: turns })), 0);
  for (const lease of held) lease?.release({ type: 'success' });
  assert.equal(server(await acquire({ prefixes: turns })), 1);
  pool.noteHealth(1, false);
  assert.equal(server(await acquire({ prefixes: turns })), 0);
});

test('beginnings are of one namespace, and one beginning is not another with the same end', () => {
  const keys = prefixKeys('eva', ['a', 'b']);
  assert.deepEqual(prefixKeys('eva', ['a', 'c']).slice(0, 1), keys.slice(0, 1));
  for (const other of [prefixKeys('udo', ['a', 'b']), prefixKeys('eva', ['c', 'b']), prefixKeys('', ['a', 'b'])]) {
    assert.notEqual(other[1], keys[1]);
  }
});

test('health checks come around, and a server is unwell after two that fail and well after one that does not', async () => {
  const clock = stillClock();
  const noted: [boolean, string | undefined][] = [];
  let isWell = true;
  const health = watchHealth(1, {
    ...{ intervalMs: 1000, clock, random: () => 0.5 },
    check: async () => {
      if (!isWell) throw new Error('ill');
    },
    note: (_, isHealthy, problem) => noted.push([isHealthy, problem]),
  });
  for (const next of [true, false, false, false, true]) {
    isWell = next;
    clock.move(1000);
    for (let i = 0; i < 5; i++) await Promise.resolve();
  }
  assert.deepEqual(noted, [
    [true, undefined],
    [true, undefined],
    [false, 'ill'],
    [false, undefined],
    [true, 'well again'],
  ]);
  health[Symbol.dispose]();
  clock.move(5000);
  assert.equal(noted.length, 5);
});
