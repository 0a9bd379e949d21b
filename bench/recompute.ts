// What does it cost to compute activations again, and what is saved?
//
// Memory: the tensors of one training step over a row of 4096 tokens, by the dry device, which counts what a real one would
// allocate: hadal-nano, the shape of DeepSeek-R1-Distill-Qwen-1.5B, and what stays where nothing but one block's activations
// is left. Time: whole steps of hadal-nano over eight documents of 512 tokens, and forward and backward of a few layers as wide
// as R1-Distill-Qwen-1.5B's. Both variants take turns, so that whatever else the machine does meets both; medians.
//
//     node bench/recompute.ts [results]
//
// With `results` the table is also written to results/recompute.md.

import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { type Device, openDevice } from '@hadal/kernels/device';
import { openDryDevice } from '@hadal/kernels/dry-device';
import type { ModelDefinition } from '@hadal/models/architecture';
import { defineModel } from '@hadal/models/architectures';
import { steepIterations } from '@hadal/tensor/optimizer';
import { initialize } from '@hadal/training/initialize';
import type { PackedRow } from '@hadal/training/packing';
import { Trainer, type TrainerSettings } from '@hadal/training/trainer';
import { shapes } from './inference/shapes.ts';

const rowTokens = 4096;
const turns = 7;
const variants = ['kept', 'recomputed'] as const;
type Variant = (typeof variants)[number];

const nanoConfig = JSON.parse(readFileSync(join(import.meta.dirname, '../models/hadal-nano/config.json'), 'utf8'));
const nano = defineModel(nanoConfig, 'hadal-nano');
const distill = defineModel(shapes.qwen.config, shapes.qwen.name);
/** Few layers and words: what a layer costs is the same, and weights with their moments fit into a small machine. */
const wide = defineModel({ ...shapes.qwen.config, num_hidden_layers: 3, vocab_size: 4096 }, 'wide');

const settings: TrainerSettings = {
  optimizer: {
    adamw: { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0 },
    muon: { momentum: 0.95, weightDecay: 0, updateRms: 0.2, iterations: steepIterations },
  },
  ...{ clipNorm: 1, contextLength: rowTokens, matrices: 'adamw' },
};

function openTrainer(device: Device, definition: ModelDefinition, activations: Variant): Trainer {
  return new Trainer(device, definition, { ...settings, activations });
}

/** `count` documents that fill `tokens`, all of them supervised. */
function rowOf({ vocabularySize }: ModelDefinition, tokens: number, count: number): PackedRow {
  const length = tokens / count;
  const documents = Array.from({ length: count }, (_, d) => ({
    tokens: Array.from({ length }, (_, i) => (d * 31 + i * 17) % vocabularySize),
    weights: new Array<number>(length).fill(1),
  }));
  return { documents, tokens };
}

function step(trainer: Trainer, row: PackedRow): number {
  const begunMs = performance.now();
  const rates = { adamw: 1e-5, muon: 1e-5 };
  trainer.step(1, { rows: [row] }, { learningRates: rates, predictorWeight: 0, balanceRate: 0 });
  return (performance.now() - begunMs) / 1000;
}

function bytesOf(definition: ModelDefinition, activations: Variant): number {
  using device = openDryDevice();
  using trainer = openTrainer(device, definition, activations);
  step(trainer, rowOf(definition, rowTokens, 1));
  return trainer.arenaBytes;
}

/** Seconds of a step with each, by turns. */
function secondsOf(definition: ModelDefinition, row: PackedRow): readonly number[] {
  using device = openDevice();
  const trainers = variants.map((variant) => {
    const trainer = openTrainer(device, definition, variant);
    initialize(device, trainer.parameters, 'bench', 0.02);
    step(trainer, row);
    return trainer;
  });
  const seconds = variants.map((): number[] => []);
  for (let turn = 0; turn < turns; turn++) {
    for (const [i, trainer] of trainers.entries()) seconds[i]?.push(step(trainer, row));
  }
  for (const trainer of trainers) trainer[Symbol.dispose]();
  return seconds.map((all) => all.sort((a, b) => a - b)[turns >> 1] as number);
}

const mebibytes = (bytes: number) => Math.round(bytes / 2 ** 20).toLocaleString('en');
const rows = [
  ...[nano, distill].map((definition, i) => {
    const [kept, again] = variants.map((variant) => bytesOf(definition, variant)) as [number, number];
    const name = i === 0 ? 'hadal-nano' : shapes.qwen.name;
    return `| ${name}: tensors of a step of 4,096 tokens, MiB | ${mebibytes(kept)} | ${mebibytes(again)} | ${(again / kept).toFixed(2)} |`;
  }),
  ...(
    [
      ['hadal-nano: seconds of a step of 4,096 tokens', nano, rowOf(nano, rowTokens, 8)],
      [`3 layers of ${shapes.qwen.name}: seconds of a step of 1,024 tokens`, wide, rowOf(wide, 1024, 2)],
    ] as const
  ).map(([name, definition, row]) => {
    const [kept, again] = secondsOf(definition, row) as [number, number];
    return `| ${name} | ${kept.toFixed(2)} | ${again.toFixed(2)} | ${(again / kept).toFixed(2)} |`;
  }),
];
const machine = `${cpus()[0]?.model ?? 'unknown processor'}, ${availableParallelism()} cores`;
const table = ['| | kept | computed again | ratio |', '|---|---|---|---|', ...rows].join('\n');
console.log(`${machine}\n\n${table}`);
if (process.argv[2] === 'results') {
  const text = `# Activations, kept and computed again

${new Date().toISOString().slice(0, 10)}, ${machine}. Float32, AdamW. Medians of ${turns} turns.

${table}
`;
  writeFileSync(join(import.meta.dirname, 'results/recompute.md'), text);
}
