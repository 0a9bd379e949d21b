import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { SimilarityMetric } from '@hadal/protocol/graders';
import { commonSubsequenceLength } from './similarity/common-subsequence.ts';
import { similarity } from './text-similarity.ts';

type Row = { readonly input: string; readonly reference: string } & Readonly<Record<SimilarityMetric, number>>;

// Made by golden/text-similarity.py with NLTK, rouge-score, sacreBLEU, RapidFuzz and scikit-learn.
const golden: { readonly rows: readonly Row[] } = JSON.parse(
  readFileSync(new URL('./golden/text-similarity.json', import.meta.url), 'utf8'),
);

for (const metric of Object.keys(golden.rows[0]!).filter((key) => key !== 'input' && key !== 'reference')) {
  test(`${metric} gives the numbers of the Python library that others know it from`, () => {
    for (const row of golden.rows) {
      const came = similarity(metric as SimilarityMetric, row.input, row.reference);
      const expected = row[metric as SimilarityMetric];
      assert.ok(
        Math.abs(came - expected) < 1e-9,
        `${row.input} | ${row.reference}: expected ${expected}, came ${came}`,
      );
    }
  });
}

test('a long answer is compared in reasonable time', () => {
  const text = Array.from({ length: 20_000 }, (_, i) => String.fromCharCode(97 + ((i * i) % 23)));
  const begin = performance.now();
  assert.equal(commonSubsequenceLength(text, text), 20_000);
  assert.ok(performance.now() - begin < 5000);
});
