import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDevice } from '@hadal/kernels/device';
import { KeptRouting } from '@hadal/tensor/kept-routing';
import { initialize } from './initialize.ts';
import { packStep } from './packing.ts';
import { toyMixture as definition, toyOptimizer as optimizer, toyQwen2 as qwen2 } from './testing/toy-models.ts';
import { type Objective, type StepResult, type StepSettings, Trainer } from './trainer.ts';

const settings: StepSettings = {
  learningRates: { adamw: 0.01, muon: 0.01 },
  predictorWeight: 0.3,
  balanceRate: 0.01,
};

/** Documents that count up from a number: the next token, and the one after it, follow from the last. */
function counting(index: number) {
  const tokens = Array.from({ length: 12 + (index % 9) }, (_, i) => (index * 5 + i) % 64);
  return { tokens, weights: tokens.map((_, i) => (i > 2 ? 1 : 0)) };
}

/** Trains for `steps`; calls `each` after every one. Returns the weights by name. */
function run(
  steps: number,
  threads: number,
  change: Partial<StepSettings> = {},
  each: (result: StepResult, bytes: number) => void = () => {},
  model = definition,
  activations: 'kept' | 'recomputed' = 'kept',
  objective?: Objective,
): Map<string, Uint8Array> {
  using device = openDevice({ threads });
  using trainer = new Trainer(device, model, { optimizer, clipNorm: 1, contextLength: 128, activations });
  initialize(device, trainer.parameters, 'test', 0.02);
  let next = 0;
  for (let step = 1; step <= steps; step++) {
    const packed = packStep(counting, next, 2, 128);
    next = packed.next;
    each(trainer.step(step, packed, { ...settings, ...change }, objective), device.memory.stats().bytesInUse);
  }
  return new Map(trainer.parameters.tensors('F32').map(({ name, data }) => [name, (data as () => Uint8Array)()]));
}

test('a small model learns to count, its predictor to count ahead, and no step takes more memory than the first', () => {
  const results: StepResult[] = [];
  const bytes: number[] = [];
  run(80, 2, {}, (result, inUse) => {
    results.push(result);
    bytes.push(inUse);
  });
  const [first, last] = [results[0] as StepResult, results.at(-1) as StepResult];
  assert.ok(Math.abs(first.loss - Math.log(64)) < 0.2, `${first.loss} at first`);
  assert.ok(last.loss < 0.5, `${last.loss} at last`);
  assert.ok((last.predictorLoss as number) < 1, `${last.predictorLoss} of the predictor`);
  assert.equal(new Set(bytes).size, 1);
});

test('a model with grouped heads and biases learns to count, and its biases begin at zero and move', () => {
  let loss = Number.NaN;
  const trained = run(80, 2, {}, (result) => (loss = result.loss), qwen2);
  assert.ok(loss < 0.5, `${loss} at last`);
  const fresh = run(0, 2, {}, undefined, qwen2);
  const biases = [...fresh].filter(([name]) => name.endsWith('.bias'));
  assert.equal(biases.length, 6);
  for (const [name, values] of biases) {
    assert.ok(
      values.every((byte) => byte === 0),
      name,
    );
    assert.notDeepEqual(trained.get(name), values, name);
  }
});

test('weights are the same bits for any number of threads', () => {
  for (const model of [definition, qwen2]) {
    const [one, three] = [run(4, 1, {}, undefined, model), run(4, 3, {}, undefined, model)];
    assert.deepEqual(one, three);
  }
});

test('activations that are computed again change nothing: weights, losses and loads are the same bits, for every objective', () => {
  const objectives: readonly (Objective | undefined)[] = [
    undefined,
    {
      type: 'logprobs',
      ofRow: (_row, logprobs_D_T) => ({
        loss: -logprobs_D_T.flatMap((values) => [...values]).reduce((sum, value) => sum + value, 0),
        derivative_D_T: logprobs_D_T.map((values) => values.map((_, t) => -1 - t)),
      }),
    },
  ];
  for (const model of [definition, qwen2]) {
    for (const objective of objectives) {
      const [kept, again]: [StepResult[], StepResult[]] = [[], []];
      const before = run(3, 2, {}, (result) => kept.push(result), model, 'kept', objective);
      assert.deepEqual(
        run(3, 2, {}, (result) => again.push(result), model, 'recomputed', objective),
        before,
      );
      assert.deepEqual(again, kept);
    }
  }
});

