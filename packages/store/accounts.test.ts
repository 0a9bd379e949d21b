import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import pg from 'pg';
import { unboundedScope } from './keys.ts';
import type { UsageRow } from './ledger.ts';
import { openStore, type Store } from './store.ts';
import { emptyStore, skipOf, testBoth } from './testing/both-stores.ts';

const row = (id: string, more: Partial<UsageRow> = {}): UsageRow => ({
  ...{ id, endedMs: Date.parse('2026-11-26T12:00:00Z'), organization: '', key: undefined, user: '', model: 'm' },
  ...{ operation: 'createChatCompletion', cacheHit: 1, cacheMiss: 2, completion: 3, reasoning: 1 },
  ...{ cost: 10, currency: 'CNY', finishReason: 'stop', ...more },
});

async function addKey(store: Store, id: string, more: object = {}): Promise<void> {
  const rest = { member: undefined, role: 'member' as const, name: id, createdMs: 0, expiresMs: undefined };
  await store.keys.add({ id, organization: '', ...rest, scope: unboundedScope, keepsText: false, ...more }, `sk-${id}`);
}

testBoth('a call is counted once, and what is granted goes first', async (place) => {
  await using store = await openStore(place);
  const { ledger, keys } = store;
  await addKey(store, 'k');
  await ledger.pay('', 'CNY', 'granted', 15);
  await ledger.pay('', 'CNY', 'topped-up', 100);
  await ledger.pay('', 'USD', 'granted', 7);
  assert.deepEqual(
    [await ledger.record(row('a', { key: 'k' })), await ledger.record(row('a', { key: 'k' }))],
    [true, false],
  );
  await ledger.record(row('b', { key: 'k' }));
  await ledger.record(row('c', { organization: 'other' }));
  assert.deepEqual(await ledger.balances(''), [
    { currency: 'CNY', granted: 0, toppedUp: 95 },
    { currency: 'USD', granted: 7, toppedUp: 0 },
  ]);
  assert.equal((await keys.find('sk-k'))?.spent, 20);
  const [sum] = await ledger.usage({ organization: '', fromMs: 0, toMs: 1e15, by: [] });
  assert.deepEqual([sum?.requests, sum?.cost, sum?.grantedCost, sum?.cacheMiss], [2, 20, 15, 4]);
  assert.deepEqual([await ledger.has('a'), await ledger.has('z')], [true, false]);
});

testBoth('whatever is charged side by side, the balance is what was paid in less what the rows say', async (place) => {
  await using store = await openStore(place);
  const { ledger } = store;
  // Before there is any balance, charges are nobody's.
  await ledger.pay('', 'CNY', 'granted', 0);
  let paid = 0;
  let count = 0;
  const amount = fc.integer({ min: 0, max: 1000 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(amount, fc.constantFrom('charge', 'granted', 'topped-up')), { maxLength: 20 }),
      async (acts) => {
        await Promise.all(
          acts.map(async ([cost, kind]) => {
            if (kind === 'charge') return await ledger.record(row(`r${count++}`, { cost }));
            paid += cost;
            return await ledger.pay('', 'CNY', kind as 'granted', cost);
          }),
        );
        const [balance] = await ledger.balances('');
        const [sum] = await ledger.usage({ fromMs: 0, toMs: 1e15, by: [] });
        const left = (balance?.granted ?? 0) + (balance?.toppedUp ?? 0);
        assert.equal(left, paid - (sum?.cost ?? 0));
        assert.ok((balance?.granted ?? 0) >= 0);
      },
    ),
    { numRuns: 30, seed: 5 },
  );
});

testBoth('64 who charge two organizations at once, some for the same call, leave exact balances', async (place) => {
  await using stores = new AsyncDisposableStack();
  // As of two processes: those of one never meet in SQLite.
  const [ledger, other] = [stores.use(await openStore(place)).ledger, stores.use(await openStore(place)).ledger];
  await using store = await openStore(place);
  const organizations = ['red', 'blue'];
  for (const organization of organizations) await addKey(store, organization, { organization });
  const granted = 100;
  const toppedUp = 10_000;
  let spent = 0;
  for (let round = 1; round <= 10; round++) {
    for (const organization of organizations) {
      await store.ledger.pay(organization, 'CNY', 'granted', granted);
      await store.ledger.pay(organization, 'CNY', 'topped-up', toppedUp);
    }
    // What is granted is enough for two of sixteen calls, each of which is charged by two writers.
    const cost = 40 + round;
    const write = (_: unknown, writer: number) => {
      const organization = organizations[writer % 2] as string;
      const call = row(`${round} ${writer % 32}`, { organization, key: organization, cost });
      return (writer < 32 ? ledger : other).record(call);
    };
    const counted = await Promise.all(Array.from({ length: 64 }, write));
    for (let call = 0; call < 32; call++) {
      assert.deepEqual([counted[call], counted[call + 32]].sort(), [false, true], 'it is counted once');
    }
    spent += 16 * cost;
    for (const organization of organizations) {
      assert.deepEqual(await store.ledger.balances(organization), [
        { currency: 'CNY', granted: 0, toppedUp: round * (granted + toppedUp) - spent },
      ]);
      const [sum] = await store.ledger.usage({ organization, fromMs: 0, toMs: 1e15, by: [] });
      assert.deepEqual([sum?.requests, sum?.cost, sum?.grantedCost], [16 * round, spent, granted * round]);
      assert.equal((await store.keys.find(`sk-${organization}`))?.spent, spent);
    }
  }
});

