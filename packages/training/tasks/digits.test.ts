import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Worked, workedDifference, workedProduct, workedQuotient, workedSum } from './digits.ts';
import { evaluateExpression } from './expression.ts';

/** Every chain of equalities and every comparison in the text, checked. Returns how many there were. */
function checkEquations(text: string): number {
  let count = 0;
  for (const indented of text.split('\n')) {
    const line = indented.trim();
    // Columns stand apart by spaces; "12 + 34 = 46" is one equation with spaces in it.
    const parts = /^[ukthm-]?\d+[-+*<>=]/.test(line) || /^[ukthm]\d/.test(line) ? line.split(' ') : [line];
    for (const part of parts) {
      const equation = part.replace(/^[ukthm]/, '');
      const sides = equation.split(/[=<>]/).map((side) => side.trim());
      if (sides.length < 2 || sides[0] === '') continue;
      const values = sides.map((side) => evaluateExpression(side));
      count++;
      if (equation.includes('<')) assert.ok(values[0]! < values[1]!, part);
      else if (equation.includes('>')) assert.ok(values[0]! > values[1]!, part);
      else for (const value of values) assert.equal(value, values[0], part);
    }
  }
  return count;
}

function checkWorked(worked: Worked, expected: number): void {
  assert.equal(worked.result, expected);
  assert.match(worked.text, new RegExp(`= ${expected}$`), worked.text);
  assert.ok(checkEquations(worked.text) > 0, worked.text);
}

describe('worked arithmetic', () => {
  const number = fc.integer({ min: 0, max: 99_999 });

  it('writes sums whose every column is true', () => {
    fc.assert(fc.property(number, number, (a, b) => checkWorked(workedSum(a, b), a + b)));
  });

  it('writes differences whose every column is true, negative ones too', () => {
    fc.assert(fc.property(number, number, (a, b) => checkWorked(workedDifference(a, b), a - b)));
    fc.assert(fc.property(number, (a) => checkWorked(workedDifference(a, a), 0)));
  });

  it('writes products whose every step is true, in either order', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 999 }), fc.integer({ min: 0, max: 99 }), (a, b) => {
        checkWorked(workedProduct(a, b), a * b);
        checkWorked(workedProduct(b, a), a * b);
      }),
    );
  });

  it('knows exact quotients and refuses others', () => {
    assert.equal(workedQuotient(56, 7).text, '56 / 7 = 8');
    assert.throws(() => workedQuotient(57, 7), /multiple of 7, got 57/);
    assert.throws(() => workedQuotient(57, 0), /multiple of 0/);
  });

  it('refuses numbers beyond its places', () => {
    assert.throws(() => workedSum(100_000, 1), /at most 5 digits, got 6/);
  });

  it('writes the addition inside a product as the sum is written alone', () => {
    assert.ok(workedProduct(347, 26).text.endsWith(workedSum(2082, 6940).text));
  });

  it('names every place once, carries where they are used', () => {
    assert.equal(
      workedSum(12_345, 678).text,
      [
        '12345 + 678',
        ' m1 k2 h3 t4 u5',
        ' m0 k0 h6 t7 u8',
        ' u5+8=13 t4+7+1=12 h3+6+1=10 k2+0+1=3 m1+0=1',
        ' m1 k3 h0 t2 u3',
        '= 13023',
      ].join('\n'),
    );
  });
});
