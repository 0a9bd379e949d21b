import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crossEntropyForward } from './cross-entropy.ts';
import { openDevice } from './device.ts';
import { assertSameBits, checkParity, normals, runOn, uniforms } from './parity.ts';
import {
  adjustLogits,
  adjustLogitsTwin,
  argmax,
  argmaxTwin,
  sample,
  sampleTwin,
  topLogprobs,
  topLogprobsTwin,
} from './sampling.ts';

const sizes = [
  { N: 1, V: 1 },
  { N: 3, V: 7 },
  { N: 7, V: 17 },
  { N: 33, V: 33 },
  { N: 17, V: 100 },
  { N: 100, V: 257 },
  { N: 9, V: 3072 },
  { N: 5, V: 5003 },
];

test('argmax takes the largest, the lowest index of equals, and never a NaN', () => {
  for (const { N, V } of sizes) {
    const logits = normals(N * V, V).map((x) => Math.round(x));
    logits[0] = Number.NaN;
    checkParity({
      name: `argmax ${N} ${V}`,
      tensors: { logits, ids: new Int32Array(N).fill(-7) },
      native: (c, t) => argmax(c, t.logits, t.ids, { N, V }),
      twin: (a) => argmaxTwin(a.logits, a.ids, { N, V }),
      tolerance: 0,
    });
  }
});

test('argmax finds a single peak in every position', () => {
  const V = 70;
  const logits = new Float32Array(V * V).fill(-Infinity);
  for (let i = 0; i < V; i++) logits[i * V + i] = -3;
  const { ids } = run({ logits, ids: new Int32Array(V) }, (c, t) => argmax(c, t.logits, t.ids, { N: V, V }));
  assert.deepEqual(
    Array.from(ids),
    Array.from({ length: V }, (_, i) => i),
  );
});

test('sample draws as its twin over temperatures, nuclei and uniform numbers', () => {
  for (const { N, V } of sizes) {
    const inputs = stableInputs(N, V);
    checkParity({
      name: `sample ${N} ${V}`,
      tensors: { ...inputs, ids: new Int32Array(N), logprobs: new Float32Array(N) },
      native: (c, t) => sample(c, t.logits, t, t.ids, t.logprobs, { N, V }),
      twin: (a) => sampleTwin(a.logits, a, a.ids, a.logprobs, { N, V }),
      tolerance: 1e-6,
    });
  }
});

test('over a grid of uniform numbers each token of the nucleus comes up in proportion, and no other', () => {
  // Masses in sixteenths: 4, 4, 4, 2, 1, 1 and a token too small to matter, out of order and with ties.
  const weights = [1, 4, 2, 4, 1e-30, 4, 1];
  const row = Float32Array.from(weights, (w) => Math.log(w));
  for (const [topP, expected] of [
    [0, [0, 64, 0, 0, 0, 0, 0]],
    [0.2, [0, 64, 0, 0, 0, 0, 0]],
    [0.3, [0, 32, 0, 32, 0, 0, 0]],
    [0.74, [0, 64 / 3, 0, 64 / 3, 0, 64 / 3, 0]],
    [0.8, [0, 128 / 7, 64 / 7, 128 / 7, 0, 128 / 7, 0]],
    // The two of mass 1 are equal: the first of them completes the nucleus.
    [0.9, [64 / 15, 256 / 15, 128 / 15, 256 / 15, 0, 256 / 15, 0]],
    [0.97, [4, 16, 8, 16, 0, 16, 4]],
    [1, [4, 16, 8, 16, 0, 16, 4]],
  ] as const) {
    const N = 64;
    const tensors = {
      logits: Float32Array.from({ length: N * 7 }, (_, i) => row[i % 7]!),
      temperature: new Float32Array(N).fill(1),
      ...unrestricted(N),
      topP: new Float32Array(N).fill(topP),
      uniform: Float32Array.from({ length: N }, (_, i) => (i + 0.5) / N),
      ids: new Int32Array(N),
      logprobs: new Float32Array(N),
    };
    const { ids } = run(tensors, (c, t) => sample(c, t.logits, t, t.ids, t.logprobs, { N, V: 7 }));
    expected.forEach((share, id) => {
      const drawn = ids.filter((other) => other === id).length;
      assert.ok(Math.abs(drawn - share) <= 1, `topP ${topP}: token ${id} came ${drawn} times, expected ${share}`);
    });
  }
});

