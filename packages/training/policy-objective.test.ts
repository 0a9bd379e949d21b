import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { groupAdvantages, type PolicyOptions, type PolicySample, policyLoss } from './policy-objective.ts';

const plain: PolicyOptions = {
  ...{ lossType: 'dapo', clipLow: 0.2, clipHigh: 0.28, klCoefficient: 0, klEstimator: 'k3' },
  ...{ importanceLevel: 'token', maxCompletionTokens: 50 },
};
const sizes = { samples: 4, tokens: 37, meanTokens: 40 };

const options = fc.record({
  lossType: fc.constantFrom('grpo' as const, 'bnpo' as const, 'dr_grpo' as const, 'dapo' as const),
  clipLow: fc.double({ min: 0.01, max: 0.9, noNaN: true }),
  clipHigh: fc.double({ min: 0.01, max: 2, noNaN: true }),
  klCoefficient: fc.constantFrom(0, 0.1, 1),
  klEstimator: fc.constantFrom('k3' as const, 'unbiased' as const),
  importanceLevel: fc.constantFrom('token' as const, 'sequence' as const),
  maxCompletionTokens: fc.constant(50),
});
const logprob = fc.double({ min: -4, max: -0.01, noNaN: true });
const tokens = fc.array(fc.tuple(logprob, logprob, logprob), { minLength: 1, maxLength: 6 });

test('the derivative is that of the loss, wherever it has one, for every option', () => {
  fc.assert(
    fc.property(options, tokens, fc.double({ min: -2, max: 2, noNaN: true }), (chosen, drawn, advantage) => {
      // Eighths are exact in float32, and so are the steps between them.
      const exact = (value: number) => Math.round(value * 8) / 8;
      const now = Float32Array.from(drawn, ([value]) => exact(value));
      const sample: PolicySample = {
        sampled: Float32Array.from(drawn, ([, value]) => exact(value) + 0.01),
        reference: Float32Array.from(drawn, ([, , value]) => exact(value)),
        advantage,
      };
      const step = 2 ** -10;
      const at = (t: number, by: number) =>
        policyLoss(
          sample,
          now.map((value, i) => (i === t ? value + by : value)),
          chosen,
          sizes,
        );
      const { derivative } = at(0, 0);
      for (let t = 0; t < now.length; t++) {
        const [before, after] = [at(t, -step), at(t, step)];
        // A kink lies between the two.
        if (before.clippedLow + before.clippedHigh !== after.clippedLow + after.clippedHigh) continue;
        const slope = (after.loss - before.loss) / (2 * step);
        const scale = Math.max(1e-3, Math.abs(slope));
        assert.ok(Math.abs(slope - (derivative[t] as number)) / scale < 2e-3, `${t}: ${derivative[t]} for ${slope}`);
      }
    }),
    { numRuns: 500 },
  );
});

test('of several documents of one answer each counts by its share of it', () => {
  const part = { sampled: Float32Array.of(-1, -2), reference: undefined, advantage: 1 };
  const weightOf = (more: object) =>
    policyLoss({ ...part, ...more }, part.sampled, { ...plain, lossType: 'grpo' }, sizes).derivative[0] as number;
  assert.equal(weightOf({}), -1 / (4 * 2));
  assert.equal(weightOf({ answerTokens: 8 }), -1 / (4 * 8));
});

test('an answer of unknown worth counts for none of its group, and is worth nothing itself', () => {
  assert.deepEqual(groupAdvantages([[-1, undefined, -3]], 'none'), [[1, 0, -1]]);
  assert.deepEqual(groupAdvantages([[undefined, undefined]], 'group'), [[0, 0]]);
});

test('at the first update the ratio is 1, nothing is clipped, and the derivative is the policy gradient', () => {
  const sampled = Float32Array.of(-0.5, -1.25, -3);
  for (const importanceLevel of ['token', 'sequence'] as const) {
    const sample = { sampled, reference: undefined, advantage: -1.5 };
    const { ratio, clippedHigh, clippedLow, derivative } = policyLoss(
      sample,
      sampled,
      { ...plain, importanceLevel },
      sizes,
    );
    assert.deepEqual([ratio, clippedLow, clippedHigh], [3, 0, 0]);
    assert.deepEqual([...derivative], [...Float32Array.from([1.5 / 40, 1.5 / 40, 1.5 / 40])]);
  }
});

test('a token that has moved beyond the clip in the good direction is left alone; back it is always called', () => {
  const sample = (advantage: number) => ({ sampled: Float32Array.of(-2), reference: undefined, advantage });
  const slope = (logprob: number, advantage: number) =>
    policyLoss(sample(advantage), Float32Array.of(logprob), plain, sizes).derivative[0] as number;
  assert.equal(slope(-1.7, 1), 0); // ratio 1.35
  assert.ok(slope(-1.8, 1) < 0); // ratio 1.22: above 1.2, below 1.28
  assert.equal(slope(-2.3, -1), 0); // ratio 0.74
  assert.ok(slope(-1.7, -1) > 0);
  assert.ok(slope(-2.3, 1) < 0);
});

test('averages: each sample alike, each token alike, or over a constant', () => {
  const loss = (lossType: PolicyOptions['lossType'], T: number) => {
    const sampled = new Float32Array(T).fill(-1);
    return policyLoss({ sampled, reference: undefined, advantage: 1 }, sampled, { ...plain, lossType }, sizes).loss;
  };
  assert.ok(Math.abs(loss('grpo', 3) - loss('grpo', 30)) < 1e-9);
  assert.ok(Math.abs(loss('grpo', 3) + 1 / 4) < 1e-9);
  assert.ok(Math.abs(loss('bnpo', 37) + 1) < 1e-9);
  assert.ok(Math.abs(loss('dapo', 40) + 1) < 1e-9);
  assert.ok(Math.abs(loss('dr_grpo', 50) + 1 / 4) < 1e-9);
});

test('the divergence is 0 at the reference and above it elsewhere, and its gradient draws back', () => {
  const reference = Float32Array.of(-1, -2);
  const of = (logprobs: Float32Array, klEstimator: PolicyOptions['klEstimator']) =>
    policyLoss(
      { sampled: logprobs, reference, advantage: 0 },
      logprobs,
      { ...plain, klCoefficient: 1, klEstimator },
      sizes,
    );
  for (const estimator of ['k3', 'unbiased'] as const) {
    assert.equal(of(reference, estimator).loss, 0);
    const away = of(Float32Array.of(-0.5, -2.5), estimator);
    assert.ok(away.loss > 0);
    assert.ok(((away.derivative[0] as number) > 0 && (away.derivative[1] as number) < 0) || estimator === 'unbiased');
  }
});

test('advantages of a group add up to nothing, and without division keep the size of the rewards', () => {
  const rewards = [
    [1, 0, 0, 1],
    [0, 0, 0, 4],
    [2, 2, 2, 2],
  ];
  for (const scale of ['group', 'batch', 'none'] as const) {
    for (const values of groupAdvantages(rewards, scale)) {
      assert.ok(Math.abs(values.reduce((sum, value) => sum + value, 0)) < 1e-9);
    }
  }
  assert.deepEqual(groupAdvantages(rewards, 'none'), [
    [0.5, -0.5, -0.5, 0.5],
    [-1, -1, -1, 3],
    [0, 0, 0, 0],
  ]);
  const [first, second, third] = groupAdvantages(rewards, 'group') as [number[], number[], number[]];
  assert.ok(Math.abs((first[0] as number) - 0.866) < 1e-3 && Math.abs((second[3] as number) - 1.5) < 1e-3);
  assert.deepEqual(third, [0, 0, 0, 0]);
});
