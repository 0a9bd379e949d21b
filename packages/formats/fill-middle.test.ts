import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeFillMiddle, renderFillMiddle } from './fill-middle.ts';

test('the prompt holds prefix and suffix around the hole, and the middle is the output', () => {
  const prompt = '<｜begin▁of▁sentence｜><｜fim▁begin｜>a = <｜fim▁hole｜>\nprint(a)<｜fim▁end｜>';
  assert.equal(encodeFillMiddle('a = ', '\nprint(a)'), prompt);
  assert.deepEqual(renderFillMiddle('a = ', '1', '\nprint(a)'), [
    { text: prompt, isOutput: false },
    { text: '1<｜end▁of▁sentence｜>', isOutput: true },
  ]);
});
