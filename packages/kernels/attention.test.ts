import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type AttentionOptions,
  attention,
  attentionBackward,
  attentionBackwardTwin,
  attentionTwin,
  documentTables,
  KEY_BLOCK,
  type SequenceTables,
  sequenceTables,
} from './attention.ts';
import { type Device, openDevice, supportedIsas } from './device.ts';
import { fromBf16Twin, toBf16Twin } from './elementwise.ts';
import { assertGradient, dot } from './gradient-check.ts';
import { assertSameBits, checkParity, normals, runOn, uniforms } from './parity.ts';

interface Heads {
  readonly H: number;
  readonly Hkv: number;
  readonly dk: number;
  readonly dv: number;
}

const multiHead = { H: 2, Hkv: 2, dk: 16, dv: 16 };
const headShapes: readonly Heads[] = [
  multiHead,
  { H: 1, Hkv: 1, dk: 1, dv: 1 },
  { H: 3, Hkv: 3, dk: 17, dv: 33 },
  { H: 4, Hkv: 2, dk: 24, dv: 7 },
  { H: 7, Hkv: 1, dk: 40, dv: 32 },
  { H: 2, Hkv: 1, dk: 96, dv: 100 },
];

/** Options with `gap` unused elements between rows. */
function optionsFor(heads: Heads, S: number, NQ: number, gap = 0): AttentionOptions {
  const { H, Hkv, dk, dv } = heads;
  return {
    ...{ ...heads, S, NQ, scale: dk ** -0.5 },
    ...{ qStride: H * dk + gap, kStride: Hkv * dk + 2 * gap, vStride: Hkv * dv + gap, outStride: H * dv + 3 * gap },
  };
}

function inputs(o: AttentionOptions, keyRows: number, tables: SequenceTables) {
  return {
    ...{ q: normals(o.NQ * o.qStride, 1), k: normals(keyRows * o.kStride, 2), v: normals(keyRows * o.vStride, 3) },
    ...{ out: normals(o.NQ * o.outStride, 4), lse: normals(o.NQ * o.H, 5), ...tables },
  };
}

function forward(device: Device, tensors: ReturnType<typeof inputs>, o: AttentionOptions) {
  const { out, lse } = runOn(device, tensors, (c, t) =>
    attention(c, t.q, t.k, t.v, t.out, t.lse, t.sequences, t.blockStarts, o),
  );
  return { out, lse };
}

test('attention over documents equals its twin, whatever the heads', () => {
  for (const heads of headShapes) {
    const lengths = [1, 3, 7, 64, 65, 17, 130];
    const rows = lengths.reduce((sum, n) => sum + n, 0);
    const o = optionsFor(heads, lengths.length, rows + 2, 3);
    checkParity({
      name: `attention ${JSON.stringify(heads)}`,
      tensors: inputs(o, rows + 2, documentTables(lengths)),
      native: (c, t) => attention(c, t.q, t.k, t.v, t.out, t.lse, t.sequences, t.blockStarts, o),
      twin: (a) => attentionTwin(a.q, a.k, a.v, a.out, a.lse, a.sequences, a.blockStarts, o),
      tolerance: 2e-6,
    });
  }
});

test('attention equals its twin with the last queries of paged sequences and more query rows than a block', () => {
  const pages = [9, 2, 7, 0, 4, 5, 1, 8, 3, 6];
  const page = (first: number) => (b: number) => pages[first + b]! * KEY_BLOCK;
  const tables = sequenceTables([
    { queryStart: 0, queryCount: 1, keyCount: 200, blockStart: page(0) },
    { queryStart: 1, queryCount: 130, keyCount: 257, blockStart: page(4) },
    { queryStart: 133, queryCount: 33, keyCount: 33, blockStart: page(9) },
  ]);
  const o = optionsFor({ H: 2, Hkv: 1, dk: 24, dv: 40 }, 3, 166);
  checkParity({
    name: 'attention paged',
    tensors: inputs(o, 10 * KEY_BLOCK, tables),
    native: (c, t) => attention(c, t.q, t.k, t.v, t.out, t.lse, t.sequences, t.blockStarts, o),
    twin: (a) => attentionTwin(a.q, a.k, a.v, a.out, a.lse, a.sequences, a.blockStarts, o),
    tolerance: 2e-6,
  });
});

