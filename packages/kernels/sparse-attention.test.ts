import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KEY_BLOCK, type SequenceTables, sequenceTables } from './attention.ts';
import { openDevice, supportedIsas } from './device.ts';
import { assertSameBits, checkParity, normals, runOn, uniforms } from './parity.ts';
import {
  type SparseAttentionOptions,
  type SparseTensors,
  sparseAttention,
  sparseAttentionTwin,
} from './sparse-attention.ts';
import { rowsPerBlock } from './windows.ts';

interface Shape {
  readonly H: number;
  readonly Hkv: number;
  readonly dk: number;
  readonly dv: number;
  readonly window: number;
  readonly K: number;
  readonly tokensPerRow: number;
}

const shapes: readonly Shape[] = [
  { H: 1, Hkv: 1, dk: 1, dv: 1, window: 1, K: 1, tokensPerRow: 1 },
  { H: 3, Hkv: 3, dk: 17, dv: 33, window: 5, K: 7, tokensPerRow: 1 },
  { H: 7, Hkv: 1, dk: 40, dv: 32, window: 70, K: 9, tokensPerRow: 4 },
  { H: 20, Hkv: 1, dk: 72, dv: 64, window: 128, K: 80, tokensPerRow: 4 },
  { H: 4, Hkv: 2, dk: 24, dv: 7, window: 33, K: 3, tokensPerRow: 16 },
  { H: 5, Hkv: 1, dk: 16, dv: 16, window: 9, K: 2, tokensPerRow: 128 },
];

/** Sequences of a few last queries over pages in no order; in row 3 stands no query. */
const lengths = [
  { first: 0, queries: 3, keys: 3 },
  { first: 4, queries: 1, keys: 300 },
  { first: 5, queries: 21, keys: 150 },
] as const;
const NQ = 26;
const pages = [9, 2, 7, 0, 4, 5, 1, 8, 3, 6];

function tables(tokensPerRow: number): SequenceTables {
  let next = 0;
  return sequenceTables(
    lengths.map(({ first, queries, keys }) => {
      const page = next;
      next += Math.ceil(keys / KEY_BLOCK);
      const blockStart = (b: number) => pages[page + b]! * rowsPerBlock(tokensPerRow);
      return { queryStart: first, queryCount: queries, keyCount: keys, blockStart };
    }),
  );
}

/** Ascending picks of each query among the windows that it sees, and some lists that end early or lead too far. */
function picksFor({ K, tokensPerRow }: Shape): Int32Array {
  const random = uniforms(5);
  const picks = new Int32Array(NQ * K).fill(-1);
  for (const { first, queries, keys } of lengths) {
    for (let i = 0; i < queries; i++) {
      const seen = Math.floor((keys - queries + i + 1) / tokensPerRow);
      const chosen = Array.from({ length: seen }, (_, w) => w).filter(() => random() < K / Math.max(seen, 1));
      picks.set(chosen.slice(0, K), (first + i) * K);
    }
  }
  picks[NQ * K - 1] = 10_000;
  return picks;
}

function options({ H, Hkv, dk, dv, window, K, tokensPerRow }: Shape, gap = 0): SparseAttentionOptions {
  return {
    ...{ S: lengths.length, NQ, H, Hkv, dk, dv, window, K, tokensPerRow, scale: dk ** -0.5 },
    ...{ qStride: H * dk + gap, kStride: Hkv * dk + 2 * gap, vStride: Hkv * dv + gap, outStride: H * dv + 3 * gap },
  };
}

function inputs(shape: Shape, o: SparseAttentionOptions) {
  const [near, far] = [pages.length * KEY_BLOCK, pages.length * rowsPerBlock(shape.tokensPerRow)];
  return {
    ...{ q: normals(NQ * o.qStride, 1), nearK: normals(near * o.kStride, 2), nearV: normals(near * o.vStride, 3) },
    ...{ farK: normals(far * o.kStride, 4), farV: normals(far * o.vStride, 5), picks: picksFor(shape) },
    ...{ sinks: normals(shape.H, 6), out: normals(NQ * o.outStride, 7), sequences: tables(1).sequences },
    ...{ nearStarts: tables(1).blockStarts, farStarts: tables(shape.tokensPerRow).blockStarts },
  };
}

type Part = 'near' | 'far' | 'picks' | 'sinks';

/** The tensors in the kernel's form, of which some parts are there. */
function tensorsOf<T>(t: { readonly [K in keyof ReturnType<typeof inputs>]: T }, parts: readonly Part[]) {
  const has = (part: Part) => parts.includes(part);
  return {
    ...{ q: t.q, out: t.out, sequences: t.sequences },
    near: has('near') ? { keys: t.nearK, values: t.nearV, blockStarts: t.nearStarts } : undefined,
    far: has('far') ? { keys: t.farK, values: t.farV, blockStarts: t.farStarts } : undefined,
    picks: has('picks') ? t.picks : undefined,
    sinks: has('sinks') ? t.sinks : undefined,
  };
}

const combinations: readonly (readonly Part[])[] = [
  ['near', 'sinks'],
  ['far', 'picks'],
  ['near', 'far', 'picks', 'sinks'],
  ['near', 'far', 'sinks'],
  ['near', 'far'],
];

