// What does a model lose when its weights are kept in fewer bits?
//
// Compares every run-time form with float32 on what the shipped recipe teaches: over the answers of unseen documents, the mean
// divergence KL(float32 || form) of the next-token distributions in nats, and how often both think the same token likeliest;
// and how many unseen problems are solved, greedily, task by task. Divergences see what accuracies are too coarse for. The
// forms share documents, problems and everything but the weights, so the differences between rows are what counts.
//
//     node bench/quantization.ts [CHECKPOINT] [PROBLEMS OF EACH TASK]
//
// CHECKPOINT is models/hadal-nano and PROBLEMS 100 when absent. With the former absent, results/quantization.md is written.

import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { openEngine } from '@hadal/engine/engine';
import { type Checkpoint, openCheckpoint } from '@hadal/formats/checkpoint';
import { type Device, openDevice } from '@hadal/kernels/device';
import { type LanguageModel, openModel } from '@hadal/models/language-model';
import { PackedDocuments } from '@hadal/models/layers/attention-memory';
import { openEmbeddedProvider } from '@hadal/server/embedded-provider';
import { Arena } from '@hadal/tensor/arena';
import { Graph } from '@hadal/tensor/graph';
import { type PackedDtype, packedDtypes } from '@hadal/tensor/packed-matrix';
import { documentStream } from '@hadal/training/documents';
import { evaluate } from '@hadal/training/evaluate';
import type { TrainingDocument } from '@hadal/training/packing';
import { taskNamed } from '@hadal/training/tasks/registry';
import { recipe } from '../recipes/hadal-nano.ts';

const [path, problems = '100'] = process.argv.slice(2);
const documentCount = 200;
const mixture = recipe.stages.at(-1)?.mixture ?? {};
const taskNames = Object.keys(mixture);

interface Divergence {
  /** Of answers' tokens, and nothing else. */
  positions: number;
  nats: number;
  agreements: number;
}

interface Row {
  readonly dtype: PackedDtype;
  readonly bytes: number;
  readonly divergence: Divergence;
  /** Problems solved, by task, and tokens written in all. */
  readonly solved: readonly number[];
  readonly asked: number;
}

const checkpoint = await openCheckpoint(path ?? join(import.meta.dirname, '../models/hadal-nano'));
const documents = await unseenDocuments(checkpoint);
const rows: Row[] = [];
for (const dtype of packedDtypes) {
  process.stderr.write(`${dtype}: divergence\n`);
  const { divergence, bytes } = compare(dtype);
  process.stderr.write(`${dtype}: problems\n`);
  rows.push({ dtype, bytes, divergence, ...(await solve(dtype)) });
}
const report = describe(rows);
console.log(report);
if (path === undefined) writeFileSync(join(import.meta.dirname, 'results/quantization.md'), report);

/** Of the split that training never saw, in the proportions that it saw, and short enough for the model. */
async function unseenDocuments(checkpoint: Checkpoint): Promise<TrainingDocument[]> {
  await using engine = await openEngine({ checkpoint });
  const { dialect } = await openEmbeddedProvider({ engine, checkpoint });
  const rendering = { tokenizer: engine.tokenizer, dialect };
  const stream = documentStream(mixture, 'quantization', rendering, 'assistant', 'test');
  return Array.from({ length: documentCount }, (_, i) => stream(i)).filter(
    ({ tokens }) => tokens.length <= engine.model.contextLength,
  );
}

function compare(dtype: PackedDtype): { divergence: Divergence; bytes: number } {
  using device = openDevice();
  using reference = openModel(device, checkpoint, { dtype: 'f32' });
  const before = device.memory.stats().bytesInUse;
  using model = openModel(device, checkpoint, { dtype, form: reference.form });
  const bytes = device.memory.stats().bytesInUse - before;
  using arena = new Arena(device.memory);
  const divergence: Divergence = { positions: 0, nats: 0, agreements: 0 };
  for (const document of documents) {
    const [p, q] = [reference, model].map((each) => logitsOf(device, arena, each, document));
    const V = reference.vocabularySize;
    for (const [i, weight] of document.weights.slice(1).entries()) {
      if (weight === 0) continue;
      const [expected, actual] = [p, q].map((logits) => logits!.subarray(i * V, (i + 1) * V));
      divergence.positions++;
      divergence.nats += klOf(expected!, actual!);
      if (likeliest(expected!) === likeliest(actual!)) divergence.agreements++;
    }
  }
  return { divergence, bytes };
}

/** [tokens * V], of the token after each. */
function logitsOf(device: Device, arena: Arena, model: LanguageModel, { tokens }: TrainingDocument): Float32Array {
  arena.reset();
  const g = new Graph(device, arena, 'inference');
  const memory = new PackedDocuments(arena, [tokens.length]);
  const hidden = model.forward(g, arena.integers(Int32Array.from(tokens)), memory.positions, memory);
  const logits = g.linear(hidden, model.head);
  g.run();
  const values = new Float32Array(logits.length);
  device.memory.read(logits, values);
  return values;
}

/** KL(softmax(p) || softmax(q)), in float64. */
function klOf(p: Float32Array, q: Float32Array): number {
  const [lp, lq] = [logSum(p), logSum(q)];
  return p.reduce((sum, x, i) => sum + Math.exp(x - lp) * (x - lp - (q[i]! - lq)), 0);
}

function logSum(x: Float32Array): number {
  const most = x.reduce((a, b) => Math.max(a, b));
  return most + Math.log(x.reduce((sum, value) => sum + Math.exp(value - most), 0));
}

function likeliest(x: Float32Array): number {
  return x.indexOf(x.reduce((a, b) => Math.max(a, b)));
}

async function solve(dtype: PackedDtype): Promise<{ solved: number[]; asked: number }> {
  await using engine = await openEngine({ checkpoint, dtype });
  const provider = await openEmbeddedProvider({ engine, checkpoint });
  const solved: number[] = [];
  for (const name of taskNames) {
    const options = { split: 'test', first: 0, count: Number(problems), thinking: 'mixed' } as const;
    solved.push((await evaluate({ engine, ...provider }, taskNamed(name), options)).correct);
  }
  return { solved, asked: Number(problems) };
}

function describe(rows: readonly Row[]): string {
  const percent = (part: number, whole: number) => `${((100 * part) / whole).toFixed(1)} %`;
  const head = ['', ...rows.map(({ dtype }) => dtype)];
  const lines: string[][] = [
    ['weights, MB', ...rows.map(({ bytes }) => (bytes / 1e6).toFixed(2))],
    ['mean KL, nats', ...rows.map(({ divergence: { nats, positions } }) => (nats / positions).toExponential(2))],
    ['same likeliest token', ...rows.map(({ divergence: d }) => percent(d.agreements, d.positions))],
    ['**problems solved**', ...rows.map(({ solved, asked }) => percent(total(solved), asked * solved.length))],
    ...taskNames.map((name, task) => [name, ...rows.map(({ solved, asked }) => percent(solved[task]!, asked))]),
  ];
  const table = [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`);
  const { positions } = rows[0]!.divergence;
  return `# What quantized weights lose

${checkpoint.name}, ${new Date().toISOString().slice(0, 10)}, ${cpus()[0]?.model.trim()}, ${availableParallelism()} cores.

${table.join('\n')}

Divergence from float32 over ${positions} tokens of the answers of ${documents.length} unseen documents; ${problems} unseen problems
of each task, greedily. \`npm run bench -- quantization\` repeats it.
`;
}

function total(numbers: readonly number[]): number {
  return numbers.reduce((sum, n) => sum + n, 0);
}
