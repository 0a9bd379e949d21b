import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openCheckpointDirectory } from '@hadal/formats/checkpoint';
import type { StoredWeights } from '@hadal/formats/stored-weights';
import { type Device, openDevice } from '@hadal/kernels/device';
import { normals } from '@hadal/kernels/parity';
import { Arena } from '@hadal/tensor/arena';
import { Graph } from '@hadal/tensor/graph';
import { Optimizer, steepIterations } from '@hadal/tensor/optimizer';
import { type PackedDtype, packedDtypes } from '@hadal/tensor/packed-matrix';
import type { Tensor } from '@hadal/tensor/tensor';
import type { Network } from '../architecture.ts';
import { defineModel } from '../architectures.ts';
import { CheckpointWeights } from '../checkpoint-weights.ts';
import { openWeights } from '../language-model.ts';
import { PackedDocuments } from '../layers/attention-memory.ts';
import { ParameterSet } from '../parameter-set.ts';
import { collectSpecs, specKey, type WeightSource } from '../weight-source.ts';
import type { AdapterConfig } from './adapter-config.ts';
import { openAdapter, writeAdapter } from './adapter-files.ts';
import { AdapterSet } from './adapter-set.ts';
import { downName, upName } from './low-rank-specs.ts';
import { mergedWeights } from './merged-weights.ts';

const names = ['qwen2', 'llama-all-biases', 'deepseek-v2-lite', 'deepseek-v3'] as const;
type Name = (typeof names)[number];
const all: AdapterConfig = { rank: 3, alpha: 4, scaling: 'byRank', targets: 'all-linear' };

/** `routing`: as in the checkpoint, or to all experts, so that no choice can flip between two nearby points. */
function golden(name: Name, routing: 'own' | 'all' = 'own') {
  const checkpoint = openCheckpointDirectory(fileURLToPath(new URL(`../../../test/golden/${name}`, import.meta.url)));
  const { value, path } = checkpoint.config();
  const changed = routing === 'all' && { num_experts_per_tok: 8, n_group: 1, topk_group: 1 };
  const definition = defineModel({ ...(value as object), ...changed }, path);
  const options = { form: definition.forms[0], positions: 128, predictor: 'absent' } as const;
  const weights = openWeights(checkpoint);
  const assemble = (source: WeightSource) => definition.assemble(source, options);
  return { weights, assemble, specs: collectSpecs(assemble, weights.has), vocabularySize: definition.vocabularySize };
}

/** `plain`: float32 tensors that could be trained. */
function openBase(device: Device, name: Name, form: PackedDtype | 'plain', weights: StoredWeights) {
  if (form !== 'plain') return new CheckpointWeights(device, weights, { dtype: form });
  const base = new ParameterSet(device, golden(name).specs);
  base.load(weights);
  return base;
}

const lengths = [5, 1, 66, 3];
const ids = Int32Array.from({ length: 75 }, (_, i) => (i * 17 + 3) % 128);
const targets = ids.map((id, i) => (i % 3 === 0 ? -1 : (id * 7 + 1) % 128));
const shares = Float32Array.from(targets, (target) => (target === -1 ? 0 : 1 / 50));

function read(device: Device, tensor: { handle: number; offset: number; length: number }): Float32Array {
  const values = new Float32Array(tensor.length);
  device.memory.read(tensor, values);
  return values;
}

/** The weighted loss of every token; with a tape, gradients too. */
function losses(device: Device, arena: Arena, network: Network, mode: 'training' | 'inference'): Float32Array {
  arena.reset();
  const g = new Graph(device, arena, mode);
  const documents = new PackedDocuments(arena, lengths);
  const hidden = network.forward(g, arena.integers(ids), documents.positions, documents);
  const nll = g.linearCrossEntropy(hidden, network.head, arena.integers(targets), arena.floats(shares));
  if (mode === 'training') g.backward();
  g.run();
  return read(device, nll).map((value, i) => value * (shares[i] as number));
}

function sum(values: Float32Array): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Random pairs, none of them zero. */
function randomize(device: Device, set: AdapterSet): void {
  for (const [i, { value }] of set.parameters.entries()) {
    device.memory.write(
      value,
      normals(value.length, 100 + i).map((x) => 0.2 * x),
    );
  }
}

/** An adapter with random pairs over the golden in some form. */
function use<T>(
  name: Name,
  form: PackedDtype | 'plain',
  run: (context: { device: Device; arena: Arena; set: AdapterSet; network: Network; base: WeightSource }) => T,
  config: AdapterConfig = all,
  routing: 'own' | 'all' = 'own',
): T {
  using device = openDevice({ threads: 2 });
  using arena = new Arena(device.memory, 2 ** 20);
  const { weights, assemble, specs } = golden(name, routing);
  using base = openBase(device, name, form, weights);
  using set = new AdapterSet(device, base, specs, config);
  randomize(device, set);
  new Graph(device, arena, 'inference').fill(set.gradients, 0);
  return run({ device, arena, set, network: assemble(set), base });
}