test('minP and topK leave out what is less likely, each from what is left, equal tokens by index', () => {
  // Masses 4, 4, 4, 2, 1, 1 of sixteen.
  const row = Float32Array.from([1, 4, 2, 4, 4, 1], (w) => Math.log(w));
  const N = 240;
  for (const { minP = 0, topK = 0, topP = 1, expected } of [
    { minP: 0.3, expected: [0, 4, 2, 4, 4, 0] },
    { minP: 0.6, expected: [0, 4, 0, 4, 4, 0] },
    { topK: 2, expected: [0, 4, 0, 4, 0, 0] },
    { topK: 5, expected: [1, 4, 2, 4, 4, 0] },
    { topK: 6, expected: [1, 4, 2, 4, 4, 1] },
    // 0.6 of the twelve that two thirds of sixteen leave takes two tokens; of all sixteen it would take three.
    { minP: 0.6, topP: 0.6, expected: [0, 4, 0, 4, 0, 0] },
    { topK: 4, topP: 0.9, expected: [0, 4, 2, 4, 4, 0] },
    { topK: 4, topP: 0.8, expected: [0, 4, 0, 4, 4, 0] },
  ]) {
    const tensors = {
      logits: Float32Array.from({ length: N * 6 }, (_, i) => row[i % 6]!),
      temperature: new Float32Array(N).fill(1),
      minP: new Float32Array(N).fill(minP),
      topK: new Int32Array(N).fill(topK),
      topP: new Float32Array(N).fill(topP),
      uniform: Float32Array.from({ length: N }, (_, i) => (i + 0.5) / N),
      ids: new Int32Array(N),
      logprobs: new Float32Array(N),
    };
    const { ids } = run(tensors, (c, t) => sample(c, t.logits, t, t.ids, t.logprobs, { N, V: 6 }));
    const mass = expected.reduce((a, b) => a + b);
    expected.forEach((share, id) => {
      const drawn = ids.filter((other) => other === id).length;
      assert.ok(Math.abs(drawn - (share / mass) * N) <= 1, `${minP} ${topK} ${topP}: token ${id} came ${drawn} times`);
    });
  }
});

test('adjustLogits adds in order, to the same place too, and forbids with -infinity', () => {
  for (const [N, V, count] of [
    [1, 1, 1],
    [3, 7, 17],
    [7, 100, 257],
  ] as const) {
    const next = uniforms(N * V);
    const below = (n: number) => Int32Array.from({ length: count }, () => Math.floor(next() * n));
    const delta = Float32Array.from({ length: count }, (_, i) => (i % 9 === 3 ? -Infinity : 10 * next() - 5));
    checkParity({
      name: `adjustLogits ${N} ${V} ${count}`,
      tensors: { logits: normals(N * V, V), row: below(N), token: below(V), delta },
      native: (c, t) => adjustLogits(c, t.logits, t.row, t.token, t.delta, { N, V, count }),
      twin: (a) => adjustLogitsTwin(a.logits, a.row, a.token, a.delta, { N, V, count }),
      tolerance: 0,
    });
  }
});

