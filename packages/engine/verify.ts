// A checkpoint against reference values.
//
// Owns the comparison of everything `golden.safetensors` holds with what this engine and this trainer compute from the
// checkpoint beside it: hidden states, logits, single decode steps, greedy tokens, loss, gradients, multi-token
// prediction. Computes everything in float32, because that is how the reference was made.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Checkpoint } from '@hadal/formats/checkpoint';
import { openSafetensors, type Safetensors } from '@hadal/formats/safetensors';
import type { Device } from '@hadal/kernels/device';
import type { ModelDefinition, Network, Predictor } from '@hadal/models/architecture';
import { type LanguageModel, openModel, openWeights, readDefinition } from '@hadal/models/language-model';
import { PackedDocuments } from '@hadal/models/layers/attention-memory';
import { ParameterSet } from '@hadal/models/parameter-set';
import { collectSpecs, type WeightSource } from '@hadal/models/weight-source';
import { Arena } from '@hadal/tensor/arena';
import { Graph } from '@hadal/tensor/graph';
import { Tensor } from '@hadal/tensor/tensor';
import { KvCache, pageBytes } from './kv-cache.ts';

export interface Comparison {
  readonly name: string;
  /** Largest absolute difference; of gradients, as a share of the largest gradient of all; of tokens, how many differ. */
  readonly difference: number;
  readonly tolerance: number;
}

const tolerance = 1e-4;

/** Prompt and completion lengths that the goldens' `greedy_ids` were made with: 8 tokens given, the rest generated. */
const greedyPrompt = 8;

/** Compares all that the golden file has; throws one line when there is no such file or no such model. */
export function verifyCheckpoint(device: Device, checkpoint: Checkpoint): Comparison[] {
  const definition = readDefinition(checkpoint);
  const path = join(checkpoint.directory, 'golden.safetensors');
  if (!existsSync(path))
    throw new Error(`${checkpoint.path}: expected golden.safetensors beside the checkpoint, found none`);
  const golden = openSafetensors(path);
  return [
    ...compareForward(device, checkpoint, definition, golden),
    ...definition.forms.flatMap((form) => {
      using model = openModel(device, checkpoint, { dtype: 'f32', form });
      return compareInference(device, model, golden);
    }),
  ];
}

export function passes({ difference, tolerance }: Comparison): boolean {
  return difference <= tolerance;
}

/** What one pass over the documents yields, without a cache; backward too where the golden has a loss. */
function compareForward(
  device: Device,
  checkpoint: Checkpoint,
  definition: ModelDefinition,
  golden: Safetensors,
): Comparison[] {
  const kind = golden.tensors.has('loss') ? 'training' : 'inference';
  if (kind === 'inference' && !golden.tensors.has('hidden_states')) return [];
  const ids = integers(golden, 'input_ids');
  const [B, T] = ids.shape as [number, number];
  const predictor = golden.tensors.has('mtp_logits') ? 'present' : 'absent';
  const assemble = (source: WeightSource) =>
    definition.assemble(source, { form: definition.forms[0], positions: T, predictor });
  const weights = openWeights(checkpoint);
  using parameters = new ParameterSet(device, collectSpecs(assemble, weights.has));
  parameters.load(weights);
  using arena = new Arena(device.memory);
  const network = assemble(parameters);

  const graph = new Graph(device, arena, kind);
  graph.fill(parameters.gradients, 0);
  const documents = new PackedDocuments(arena, Array<number>(B).fill(T));
  const states: Tensor[] = [];
  const observe = (x: Tensor) => states.push(copyOf(graph, x));
  const hidden = network.forward(graph, arena.integers(ids.values), documents.positions, documents, observe);
  states.push(copyOf(graph, hidden));
  const logits = new Graph(device, arena, 'inference').linear(hidden, network.head);
  const results: Comparison[] = [];
  const compare = (name: string, actual: Float32Array) => {
    if (golden.tensors.has(name)) results.push(compareTo(golden, name, name, actual));
  };
  const loss = kind === 'training' ? recordLoss(graph, network, hidden, ids.values, T) : undefined;
  graph.run();
  compare('hidden_states', concatenate(states.map((state) => read(device, state))));
  compare('logits', read(device, logits));
  if (loss) {
    compare('loss', Float32Array.of(loss()));
    results.push(...compareGradients(parameters, golden));
  }
  if (predictor === 'present') {
    compare('mtp_logits', predictorLogits(device, arena, network.predictor, hidden, ids.values, B, T));
  }
  return results;
}

/** Records the mean loss of every next token in rows of T, and its gradients. Returns how to read it after the run. */
function recordLoss(graph: Graph, { head }: Network, hidden: Tensor, ids: Int32Array, T: number): () => number {
  if (!(head instanceof Tensor)) throw new Error('a parameter set holds plain tensors');
  const { arena } = graph;
  const labels = ids.map((_, i) => ((i + 1) % T === 0 ? -1 : (ids[i + 1] as number)));
  const share = 1 / labels.filter((label) => label !== -1).length;
  const weights = arena.floats(new Float32Array(labels.length).fill(share));
  const nll = graph.linearCrossEntropy(hidden, head, arena.integers(labels), weights);
  graph.backward();
  return () => read(graph.device, nll).reduce((sum, value, i) => (labels[i] === -1 ? sum : sum + value * share), 0);
}

/** The tolerance of gradients is a share of the largest of all: a small one is a difference of large ones. */
function compareGradients(parameters: ParameterSet, golden: Safetensors): Comparison[] {
  const names = [...golden.tensors.keys()].filter((name) => name.startsWith('grad.'));
  const ours = new Map(parameters.gradientTensors().map(({ name, read: values }) => [`grad.${name}`, values]));
  const largest = Math.max(...names.map((name) => maxMagnitude(golden.readFloat32(name))));
  return names.map((name) => {
    const actual = ours.get(name)?.();
    if (!actual) throw new Error(`${name}: the golden has a gradient of a weight that the model does not have`);
    const { difference } = compareTo(golden, name, name, actual);
    return { name, difference: difference / largest, tolerance };
  });
}