test('a fresh adapter adds nothing: the losses have the bits of the base, in every form', () => {
  for (const name of names) {
    for (const form of ['plain', ...packedDtypes] as const) {
      use(name, form, ({ device, arena, set, network, base }) => {
        set.initialize('seed');
        const adapted = losses(device, arena, network, 'training');
        assert.deepEqual(adapted, losses(device, arena, golden(name).assemble(base), 'inference'), `${name} ${form}`);
      });
    }
  }
});

test('the gradient is the derivative of the loss along it, also through packed weights', () => {
  for (const name of names) {
    for (const form of ['plain', 'f32', 'bf16'] as const) {
      const check = ({
        device,
        arena,
        set,
        network,
      }: {
        device: Device;
        arena: Arena;
        set: AdapterSet;
        network: Network;
      }) => {
        losses(device, arena, network, 'training');
        for (const { spec, value } of set.parameters) {
          const gradient = read(device, value.grad as Tensor);
          const original = read(device, value);
          const norm = Math.hypot(...gradient);
          const at = (t: number) => {
            const moved = original.map((x, i) => x + (t * (gradient[i] as number)) / norm);
            device.memory.write(value, moved);
            return sum(losses(device, arena, network, 'inference'));
          };
          const eps = 0.008;
          const difference = (at(eps) - at(-eps)) / (2 * eps);
          device.memory.write(value, original);
          const what = `${name} ${form} ${specKey(spec)}: |gradient| ${norm}, difference ${difference}`;
          assert.ok(norm > 0 && Math.abs(difference - norm) < 0.03 * norm + 5e-4, what);
        }
      };
      use(name, form, check, all, 'all');
    }
  }
});

