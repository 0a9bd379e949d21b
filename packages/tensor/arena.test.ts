import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDevice } from '@hadal/kernels/device';
import { Arena } from './arena.ts';

test('tensors of one step never overlap, start at a cache line, and reset gives their memory to the next', () => {
  using device = openDevice({ threads: 1 });
  using arena = new Arena(device.memory, 4096);
  const sizes = [1, 15, 16, 17, 500, 2000, 3, 900];
  const take = () => sizes.map((n) => arena.take([n]));
  const first = take();
  for (const [i, a] of first.entries()) {
    assert.equal(a.offset % 16, 0);
    for (const b of first.slice(i + 1)) {
      assert.ok(a.handle !== b.handle || a.offset + a.length <= b.offset || b.offset + b.length <= a.offset);
    }
  }
  const { bytes } = arena;
  for (let step = 0; step < 5; step++) {
    arena.reset();
    assert.deepEqual(take(), first);
    assert.equal(arena.bytes, bytes);
  }
});

test('rewinding gives back what was taken since the mark, and leaves what was written', () => {
  using device = openDevice({ threads: 1 });
  using arena = new Arena(device.memory, 4096);
  arena.take([100]);
  const mark = arena.mark();
  const [first, large] = [arena.take([500]), arena.take([3000])];
  const ids = arena.integers(Int32Array.of(4, 5, 6));
  const { bytes } = arena;
  for (let block = 0; block < 3; block++) {
    arena.rewind(mark);
    assert.deepEqual([arena.take([500]), arena.take([3000])], [first, large]);
    const more = arena.integers(Int32Array.of(block));
    assert.ok(more.handle !== first.handle && more.handle !== large.handle && more.offset !== ids.offset);
  }
  assert.equal(arena.bytes, bytes);
  const back = new Int32Array(3);
  device.memory.read(ids, back);
  assert.deepEqual(back, Int32Array.of(4, 5, 6));
});

test('a tensor too large for what is left of a block leaves it to smaller ones, and rewinding finds every block as it was', () => {
  using device = openDevice({ threads: 1 });
  using arena = new Arena(device.memory, 4096);
  const first = arena.take([500]);
  const mark = arena.mark();
  for (let turn = 0; turn < 2; turn++) {
    const large = arena.take([3000]);
    const small = arena.take([500]);
    assert.notEqual(large.handle, first.handle);
    assert.deepEqual([small.handle, small.offset], [first.handle, 512]);
    arena.rewind(mark);
  }
  assert.equal(arena.bytes, 4096 + 3008 * 4);
});

test('disposal returns the native memory', () => {
  using device = openDevice({ threads: 1 });
  const before = device.memory.stats();
  {
    using arena = new Arena(device.memory, 4096);
    arena.take([5000]);
    arena.floats(Float32Array.of(1, 2, 3));
  }
  assert.deepEqual(device.memory.stats(), before);
});