test('keys and values in bfloat16: the same bits as their floats, for every head shape, in prefill and decode', () => {
  for (const heads of [...headShapes, { H: 12, Hkv: 2, dk: 128, dv: 128 }, { H: 5, Hkv: 1, dk: 72, dv: 64 }]) {
    const blockStart = (b: number) => 1 + KEY_BLOCK * b;
    const tables = sequenceTables([
      { queryStart: 0, queryCount: 1, keyCount: 300, blockStart },
      { queryStart: 1, queryCount: 50, keyCount: 257, blockStart },
    ]);
    const o = { ...optionsFor(heads, 2, 51, 3), keyDtype: 'bf16' as const };
    const floats = inputs(o, 5 * KEY_BLOCK, tables);
    const narrow = (x: Float32Array) => {
      const y = new Uint16Array(x.length);
      toBf16Twin(x, y);
      return y;
    };
    const tensors = { ...floats, k: narrow(floats.k), v: narrow(floats.v) };
    checkParity({
      name: `attention bf16 ${JSON.stringify(heads)}`,
      tensors,
      native: (c, t) => attention(c, t.q, t.k, t.v, t.out, t.lse, t.sequences, t.blockStarts, o),
      twin: (a) => attentionTwin(a.q, a.k, a.v, a.out, a.lse, a.sequences, a.blockStarts, o),
      tolerance: 2e-6,
    });
    const widened = (x: Uint16Array) => {
      const y = new Float32Array(x.length);
      fromBf16Twin(x, y);
      return y;
    };
    for (const isa of supportedIsas()) {
      using device = openDevice({ isa, threads: 2 });
      const { out, lse } = runOn(device, tensors, (c, t) =>
        attention(c, t.q, t.k, t.v, t.out, t.lse, t.sequences, t.blockStarts, o),
      );
      const wide = { ...floats, k: widened(tensors.k), v: widened(tensors.v) };
      assertSameBits({ out, lse }, forward(device, wide, { ...o, keyDtype: 'f32' }), `${isa} ${JSON.stringify(heads)}`);
    }
  }
});

test('absorbed latent attention reads its values from the keys', () => {
  const o = { ...optionsFor({ H: 5, Hkv: 1, dk: 72, dv: 64 }, 1, 70), vStride: 72 };
  const { v: _, ...tensors } = inputs(o, 70, documentTables([70]));
  checkParity({
    name: 'attention absorbed',
    tensors,
    native: (c, t) => attention(c, t.q, t.k, t.k, t.out, t.lse, t.sequences, t.blockStarts, o),
    twin: (a) => attentionTwin(a.q, a.k, a.k, a.out, a.lse, a.sequences, a.blockStarts, o),
    tolerance: 2e-6,
  });
});

test('few queries over many keys have the same bits when threads share the keys out', () => {
  for (const heads of [
    { H: 1, Hkv: 1, dk: 17, dv: 33 },
    { H: 16, Hkv: 1, dk: 72, dv: 64 },
    { H: 4, Hkv: 2, dk: 16, dv: 16 },
  ]) {
    const tables = sequenceTables([
      { queryStart: 0, queryCount: 3, keyCount: 1000, blockStart: (b) => 64 * b },
      { queryStart: 3, queryCount: 0, keyCount: 70, blockStart: (b) => 64 * b },
      { queryStart: 3, queryCount: 1, keyCount: 1, blockStart: () => 7 },
    ]);
    const o = optionsFor(heads, 3, 4);
    checkParity({
      name: `attention shared out ${JSON.stringify(heads)}`,
      tensors: inputs(o, 1000, tables),
      native: (c, t) => attention(c, t.q, t.k, t.v, t.out, t.lse, t.sequences, t.blockStarts, o),
      twin: (a) => attentionTwin(a.q, a.k, a.v, a.out, a.lse, a.sequences, a.blockStarts, o),
      tolerance: 2e-6,
      threads: [1, 2, 3, 5, 8],
    });
  }
});