test('losses and gradients are those of a model with the adapter merged into its weights', () => {
  for (const name of names) {
    const directory = mkdtempSync(join(tmpdir(), 'hadal-adapter-'));
    try {
      const { loss, gradients } = use(name, 'f32', ({ device, arena, set, network }) => {
        writeAdapter(directory, set, { base: name, dtype: 'F32' });
        const loss = sum(losses(device, arena, network, 'training'));
        return { loss, gradients: new Map(set.gradientTensors().map((t) => [t.name, t.read()])) };
      });
      const adapter = openAdapter(directory);
      using device = openDevice({ threads: 2 });
      using arena = new Arena(device.memory, 2 ** 20);
      const { weights, assemble, specs } = golden(name);
      using merged = new ParameterSet(device, specs);
      merged.load(mergedWeights(weights, adapter));
      new Graph(device, arena, 'inference').fill(merged.gradients, 0);
      const expected = sum(losses(device, arena, assemble(merged), 'training'));
      assert.ok(Math.abs(loss - expected) < 1e-4, `${name}: ${loss} and ${expected}`);
      const full = new Map(merged.gradientTensors().map((t) => [t.name, t]));
      const compared = adapter.modules.flatMap((module) => {
        const { rank, scale } = adapter.pairOf(module) as { rank: number; scale: number };
        const { shape, read } = full.get(`${module}.weight`) as { shape: readonly number[]; read: () => Float32Array };
        const [O, I] = shape as [number, number];
        const [dw, a, b] = [
          read(),
          ...[downName, upName].map((of) => adapter.weights.readFloat32(adapter.weights.find(of(module)))),
        ] as Float32Array[];
        const da = new Float32Array(rank * I);
        const db = new Float32Array(O * rank);
        for (let o = 0; o < O; o++) {
          for (let r = 0; r < rank; r++) {
            for (let i = 0; i < I; i++) {
              const d = scale * (dw?.[o * I + i] as number);
              da[r * I + i] = (da[r * I + i] as number) + d * (b?.[o * rank + r] as number);
              db[o * rank + r] = (db[o * rank + r] as number) + d * (a?.[r * I + i] as number);
            }
          }
        }
        return [
          { what: downName(module), expected: da, found: gradients.get(downName(module)) },
          { what: upName(module), expected: db, found: gradients.get(upName(module)) },
        ];
      });
      assert.equal(compared.length, gradients.size, `${name}: every gradient has its counterpart`);
      const largest = Math.max(...compared.flatMap(({ expected }) => [...expected].map(Math.abs)));
      for (const { what, expected, found } of compared) {
        const worst = Math.max(...expected.map((x, i) => Math.abs(x - (found?.[i] as number))));
        assert.ok(worst < 1e-4 * largest, `${name} ${what}: off by ${worst} of ${largest}`);
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  }
});

test('a float32 base gives the same bits packed and plain, and its weights have no gradient', () => {
  for (const name of names) {
    const of = (form: 'plain' | 'f32', threads: number) => {
      using device = openDevice({ threads });
      using arena = new Arena(device.memory, 2 ** 20);
      const { weights, assemble, specs } = golden(name);
      using base = openBase(device, name, form, weights);
      using set = new AdapterSet(device, base, specs, all);
      randomize(device, set);
      const g = new Graph(device, arena, 'inference');
      g.fill(set.gradients, 0);
      if (base instanceof ParameterSet) g.fill(base.gradients, 7);
      const loss = losses(device, arena, assemble(set), 'training');
      if (base instanceof ParameterSet) assert.ok(read(device, base.gradients).every((value) => value === 7));
      return { loss, gradients: read(device, set.gradients) };
    };
    assert.deepEqual(of('f32', 2), of('plain', 2), name);
    assert.deepEqual(of('f32', 1), of('f32', 3), name);
  }
});

test('an adapter comes back from disk as it was written, in the modules that were asked for', () => {
  const directory = mkdtempSync(join(tmpdir(), 'hadal-adapter-'));
  const config: AdapterConfig = { rank: 4, alpha: 16, scaling: 'byRoot', targets: ['kv_a_proj_with_mqa', 'gate_proj'] };
  try {
    const open = <T>(run: (set: AdapterSet, device: Device) => T) =>
      use('deepseek-v3', 'bf16', ({ set, device }) => run(set, device), config);
    const written = open((set, device) => {
      writeAdapter(directory, set, { base: 'golden', dtype: 'F32' });
      return set.parameters.map(({ value }) => read(device, value));
    });
    const adapter = openAdapter(directory);
    assert.deepEqual(adapter.pairOf('model.layers.0.mlp.gate_proj'), { rank: 4, scale: 8 });
    assert.equal(adapter.pairOf('model.layers.0.mlp.up_proj'), undefined);
    // Three of attention, one dense layer, two mixtures of eight experts and a shared one.
    assert.equal(adapter.modules.length, 3 + 1 + 2 * 9);
    const loaded = open((set, device) => {
      set.load(adapter.weights);
      return set.parameters.map(({ value }) => read(device, value));
    });
    assert.deepEqual(loaded, written);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('first values follow from the seed: A within its bound, B zero, another seed other values', () => {
  const first = (seed: string) =>
    use('qwen2', 'f32', ({ set, device }) => {
      set.initialize(seed);
      return new Map(set.parameters.map(({ spec, value }) => [specKey(spec), read(device, value)]));
    });
  const [one, again, other] = [first('a'), first('a'), first('b')];
  assert.deepEqual(one, again);
  for (const [key, values] of one) {
    if (key.includes('lora_B')) {
      assert.ok(
        values.every((value) => value === 0),
        key,
      );
      continue;
    }
    const bound = key.includes('down_proj') ? 96 ** -0.5 : 64 ** -0.5;
    const largest = Math.max(...values.map(Math.abs));
    assert.ok(largest <= bound && largest > 0.9 * bound, `${key}: ${largest} of ${bound}`);
    assert.notDeepEqual(values, other.get(key));
  }
});

test('an adapter learns over an int4 base, to the same bits on any number of threads', () => {
  const train = (threads: number) => {
    using device = openDevice({ threads });
    using arena = new Arena(device.memory, 2 ** 20);
    const { weights, assemble, specs } = golden('deepseek-v3');
    using base = openBase(device, 'deepseek-v3', 'int4', weights);
    using set = new AdapterSet(device, base, specs, { ...all, rank: 8, alpha: 16 });
    set.initialize('seed');
    const network = assemble(set);
    using optimizer = new Optimizer(device, set.optimizerTargets(), {
      adamw: { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0 },
      muon: { momentum: 0.95, weightDecay: 0, updateRms: 0.2, iterations: steepIterations },
    });
    const loss: number[] = [];
    for (let step = 1; step <= 40; step++) {
      new Graph(device, arena, 'inference').fill(set.gradients, 0);
      loss.push(sum(losses(device, arena, network, 'training')));
      optimizer.step(step, { adamw: 0.01, muon: 0 }, 1);
      device.commands.run();
    }
    return { loss, values: set.parameters.map(({ value }) => read(device, value)) };
  };
  const one = train(1);
  const [first, last] = [one.loss[0] as number, one.loss.at(-1) as number];
  assert.ok(last < 0.2 * first, `${first} at first, ${last} at last`);
  assert.deepEqual(train(3), one);
});

test('a target that no module has is refused, with those there are', () => {
  const asks = (targets: AdapterConfig['targets']) => () => use('qwen2', 'f32', () => {}, { ...all, targets });
  assert.throws(asks(['q_proj', 'kv_b_proj']), /targets among q_proj, k_proj, v_proj, o_proj, .*got kv_b_proj/);
  assert.throws(asks([]), /got none/);
  assert.throws(asks(['lm_head']), /got lm_head/);
});
