import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FormulaError, parseFormula } from './formula.ts';

const value = (text: string, values: Record<string, number> = {}) =>
  parseFormula(text, Object.keys(values)).evaluate(values);

test('a formula has the value that arithmetic gives it', () => {
  const cases: [string, number][] = [
    ['1', 1],
    ['0.7 * a + 0.3 * b', 0.7 * 2 + 0.3 * 3],
    ['a - b - 1', -2],
    ['12 / a / b', 2],
    ['-a * -(b + 1)', 8],
    ['+a', 2],
    ['2 * (a + b)', 10],
    ['.5e1 + 1.', 6],
    ['min(a, b, 1) + max(a, b)', 4],
    ['abs(a - b) + floor(1.7) + ceil(1.2)', 4],
    ['sqrt(exp(log(16)))', 4],
  ];
  for (const [text, expected] of cases) assert.ok(Math.abs(value(text, { a: 2, b: 3 }) - expected) < 1e-12, text);
  assert.deepEqual(parseFormula('b + a * b', ['a', 'b']).variables, ['b', 'a']);
});

test('a mistake in a formula is told with its position', () => {
  const cases: [string, RegExp][] = [
    ['', /position 1: expected a number, a name or "\(", got the end/],
    ['a +', /position 4: expected a number, .* got the end/],
    ['a + c', /position 5: there is no grader c; there are a, b/],
    ['a b', /position 3: expected an operator or the end, got "b"/],
    ['(a + b', /position 7: expected "\)", got the end/],
    ['a ** b', /position 4: expected a number, a name or "\(", got "\*"/],
    ['a ; b', /position 3: ";" means nothing here/],
    ['abs(a, b)', /position 1: abs takes one number, got 2/],
    ['min()', /position 5: expected a number/],
    ['pow(a, b)', /position 1: there is no function pow; min, max/],
    ['constructor', /position 1: there is no grader constructor/],
    ['a.b', /position 2: "\." means nothing here/],
    ['1'.repeat(3000), /at most 2000 characters/],
  ];
  for (const [text, expected] of cases) {
    assert.throws(
      () => parseFormula(text, ['a', 'b']),
      (error) => {
        assert.ok(error instanceof FormulaError, text);
        assert.match(error.message, expected, text);
        return true;
      },
    );
  }
});

test('whatever is written is either a number or a mistake', () => {
  const pieces = fc.constantFrom('a', 'b', '1', '.5', '+', '-', '*', '/', '(', ')', ',', 'min', 'log', ' ', 'é', '𝒳');
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 30 }), (parts) => {
      try {
        assert.equal(typeof value(parts.join(''), { a: 1, b: 2 }), 'number');
      } catch (error) {
        assert.ok(error instanceof FormulaError);
      }
    }),
  );
  assert.equal(value(`${'('.repeat(900)}a${')'.repeat(900)}`, { a: 1 }), 1);
});
