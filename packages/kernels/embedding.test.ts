import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDevice } from './device.ts';
import { embedding, embeddingBackward, embeddingBackwardTwin, embeddingTwin } from './embedding.ts';
import { assertGradient, dot } from './gradient-check.ts';
import { checkParity, normals, runOn, uniforms } from './parity.ts';

const sizes = [
  { N: 1, V: 1, D: 1 },
  { N: 3, V: 7, D: 17 },
  { N: 17, V: 3, D: 33 },
  { N: 100, V: 33, D: 100 },
  { N: 33, V: 100, D: 257 },
];

test('embedding copies table rows, and zeros for ids outside the table', () => {
  for (const o of sizes) {
    checkParity({
      name: `embedding ${JSON.stringify(o)}`,
      tensors: { table: normals(o.V * o.D, 1), ids: someIds(o.N, o.V), y: normals(o.N * o.D, 2) },
      native: (c, t) => embedding(c, t.table, t.ids, t.y, o),
      twin: (a) => embeddingTwin(a.table, a.ids, a.y, o),
      tolerance: 0,
    });
  }
});

test('embeddingBackward adds every token to its row, tokens in order', () => {
  for (const o of sizes) {
    checkParity({
      name: `embeddingBackward ${JSON.stringify(o)}`,
      tensors: { ids: someIds(o.N, o.V), dy: normals(o.N * o.D, 3), dTable: normals(o.V * o.D, 4) },
      native: (c, t) => embeddingBackward(c, t.ids, t.dy, t.dTable, o),
      twin: (a) => embeddingBackwardTwin(a.ids, a.dy, a.dTable, o),
      tolerance: 2e-6,
    });
  }
});

test('embeddingBackward adds in float32 token by token, so the order is that of the tokens', () => {
  using device = openDevice({ threads: 2 });
  const dy = new Float32Array([1, 2 ** 24, -(2 ** 24), 1]);
  const inputs = { ids: new Int32Array(4), dy, dTable: new Float32Array(1) };
  const { dTable } = runOn(device, inputs, (c, t) => embeddingBackward(c, t.ids, t.dy, t.dTable, { N: 4, V: 1, D: 1 }));
  // ((1 + 2^24) - 2^24) + 1 with 1 + 2^24 rounded to 2^24. Backwards, or by pairs, it would be 2.
  assert.equal(dTable[0], 1);
});

test('the gradient is that of finite differences', () => {
  const o = { N: 9, V: 4, D: 3 };
  const ids = someIds(o.N, o.V);
  const dy = Float64Array.from(normals(o.N * o.D, 5));
  const gradient = new Float64Array(o.V * o.D);
  embeddingBackwardTwin(ids, dy, gradient, o);
  const loss = (table: Float64Array) => {
    const y = new Float64Array(o.N * o.D);
    embeddingTwin(table, ids, y, o);
    return dot(y, dy);
  };
  assertGradient(loss, Float64Array.from(normals(o.V * o.D, 6)), gradient, 'dTable');
});

test('an empty batch is no work and no error', () => {
  using device = openDevice({ threads: 2 });
  const inputs = { table: normals(6, 1), ids: new Int32Array(0), y: new Float32Array(0), dTable: normals(6, 2) };
  const o = { N: 0, V: 2, D: 3 };
  const after = runOn(device, inputs, (c, t) => {
    embedding(c, t.table, t.ids, t.y, o);
    embeddingBackward(c, t.ids, t.y, t.dTable, o);
  });
  assert.deepEqual(after.dTable, inputs.dTable);
});

/** Mostly inside [0, V), some just outside on either side. */
function someIds(N: number, V: number): Int32Array {
  const next = uniforms(N * 1000 + V);
  return Int32Array.from({ length: N }, () => Math.floor(next() * (V + 2)) - 1);
}