test('temperature 0, a row of NaN and a row of -infinity fall back to argmax without failing', () => {
  const V = 40;
  const logits = normals(4 * V, 1);
  logits.fill(Number.NaN, V, 2 * V).fill(-Infinity, 2 * V, 3 * V);
  logits[3 * V + 5] = Infinity;
  const tensors = {
    logits,
    temperature: new Float32Array([0, 1, 1, 1]),
    ...unrestricted(4),
    topP: new Float32Array(4).fill(0.9),
    uniform: new Float32Array(4).fill(0.999),
    ids: new Int32Array(4),
    logprobs: new Float32Array(4),
  };
  const { ids } = run(tensors, (c, t) => sample(c, t.logits, t, t.ids, t.logprobs, { N: 4, V }));
  const expected = new Int32Array(1);
  argmaxTwin(logits.subarray(0, V), expected, { N: 1, V });
  assert.deepEqual(Array.from(ids), [expected[0], 0, 0, 5]);
});

test('a forbidden token and a NaN are never drawn, whatever the temperature', () => {
  const N = 200;
  const logits = new Float32Array(N * 3);
  for (let n = 0; n < N; n++) logits.set([-Infinity, 0, Number.NaN], n * 3);
  const tensors = {
    logits,
    temperature: Float32Array.from({ length: N }, (_, n) => [1e-40, 0.5, 1e6, Infinity][n % 4]!),
    minP: Float32Array.from({ length: N }, (_, n) => (n % 3 === 0 ? 2 : 0)),
    topK: Int32Array.from({ length: N }, (_, n) => (n % 5 === 0 ? 3 : 0)),
    topP: Float32Array.from({ length: N }, (_, n) => (n % 8 < 4 ? 1 : 0.5)),
    // 1 is outside of what callers may give; it must not lead past the last token.
    uniform: Float32Array.from({ length: N }, (_, n) => n / (N - 1)),
    ids: new Int32Array(N),
    logprobs: new Float32Array(N),
  };
  const { ids } = run(tensors, (c, t) => sample(c, t.logits, t, t.ids, t.logprobs, { N, V: 3 }));
  assert.ok(ids.every((id) => id === 1));
});

test('a row draws the same alone, among 7 and among 512', () => {
  const V = 103;
  const all = someInputs(512, V, 1);
  const drawn = (begin: number, end: number) => {
    const N = end - begin;
    const tensors = {
      logits: all.logits.slice(begin * V, end * V),
      temperature: all.temperature.slice(begin, end),
      minP: all.minP.slice(begin, end),
      topK: all.topK.slice(begin, end),
      topP: all.topP.slice(begin, end),
      uniform: all.uniform.slice(begin, end),
      ids: new Int32Array(N),
      logprobs: new Float32Array(N),
    };
    const { ids, logprobs } = run(tensors, (c, t) => sample(c, t.logits, t, t.ids, t.logprobs, { N, V }));
    return { ids, logprobs };
  };
  const whole = drawn(0, 512);
  for (const [begin, end] of [
    [0, 1],
    [77, 78],
    [300, 307],
  ] as const) {
    const same = { ids: whole.ids.slice(begin, end), logprobs: whole.logprobs.slice(begin, end) };
    assertSameBits(drawn(begin, end), same, `rows ${begin}..${end}`);
  }
});

test("a sampled token's log-probability has the bits of the trainer's loss", () => {
  const N = 64;
  const V = 1033;
  const tensors = {
    ...someInputs(N, V, 2),
    ids: new Int32Array(N),
    logprobs: new Float32Array(N),
    loss: new Float32Array(N),
  };
  const { logprobs, loss } = run(tensors, (c, t) => {
    sample(c, t.logits, t, t.ids, t.logprobs, { N, V });
    crossEntropyForward(c, t.logits, t.ids, t.loss, { N, V });
  });
  assertSameBits({ logprobs }, { logprobs: loss.map((x) => -x) }, 'loss');
});

