import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findGpu, gpus, parseFleet, usableBytes } from './gpu-fleet.ts';

test('a fleet is a count and a card, nodes of them, or cards by their memory', () => {
  const read = (text: string) => {
    const { gpu, count, perNode } = parseFleet(text);
    return [gpu.name, count, perNode];
  };
  assert.deepEqual(read('8xH200'), ['H200', 8, 8]);
  assert.deepEqual(read('2x8xh100'), ['H100', 16, 8]);
  assert.deepEqual(read('4x4xA100'), ['A100-80G', 16, 4]);
  assert.deepEqual(read('L40S'), ['L40S', 1, 8]);
  assert.deepEqual(read('4xA100-80GB'), ['A100-80G', 4, 8]);
  assert.deepEqual(read('8x141GB'), ['141GB', 8, 8]);
  assert.equal(findGpu('48GB').memoryMiB, 48 * 1024);
  assert.equal(parseFleet('16xH100', 4).perNode, 4);
});

test('what is no fleet is refused with the cards there are and how to give another', () => {
  assert.throws(
    () => parseFleet('8xX100'),
    /expected one of the GPUs .*H200.*, or a memory such as 8x141GB, got "X100"/,
  );
  for (const text of ['', 'x', '0xH100', '8x0xH100', '8 of them'])
    assert.throws(() => parseFleet(text), /^Error: expected/);
  assert.throws(() => parseFleet('9999xH100'), /at most 1024/);
});

test('a program finds what PyTorch reports of cards, within a third of a GiB', () => {
  const reported = { H100: 79.1, H200: 139.8, 'A100-80G': 79.15, 'A100-40G': 39.39 };
  for (const [name, gib] of Object.entries(reported)) {
    assert.ok(Math.abs(usableBytes(findGpu(name)) / 2 ** 30 - gib) < 0.33, name);
  }
  assert.equal(new Set(gpus.map(({ name }) => name)).size, gpus.length);
});
