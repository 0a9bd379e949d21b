import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type Device, type Isa, openDevice, supportedIsas } from './device.ts';
import { fill, scale } from './elementwise.ts';
import { matmul } from './matmul.ts';

const deviceUrl = pathToFileURL(join(import.meta.dirname, 'device.ts')).href;
const elementwiseUrl = pathToFileURL(join(import.meta.dirname, 'elementwise.ts')).href;

/** Opens a device in two threads, runs a step, and leaves the device open. */
const leaveOpen = `
  const { openDevice } = await import(${JSON.stringify(deviceUrl)});
  const { fill } = await import(${JSON.stringify(elementwiseUrl)});
  const device = openDevice({ threads: 2 });
  fill(device.commands, { handle: device.memory.allocate(4096), offset: 0, length: 1024 }, 1);
  device.commands.run();
`;

function fillAndRead(device: Device, value: number): number {
  const ref = { handle: device.memory.allocate(4000), offset: 0, length: 1000 };
  fill(device.commands, ref, value);
  device.commands.run();
  const array = new Float32Array(1000);
  device.memory.read(ref, array);
  device.memory.free(ref.handle);
  assert.ok(array.every((x) => x === value));
  return array.length;
}

test('every instruction set of the machine opens, and the best is the default', () => {
  const isas = supportedIsas();
  assert.equal(isas.at(-1), 'portable');
  using best = openDevice();
  assert.equal(best.isa, isas[0]);
  for (const isa of isas) {
    using device = openDevice({ isa });
    assert.equal(device.isa, isa);
    fillAndRead(device, 3);
  }
});

test('options the machine cannot honour are refused', () => {
  assert.throws(() => openDevice({ isa: 'mmx' as Isa }), /no instruction set mmx/);
  for (const threads of [0, -1, 1.5, Number.NaN, 5000]) {
    assert.throws(() => openDevice({ threads }), /threads: expected an integer from 1 to 1024/);
  }
});

test('a closed device refuses everything, and closing it again does nothing', () => {
  const device = openDevice({ threads: 2 });
  const ref = { handle: device.memory.allocate(64), offset: 0, length: 16 };
  fill(device.commands, ref, 1);
  device[Symbol.dispose]();
  device[Symbol.dispose]();
  assert.throws(() => device.commands.run(), /the device is closed/);
  assert.throws(() => device.memory.allocate(64), /the device is closed/);
  assert.throws(() => device.memory.size(ref.handle), /the device is closed/);
});

test('many devices live side by side, each with its own memory', () => {
  const devices = Array.from({ length: 12 }, (_, i) => openDevice({ threads: 1 + (i % 3) }));
  for (const device of devices) fillAndRead(device, devices.indexOf(device));
  const [first, second] = [devices[0]!, devices[1]!];
  const handle = first.memory.allocate(64);
  assert.throws(() => second.memory.size(handle), /no buffer has the handle/);
  for (const device of devices) device[Symbol.dispose]();
});

test('pools start and stop many times over', () => {
  for (let i = 0; i < 50; i++) {
    using device = openDevice({ threads: 3 });
    if (i % 2 === 0) fillAndRead(device, i);
  }
});

test('sleeping threads wake for the next step', async () => {
  using device = openDevice({ threads: 4 });
  for (const pauseMs of [0, 1, 20, 0, 0, 5]) {
    await sleep(pauseMs);
    fillAndRead(device, pauseMs);
  }
});

test('commands run alone or together, one after the other, with the same results', () => {
  using device = openDevice({ threads: 3 });
  const { commands, memory } = device;
  const ref = (length: number) => ({ handle: memory.allocate(length * 4), offset: 0, length });
  const [x, y, z] = [ref(300 * 70), ref(40 * 70), ref(300 * 40)];
  memory.write(
    x,
    Float32Array.from({ length: x.length }, (_, i) => Math.sin(i)),
  );
  memory.write(
    y,
    Float32Array.from({ length: y.length }, (_, i) => Math.cos(i)),
  );
  const results = Array.from({ length: 40 }, (_, i) => {
    commands.isAlone = i % 3 > 0;
    matmul(commands, x, y, z, { M: 300, N: 40, K: 70, transB: true });
    scale(commands, z, z, 2);
    commands.run();
    const result = new Float32Array(z.length);
    memory.read(z, result);
    return Buffer.from(result.buffer).toString('base64');
  });
  assert.equal(new Set(results).size, 1);
});

test('more threads than cores get the work done', () => {
  using device = openDevice({ threads: 16 });
  for (let i = 0; i < 20; i++) fillAndRead(device, i);
});

test('a process ends by itself with a device open, and process.exit ends it too', () => {
  for (const end of ['', 'process.exit(0);']) {
    const code = `${leaveOpen} console.log('ran'); ${end}`;
    const { status, stdout, stderr, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
      encoding: 'utf8',
      timeout: 30_000,
    });
    assert.deepEqual({ status, stdout, stderr, signal }, { status: 0, stdout: 'ran\n', stderr: '', signal: null });
  }
});

test('a worker thread has devices of its own, and can be ended with one open', async () => {
  using device = openDevice({ threads: 2 });
  const code = `const { parentPort } = await import('node:worker_threads'); ${leaveOpen} parentPort.postMessage('ran');`;
  const ended = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`));
  assert.equal(await new Promise((resolve) => ended.once('message', resolve)), 'ran');
  await ended.terminate();
  fillAndRead(device, 7);
});
