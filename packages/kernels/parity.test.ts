import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fill, fillTwin } from './elementwise.ts';
import type { Ref } from './memory.ts';
import { assertClose, checkParity, normals, uniforms } from './parity.ts';

test('the harness finds a kernel that differs from its twin, and one that writes outside its tensor', () => {
  const zeros = { x: new Float32Array(10) };
  const check = (native: (x: Ref) => Ref, value: number) =>
    checkParity({
      name: 'fill',
      tensors: zeros,
      native: (c, t) => fill(c, native(t.x), value),
      twin: (a) => fillTwin(a.x, 1),
      tolerance: 1e-6,
    });
  check((x) => x, 1);
  assert.throws(() => check((x) => x, 1.001), /fill on .*: x\[0\]: expected 1 within/);
  assert.throws(() => check((x) => ({ ...x, length: 11 }), 1), /x: elements after the tensor changed/);
  assert.throws(() => check((x) => ({ ...x, offset: x.offset - 1 }), 1), /x: elements before the tensor changed/);
});

test('closeness is a share of the largest magnitude; integers must be equal; NaN is close to nothing else', () => {
  const [a, b] = [Float32Array.of(100, 1), Float32Array.of(100, 1.00005)];
  assertClose(b, a, 1e-6, 'within');
  assert.throws(() => assertClose(b, a, 1e-8, 'outside'), /outside\[1\]/);
  assert.throws(() => assertClose(Int32Array.of(1, 2), Int32Array.of(1, 3), 1, 'ints'), /ints\[1\]: expected 3, got 2/);
  assert.throws(() => assertClose(Float32Array.of(Number.NaN), Float32Array.of(1), 1, 'nan'), /nan\[0\]/);
});

test('random numbers repeat for a seed and have the moments they should', () => {
  assert.deepEqual(normals(5, 1), normals(5, 1));
  assert.notDeepEqual(normals(5, 1), normals(5, 2));
  const sample = normals(100_000, 3);
  const mean = sample.reduce((total, x) => total + x, 0) / sample.length;
  const variance = sample.reduce((total, x) => total + x * x, 0) / sample.length;
  assert.ok(Math.abs(mean) < 0.02 && Math.abs(variance - 1) < 0.03, `mean ${mean}, variance ${variance}`);
  const next = uniforms(4);
  const numbers = Array.from({ length: 1000 }, next);
  assert.ok(numbers.every((x) => x >= 0 && x < 1));
});
