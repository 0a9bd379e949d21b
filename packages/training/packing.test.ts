import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { packStep, type TrainingDocument, targets, tokensOf } from './packing.ts';

const document = (length: number, first: number): TrainingDocument => ({
  tokens: Array.from({ length }, (_, i) => first + i),
  weights: Array.from({ length }, (_, i) => i % 2),
});

test('steps take the documents in order, whole, each once, and no row is too long', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 2, max: 40 }), { minLength: 1, maxLength: 50 }),
      fc.integer({ min: 1, max: 3 }),
      (lengths, rows) => {
        const stream = (i: number) => document(lengths[i % lengths.length] as number, 100 * i);
        const seen: TrainingDocument[] = [];
        let next = 0;
        for (let step = 0; step < 3; step++) {
          const packed = packStep(stream, next, rows, 64);
          assert.equal(packed.rows.length, rows);
          for (const row of packed.rows) {
            assert.ok(row.tokens <= 64);
            assert.equal(
              row.tokens,
              row.documents.reduce((sum, each) => sum + each.tokens.length, 0),
            );
            seen.push(...row.documents);
          }
          next = packed.next;
        }
        assert.deepEqual(
          seen,
          Array.from({ length: next }, (_, i) => stream(i)),
        );
      },
    ),
  );
});

test('a document longer than a row is cut, and one of a single token is left out', () => {
  const stream = (i: number) => document([1, 100, 10][i % 3] as number, 100 * i);
  const { rows } = packStep(stream, 0, 1, 64);
  assert.deepEqual(rows[0]?.documents, [{ ...document(64, 100) }]);
});

test('targets are the tokens ahead in the same document, where their weight asks for them', () => {
  const row = { documents: [document(4, 10), document(3, 20)], tokens: 7 };
  const one = targets(row, 1);
  assert.deepEqual([...one.rows], [0, 2, 4]);
  assert.deepEqual([...one.tokens], [11, 13, 21]);
  const two = targets(row, 2);
  assert.deepEqual([...two.rows], [1]);
  assert.deepEqual([...two.tokens], [13]);
  const { ids, following, lengths } = tokensOf(row);
  assert.deepEqual([...ids], [10, 11, 12, 13, 20, 21, 22]);
  assert.deepEqual([...following], [11, 12, 13, 0, 21, 22, 0]);
  assert.deepEqual(lengths, [4, 3]);
});
