import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KEY_BLOCK, type SequenceTables, sequenceTables } from './attention.ts';
import { openDevice, supportedIsas } from './device.ts';
import {
  type IndexScoresOptions,
  indexScores,
  indexScoresTwin,
  type SelectTopOptions,
  selectTop,
  selectTopTwin,
} from './indexer.ts';
import { assertSameBits, checkParity, normals, runOn } from './parity.ts';
import { rowsPerBlock } from './windows.ts';

const pages = [3, 0, 5, 1, 4, 6, 2, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18];
const lengths = [
  { first: 0, queries: 19, keys: 70 },
  { first: 20, queries: 1, keys: 1000 },
  { first: 21, queries: 2, keys: 2 },
] as const;
const NQ = 23;

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

const shapes = [
  { H: 1, D: 1, tokensPerRow: 1, enough: 0 },
  { H: 7, D: 17, tokensPerRow: 1, enough: 60 },
  { H: 32, D: 16, tokensPerRow: 4, enough: 0 },
  { H: 13, D: 128, tokensPerRow: 128, enough: 1 },
] as const;

function scoring(shape: (typeof shapes)[number], firstRow = 0, rows = NQ): IndexScoresOptions {
  const stride = Math.floor(1000 / shape.tokensPerRow);
  return { ...shape, S: lengths.length, NQ, firstRow, rows, stride, factor: 0.3 };
}

function scoringInputs(o: IndexScoresOptions) {
  return {
    ...{ q: normals(NQ * o.H * o.D, 1), weights: normals(NQ * o.H, 2) },
    ...{ keys: normals(pages.length * rowsPerBlock(o.tokensPerRow) * o.D, 3), scores: normals(o.rows * o.stride, 4) },
    ...tables(o.tokensPerRow),
  };
}

test('indexScores equals its twin, for all rows and for some', () => {
  for (const shape of shapes) {
    for (const [firstRow, rows] of [
      [0, NQ],
      [11, 10],
    ] as const) {
      const o = scoring(shape, firstRow, rows);
      checkParity({
        name: `indexScores ${JSON.stringify(o)}`,
        tensors: scoringInputs(o),
        native: (c, t) => indexScores(c, t.q, t.weights, t.keys, t.scores, t.sequences, t.blockStarts, o),
        twin: (a) => indexScoresTwin(a.q, a.weights, a.keys, a.scores, a.sequences, a.blockStarts, o),
        tolerance: 1e-6,
      });
    }
  }
});

test('a row of scores has the same bits alone and among others', () => {
  for (const isa of supportedIsas()) {
    using device = openDevice({ isa, threads: 2 });
    for (const shape of shapes) {
      const run = (firstRow: number, rows: number) => {
        const o = scoring(shape, firstRow, rows);
        const inputs = { ...scoringInputs(o), scores: new Float32Array(rows * o.stride) };
        return runOn(device, inputs, (c, t) =>
          indexScores(c, t.q, t.weights, t.keys, t.scores, t.sequences, t.blockStarts, o),
        ).scores;
      };
      const stride = scoring(shape).stride;
      const whole = run(0, NQ);
      for (const row of [7, 18, 20]) {
        const expected = whole.slice(row * stride, (row + 1) * stride);
        assertSameBits({ scores: run(row, 1) }, { scores: expected }, `${isa} ${JSON.stringify(shape)} row ${row}`);
      }
    }
  }
});

function selection(K: number, tokensPerRow: number, firstRow = 0, rows = NQ): SelectTopOptions {
  return { S: lengths.length, NQ, firstRow, rows, stride: Math.floor(1000 / tokensPerRow), tokensPerRow, K };
}

test('selectTop picks the best in ascending order, and of equals the first, whatever the values', () => {
  const random = normals(NQ * 1000, 1);
  const values: Readonly<Record<string, Float32Array>> = {
    random,
    'mostly zeros of both signs': random.map((x, i) => (x > 1.5 ? x : i % 3 === 0 ? -0 : 0)),
    'few different': random.map((x) => Math.round(x)),
    'not numbers among them': random.map((x) => (x > 1 ? Number.NaN : x < -1 ? -Infinity : x)),
    'all the same': random.map(() => -3),
    'of all sizes': random.map((x) => Math.sign(x) * 10 ** (20 * Math.abs(x) - 30)),
  };
  for (const [name, scores] of Object.entries(values)) {
    for (const tokensPerRow of [1, 4]) {
      for (const K of [1, 6, 64, 700]) {
        const o = selection(K, tokensPerRow);
        checkParity({
          name: `selectTop ${name} ${JSON.stringify(o)}`,
          tensors: {
            scores: scores.slice(0, NQ * o.stride),
            picks: new Int32Array(NQ * K),
            sequences: tables(1).sequences,
          },
          native: (c, t) => selectTop(c, t.scores, t.picks, t.sequences, o),
          twin: (a) => selectTopTwin(a.scores, a.picks, a.sequences, o),
          tolerance: 0,
        });
      }
    }
  }
});

test('selectTop takes all where there are few, and then needs no scores', () => {
  const o = { ...selection(300, 4, 2, 20) };
  checkParity({
    name: 'selectTop of all',
    tensors: { picks: new Int32Array(20 * 300), sequences: tables(1).sequences },
    native: (c, t) => selectTop(c, undefined, t.picks, t.sequences, o),
    twin: (a) => selectTopTwin(undefined, a.picks, a.sequences, o),
    tolerance: 0,
  });
});

test('what cannot be is refused by name', () => {
  using device = openDevice({ threads: 1 });
  const x = { handle: device.memory.allocate(1 << 20), offset: 0, length: 1 << 18 };
  assert.throws(
    () => selectTop(device.commands, undefined, x, x, selection(9, 1)),
    /expected scores, .* 1000 of 9 keys/,
  );
  const huge = { ...scoring(shapes[0]), H: 1000, D: 100 };
  assert.throws(() => indexScores(device.commands, x, x, x, x, x, x, huge), /expected H \* D .* got 1000 \* 100/);
});