test('a row asks PostgreSQL once', { skip: skipOf('PostgreSQL') }, async (t) => {
  await using place = await emptyStore('PostgreSQL');
  await using store = await openStore(place.place);
  await addKey(store, 'k');
  await store.ledger.pay('', 'CNY', 'granted', 15);
  const { mock } = t.mock.method(pg.Client.prototype, 'query');
  const counts = [];
  for (const one of [row('a', { key: 'k' }), row('a', { key: 'k' }), row('b', { cost: 0 })]) {
    await store.ledger.record(one);
    counts.push(mock.callCount());
  }
  assert.deepEqual(counts, [1, 2, 3]);
});

testBoth('usage adds up by day, key, model, user and call, and currencies stay apart', async (place) => {
  await using store = await openStore(place);
  const { ledger } = store;
  const day = (text: string) => Date.parse(`${text}T23:59:59.999Z`);
  await ledger.record(row('a', { endedMs: day('2026-11-25'), user: 'ann', model: 'x' }));
  await ledger.record(row('b', { endedMs: day('2026-11-26'), user: 'ann', model: 'y' }));
  await ledger.record(row('c', { endedMs: day('2026-11-26'), user: 'bob', model: 'y', currency: 'USD' }));
  const sums = async (query: object) =>
    (await ledger.usage({ fromMs: 0, toMs: 1e15, by: [], ...query })).map(({ axes, requests, currency }) => [
      ...Object.values(axes),
      requests,
      currency,
    ]);
  assert.deepEqual(await sums({}), [
    [2, 'CNY'],
    [1, 'USD'],
  ]);
  assert.deepEqual(await sums({ by: ['day'] }), [
    ['2026-11-25', 1, 'CNY'],
    ['2026-11-26', 1, 'CNY'],
    ['2026-11-26', 1, 'USD'],
  ]);
  assert.deepEqual(await sums({ by: ['user', 'model'], fromMs: Date.parse('2026-11-26') }), [
    ['ann', 'y', 1, 'CNY'],
    ['bob', 'y', 1, 'USD'],
  ]);
  assert.equal(await ledger.forget(Date.parse('2026-11-26')), 1);
  assert.deepEqual(await sums({}), [
    [1, 'CNY'],
    [1, 'USD'],
  ]);
});

testBoth('a key is found by itself alone, and members take theirs along when they go', async (place) => {
  await using store = await openStore(place);
  const { keys } = store;
  assert.equal(await keys.isAny(), false);
  await keys.addOrganization({ id: 'org_b', name: 'b', createdMs: 1 });
  await keys.setMember({ id: 'u1', organization: 'org_b', name: 'ann', role: 'admin' });
  await keys.setMember({ id: 'u2', organization: 'org_b', name: 'ann', role: 'viewer' });
  assert.deepEqual(await keys.members('org_b'), [{ id: 'u1', organization: 'org_b', name: 'ann', role: 'viewer' }]);
  await addKey(store, 'one', { organization: 'org_b', member: 'u1' });
  await addKey(store, 'two');
  assert.equal(await keys.isAny(), true);
  assert.equal((await keys.find('sk-one'))?.organization, 'org_b');
  assert.deepEqual([await keys.find('one'), await keys.find('sk-on')], [undefined, undefined]);
  assert.deepEqual(
    (await keys.list('org_b')).map(({ id, lastFour }) => [id, lastFour]),
    [['one', '-one']],
  );
  assert.equal(await keys.removeMember('org_b', 'ann', 77), true);
  assert.equal(await keys.removeMember('org_b', 'ann', 77), false);
  assert.equal((await keys.find('sk-one'))?.revokedMs, 77);
  assert.equal((await keys.find('sk-two'))?.revokedMs, undefined);
  assert.deepEqual([await keys.revoke('one', 80), await keys.revoke('two', 80)], [false, true]);
});