test('scores of any size keep the softmax finite', () => {
  const o = { ...optionsFor(multiHead, 1, 150), scale: 40 };
  checkParity({
    name: 'attention with large scores',
    tensors: inputs(o, 150, documentTables([150])),
    native: (c, t) => attention(c, t.q, t.k, t.v, t.out, t.lse, t.sequences, t.blockStarts, o),
    twin: (a) => attentionTwin(a.q, a.k, a.v, a.out, a.lse, a.sequences, a.blockStarts, o),
    // Scores of some hundreds carry float32 errors of some 1e-5, which the exponential hands on.
    tolerance: 1e-3,
  });
});

test('a later key cannot change an earlier output, even when it is huge', () => {
  using device = openDevice();
  const o = optionsFor(multiHead, 1, 90);
  const tensors = inputs(o, 90, documentTables([90]));
  const changed = { ...tensors, k: tensors.k.slice(), v: tensors.v.slice() };
  changed.k.fill(1e4, 80 * o.kStride);
  changed.v.fill(-1e4, 80 * o.vStride);
  const cut = ({ out, lse }: ReturnType<typeof forward>) => ({
    out: out.slice(0, 80 * o.outStride),
    lse: lse.slice(0, 80 * o.H),
  });
  assertSameBits(cut(forward(device, changed, o)), cut(forward(device, tensors, o)), 'rows before the change');
});

test('decode equals prefill in bits, however the queries are split and wherever the blocks lie', () => {
  for (const isa of supportedIsas()) {
    using device = openDevice({ isa, threads: 2 });
    for (const heads of [multiHead, { H: 6, Hkv: 2, dk: 24, dv: 40 }]) {
      const length = 201;
      const o = optionsFor(heads, 1, length);
      const whole = inputs(o, 4 * KEY_BLOCK, documentTables([length]));
      const prefill = forward(device, whole, o);

      // Blocks of 64 rows in another order; the stride of 65 leaves rows between them.
      const starts = [130, 195, 0, 65];
      const scatter = (from: Float32Array, stride: number) => {
        const to = new Float32Array(260 * stride).fill(Number.NaN);
        starts.forEach((start, b) => {
          to.set(from.subarray(b * KEY_BLOCK * stride, Math.min((b + 1) * KEY_BLOCK, length) * stride), start * stride);
        });
        return to;
      };
      const paged = { k: scatter(whole.k, o.kStride), v: scatter(whole.v, o.vStride) };
      for (const [first, count] of [
        [0, 1],
        [62, 1],
        [63, 1],
        [64, 1],
        [200, 1],
        [150, 7],
        [60, 141],
      ] as const) {
        const part = optionsFor(heads, 1, count);
        const queries = { queryStart: 0, queryCount: count, keyCount: first + count };
        const expected = {
          out: prefill.out.slice(first * o.outStride, (first + count) * o.outStride),
          lse: prefill.lse.slice(first * o.H, (first + count) * o.H),
        };
        const q = whole.q.slice(first * o.qStride, (first + count) * o.qStride);
        const empty = { out: new Float32Array(count * o.outStride), lse: new Float32Array(count * o.H) };
        const contiguous = sequenceTables([{ ...queries, blockStart: (b) => b * KEY_BLOCK }]);
        const scattered = sequenceTables([{ ...queries, blockStart: (b) => starts[b]! }]);
        const what = `${isa}: ${count} queries from ${first}`;
        assertSameBits(forward(device, { ...whole, ...empty, q, ...contiguous }, part), expected, what);
        assertSameBits(
          forward(device, { ...whole, ...empty, ...paged, q, ...scattered }, part),
          expected,
          `${what}, paged`,
        );
      }
    }
  }
});

