import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { anyInteger, anyNumber, isNumberWithin, type Limit, numbersWithin } from './number-language.ts';
import { Refusal } from './refusal.ts';
import { includes } from './text-language.ts';

const bound = fc.oneof(
  fc.integer({ min: -1200, max: 1200 }),
  fc.integer({ min: -5000, max: 5000 }).map((n) => n / 100),
);
const limit: fc.Arbitrary<Limit> = fc.record({
  kind: fc.constantFrom('at-least', 'above', 'at-most', 'below', 'other-than'),
  value: bound,
});
const decimal = fc.oneof(
  bound.map(String),
  fc.tuple(fc.integer({ min: -1500, max: 1500 }), fc.nat(9999)).map(([whole, part]) => `${whole}.${part}`),
);

test('a bounded number is read exactly when its value is within', () => {
  const bounds = fc.record({
    part: fc.constantFrom('integer', 'any', 'fraction'),
    limits: fc.array(limit, { minLength: 1, maxLength: 3 }),
    multiples: fc.array(fc.constantFrom(2, 5, 7, 0.5, 0.01, 0.25, 100), { maxLength: 1 }),
  });
  fc.assert(
    fc.property(bounds, fc.array(decimal, { minLength: 10, maxLength: 10 }), (given, texts) => {
      const language = numbersWithin(given);
      for (const text of [...texts, ...given.limits.map(({ value }) => String(value))]) {
        if (/^-0(\.0*)?$/.test(text)) continue; // zero has no sign here
        // Only a fraction is spelled with a point where integers or multiples of them are meant.
        const [step] = given.multiples;
        const digits = step === undefined ? 15 : (String(step).split('.')[1]?.length ?? 0);
        const isSpelled = (text.split('.')[1]?.length ?? 0) <= (given.part === 'integer' ? 0 : digits);
        const expected = isSpelled && isNumberWithin(Number(text), given);
        assert.equal(includes(language, text), expected, `${text} in ${JSON.stringify(given)}`);
      }
    }),
    { numRuns: 400 },
  );
});

test('numbers are spelled as JSON spells them, and end', () => {
  for (const text of ['0', '-0', '12', '-1.50', '1e5', '2.5E-7']) assert.ok(includes(anyNumber, text), text);
  for (const text of ['', '-', '01', '.5', '1.', '+1', '1e', 'NaN', '9'.repeat(21), '1e100']) {
    assert.ok(!includes(anyNumber, text), text);
  }
  assert.ok(
    includes(anyInteger, '-9223372036854775807') &&
      !includes(anyInteger, '1.0') &&
      !includes(anyInteger, '9'.repeat(20)),
  );
});

test('bounds hold at the edges of float64', () => {
  const small = numbersWithin({
    part: 'any',
    limits: [
      { kind: 'below', value: 1 },
      { kind: 'above', value: 0 },
    ],
    multiples: [],
  });
  assert.ok(includes(small, '0.99999999999999') && includes(small, '0.00000000000001'));
  // More nines would be read as 1.
  assert.ok(!includes(small, '0.9999999999999999999') && !includes(small, '1') && !includes(small, '0.0'));
  const large = numbersWithin({ part: 'integer', limits: [{ kind: 'at-most', value: 2 ** 53 }], multiples: [] });
  assert.ok(includes(large, '9007199254740992') && !includes(large, '9007199254740993'));
});

test('a multiple that would need too many states is refused', () => {
  assert.throws(() => numbersWithin({ part: 'integer', limits: [], multiples: [1_000_003] }), Refusal);
});
