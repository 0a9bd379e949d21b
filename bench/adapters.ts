// What does an adapter cost, in training and in serving?
//
// Layers of the size of Qwen2.5-1.5B with random weights. Training: one step of 1024 tokens (forward, backward) with pairs of
// rank 16 for all matrices over a base in each form, and how much of it goes into unpacking what gradients pass through.
// Serving: one decode step of several sequences with the base alone, all with one adapter, and with four of them. All variants
// take turns, so that whatever else the machine does meets each; medians.
//
//     node bench/adapters.ts [training|serving]

import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { KvCache, pageBytes } from '@hadal/engine/kv-cache';
import { adapterRowsOf } from '@hadal/engine/served-adapters';
import { type Device, openDevice } from '@hadal/kernels/device';
import { normals } from '@hadal/kernels/parity';
import type { AdapterConfig } from '@hadal/models/adapters/adapter-config';
import { openAdapter, writeAdapter } from '@hadal/models/adapters/adapter-files';
import { AdapterSet } from '@hadal/models/adapters/adapter-set';
import { AdapterShelf } from '@hadal/models/adapters/adapter-shelf';
import { defineModel } from '@hadal/models/architectures';
import { PackedDocuments } from '@hadal/models/layers/attention-memory';
import { packedDtypeOf } from '@hadal/models/run-time-weights';
import { collectSpecs, type WeightSource } from '@hadal/models/weight-source';
import { Arena } from '@hadal/tensor/arena';
import { Graph } from '@hadal/tensor/graph';
import { type PackedDtype, PackedMatrix, packedDtypes } from '@hadal/tensor/packed-matrix';
import { RandomWeights } from './inference/random-weights.ts';

const layers = 4;
const definition = defineModel(
  {
    ...{ model_type: 'qwen2', hidden_size: 1536, intermediate_size: 8960, num_hidden_layers: layers },
    ...{ num_attention_heads: 12, num_key_value_heads: 2, max_position_embeddings: 4096, rms_norm_eps: 1e-6 },
    vocab_size: 4096,
  },
  'bench',
);
const assemble = (source: WeightSource) =>
  definition.assemble(source, { form: 'standard', positions: 2048, predictor: 'absent' });
const specs = collectSpecs(assemble);
const config: AdapterConfig = { rank: 16, alpha: 16, scaling: 'byRank', targets: 'all-linear' };
const turns = 7;

console.log(`${cpus()[0]?.model ?? 'unknown processor'}, ${availableParallelism()} cores, ${new Date().toISOString()}`);
const [only] = process.argv.slice(2);
if (only !== 'serving') training();
if (only !== 'training') serving();

function randomBase(device: Device, dtype: PackedDtype): RandomWeights {
  return new RandomWeights(device, (kind) => packedDtypeOf(kind, dtype), 1);
}

/** Every matrix that `source` hands out. */
function noting(source: WeightSource, matrices: PackedMatrix[]): WeightSource {
  return {
    matrix(spec) {
      const matrix = source.matrix(spec);
      if (matrix instanceof PackedMatrix && spec.kind !== 'embedding') matrices.push(matrix);
      return matrix;
    },
    tensor: (spec) => source.tensor(spec),
    counter: (experts) => source.counter(experts),
    constant: (shape, values) => source.constant(shape, values),
    has: (name) => source.has(name),
  };
}