test('a sequence has the same bits alone, in a batch of 7 and in a batch of 512, forward and backward', () => {
  for (const isa of supportedIsas()) {
    using device = openDevice({ isa, threads: 2 });
    const random = uniforms(9);
    const lengths = Array.from({ length: 512 }, (_, i) => (i === 3 ? 150 : 1 + Math.floor(random() * 20)));
    const rowOf = (s: number) => lengths.slice(0, s).reduce((sum, n) => sum + n, 0);
    const run = (first: number, S: number) => {
      const NQ = rowOf(first + S) - rowOf(first);
      const o = optionsFor(multiHead, S, NQ);
      const all = inputs(optionsFor(multiHead, 512, rowOf(512)), rowOf(512), documentTables(lengths));
      const cut = (from: Float32Array, stride: number) =>
        from.slice(rowOf(first) * stride, (rowOf(first) + NQ) * stride);
      const grads = { dOut: cut(all.out, o.outStride), dq: new Float32Array(NQ * o.qStride) };
      const tensors = {
        ...{ q: cut(all.q, o.qStride), k: cut(all.k, o.kStride), v: cut(all.v, o.vStride) },
        ...{ out: new Float32Array(NQ * o.outStride), lse: new Float32Array(NQ * o.H) },
        ...{ ...grads, dk: grads.dq.slice(), dv: grads.dq.slice() },
        ...documentTables(lengths.slice(first, first + S)),
      };
      const { out, lse, dq, dk, dv } = runOn(device, tensors, (c, t) => {
        attention(c, t.q, t.k, t.v, t.out, t.lse, t.sequences, t.blockStarts, o);
        const given = [c, t.q, t.k, t.v, t.out, t.dOut, t.lse] as const;
        attentionBackward(...given, t.dq, t.dk, t.dv, t.sequences, t.blockStarts, o);
      });
      const at = (rowOf(3) - rowOf(first)) * o.qStride;
      const third = (x: Float32Array, width: number) => x.slice((at / o.qStride) * width).slice(0, 150 * width);
      return {
        ...{ out: third(out, o.outStride), lse: third(lse, o.H) },
        ...{ dq: third(dq, o.qStride), dk: third(dk, o.kStride), dv: third(dv, o.vStride) },
      };
    };
    const alone = run(3, 1);
    assertSameBits(run(0, 7), alone, `${isa}: in a batch of 7`);
    assertSameBits(run(0, 512), alone, `${isa}: in a batch of 512`);
  }
});

test('attentionBackward equals its twin, whatever the heads', () => {
  for (const heads of headShapes) {
    const lengths = [1, 3, 7, 64, 65, 17, 200];
    const rows = lengths.reduce((sum, n) => sum + n, 0);
    const o = optionsFor(heads, lengths.length, rows + 2, 3);
    const forwardTensors = inputs(o, rows + 2, documentTables(lengths));
    const { q, k, v, out, lse, sequences, blockStarts } = forwardTensors;
    attentionTwin(q, k, v, out, lse, sequences, blockStarts, o);
    const gradients = {
      ...{ dOut: normals(out.length, 6), dq: normals(q.length, 7) },
      ...{ dk: normals(k.length, 8), dv: normals(v.length, 9) },
    };
    checkParity({
      name: `attentionBackward ${JSON.stringify(heads)}`,
      tensors: { ...forwardTensors, ...gradients },
      native: (c, t) => {
        const given = [c, t.q, t.k, t.v, t.out, t.dOut, t.lse] as const;
        attentionBackward(...given, t.dq, t.dk, t.dv, t.sequences, t.blockStarts, o);
      },
      twin: (a) => {
        const given = [a.q, a.k, a.v, a.out, a.dOut, a.lse] as const;
        attentionBackwardTwin(...given, a.dq, a.dk, a.dv, a.sequences, a.blockStarts, o);
      },
      tolerance: 5e-6,
    });
  }
});

