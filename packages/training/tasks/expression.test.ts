import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { evaluateExpression } from './expression.ts';

describe('expressions', () => {
  it('follow precedence, parentheses and signs', () => {
    assert.equal(evaluateExpression('2+3*4'), 14);
    assert.equal(evaluateExpression('(2 + 3) * 4'), 20);
    assert.equal(evaluateExpression('10 - 4 - 3'), 3);
    assert.equal(evaluateExpression('-(2 - 5)'), 3);
    assert.equal(evaluateExpression('8 / 3 * 3'), 8);
  });

  it('have no value where they are none, or divide by zero', () => {
    for (const text of ['', '2 +', '(2', '2)', '2 3', 'two', '4 / (2 - 2)'])
      assert.equal(evaluateExpression(text), undefined, text);
  });

  it('agree with JavaScript on sums and products of integers', () => {
    const small = fc.integer({ min: 0, max: 99 });
    fc.assert(
      fc.property(small, small, small, (a, b, c) =>
        assert.equal(evaluateExpression(`${a}-${b}*(${c}+${a})`), a - b * (c + a)),
      ),
    );
  });
});
