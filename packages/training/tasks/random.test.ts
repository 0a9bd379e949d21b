import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Random } from './random.ts';

describe('Random', () => {
  it('draws what it always drew: the corpus depends on it', () => {
    const random = new Random('hadal');
    assert.deepEqual(
      Array.from({ length: 6 }, () => random.integer(0, 999)),
      [833, 491, 54, 243, 878, 601],
    );
  });

  it('forks streams that do not depend on how much was drawn', () => {
    const fresh = new Random('seed').fork('a');
    const used = new Random('seed');
    for (let i = 0; i < 100; i++) used.integer(0, 9);
    assert.equal(used.fork('a').integer(0, 1e9), fresh.integer(0, 1e9));
    assert.notEqual(new Random('seed').fork('a').integer(0, 1e9), new Random('seed').fork('b').integer(0, 1e9));
  });

  it('covers a range evenly', () => {
    const random = new Random('even');
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 20_000; i++) counts[random.integer(0, 9)]!++;
    for (const count of counts) assert.ok(count > 1800 && count < 2200, counts.join(' '));
  });

  it('picks by weight', () => {
    const random = new Random('weights');
    const draws = Array.from({ length: 10_000 }, () => random.weighted([['a', 3] as const, ['b', 1] as const]));
    const share = draws.filter((draw) => draw === 'a').length / draws.length;
    assert.ok(share > 0.73 && share < 0.77, String(share));
  });

  it('samples without repeating and refuses more than there is', () => {
    const random = new Random('sample');
    assert.deepEqual(random.shuffle([1, 2, 3, 4]).sort(), [1, 2, 3, 4]);
    assert.throws(() => random.sample([1], 2), /at least 2 items, got 1/);
    assert.throws(() => random.pick([]), /at least one item/);
  });
});
