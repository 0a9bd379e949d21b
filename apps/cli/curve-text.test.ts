import assert from 'node:assert/strict';
import { test } from 'node:test';
import { curveText } from './curve-text.ts';

test('a curve falls from its highest to its lowest value, with both written beside it', () => {
  const points = Array.from({ length: 8 }, (_, i) => ({ x: i + 1, y: 4 - i / 2 }));
  assert.equal(curveText(points, 8, 2), '  4 █▆▄▂\n0.5 ████▇▅▃▁\n    1      8\n');
});

test('more points than columns are averaged, fewer take what they need, and none is nothing', () => {
  const points = [1, 3, 5, 7].map((y, x) => ({ x, y }));
  assert.equal(curveText(points, 2, 1), '6 ▁█\n  0 3\n');
  assert.equal(curveText([{ x: 5, y: 1 }], 40, 1), '1 ▁\n  5 5\n');
  assert.equal(curveText([], 40, 4), '');
});
