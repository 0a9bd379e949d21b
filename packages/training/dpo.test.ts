import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { preferenceLoss } from './dpo.ts';

/** Log-probabilities and differences in 64ths are exact in float32: what is compared is the formula. */
const unit = 1 / 64;
const nats = fc.integer({ min: -512, max: 0 }).map((n) => n * unit);
const answer = fc.array(fc.tuple(nats, nats), { minLength: 1, maxLength: 12 });
const beta = fc.double({ min: 0.01, max: 2, noNaN: true });

type Answer = readonly (readonly [logprob: number, reference: number])[];

function measured(tokens: Answer, changed = -1, by = 0): [Float32Array, Float32Array] {
  return [
    Float32Array.from(tokens, ([logprob], t) => logprob + (t === changed ? by : 0)),
    Float32Array.from(tokens, ([, reference]) => reference),
  ];
}

test("the derivatives are those of the loss, by every token's log-probability of both answers", () => {
  fc.assert(
    fc.property(answer, answer, beta, (preferred, rejected, b) => {
      const { derivatives } = preferenceLoss(measured(preferred), measured(rejected), b);
      assert.deepEqual(
        derivatives.map(({ length }) => length),
        [preferred.length, rejected.length],
      );
      for (const [side, tokens] of [preferred, rejected].entries()) {
        for (let t = 0; t < tokens.length; t++) {
          const at = (by: number) =>
            side === 0
              ? preferenceLoss(measured(preferred, t, by), measured(rejected), b).loss
              : preferenceLoss(measured(preferred), measured(rejected, t, by), b).loss;
          const difference = (at(unit) - at(-unit)) / (2 * unit);
          // Softplus has a third derivative below 1 / 8; float32 rounds the slope.
          const limit = (b ** 3 * unit ** 2) / 48 + 1e-6;
          const derivative = derivatives[side]?.[t] as number;
          assert.ok(Math.abs(difference - derivative) <= limit, `${difference}, ${derivative}`);
        }
      }
    }),
  );
});

test('a pair that nothing has been learned of costs log 2, and a margin of either sign is no overflow', () => {
  const even: Answer = [
    [-1, -1],
    [-2, -2],
  ];
  const { loss, margin } = preferenceLoss(measured(even), measured(even), 0.1);
  assert.deepEqual([loss, margin], [Math.log(2), 0]);
  for (const sign of [1, -1]) {
    const far: Answer = [[sign > 0 ? 0 : -5000, sign > 0 ? -5000 : 0]];
    const pair = preferenceLoss(measured(far), measured(even), 2);
    assert.equal(pair.margin, sign * 10_000);
    assert.equal(pair.loss, sign > 0 ? 0 : 10_000);
    assert.equal(pair.derivatives[0][0], sign > 0 ? -0 : -2);
  }
});