test("attention's gradient agrees with finite differences", () => {
  const lengths = [4, 2];
  const o = { ...optionsFor({ H: 4, Hkv: 2, dk: 3, dv: 2 }, 2, 6), scale: 0.7 };
  const { sequences, blockStarts } = documentTables(lengths);
  const given = {
    ...{ q: Float64Array.from(normals(6 * o.qStride, 1)), k: Float64Array.from(normals(6 * o.kStride, 2)) },
    ...{ v: Float64Array.from(normals(6 * o.vStride, 3)), dOut: Float64Array.from(normals(6 * o.outStride, 4)) },
  };
  const run = (x: { q: Float64Array; k: Float64Array; v: Float64Array }) => {
    const [out, lse] = [new Float64Array(6 * o.outStride), new Float64Array(6 * o.H)];
    attentionTwin(x.q, x.k, x.v, out, lse, sequences, blockStarts, o);
    return { out, lse };
  };
  const { out, lse } = run(given);
  const zeros = (x: Float64Array) => new Float64Array(x.length);
  const [dq, dk, dv] = [zeros(given.q), zeros(given.k), zeros(given.v)];
  attentionBackwardTwin(given.q, given.k, given.v, out, given.dOut, lse, dq, dk, dv, sequences, blockStarts, o);
  const loss = (changed: { q?: Float64Array; k?: Float64Array; v?: Float64Array }) =>
    dot(run({ ...given, ...changed }).out, given.dOut);
  assertGradient((q) => loss({ q }), given.q, dq, 'dq');
  assertGradient((k) => loss({ k }), given.k, dk, 'dk');
  assertGradient((v) => loss({ v }), given.v, dv, 'dv');
});

test('random packings equal the twin', () => {
  using device = openDevice({ threads: 2 });
  const lengthsAndHeads = fc.record({
    lengths: fc.array(fc.integer({ min: 1, max: 150 }), { minLength: 1, maxLength: 4 }),
    heads: fc.constantFrom(...headShapes.slice(2, 5)),
  });
  fc.assert(
    fc.property(lengthsAndHeads, ({ lengths, heads }) => {
      const rows = lengths.reduce((sum, n) => sum + n, 0);
      const o = optionsFor(heads, lengths.length, rows);
      const tensors = inputs(o, rows, documentTables(lengths));
      const { out, lse } = forward(device, tensors, o);
      const expected = { out: tensors.out.slice(), lse: tensors.lse.slice() };
      const { q, k, v, sequences, blockStarts } = tensors;
      attentionTwin(q, k, v, expected.out, expected.lse, sequences, blockStarts, o);
      for (const [i, value] of expected.out.entries()) assert.ok(Math.abs(out[i]! - value) < 1e-5, `out[${i}]`);
      for (const [i, value] of expected.lse.entries()) assert.ok(Math.abs(lse[i]! - value) < 1e-5, `lse[${i}]`);
    }),
    { numRuns: 15 },
  );
});

test('sequences that lead outside the tensors are left out, and their rows are zero', () => {
  using device = openDevice({ threads: 2 });
  const o = optionsFor(multiHead, 6, 20);
  const sequences = Int32Array.from([
    ...[0, 3, 3, 0],
    ...[-1, 3, 3, 0],
    ...[18, 3, 3, 0],
    ...[3, 3, 3, 1],
    ...[3, 3, 2 ** 30, 0],
    ...[6, 4, 3, 0],
  ]);
  const tensors = { ...inputs(o, 20, documentTables([20])), sequences, blockStarts: Int32Array.of(0, 18) };
  const { out } = forward(device, tensors, o);
  assert.ok(out.subarray(0, 3 * o.outStride).every((x) => x !== 0));
  assert.ok(out.subarray(3 * o.outStride).every((x) => x === 0));
});

test('sizes that do not fit together are refused by name', () => {
  using device = openDevice({ threads: 1 });
  const x = { handle: device.memory.allocate(4096), offset: 0, length: 1024 };
  const run = (heads: Heads, NQ = 4) => attention(device.commands, x, x, x, x, x, x, x, optionsFor(heads, 1, NQ));
  assert.throws(() => run({ H: 4, Hkv: 3, dk: 8, dv: 8 }), /expected Hkv to divide H = 4, got 3/);
  assert.throws(() => run({ H: 1, Hkv: 1, dk: 2000, dv: 8 }), /expected dk and dv from 1 to 1024, got 2000 and 8/);
  assert.throws(() => run(multiHead, 100), /attention: q: expected at least 3200 elements, the tensor has 1024/);
});
