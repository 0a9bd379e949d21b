import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
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
  using files = scratch();
  const path = join(files.directory, 'weights');
  const floats = normals(1000, 2);
  writeFileSync(path, new Uint8Array(floats.buffer));
  using device = openDevice({ threads: 1 });
  const ref = { handle: device.memory.mapFile(path, 0, 4000), offset: 0, length: 1000 };
  const back = new Float32Array(1000);
  device.memory.read(ref, back);
  assert.deepEqual(back, floats);
  assert.throws(() => device.memory.write(ref, back), /mapped file and cannot be written/);
  fill(device.commands, ref, 0);
  assert.throws(() => device.commands.run(), {
    message: 'fill: x: the buffer is a mapped file and cannot be written',
  });
});

test('a mapping begins and ends at any byte, and what lies outside it is refused', () => {
  using files = scratch();
  const path = join(files.directory, 'weights');
  const bytes = Uint8Array.from({ length: 10_000 }, (_, i) => i % 251);
  writeFileSync(path, bytes);
  using device = openDevice({ threads: 1 });
  for (const [begin, end] of [
    [0, 10_000],
    [1, 2],
    [4095, 4097],
    [4097, 9999],
    [10_000, 10_000],
  ] as const) {
    const handle = device.memory.mapFile(path, begin, end);
    assert.equal(device.memory.size(handle), end - begin);
    const back = new Uint8Array(end - begin);
    device.memory.read({ handle, offset: 0, length: back.length }, back);
    assert.deepEqual(back, bytes.slice(begin, end));
    const beyond = { handle, offset: 0, length: back.length + 1 };
    assert.throws(() => device.memory.read(beyond, new Uint8Array(beyond.length)), /outside a buffer of/);
    device.memory.free(handle);
  }
  assert.equal(device.memory.stats().buffers, 0);
});

test('a file that is shorter than what is asked for, absent, or no file is refused before a byte is touched', () => {
  using files = scratch();
  const path = join(files.directory, 'weights');
  writeFileSync(path, 'hello');
  using device = openDevice({ threads: 1 });
  const { memory } = device;
  assert.throws(() => memory.mapFile(path, 0, 6), { message: `mapFile: expected at least 6 bytes, ${path} has 5` });
  for (const [begin, end] of [
    [-1, 3],
    [3, 2],
    [0.5, 2],
    [0, Number.NaN],
  ] as const) {
    assert.throws(() => memory.mapFile(path, begin, end), /expected a range of bytes/);
  }
  assert.throws(() => memory.mapFile(join(files.directory, 'absent'), 0, 1), /cannot open .*absent: No such file/);
  assert.throws(() => memory.mapFile(files.directory, 0, 1), /is not a file/);
});

test('bytes beyond the first 4 GiB of a file are reached', () => {
  using files = scratch();
  const path = join(files.directory, 'weights');
  const far = 5 * 2 ** 30;
  writeFileSync(path, '');
  // A file with a hole takes no room.
  truncateSync(path, far);
  appendFileSync(path, Uint8Array.of(1, 2, 3));
  using device = openDevice({ threads: 1 });
  const handle = device.memory.mapFile(path, 0, far + 3);
  assert.equal(device.memory.size(handle), far + 3);
  const back = new Uint8Array(4);
  device.memory.read({ handle, offset: far - 1, length: 4 }, back);
  assert.deepEqual(back, Uint8Array.of(0, 1, 2, 3));
});

test('prefetching changes no byte, and is refused outside of a mapped file', () => {
  using files = scratch();
  const path = join(files.directory, 'weights');
  const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => i % 253);
  writeFileSync(path, bytes);
  using device = openDevice({ threads: 1 });
  const { memory } = device;
  const all = { handle: memory.mapFile(path, 5, 100_000), offset: 0, length: 99_995 };
  memory.prefetch(all);
  memory.prefetch({ ...all, offset: 99_995, length: 0 });
  const back = new Uint8Array(all.length);
  memory.read(all, back);
  assert.deepEqual(back, bytes.slice(5));
  assert.throws(() => memory.prefetch({ ...all, offset: 1 }), /outside a buffer/);
  assert.deepEqual(memory.stats(), { bytesInUse: 0, buffers: 1 });
  const own = { handle: memory.allocate(10_000), offset: 0, length: 10_000 };
  assert.throws(() => memory.prefetch(own), /prefetch: expected a mapped file/);
});

function scratch(): Disposable & { readonly directory: string } {
  const directory = mkdtempSync(join(tmpdir(), 'hadal-'));
  return { directory, [Symbol.dispose]: () => rmSync(directory, { recursive: true }) };
}