test('attention over a window, over picked rows, over all rows and over both equals its twin', () => {
  for (const [i, shape] of shapes.entries()) {
    // What is there or not does not meet the sizes: every size sees two combinations, the third all.
    for (const [j, parts] of combinations.entries()) {
      if (i !== 2 && j !== 2 && j !== i % 2) continue;
      const o = options(shape, 3);
      checkParity({
        name: `sparseAttention ${parts} ${JSON.stringify(shape)}`,
        tensors: inputs(shape, o),
        native: (c, t) => sparseAttention(c, tensorsOf(t, parts), o),
        twin: (a) => sparseAttentionTwin(tensorsOf(a as never, parts) as never, o),
        tolerance: 2e-6,
      });
    }
  }
});

test('a sink takes its share: a huge one leaves nothing, a tiny one changes nothing', () => {
  using device = openDevice({ threads: 2 });
  const shape = shapes[2]!;
  const o = options(shape);
  const run = (sink: number, parts: readonly Part[]) => {
    const tensors = { ...inputs(shape, o), sinks: new Float32Array(shape.H).fill(sink) };
    return runOn(device, tensors, (c, t) => sparseAttention(c, tensorsOf(t, parts), o)).out;
  };
  assert.ok(run(1e4, ['near', 'sinks']).every((x) => x === 0));
  assert.deepEqual(run(-1e4, ['near', 'sinks']), run(0, ['near']));
  assert.notDeepEqual(run(0, ['near', 'sinks']), run(0, ['near']));
});

test('a query has the same bits alone, among others, and wherever its pages lie', () => {
  for (const isa of supportedIsas()) {
    for (const shape of shapes) {
      using device = openDevice({ isa, threads: 2 });
      const parts = ['near', 'far', 'picks', 'sinks'] as const;
      const o = options(shape);
      const run = (tensors: ReturnType<typeof inputs>, o: SparseAttentionOptions) =>
        runOn(device, tensors, (c, t) => sparseAttention(c, tensorsOf(t, parts) as SparseTensors, o)).out;
      const all = inputs(shape, o);
      const whole = run(all, o);
      // The 8th query of the third sequence, as its last token, in pages that have moved by one.
      const row = 12;
      const keyCount = 150 - 21 + 8;
      const moved = (from: Float32Array, perPage: number) => {
        const to = new Float32Array(from.length).fill(Number.NaN);
        for (const page of pages) {
          const next = (page + 1) % pages.length;
          to.set(from.subarray(page * perPage, (page + 1) * perPage), next * perPage);
        }
        return to;
      };
      const place = (tokensPerRow: number) => {
        const blockStart = (b: number) => ((pages[1 + 5 + b]! + 1) % pages.length) * rowsPerBlock(tokensPerRow);
        return sequenceTables([{ queryStart: 0, queryCount: 1, keyCount, blockStart }]);
      };
      const far = rowsPerBlock(shape.tokensPerRow);
      const alone = run(
        {
          ...{
            q: all.q.slice(row * o.qStride, (row + 1) * o.qStride),
            picks: all.picks.slice(row * shape.K, (row + 1) * shape.K),
          },
          ...{ nearK: moved(all.nearK, KEY_BLOCK * o.kStride), nearV: moved(all.nearV, KEY_BLOCK * o.vStride) },
          ...{ farK: moved(all.farK, far * o.kStride), farV: moved(all.farV, far * o.vStride), sinks: all.sinks },
          ...{ out: new Float32Array(o.outStride), sequences: place(1).sequences },
          ...{ nearStarts: place(1).blockStarts, farStarts: place(shape.tokensPerRow).blockStarts },
        },
        { ...o, S: 1, NQ: 1 },
      );
      const expected = whole.slice(row * o.outStride, (row + 1) * o.outStride);
      assertSameBits({ out: alone }, { out: expected }, `${isa} ${JSON.stringify(shape)}`);
    }
  }
});

test('tables that lead outside the tensors hide keys and touch nothing else', () => {
  using device = openDevice({ threads: 2 });
  const shape = shapes[2]!;
  const o = options(shape);
  const tensors = inputs(shape, o);
  tensors.nearStarts.fill(1 << 29);
  tensors.farStarts.fill(-1000);
  const { out } = runOn(device, tensors, (c, t) => sparseAttention(c, tensorsOf(t, ['near', 'far', 'sinks']), o));
  assert.ok(out.every((x) => x === 0));
});

test('sizes that do not fit together are refused by name', () => {
  using device = openDevice({ threads: 1 });
  const x = { handle: device.memory.allocate(4096), offset: 0, length: 1024 };
  const near = { keys: x, values: x, blockStarts: x };
  const run = (change: Partial<SparseAttentionOptions>) =>
    sparseAttention(device.commands, { q: x, near, out: x, sequences: x }, { ...options(shapes[1]!), ...change });
  assert.throws(() => run({ Hkv: 2 }), /sparseAttention: expected Hkv to divide H = 3, got 2/);
  assert.throws(() => run({ dk: 2000 }), /expected dk and dv from 1 to 1024, got 2000 and 33/);
  assert.throws(() => run({ window: 0 }), /expected a window .* got 0/);
  assert.throws(() => run({}), /sparseAttention: q: expected at least 1326 elements/);
});
