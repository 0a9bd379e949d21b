// An architecture's gradients against differences of its loss.
//
// Owns the check that every weight's gradient is the derivative of the loss along it, for any definition. Used by tests
// only. The model must be small, and no choice in it (of experts) may flip between two nearby points.

import assert from 'node:assert/strict';
import { type Device, openDevice } from '@hadal/kernels/device';
import { normals } from '@hadal/kernels/parity';
import { Arena } from '@hadal/tensor/arena';
import { Graph } from '@hadal/tensor/graph';
import { Tensor } from '@hadal/tensor/tensor';
import type { ModelDefinition } from '../architecture.ts';
import { PackedDocuments } from '../layers/attention-memory.ts';
import { ParameterSet } from '../parameter-set.ts';
import { collectSpecs, type WeightSource } from '../weight-source.ts';

/** Random values for every weight: norms around 1, everything else around 0. */
export function randomize(device: Device, parameters: ParameterSet, seed = 0): void {
  for (const [i, { spec, value }] of parameters.parameters.entries()) {
    const scale = spec.kind === 'norm' ? 0.1 : 0.3;
    const center = spec.kind === 'norm' ? 1 : 0;
    device.memory.write(
      value,
      normals(value.length, seed + i + 1).map((x) => center + scale * x),
    );
  }
}

/** Checks the gradients of the sum of the losses (the predictor's too, where there is one). */
export function checkGradients(definition: ModelDefinition): void {
  using device = openDevice({ threads: 2 });
  using arena = new Arena(device.memory, 2 ** 20);
  const options = { form: definition.forms[0], positions: 256, predictor: 'present' } as const;
  const assemble = (source: WeightSource) => definition.assemble(source, options);
  using parameters = new ParameterSet(device, collectSpecs(assemble));
  randomize(device, parameters);
  const network = assemble(parameters);
  const V = definition.vocabularySize;
  const lengths = [5, 1, 70, 3];
  const ids = Int32Array.from({ length: 79 }, (_, i) => (i * 17 + 3) % V);
  const targets = ids.map((id, i) => (i % 3 === 0 ? -1 : (id * 7 + 1) % V));
  const weight = Float32Array.from(targets, (target) => (target === -1 ? 0 : 1 / 50));

  /** Sum of the weighted losses; with gradients when training. */
  const loss = (mode: 'training' | 'inference') => {
    arena.reset();
    const g = new Graph(device, arena, mode);
    const documents = new PackedDocuments(arena, lengths);
    const hidden = network.forward(g, arena.integers(ids), documents.positions, documents);
    const w = arena.floats(weight);
    const { head, predictor } = network;
    if (!(head instanceof Tensor)) throw new Error('a parameter set holds plain tensors');
    const losses = [g.linearCrossEntropy(hidden, head, arena.integers(targets), w)];
    if (predictor) {
      const next = arena.integers(ids.map((_, i) => ids[i + 1] ?? 0));
      const ahead = predictor.forward(g, hidden, next, documents.positions, documents);
      losses.push(g.linearCrossEntropy(ahead, predictor.head as Tensor, arena.integers(targets), w));
    }
    if (mode === 'training') g.backward();
    g.run();
    return losses.reduce((sum, nll) => {
      const values = new Float32Array(nll.length);
      device.memory.read(nll, values);
      return sum + values.reduce((s, value, i) => s + value * (weight[i] as number), 0);
    }, 0);
  };

  new Graph(device, arena, 'inference').fill(parameters.gradients, 0);
  loss('training');
  for (const { spec, value } of parameters.parameters) {
    if (!value.grad) continue;
    const gradient = new Float32Array(value.length);
    device.memory.read(value.grad, gradient);
    const original = new Float32Array(value.length);
    device.memory.read(value, original);
    // Along the gradient itself the derivative is its norm: the strongest signal against float32's rounding.
    const norm = Math.hypot(...gradient);
    const at = (t: number) => {
      device.memory.write(
        value,
        original.map((x, i) => x + (t * (gradient[i] as number)) / norm),
      );
      return loss('inference');
    };
    const eps = 0.004 * Math.min(1, Math.hypot(...original) / 4);
    const difference = (at(eps) - at(-eps)) / (2 * eps);
    device.memory.write(value, original);
    const name = spec.parts[0]?.name;
    assert.ok(norm > 0, `${name}: no gradient`);
    assert.ok(
      Math.abs(difference - norm) < 0.03 * norm + 2e-4,
      `${name}: |gradient| ${norm}, difference ${difference}`,
    );
  }
}