function training(): void {
  const tokens = 1024;
  const ids = Int32Array.from({ length: tokens }, (_, i) => (i * 17) % definition.vocabularySize);
  const variants = packedDtypes.map((dtype) => {
    const device = openDevice();
    const arena = new Arena(device.memory);
    const matrices: PackedMatrix[] = [];
    const set = new AdapterSet(device, noting(randomBase(device, dtype), matrices), specs, config);
    set.initialize('bench');
    const network = assemble(set);
    const step = () => {
      arena.reset();
      const g = new Graph(device, arena, 'training');
      g.fill(set.gradients, 0);
      const documents = new PackedDocuments(arena, [tokens]);
      const hidden = network.forward(g, arena.integers(ids), documents.positions, documents);
      const shares = arena.floats(new Float32Array(tokens).fill(1 / tokens));
      g.linearCrossEntropy(hidden, network.head, arena.integers(ids), shares);
      g.backward();
      g.run();
    };
    const unpack = () => {
      arena.reset();
      const g = new Graph(device, arena, 'inference');
      for (const matrix of matrices) {
        const rows = arena.take([matrix.N, matrix.K]);
        matrix.gatherRows(device.commands, g.rowNumbers(matrix.N), rows, matrix.N);
        g.run();
        arena.reset();
      }
    };
    return { dtype, step, unpack, pairs: set.count };
  });
  const times = inTurns(variants.flatMap(({ step, unpack }) => [step, unpack]));
  console.log(
    `\ntraining ${(variants[0]?.pairs ?? 0).toLocaleString('en')} numbers beside ${layers} layers and a head of 4096, ${tokens} tokens a step`,
  );
  for (const [i, { dtype }] of variants.entries()) {
    const [step, unpack] = [times[2 * i] as number, times[2 * i + 1] as number];
    const share = ((100 * unpack) / step).toFixed(1);
    console.log(
      `${dtype.padEnd(6)} ${step.toFixed(0).padStart(7)} ms, ${((1000 * tokens) / step).toFixed(0).padStart(5)} tokens/s, unpacking ${unpack.toFixed(1)} ms: ${share} %`,
    );
  }
}

function serving(): void {
  const directory = mkdtempSync(join(tmpdir(), 'hadal-bench-'));
  const device = openDevice();
  {
    using set = new AdapterSet(device, randomBase(device, 'int4'), specs, config);
    for (const { value } of set.parameters)
      device.memory.write(
        value,
        normals(value.length, 1).map((x) => 0.02 * x),
      );
    writeAdapter(directory, set, { base: 'bench', dtype: 'BF16' });
  }
  console.log(`\nserving ${layers} layers, one decode step, milliseconds`);
  console.log('form   sequences     base   one adapter   four adapters');
  for (const dtype of ['bf16', 'int8'] as const) {
    const shelf = new AdapterShelf(device);
    const network = assemble(shelf.over(randomBase(device, dtype)));
    const adapters = ['a', 'b', 'c', 'd'];
    for (const key of adapters) shelf.load(key, openAdapter(directory));
    const arena = new Arena(device.memory);
    const layout = definition.cacheLayout('standard', 'f32');
    const cache = new KvCache(device, layout, 16 * pageBytes(layout));
    for (const sequences of [1, 4, 16]) {
      const step = (adapter: (row: number) => string | undefined) => () => {
        arena.reset();
        const g = new Graph(device, arena, 'inference');
        const extensions = Array.from({ length: sequences }, (_, i) => ({
          lease: { pages: [i], length: 40 },
          count: 1,
        }));
        const { memory, positions } = cache.extend(arena, extensions);
        const ids = arena.integers(new Int32Array(sequences));
        const rows = adapterRowsOf(
          extensions.map((_, row) => {
            const key = adapter(row);
            return { adapter: key === undefined ? undefined : { key, fingerprint: '' }, count: 1 };
          }),
        );
        g.withAdapters(rows, () => network.forward(g, ids, positions, memory));
        g.run();
      };
      const four = (row: number) => adapters[Math.floor((row * 4) / sequences) % 4];
      const times = inTurns([step(() => undefined), step(() => 'a'), step(four)], 41);
      const cells = times.map((ms, i) =>
        (i === 2 && sequences < 4 ? '' : ms.toFixed(2)).padStart([9, 14, 16][i] as number),
      );
      console.log(`${dtype.padEnd(6)} ${String(sequences).padStart(9)}${cells.join('')}`);
    }
  }
  rmSync(directory, { recursive: true });
}

/** Median milliseconds of each. */
function inTurns(run: readonly (() => void)[], count = turns): number[] {
  for (const each of run) each();
  const times: number[][] = run.map(() => []);
  for (let turn = 0; turn < count; turn++) {
    for (const [i, each] of run.entries()) {
      const begun = performance.now();
      each();
      times[i]?.push(performance.now() - begun);
    }
  }
  return times.map((each) => each.toSorted((a, b) => a - b)[Math.floor(each.length / 2)] as number);
}
