import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Device, openDevice } from './device.ts';
import { add, fill } from './elementwise.ts';
import type { Ref } from './memory.ts';

function allocate(device: Device, length: number): Ref {
  return { handle: device.memory.allocate(length * 4), offset: 0, length };
}

function read(device: Device, ref: Ref): number[] {
  const array = new Float32Array(ref.length);
  device.memory.read(ref, array);
  return [...array];
}

test('commands run in the order of recording, each after the one before is complete', () => {
  using device = openDevice({ threads: 2 });
  const c = device.commands;
  const [x, y] = [allocate(device, 1000), allocate(device, 1000)];
  fill(c, x, 1);
  fill(c, y, 0);
  for (let i = 0; i < 200; i++) {
    add(c, x, y, y);
    add(c, y, x, x);
  }
  fill(c, x, 3);
  add(c, x, x, x);
  c.run();
  assert.deepEqual(read(device, x), Array(1000).fill(6));
});

test('a buffer of many thousand commands grows as needed', () => {
  using device = openDevice({ threads: 1 });
  const [x, one] = [allocate(device, 1), allocate(device, 1)];
  fill(device.commands, one, 1);
  for (let i = 0; i < 20_000; i++) add(device.commands, x, one, x);
  assert.equal(device.commands.count, 20_001);
  device.commands.run();
  assert.equal(device.commands.count, 0);
  assert.deepEqual(read(device, x), [20_000]);
});

test('when one command is invalid none has run, the error names kernel and argument, and the buffer is empty', () => {
  using device = openDevice({ threads: 1 });
  const c = device.commands;
  const [x, freed] = [allocate(device, 4), allocate(device, 4)];
  fill(c, x, 1);
  add(c, x, freed, x);
  device.memory.free(freed.handle);
  assert.throws(() => c.run(), /^Error: add: b: no buffer has the handle/);
  assert.equal(c.count, 0);
  assert.deepEqual(read(device, x), [0, 0, 0, 0]);
  fill(c, x, 2);
  c.run();
  assert.deepEqual(read(device, x), [2, 2, 2, 2]);
});

test('a tensor that claims more than its buffer holds is refused', () => {
  using device = openDevice({ threads: 1 });
  const x = allocate(device, 4);
  fill(device.commands, { ...x, length: 5 }, 1);
  assert.throws(() => device.commands.run(), /^Error: fill: x: elements 0 to 5 of 4 bytes are outside a buffer of 16/);
  fill(device.commands, { ...x, offset: 2, length: 3 }, 1);
  assert.throws(() => device.commands.run(), /^Error: fill: x: elements 2 to 5 of 4 bytes are outside/);
});

test('a command that fails while it is recorded leaves no trace', () => {
  using device = openDevice({ threads: 1 });
  const c = device.commands;
  const x = allocate(device, 4);
  fill(c, x, 1);
  assert.throws(() => add(c, x, { ...x, length: 3 }, x), {
    message: 'add: b: expected at least 4 elements, the tensor has 3',
  });
  assert.equal(c.count, 1);
  c.run();
  assert.deepEqual(read(device, x), [1, 1, 1, 1]);
});

test('wrong arguments are found when recorded: a number that is no integer, one too few, one too many', () => {
  using device = openDevice({ threads: 1 });
  const c = device.commands;
  const x = allocate(device, 4);
  c.begin('fill');
  c.tensor(x, 4);
  assert.throws(() => c.int(0.5), { message: 'fill: n: expected an integer, got 0.5' });
  c.begin('fill');
  c.tensor(x, 4);
  c.int(4);
  assert.throws(() => c.end(), /^Error: fill: expected x:T n:i value:f/);
  c.begin('fill');
  c.tensor(x, 4);
  c.int(4);
  c.float(1);
  c.float(1);
  assert.throws(() => c.end(), /^Error: fill: expected x:T n:i value:f/);
  assert.equal(c.count, 0);
  c.run();
});

test('a buffer can be allocated and freed between the steps that use it', () => {
  using device = openDevice({ threads: 2 });
  for (let i = 0; i < 100; i++) {
    const x = allocate(device, 33);
    fill(device.commands, x, i);
    device.commands.run();
    assert.equal(read(device, x)[32], i);
    device.memory.free(x.handle);
  }
  assert.equal(device.memory.stats().buffers, 0);
});
