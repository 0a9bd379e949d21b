// Hadal's side of the comparison of LoRA: what a job with an adapter does, on random weights.
//
//     node bench/lora/hadal.ts DIRECTORY f32|bf16|int8|int4 kept|recomputed
//
// Reads the `work.json` of a directory that bench/lora.ts wrote; prints a line of JSON, as peers/train_peft.py does. A process for
// each measurement, because the largest resident memory is the process's.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openDevice } from '@hadal/kernels/device';
import { AdapterSet } from '@hadal/models/adapters/adapter-set';
import { defineModel } from '@hadal/models/architectures';
import { packedDtypeOf } from '@hadal/models/run-time-weights';
import { collectSpecs } from '@hadal/models/weight-source';
import { steepIterations } from '@hadal/tensor/optimizer';
import type { PackedDtype } from '@hadal/tensor/packed-matrix';
import { jobRowTokens, packDocuments } from '@hadal/training/packing';
import { Trainer, type TrainerSettings } from '@hadal/training/trainer';
import { RandomWeights } from '../inference/random-weights.ts';
import type { LoraAnswer, LoraWork } from '../lora.ts';

const [directory, dtype, activations] = process.argv.slice(2) as [string, PackedDtype, 'kept' | 'recomputed'];
const work = JSON.parse(readFileSync(join(directory, 'work.json'), 'utf8')) as LoraWork;
const { config, threads, rank, alpha, documents, steps } = work;

using device = openDevice({ threads });
const definition = defineModel(config, 'bench/lora');
const contextLength = Math.max(...documents.map((ids) => ids.length));
const options = { form: definition.forms[0], positions: contextLength, predictor: 'absent' } as const;
const base = new RandomWeights(device, (kind) => packedDtypeOf(kind, dtype), definition.activeShare);
const specs = collectSpecs((source) => definition.assemble(source, options), base.has);
const adapter = new AdapterSet(device, base, specs, { rank, alpha, targets: 'all-linear', scaling: 'byRank' });
adapter.initialize('bench/lora');
const settings: TrainerSettings = {
  optimizer: {
    adamw: { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0 },
    muon: { momentum: 0.95, weightDecay: 0, updateRms: 0.2, iterations: steepIterations },
  },
  ...{ clipNorm: 1, contextLength, matrices: 'adamw', predictor: 'absent' },
  activations,
};
using trainer = new Trainer(device, definition, settings, adapter);
const { rows } = packDocuments(
  documents.map((tokens) => ({ tokens, weights: tokens.map(() => 1) })),
  jobRowTokens,
);
const loadedBytes = peakBytes();

const [wall, cpu, losses] = [[] as number[], [] as number[], [] as number[]];
for (let step = 1; step <= steps; step++) {
  const [begun, cpuBegun] = [performance.now(), process.cpuUsage()];
  const rates = { learningRates: { adamw: 1e-4, muon: 1e-4 }, predictorWeight: 0, balanceRate: 0 };
  losses.push(trainer.step(step, { rows }, rates).loss);
  const { user, system } = process.cpuUsage(cpuBegun);
  wall.push((performance.now() - begun) / 1000);
  cpu.push((user + system) / 1e6);
}
const answer: LoraAnswer = {
  ...{ wall, cpu, losses, trained: adapter.count, versions: '', loadedBytes, peakBytes: peakBytes() },
};
console.log(JSON.stringify(answer));

function peakBytes(): number {
  return process.resourceUsage().maxRSS * 1024;
}