test('steps over the same rows keep to the experts that the first of them chose, where these are kept', () => {
  using device = openDevice({ threads: 2 });
  const packed = packStep(counting, 0, 2, 64);
  const ids = (routing: KeptRouting) =>
    packed.rows.flatMap((_, row) =>
      [...routing.ofPass(row).choices.values()].map((tensor) => {
        const values = new Int32Array(tensor.length);
        device.memory.read(tensor, values);
        return values;
      }),
    );
  /** Loads of two steps, and what the second one would have chosen by itself; rates so high that it is something else. */
  const twice = (activations: 'kept' | 'recomputed', kind: 'free' | 'kept') => {
    using trainer = new Trainer(device, definition, { optimizer, clipNorm: 1, contextLength: 128, activations });
    initialize(device, trainer.parameters, 'test', 0.2);
    using first = new KeptRouting(device.memory);
    using other = new KeptRouting(device.memory);
    const change = { learningRates: { adamw: 0.1, muon: 0.1 }, balanceRate: 0 };
    const step = (number: number, routing?: KeptRouting) =>
      trainer.step(number, packed, { ...settings, ...change }, undefined, routing);
    const before = step(1, first);
    const chosen = ids(first);
    const after = step(2, kind === 'kept' ? first : other);
    return { before, after, chosen, later: ids(kind === 'kept' ? first : other) };
  };
  const free = twice('kept', 'free');
  assert.equal(free.chosen.length, 4);
  assert.notDeepEqual(free.later, free.chosen);
  assert.notEqual(free.after.imbalance, free.before.imbalance);
  for (const activations of ['kept', 'recomputed'] as const) {
    const kept = twice(activations, 'kept');
    assert.deepEqual(kept.before, free.before);
    assert.deepEqual(kept.chosen, free.chosen);
    assert.deepEqual(kept.later, kept.chosen);
    assert.equal(kept.after.imbalance, kept.before.imbalance);
    assert.notEqual(kept.after.loss, free.after.loss);
    assert.deepEqual(kept.after, twice('kept', 'kept').after);
  }
});

test('a predictor without weight in the loss rests: its weights stay as they began', () => {
  const isPredictor = (name: string) => name.startsWith('model.layers.2.');
  const [trained, fresh] = [run(3, 2, { predictorWeight: 0 }), run(0, 2)];
  for (const [name, values] of trained) {
    if (isPredictor(name)) assert.deepEqual(values, fresh.get(name), name);
    else if (!name.endsWith('e_score_correction_bias')) assert.notDeepEqual(values, fresh.get(name), name);
  }
});

test('accuracy is the share of the supervised tokens that no other token is likelier than, by their weights', () => {
  using device = openDevice();
  using trainer = new Trainer(device, definition, { optimizer, clipNorm: 1, contextLength: 128 });
  initialize(device, trainer.parameters, 'accuracy', 0.5);
  const [prefix, vocabulary] = [[3, 4, 5], 64];
  const ending = (token: number, weight: number) => ({ tokens: [...prefix, token], weights: [0, 0, 0, weight] });
  const row = (...documents: ReturnType<typeof ending>[]) => ({ documents, tokens: 4 * documents.length });
  const logprobs = Array.from(
    { length: vocabulary },
    (_, token) => trainer.logprobs(row(ending(token, 1)))[0]?.[0] as number,
  );
  const best = logprobs.indexOf(Math.max(...logprobs));
  const other = (best + 1) % vocabulary;
  const rows = [row(ending(best, 1), ending(other, 2)), row(ending(best, 0.5))];
  const { loss, accuracy } = trainer.evaluate({ rows });
  assert.ok(Math.abs(accuracy - 1.5 / 3.5) < 1e-6, `${accuracy}`);
  const expected = -(1.5 * (logprobs[best] as number) + 2 * (logprobs[other] as number)) / 3.5;
  assert.ok(Math.abs(loss - expected) < 1e-5, `${loss}, expected ${expected}`);
  // More of them than the loss takes at a time.
  const many = row(...Array.from({ length: 600 }, (_, i) => ending(i % 3 === 0 ? best : other, 1)));
  assert.equal(trainer.evaluate({ rows: [many] }).accuracy, 200 / 600);
  const step = trainer.step(1, { rows: [many] }, { ...settings, predictorWeight: 0 });
  assert.equal(step.accuracy, 200 / 600);
});

test("a router's bias moves by the balance rate against the load, and only by that", () => {
  const name = 'model.layers.1.mlp.gate.e_score_correction_bias';
  const bias = (balanceRate: number) =>
    new Float32Array((run(1, 2, { balanceRate }).get(name) as Uint8Array).slice().buffer);
  assert.deepEqual([...bias(0)], [0, 0, 0, 0]);
  const moved = bias(0.125);
  for (const value of moved) assert.ok([0.125, 0, -0.125].includes(value), `${value}`);
  assert.ok(moved.some((value) => value > 0) && moved.some((value) => value < 0));
});

test('a step without a supervised token, or with a loss that is not finite, is refused', () => {
  using device = openDevice({ threads: 1 });
  using trainer = new Trainer(device, definition, { optimizer, clipNorm: 1, contextLength: 128 });
  const silent = (index: number) => ({ tokens: counting(index).tokens, weights: counting(index).weights.map(() => 0) });
  assert.throws(() => trainer.step(1, packStep(silent, 0, 1, 64), settings), /at least one supervised token/);
  initialize(device, trainer.parameters, 'test', Number.NaN);
  assert.throws(() => trainer.step(1, packStep(counting, 0, 1, 64), settings), /step 1: expected a finite loss/);
});