/** Logits for the token after the next: the last position of each row has no next token to read and is left out. */
function predictorLogits(
  device: Device,
  arena: Arena,
  predictor: Predictor | undefined,
  hidden: Tensor,
  ids: Int32Array,
  B: number,
  T: number,
): Float32Array {
  if (!predictor) throw new Error('the golden has mtp_logits, the model has no multi-token prediction module');
  const kept = Int32Array.from({ length: B * (T - 1) }, (_, i) => Math.floor(i / (T - 1)) * T + (i % (T - 1)));
  const g = new Graph(device, arena, 'inference');
  const documents = new PackedDocuments(arena, Array<number>(B).fill(T - 1));
  const here = g.embedding(hidden, arena.integers(kept));
  const next = arena.integers(kept.map((row) => ids[row + 1] as number));
  const logits = g.linear(predictor.forward(g, here, next, documents.positions, documents), predictor.head);
  g.run();
  return read(device, logits);
}

/** The whole prompt at once, the last tokens one by one, and greedy generation, through the cache. */
function compareInference(device: Device, model: LanguageModel, golden: Safetensors): Comparison[] {
  const ids = integers(golden, 'input_ids');
  const [B, T] = ids.shape as [number, number];
  const rows = Array.from({ length: B }, (_, b) => ids.values.subarray(b * T, (b + 1) * T));
  const results: Comparison[] = [];
  const name = (what: string) => `${what} (${model.form})`;

  const whole = rows.map((row) => withSequence(device, model, row.length, (feed) => feed(row)));
  results.push(compareTo(golden, 'logits', name('logits'), concatenate(whole)));
  if (golden.tensors.has('decode_logits')) {
    const steps = golden.tensors.get('decode_logits')?.shape[1] as number;
    const decoded = rows.map((row) =>
      withSequence(device, model, row.length, (feed) => {
        feed(row.subarray(0, T - steps));
        const singles = Array.from({ length: steps }, (_, i) => feed(row.subarray(T - steps + i, T - steps + i + 1)));
        return concatenate(singles);
      }),
    );
    results.push(compareTo(golden, 'decode_logits', name('decode_logits'), concatenate(decoded)));
  }
  if (golden.tensors.has('greedy_ids')) {
    const expected = integers(golden, 'greedy_ids').values;
    const prompt = expected.subarray(0, greedyPrompt);
    const generated = withSequence(device, model, expected.length, (feed) => {
      const tokens = [...prompt];
      let logits = feed(prompt);
      while (tokens.length < expected.length) {
        const last = logits.subarray(logits.length - model.vocabularySize);
        tokens.push(last.indexOf(last.reduce((most, x) => Math.max(most, x))));
        logits = feed(Int32Array.of(tokens.at(-1) as number));
      }
      return tokens;
    });
    const difference = generated.filter((id, i) => id !== expected[i]).length;
    results.push({ name: name('greedy_ids'), difference, tolerance: 0 });
  }
  return results;
}

/** Runs `use` with a function that feeds tokens to one fresh sequence and returns the logits of each, [tokens * V]. */
function withSequence<T>(
  device: Device,
  model: LanguageModel,
  tokens: number,
  use: (feed: (ids: Int32Array) => Float32Array) => T,
): T {
  using arena = new Arena(device.memory, 2 ** 20);
  using cache = new KvCache(device, model.cache, Math.ceil(tokens / 64) * pageBytes(model.cache));
  const lease = { pages: Array.from({ length: cache.pageCount }, (_, page) => page), length: 0 };
  return use((ids) => {
    arena.reset();
    const g = new Graph(device, arena, 'inference');
    const { memory, positions } = cache.extend(arena, [{ lease, count: ids.length }]);
    const logits = g.linear(model.forward(g, arena.integers(ids), positions, memory), model.head);
    g.run();
    lease.length += ids.length;
    return read(device, logits);
  });
}

function compareTo(golden: Safetensors, key: string, name: string, actual: Float32Array): Comparison {
  const expected = golden.readFloat32(key);
  if (expected.length !== actual.length) {
    throw new Error(`${key}: the golden has ${expected.length} values, the model made ${actual.length}`);
  }
  const difference = expected.reduce((most, value, i) => worse(most, Math.abs(value - (actual[i] as number))), 0);
  return { name, difference, tolerance };
}

/** Math.max, but not-a-number is worse than anything. */
function worse(a: number, b: number): number {
  return Number.isNaN(b) ? Number.POSITIVE_INFINITY : Math.max(a, b);
}

function maxMagnitude(values: Float32Array): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

function integers(file: Safetensors, name: string): { values: Int32Array; shape: readonly number[] } {
  const entry = file.tensors.get(name);
  if (!entry) throw new Error(`${file.path}: expected a tensor ${name}, found none`);
  const values = Int32Array.from(new BigInt64Array(file.read(name).buffer), Number);
  return { values, shape: entry.shape };
}

function copyOf(g: Graph, x: Tensor): Tensor {
  const copy = g.arena.take(x.shape);
  g.copy(x, copy);
  return copy;
}

function read(device: Device, tensor: Tensor): Float32Array {
  const values = new Float32Array(tensor.length);
  device.memory.read(tensor, values);
  return values;
}

function concatenate(arrays: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(arrays.reduce((sum, array) => sum + array.length, 0));
  let offset = 0;
  for (const array of arrays) {
    whole.set(array, offset);
    offset += array.length;
  }
  return whole;
}
