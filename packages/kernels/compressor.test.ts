import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KEY_BLOCK, sequenceTables } from './attention.ts';
import { type CompressOptions, compress, compressTwin, poolingWidth } from './compressor.ts';
import { type Device, openDevice, supportedIsas } from './device.ts';
import { assertClose, assertSameBits, checkParity, normals, runOn } from './parity.ts';

const shapes = [
  { W: 1, ratio: 1, series: 1 },
  { W: 17, ratio: 4, series: 2 },
  { W: 100, ratio: 4, series: 1 },
  { W: 33, ratio: 16, series: 1 },
  { W: 65, ratio: 128, series: 1 },
  { W: 9, ratio: 64, series: 2 },
] as const;
type Shape = (typeof shapes)[number];

const pages = [2, 6, 0, 3, 5, 1, 4];

/** Tables of sequences that have `before` tokens and add `count`; their pages follow one another in `pages`. */
function tablesOf(parts: readonly { readonly before: number; readonly count: number; readonly page: number }[]) {
  let row = 0;
  return sequenceTables(
    parts.map(({ before, count, page }) => {
      const queryStart = row;
      row += count;
      return { queryStart, queryCount: count, keyCount: before + count, blockStart: (b) => pages[page + b]! };
    }),
  );
}

function optionsFor(shape: Shape, parts: Parameters<typeof tablesOf>[0]): CompressOptions {
  const among = (tokens: number) => Math.floor(tokens / shape.ratio);
  const entries = parts.reduce((sum, { before, count }) => sum + among(before + count) - among(before), 0);
  return { ...shape, S: parts.length, NQ: parts.reduce((sum, { count }) => sum + count, 0), entries };
}

test('compress equals its twin from the first tokens on, and where an earlier step left off', () => {
  for (const shape of shapes) {
    for (const parts of [
      [
        { before: 0, count: 70, page: 0 },
        { before: 0, count: 3, page: 2 },
        { before: 0, count: 129, page: 3 },
      ],
      [
        { before: 63, count: 2, page: 0 },
        { before: 100, count: 1, page: 2 },
        { before: 126, count: 66, page: 4 },
      ],
    ] as const) {
      const o = optionsFor(shape, parts);
      const width = o.series * o.W;
      const state = normals(pages.length * poolingWidth(o), 4);
      // A state's totals are positive: they are sums of weights.
      const positive = state.map((x, i) => (Math.floor(i / o.W) % 3 === 1 ? Math.abs(x) + 0.1 : x));
      checkParity({
        name: `compress ${JSON.stringify(o)}`,
        tensors: {
          ...{ kv: normals(o.NQ * width, 1), gate: normals(o.NQ * width, 2), bias: normals(o.ratio * width, 3) },
          ...{ state: positive, pooled: new Float32Array(Math.max(o.entries, 1) * o.W), ...tablesOf(parts) },
        },
        native: (c, t) => {
          const pooled = o.entries > 0 ? t.pooled : undefined;
          compress(c, t.kv, t.gate, t.bias, t.state, pooled, t.sequences, t.blockStarts, o);
        },
        twin: (a) => compressTwin(a.kv, a.gate, a.bias, a.state, a.pooled, a.sequences, a.blockStarts, o),
        tolerance: 3e-6,
      });
    }
  }
});

/** All entries of one sequence whose tokens come in steps of the given sizes. */
function inSteps(device: Device, shape: Shape, total: number, steps: readonly number[]): Float32Array {
  const width = shape.series * shape.W;
  const all = { kv: normals(total * width, 1), gate: normals(total * width, 2), bias: normals(shape.ratio * width, 3) };
  let state = new Float32Array(pages.length * poolingWidth(shape)).fill(Number.NaN);
  const pooled: number[] = [];
  let before = 0;
  for (const count of steps) {
    const parts = [{ before, count, page: 0 }];
    const o = optionsFor(shape, parts);
    const cut = (x: Float32Array) => x.slice(before * width, (before + count) * width);
    const tensors = {
      ...{ kv: cut(all.kv), gate: cut(all.gate), bias: all.bias, state },
      ...{ pooled: new Float32Array(o.entries * o.W), ...tablesOf(parts) },
    };
    const result = runOn(device, tensors, (c, t) => {
      const into = o.entries > 0 ? t.pooled : undefined;
      compress(c, t.kv, t.gate, t.bias, t.state, into, t.sequences, t.blockStarts, o);
    });
    state = result.state as Float32Array<ArrayBuffer>;
    pooled.push(...result.pooled);
    before += count;
  }
  return Float32Array.from(pooled);
}

test('an entry has the same bits however its tokens are divided into steps', () => {
  const total = 300;
  for (const isa of supportedIsas()) {
    using device = openDevice({ isa, threads: 2 });
    for (const shape of shapes) {
      const whole = inSteps(device, shape, total, [total]);
      const singles = inSteps(device, shape, total, Array<number>(total).fill(1));
      const chunks = inSteps(device, shape, total, [7, 1, 120, 1, 1, 62, 64, 44]);
      assertSameBits({ singles, chunks }, { singles: whole, chunks: whole }, `${isa} ${JSON.stringify(shape)}`);
    }
  }
});

test('an entry is the softmax-weighted mean of its window, and of the window before where they overlap', () => {
  using device = openDevice({ threads: 2 });
  const total = 150;
  for (const shape of shapes) {
    const { W, ratio, series } = shape;
    const width = series * W;
    const [kv, gate, bias] = [normals(total * width, 1), normals(total * width, 2), normals(ratio * width, 3)];
    const expected: number[] = [];
    for (let window = 0; (window + 1) * ratio <= total; window++) {
      for (let w = 0; w < W; w++) {
        const slots: { gate: number; value: number }[] = [];
        for (let t = (window - series + 1) * ratio; t < (window + 1) * ratio; t++) {
          if (t < 0) continue;
          const column = series === 2 && t >= window * ratio ? W + w : w;
          const g = gate[t * width + column]! + bias[(t % ratio) * width + column]!;
          slots.push({ gate: g, value: kv[t * width + column]! });
        }
        const weights = slots.map((slot) => Math.exp(slot.gate));
        const sum = weights.reduce((a, b) => a + b, 0);
        expected.push(slots.reduce((mean, { value }, i) => mean + (weights[i]! / sum) * value, 0));
      }
    }
    assert.ok(expected.length > 0);
    assertClose(inSteps(device, shape, total, [total]), Float32Array.from(expected), 3e-6, JSON.stringify(shape));
  }
});

test('a table that leads outside the state keeps nothing and touches nothing else', () => {
  using device = openDevice({ threads: 2 });
  const shape = shapes[1];
  const o = optionsFor(shape, [{ before: 0, count: KEY_BLOCK, page: 0 }]);
  const width = o.series * o.W;
  const state = new Float32Array(poolingWidth(o)).fill(5);
  const tensors = {
    ...{ kv: normals(o.NQ * width, 1), gate: normals(o.NQ * width, 2), bias: normals(o.ratio * width, 3), state },
    ...{ pooled: new Float32Array(o.entries * o.W), ...tablesOf([{ before: 0, count: KEY_BLOCK, page: 0 }]) },
  };
  tensors.blockStarts.fill(7);
  const result = runOn(device, tensors, (c, t) =>
    compress(c, t.kv, t.gate, t.bias, t.state, t.pooled, t.sequences, t.blockStarts, o),
  );
  assert.deepEqual(result.state, state);
});
