// What does a rounded model lose?
//
// Reads held-out problems of every task with expert solutions through one checkpoint in each run-time form, and compares the
// distributions of the next token, at every place where the assistant speaks, with those of float32: mean Kullback-Leibler
// divergence KL(float32 || form) in nats, how often the likeliest token is the same, and the loss on what the expert says.
//
//     node bench/quantization.ts [DIRECTORY] [PROBLEMS]
//
// PROBLEMS of each task, 40 when absent; DIRECTORY is models/hadal-nano when absent. How often tasks are solved in each form
// is `hadal eval --dtype FORM`.

import { join, resolve } from 'node:path';
import { chooseDialect } from '@hadal/formats/chat/choose-dialect';
import { openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { type Device, openDevice } from '@hadal/kernels/device';
import { type LanguageModel, openModel } from '@hadal/models/language-model';
import { PackedDocuments } from '@hadal/models/layers/attention-memory';
import { Arena } from '@hadal/tensor/arena';
import { Graph } from '@hadal/tensor/graph';
import { bytesOf, type PackedDtype, packedDtypes } from '@hadal/tensor/packed-matrix';
import { problemDocument } from '@hadal/training/documents';
import type { TrainingDocument } from '@hadal/training/packing';
import { tasks } from '@hadal/training/tasks/registry';

interface Totals {
  places: number;
  divergence: number;
  agreements: number;
  loss: number;
}

const checkpoint = openCheckpointDirectory(
  resolve(process.argv[2] ?? join(import.meta.dirname, '..', 'models', 'hadal-nano')),
);
const problems = Number(process.argv[3] ?? 40);
const tokenizer = checkpoint.tokenizer();
const dialect = chooseDialect({ config: checkpoint.config(), template: checkpoint.chatTemplate(), tokenizer });

using device = openDevice();
const models = packedDtypes.map((dtype) => ({ dtype, model: openModel(device, checkpoint, { dtype }) }));
const names = tasks.map(({ name }) => name);
const totals = new Map(packedDtypes.map((dtype) => [dtype, new Map(names.map((name) => [name, noTotals()]))]));
const totalsOf = (dtype: PackedDtype, task: string) => totals.get(dtype)?.get(task) ?? noTotals();
for (const task of tasks) {
  for (let index = 0; index < problems; index++) {
    const document = problemDocument(task.generate('test', index), { tokenizer, dialect }, 'assistant');
    const rows = models.map(({ dtype, model }) => ({ dtype, logits: logitsOf(device, model, document) }));
    const exact = rows[0]?.logits as Float32Array;
    for (const { dtype, logits } of rows) compare(document, exact, logits, totalsOf(dtype, task.name));
  }
}

console.log(`${checkpoint.name}, ${problems} problems of each task, ${device.isa}, ${new Date().toISOString()}\n`);
console.log('| form | bits a weight | mean KL, nats | same first token | loss, nats |');
console.log('|---|---|---|---|---|');
for (const [dtype, byTask] of totals) {
  const all = [...byTask.values()].reduce(added, noTotals());
  const bits = (8 * bytesOf(4096, 4096, dtype)) / 4096 ** 2;
  console.log(`| ${dtype} | ${bits.toFixed(3)} | ${cells(all)} |`);
}
console.log('\n| mean KL, nats | bf16 | int8 | int4 |');
console.log('|---|---|---|---|');
for (const name of names) {
  const of = (dtype: PackedDtype) => {
    const { divergence, places } = totalsOf(dtype, name);
    return (divergence / places).toExponential(1);
  };
  console.log(`| ${name} | ${of('bf16')} | ${of('int8')} | ${of('int4')} |`);
}
for (const { model } of models) model[Symbol.dispose]();

/** Logits after every token, [tokens, vocabulary]. */
function logitsOf(on: Device, model: LanguageModel, { tokens }: TrainingDocument): Float32Array {
  using arena = new Arena(on.memory, 2 ** 24);
  const g = new Graph(on, arena, 'inference');
  const documents = new PackedDocuments(arena, [tokens.length]);
  const hidden = model.forward(g, arena.integers(Int32Array.from(tokens)), documents.positions, documents);
  const logits = g.linear(hidden, model.head);
  g.run();
  const values = new Float32Array(logits.length);
  on.memory.read(logits, values);
  return values;
}

/** Adds the places where the assistant speaks. */
function compare({ tokens, weights }: TrainingDocument, exact: Float32Array, logits: Float32Array, into: Totals): void {
  const V = logits.length / tokens.length;
  for (let i = 0; i + 1 < tokens.length; i++) {
    if (weights[i + 1] === 0) continue;
    const [p, q] = [exact, logits].map((all) => logProbabilities(all.subarray(i * V, (i + 1) * V))) as [
      Float64Array,
      Float64Array,
    ];
    into.places++;
    into.loss -= q[tokens[i + 1] as number] as number;
    into.agreements += likeliest(p) === likeliest(q) ? 1 : 0;
    into.divergence += p.reduce((sum, logP, v) => sum + Math.exp(logP) * (logP - (q[v] as number)), 0);
  }
}

function logProbabilities(row: Float32Array): Float64Array {
  const max = row.reduce((most, x) => Math.max(most, x), Number.NEGATIVE_INFINITY);
  const sum = row.reduce((total, x) => total + Math.exp(x - max), 0);
  return Float64Array.from(row, (x) => x - max - Math.log(sum));
}

function likeliest(row: Float64Array): number {
  return row.reduce((best, x, v) => (x > (row[best] as number) ? v : best), 0);
}

function noTotals(): Totals {
  return { places: 0, divergence: 0, agreements: 0, loss: 0 };
}

function added(a: Totals, b: Totals): Totals {
  return {
    places: a.places + b.places,
    divergence: a.divergence + b.divergence,
    agreements: a.agreements + b.agreements,
    loss: a.loss + b.loss,
  };
}

function cells({ places, divergence, agreements, loss }: Totals): string {
  const share = `${((100 * agreements) / places).toFixed(2)} %`;
  return `${(divergence / places).toExponential(2)} | ${share} | ${(loss / places).toFixed(4)}`;
}
