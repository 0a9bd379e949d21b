import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Device, openDevice } from '@hadal/kernels/device';
import { normals } from '@hadal/kernels/parity';
import { Optimizer, type OptimizerTarget, settledIterations, steepIterations } from './optimizer.ts';
import { Tensor } from './tensor.ts';

const adamw = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 };
const muon = { momentum: 0.95, weightDecay: 0, updateRms: 0.2, iterations: steepIterations };

function weight(device: Device, values: Float32Array, gradient: Float32Array): Tensor {
  const upload = (from: Float32Array) => {
    const tensor = new Tensor(device.memory.allocate(from.byteLength), 0, [from.length]);
    device.memory.write(tensor, from);
    return tensor;
  };
  const value = upload(values);
  value.grad = upload(gradient);
  return value;
}

function read(device: Device, tensor: Tensor): Float32Array {
  const values = new Float32Array(tensor.length);
  device.memory.read(tensor, values);
  return values;
}

/** The update that one step of Muon makes of zero weights, divided by the learning rate. */
function muonUpdate(gradient: Float32Array, rows: number, cols: number, iterations = settledIterations): Float32Array {
  using device = openDevice({ threads: 1 });
  const value = weight(device, new Float32Array(gradient.length), gradient);
  const target: OptimizerTarget = { name: 'w', value, method: 'muon', rows, cols, decays: true };
  using optimizer = new Optimizer(device, [target], { adamw, muon: { ...muon, iterations } });
  optimizer.step(1, { adamw: 0, muon: 1 }, 1);
  device.commands.run();
  return read(device, value).map((x) => -x);
}

test('Muon moves along the nearest orthogonal matrix, scaled to the chosen root mean square', () => {
  for (const [rows, cols] of [
    [8, 8],
    [16, 40],
    [40, 16],
  ] as const) {
    const gradient = normals(rows * cols, rows);
    const update = muonUpdate(gradient, rows, cols);
    const unit = update.map((x) => x / (0.2 * Math.sqrt(Math.max(rows, cols))));
    const side = Math.min(rows, cols);
    // Its shorter side's Gram matrix is the identity.
    for (let i = 0; i < side; i++) {
      for (let j = 0; j <= i; j++) {
        let dot = 0;
        for (let k = 0; k < Math.max(rows, cols); k++) {
          const at = (row: number) => (rows <= cols ? row * cols + k : k * cols + row);
          dot += (unit[at(i)] as number) * (unit[at(j)] as number);
        }
        assert.ok(Math.abs(dot - (i === j ? 1 : 0)) < 0.02, `${rows} x ${cols}: (${i}, ${j}) = ${dot}`);
      }
    }
    // It is the orthogonal matrix nearest to the gradient, not just any: their inner product is the nuclear norm, which
    // no other orthogonal matrix reaches; random ones of this size stay far below half of it.
    const inner = unit.reduce((sum, x, i) => sum + x * (gradient[i] as number), 0);
    const frobenius = Math.hypot(...gradient);
    assert.ok(inner > 0.7 * frobenius * Math.sqrt(side));
  }
});

test('Muon treats matrices that lie one after another as if each stood alone', () => {
  const [rows, cols] = [12, 20];
  const [a, b] = [normals(rows * cols, 1), normals(rows * cols, 2)];
  const both = muonUpdate(Float32Array.from([...a, ...b]), rows, cols);
  assert.deepEqual(both.subarray(0, rows * cols), muonUpdate(a, rows, cols));
  assert.deepEqual(both.subarray(rows * cols), muonUpdate(b, rows, cols));
});

test('Muon follows its momentum, and weight decay shrinks what it moves', () => {
  const gradient = normals(64, 5);
  const after = (weightDecay: number) => {
    using device = openDevice({ threads: 1 });
    const value = weight(device, new Float32Array(64).fill(1), gradient);
    const target: OptimizerTarget = { name: 'w', value, method: 'muon', rows: 8, cols: 8, decays: true };
    using optimizer = new Optimizer(device, [target], { adamw, muon: { ...muon, weightDecay } });
    optimizer.step(1, { adamw: 0, muon: 0.1 }, 1);
    // Clipped to nothing, the second step has momentum alone to go by.
    optimizer.step(2, { adamw: 0, muon: 0.1 }, 0);
    device.commands.run();
    return { value: read(device, value), moment: read(device, optimizer.state()[0]?.tensor as Tensor) };
  };
  const plain = after(0);
  plain.moment.forEach((m, i) => {
    assert.ok(Math.abs(m - 0.95 * (gradient[i] as number)) < 1e-6);
  });
  const decayed = after(0.5);
  const shrink = 0.95;
  plain.value.forEach((x, i) => {
    const step = 1 - x;
    // Two equal steps: w <- 0.95 w - s / 2, twice.
    const expected = shrink * (shrink - step / 2) - step / 2;
    assert.ok(Math.abs((decayed.value[i] as number) - expected) < 2e-3, `${decayed.value[i]} for ${expected}`);
  });
});

test('AdamW and Muon targets step together, and a resting target stays as it is', () => {
  using device = openDevice({ threads: 1 });
  const make = (name: string, method: 'adamw' | 'muon'): OptimizerTarget => ({
    ...{ name, method, rows: 4, cols: 4, decays: true },
    value: weight(device, new Float32Array(16).fill(1), normals(16, 3)),
  });
  const targets = [make('a', 'adamw'), make('b', 'muon'), make('c', 'muon')];
  using optimizer = new Optimizer(device, targets, { adamw, muon });
  assert.deepEqual(
    optimizer.state().map(({ name }) => name),
    ['a.m', 'a.v', 'b.m', 'c.m'],
  );
  optimizer.step(1, { adamw: 0.01, muon: 0.01 }, 1, (name) => name === 'c');
  device.commands.run();
  const [a, b, c] = targets.map(({ value }) => read(device, value)) as [Float32Array, Float32Array, Float32Array];
  // The first step of AdamW is the learning rate times the gradient's sign, besides the decay.
  normals(16, 3).forEach((g, i) => {
    assert.ok(Math.abs((a[i] as number) - (1 - 0.001 - 0.01 * Math.sign(g))) < 1e-5);
  });
  assert.ok(b.some((x) => x !== 1));
  assert.ok(c.every((x) => x === 1));
});
