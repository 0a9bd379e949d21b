import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDevice } from './device.ts';
import { fill } from './elementwise.ts';
import { normals } from './parity.ts';

test('a new buffer holds zeros, whatever its size', () => {
  using device = openDevice({ threads: 1 });
  for (const length of [1, 1000, 1 << 20]) {
    const handle = device.memory.allocate(length * 4);
    const contents = new Float32Array(length).fill(1);
    device.memory.read({ handle, offset: 0, length }, contents);
    assert.ok(contents.every((x) => x === 0));
    assert.equal(device.memory.size(handle), length * 4);
  }
});

test('what is written is read back, at any offset and in any kind of element', () => {
  using device = openDevice({ threads: 1 });
  const { memory } = device;
  const handle = memory.allocate(4000);
  const floats = normals(100, 1);
  memory.write({ handle, offset: 17, length: 100 }, floats);
  const back = new Float32Array(100);
  memory.read({ handle, offset: 17, length: 100 }, back);
  assert.deepEqual(back, floats);
  // The offset counts the array's own elements.
  const bytes = new Uint8Array(4);
  memory.read({ handle, offset: 17 * 4, length: 4 }, bytes);
  assert.deepEqual(bytes, new Uint8Array(floats.buffer.slice(0, 4)));
  const halves = Uint16Array.of(1, 2, 3);
  memory.write({ handle, offset: 1997, length: 3 }, halves);
  const halvesBack = new Uint16Array(3);
  memory.read({ handle, offset: 1997, length: 3 }, halvesBack);
  assert.deepEqual(halvesBack, halves);
});

test('a range outside the buffer is refused', () => {
  using device = openDevice({ threads: 1 });
  const { memory } = device;
  const handle = memory.allocate(40);
  const message = /outside a buffer of 40 bytes/;
  assert.throws(() => memory.read({ handle, offset: 1, length: 10 }, new Float32Array(10)), message);
  assert.throws(() => memory.write({ handle, offset: 11, length: 0 }, new Float32Array(0)), message);
  assert.throws(() => memory.read({ handle, offset: -1, length: 1 }, new Float32Array(1)), message);
  assert.throws(() => memory.read({ handle, offset: 0.5, length: 1 }, new Float32Array(1)), message);
  assert.throws(() => memory.read({ handle, offset: Number.NaN, length: 1 }, new Float32Array(1)), message);
});

test('an array longer than its tensor is refused', () => {
  using device = openDevice({ threads: 1 });
  const ref = { handle: device.memory.allocate(40), offset: 0, length: 3 };
  assert.throws(() => device.memory.write(ref, new Float32Array(4)), {
    message: 'write: the array has 4 elements, the tensor 3',
  });
});

test('a freed handle is dead for good, even when its memory is used again', () => {
  using device = openDevice({ threads: 1 });
  const { memory } = device;
  const dead = memory.allocate(64);
  memory.free(dead);
  const alive = memory.allocate(64);
  assert.notEqual(dead, alive);
  const message = /no buffer has the handle \d+ \(freed, or never allocated\)/;
  assert.throws(() => memory.free(dead), message);
  assert.throws(() => memory.size(dead), message);
  assert.throws(() => memory.read({ handle: dead, offset: 0, length: 1 }, new Float32Array(1)), message);
  for (const handle of [0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60]) {
    assert.throws(() => memory.free(handle), /no buffer has the handle/);
  }
});

test('stats count the living buffers and their bytes', () => {
  using device = openDevice({ threads: 1 });
  const { memory } = device;
  const [a, b] = [memory.allocate(1000), memory.allocate(5 << 20)];
  assert.deepEqual(memory.stats(), { bytesInUse: 1000 + (5 << 20), buffers: 2 });
  memory.free(b);
  assert.deepEqual(memory.stats(), { bytesInUse: 1000, buffers: 1 });
  memory.free(a);
  assert.deepEqual(memory.stats(), { bytesInUse: 0, buffers: 0 });
});

test('sizes that are not whole bytes, or more than there is, are refused', () => {
  using device = openDevice({ threads: 1 });
  for (const bytes of [-1, 0.5, Number.NaN, 1e18]) {
    assert.throws(() => device.memory.allocate(bytes), /expected a whole number of bytes/);
  }
  assert.throws(() => device.memory.allocate(2 ** 49), /no 562949953421312 bytes left/);
});

test('a mapped file is read in place, and neither write nor kernels may change it', () => {
  const directory = mkdtempSync(join(tmpdir(), 'hadal-'));
  try {
    const path = join(directory, 'weights');
    const floats = normals(1000, 2);
    writeFileSync(path, new Uint8Array(floats.buffer));
    using device = openDevice({ threads: 1 });
    const ref = { handle: device.memory.mapFile(path), offset: 0, length: 1000 };
    const back = new Float32Array(1000);
    device.memory.read(ref, back);
    assert.deepEqual(back, floats);
    assert.throws(() => device.memory.write(ref, back), /mapped file and cannot be written/);
    fill(device.commands, ref, 0);
    assert.throws(() => device.commands.run(), {
      message: 'fill: x: the buffer is a mapped file and cannot be written',
    });
    writeFileSync(join(directory, 'empty'), '');
    assert.equal(device.memory.size(device.memory.mapFile(join(directory, 'empty'))), 0);
    assert.throws(() => device.memory.mapFile(join(directory, 'absent')), /cannot open .*absent: No such file/);
    assert.throws(() => device.memory.mapFile(directory), /is not a file/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
