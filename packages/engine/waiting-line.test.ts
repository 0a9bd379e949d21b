import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Waiter, WaitingLine } from './waiting-line.ts';

const options = { capacity: 100, patienceMs: 1000 };
let keys = 0;
const waiter = (namespace: string, arrivedMs: number, priority: Waiter['priority'] = 'interactive'): Waiter => ({
  ...{ key: keys++, namespace, priority, arrivedMs },
});

function drain(line: WaitingLine<Waiter>, nowMs: number, tokens = 10): string[] {
  const order: string[] = [];
  for (let next = line.next(nowMs); next; next = line.next(nowMs)) {
    line.remove(next.key);
    line.serve(next.namespace, tokens);
    order.push(`${next.namespace}${next.arrivedMs}`);
  }
  return order;
}

test('within a namespace the first come is first, and between namespaces the one that had less', () => {
  const line = new WaitingLine<Waiter>(options);
  for (const at of [1, 2, 3]) line.add(waiter('a', at));
  line.add(waiter('b', 4));
  assert.deepEqual(drain(line, 5), ['a1', 'b4', 'a2', 'a3']);
});

test('a hundred requests of one user delay another user’s by one', () => {
  const line = new WaitingLine<Waiter>(options);
  for (let at = 0; at < 100; at++) line.add(waiter('busy', at));
  const first = line.next(100) as Waiter;
  line.remove(first.key);
  line.serve('busy', 500);
  line.add(waiter('quiet', 100));
  line.serve('busy', 1);
  assert.equal(line.next(100)?.namespace, 'quiet');
});

test('interactive requests go before batches, until a batch has waited long enough', () => {
  const line = new WaitingLine<Waiter>(options);
  line.add(waiter('a', 0, 'batch'));
  line.add(waiter('b', 900));
  assert.equal(line.next(950)?.namespace, 'b');
  assert.equal(line.next(1000)?.namespace, 'a');
});

test('silence earns no credit: who comes late starts level with the least served', () => {
  const line = new WaitingLine<Waiter>(options);
  line.add(waiter('a', 0));
  line.serve('a', 1000);
  line.add(waiter('late', 1));
  line.add(waiter('late', 2));
  // Level at first, so arrival decides; then turn by turn.
  assert.deepEqual(drain(line, 3), ['a0', 'late1', 'late2']);
  line.leave('a');
  line.leave('late');
});

test('what is put back stands where it came, and what is removed is gone', () => {
  const line = new WaitingLine<Waiter>(options);
  const first = waiter('a', 1);
  line.add(first);
  line.add(waiter('a', 2));
  assert.equal(line.remove(first.key), first);
  assert.equal(line.remove(first.key), undefined);
  line.putBack(first);
  assert.deepEqual(
    [...line].map(({ arrivedMs }) => arrivedMs),
    [1, 2],
  );
});

test('nobody starves: under steady load from others every request is let in after a bounded number of turns', () => {
  fc.assert(
    fc.property(
      fc.constantFrom<Waiter['priority']>('interactive', 'batch'),
      fc.array(fc.record({ rival: fc.integer({ min: 0, max: 3 }), tokens: fc.integer({ min: 1, max: 50 }) }), {
        minLength: 400,
        maxLength: 400,
      }),
      (priority, turns) => {
        const line = new WaitingLine<Waiter>({ capacity: 10_000, patienceMs: 20 });
        const mine = waiter('mine', 0, priority);
        for (let i = 0; i < 4; i++) line.add(waiter(`rival${i}`, 0));
        line.add(mine);
        const turn = turns.findIndex(({ rival, tokens }, nowMs) => {
          line.add(waiter(`rival${rival}`, nowMs));
          const next = line.next(nowMs) as Waiter;
          line.remove(next.key);
          line.serve(next.namespace, tokens);
          return next === mine;
        });
        assert.ok(turn >= 0 && turn < 100, `let in after ${turn} turns`);
      },
    ),
    { numRuns: 50 },
  );
});