test('topLogprobs lists the most probable tokens in order, equals by index', () => {
  for (const [N, V, top] of [
    [1, 1, 1],
    [3, 7, 7],
    [7, 33, 5],
    [5, 257, 20],
    [2, 5003, 20],
  ] as const) {
    // On a grid, so that there are ties.
    const logits = normals(N * V, V).map((x) => Math.round(8 * x) / 4);
    logits[0] = -Infinity;
    checkParity({
      name: `topLogprobs ${N} ${V} ${top}`,
      tensors: { logits, ids: new Int32Array(N * top), values: new Float32Array(N * top) },
      native: (c, t) => topLogprobs(c, t.logits, t.ids, t.values, { N, V, top }),
      twin: (a) => topLogprobsTwin(a.logits, a.ids, a.values, { N, V, top }),
      tolerance: 1e-6,
    });
  }
});

test('topLogprobs refuses to list more tokens than there are', () => {
  using device = openDevice({ threads: 1 });
  const x = { handle: 1, offset: 0, length: 100 };
  assert.throws(
    () => topLogprobs(device.commands, x, x, x, { N: 1, V: 5, top: 6 }),
    /topLogprobs: expected top from 1 to 5, got 6/,
  );
});

function run<T extends Parameters<typeof runOn>[1]>(tensors: T, native: Parameters<typeof runOn<T>>[2]): T {
  using device = openDevice({ threads: 2 });
  return runOn(device, tensors, native);
}

/** Parameters of `N` rows that may draw any token. */
function unrestricted(N: number) {
  return { minP: new Float32Array(N), topK: new Int32Array(N), topP: new Float32Array(N).fill(1) };
}

function someInputs(N: number, V: number, seed: number) {
  const next = uniforms(seed * 1e6 + N * V);
  const pick = (...values: number[]) => values[Math.floor(next() * values.length)]!;
  // Every other row is rounded, so that equal logits (0 and -0 among them) meet the edge of the nucleus.
  const isRounded = seed % 2 === 0;
  return {
    logits: normals(N * V, seed).map((x) => (isRounded ? Math.round(3 * x) : 3 * x)),
    temperature: Float32Array.from({ length: N }, () => pick(0, 0.3, 0.7, 1, 1.5)),
    minP: Float32Array.from({ length: N }, () => pick(0, 0, 0, 0.02, 0.3, 1)),
    topK: Int32Array.from({ length: N }, () => pick(0, 0, 0, 1, 2, 5, 40, 1e6)),
    topP: Float32Array.from({ length: N }, () => pick(0, 0.3, 0.8, 0.95, 1, 1)),
    uniform: Float32Array.from({ length: N }, () => next()),
  };
}

/**
 * Rows whose draw does not hang on a rounding: changing topP or the uniform number by 1e-5 changes nothing. The kernel
 * weighs tokens in float32, so at the very boundary it may decide otherwise than the float64 twin.
 */
function stableInputs(N: number, V: number) {
  const rows = Array.from({ length: N }, (_, n) => {
    for (let seed = n; ; seed += N) {
      const row = someInputs(1, V, seed + 1);
      const drawn = [-1e-5, 0, 1e-5].flatMap((dp) =>
        [-1e-5, 0, 1e-5].map((du) => {
          const ids = new Int32Array(1);
          const topP = row.topP.map((p) => (p < 1 ? p + dp : p));
          const minP = row.minP.map((p) => (p > 0 && p < 1 ? p * (1 + dp) : p));
          const uniform = row.uniform.map((u) => Math.min(Math.max(u + du, 0), 1 - 2 ** -24));
          sampleTwin(row.logits, { ...row, minP, topP, uniform }, ids, new Float32Array(1), { N: 1, V });
          return ids[0];
        }),
      );
      if (new Set(drawn).size === 1) return row;
    }
  });
  const values = (key: keyof (typeof rows)[0]) => rows.flatMap((row) => Array.from(row[key]));
  const concatenated = (key: keyof (typeof rows)[0]) => Float32Array.from(values(key));
  return {
    logits: concatenated('logits'),
    temperature: concatenated('temperature'),
    minP: concatenated('minP'),
    topK: Int32Array.from(values('topK')),
    topP: concatenated('topP'),
    uniform: concatenated('uniform'),
  };
}
