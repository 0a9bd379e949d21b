// One training step of a model.
//
// Owns weights, optimizer state and the arena of a step; turns a packed step into new weights and a few numbers about
// it. What is minimized is an `Objective`: whatever can be said of the log-probabilities of supervised tokens. Does not know
// where documents come from, how long the run is or where it is saved: the methods (`pretrain`, `sft`, `grpo`) are loops
// around it. Invariant: a step is a pure function of weights, state and documents, bit for bit, for any number of threads.

import type { StoredWeights } from '@hadal/formats/stored-weights';
import type { Device } from '@hadal/kernels/device';
import type { DivergenceShape, Teacher } from '@hadal/kernels/divergence';
import { fill, sumSquares } from '@hadal/kernels/elementwise';
import type { AdapterSet } from '@hadal/models/adapters/adapter-set';
import type { ModelDefinition, Network } from '@hadal/models/architecture';
import { PackedDocuments } from '@hadal/models/layers/attention-memory';
import { type Parameter, ParameterSet } from '@hadal/models/parameter-set';
import { collectSpecs, rowsOf, specKey, type WeightSource, type WeightSpec } from '@hadal/models/weight-source';
import { Arena } from '@hadal/tensor/arena';
import { Graph } from '@hadal/tensor/graph';
import type { KeptRouting, PassRouting } from '@hadal/tensor/kept-routing';
import { Optimizer, type OptimizerSettings, type OptimizerTarget } from '@hadal/tensor/optimizer';
import type { Weight } from '@hadal/tensor/packed-matrix';
import type { Tensor } from '@hadal/tensor/tensor';
import { type PackedRow, type PackedStep, splitTargets, type Targets, targets, tokensOf } from './packing.ts';

export interface TrainerSettings {
  readonly optimizer: OptimizerSettings;
  /** Largest global norm of the gradient. */
  readonly clipNorm: number;
  /** Longest document, in tokens. */
  readonly contextLength: number;
  /** What moves hidden matrices; Muon when absent. */
  readonly matrices?: 'muon' | 'adamw';
  /** Whether to train the multi-token prediction module, where the model has one; present when absent. */
  readonly predictor?: 'present' | 'absent';
  /** Whether the backward pass finds the blocks' activations or computes them again: less memory, more time. Kept when absent. */
  readonly activations?: 'kept' | 'recomputed';
}

/** What may change from step to step. */
export interface StepSettings {
  readonly learningRates: { readonly adamw: number; readonly muon: number };
  /** Weight of the multi-token prediction loss (V3 report, section 2.2); 0 leaves the module out of the step. */
  readonly predictorWeight: number;
  /** How far a router's bias moves against an expert's load (section 2.1.2). */
  readonly balanceRate: number;
}

export interface StepResult {
  /** Mean negative log-likelihood over the supervised tokens, in nats. */
  readonly loss: number;
  /** Share of the supervised tokens, by their weights, that are the likeliest in their place; of a likelihood alone. */
  readonly accuracy: number | undefined;
  readonly predictorLoss: number | undefined;
  /** Before clipping. */
  readonly gradientNorm: number;
  /** Largest load of an expert over the mean load, worst layer: 1 is perfect balance. */
  readonly imbalance: number;
  readonly supervisedTokens: number;
}

/**
 * What a step minimizes. `likelihood`: the mean negative log-likelihood of the supervised tokens. `logprobs`: any function of
 * their log-probabilities that is a sum over rows. `divergence`: the mean divergence from a teacher where they stand.
 */
export type Objective = { readonly type: 'likelihood' } | LogprobObjective | DivergenceObjective;

export interface LogprobObjective {
  readonly type: 'logprobs';
  /**
   * The loss of a row and its derivative by each log-probability. `logprobs_D_T`: for each document of the row those of its
   * supervised tokens, in nats, in order; the derivative has the same shape.
   */
  readonly ofRow: (row: number, logprobs_D_T: readonly Float32Array[]) => RowLoss;
}

export interface DivergenceObjective {
  readonly type: 'divergence';
  readonly shape: DivergenceShape;
  /** What the teacher expected in the places of a row's supervised tokens, in order: [n, K] each. */
  readonly teacherOf: (row: number) => Teacher<Int32Array, Float32Array>;
}

export interface RowLoss {
  readonly loss: number;
  readonly derivative_D_T: readonly Float32Array[];
}

/** Of the step's arena: small beside a large model's tensors, which then leave gaps for one another. */
const blockBytes = 16 * 2 ** 20;

const likelihood: Objective = { type: 'likelihood' };

/** How well supervised tokens are predicted, by their weights. */
export interface Prediction {
  /** Mean negative log-likelihood, in nats. */
  readonly loss: number;
  /** Share of them that are the likeliest in their place. */
  readonly accuracy: number;
}

/** The same of one row, to be added to others': `weight` is what the sums are to be divided by. */
export interface PredictionSums {
  readonly weight: number;
  readonly loss: number;
  readonly hits: number;
}

/** A loss that is being summed up on the device: `nll` [n] and the weights that make it a mean. */
interface RecordedLoss {
  readonly nll: Tensor;
  readonly weights: Float32Array;
}

/** With the likeliest tokens, i32 [n], in the places of the supervised ones. */
interface RecordedPrediction extends RecordedLoss {
  readonly likeliest: Tensor;
  readonly targets: Targets;
}

export class Trainer {
  /** What moves: all weights, or those of an adapter. */
  readonly parameters: ParameterSet | AdapterSet;
  readonly optimizer: Optimizer;
  readonly #device: Device;
  readonly #network: Network;
  readonly #settings: TrainerSettings;
  readonly #arena: Arena;
  readonly #results: Arena;
  readonly #norm: Tensor;

  /** Owns `adapter`, which is trained in the place of all weights. */
  constructor(device: Device, definition: ModelDefinition, settings: TrainerSettings, adapter?: AdapterSet) {
    this.#device = device;
    this.#settings = settings;
    this.#arena = new Arena(device.memory, blockBytes);
    this.#results = new Arena(device.memory, 64);
    this.#norm = this.#results.take([1]);
    const { contextLength: positions, predictor = 'present', matrices = 'muon' } = settings;
    const options = { form: definition.forms[0], positions, predictor };
    const assemble = (source: WeightSource) => definition.assemble(source, options);
    this.parameters = adapter ?? new ParameterSet(device, collectSpecs(assemble));
    this.#network = assemble(this.parameters);
    const moved =
      adapter?.optimizerTargets() ??
      this.parameters.parameters.flatMap((parameter) => optimizerTargets(parameter, matrices));
    this.optimizer = new Optimizer(device, moved, settings.optimizer);
  }

  /** Bytes of native memory that the step's tensors take. */
  get arenaBytes(): number {
    return this.#arena.bytes;
  }

  /** Starts from a checkpoint's weights. */
  load(weights: StoredWeights): void {
    this.parameters.load(weights);
  }

  /**
   * Updates the weights by one step; `number` counts from 1 over the whole run. `routing`: of other steps over the same rows, in
   * whose first one experts are chosen for all of them.
   */
  step(
    number: number,
    packed: Pick<PackedStep, 'rows'>,
    settings: StepSettings,
    objective: Objective = likelihood,
    routing?: KeptRouting,
  ): StepResult {
    const { commands } = this.#device;
    const { gradients } = this.parameters;
    const counts = supervised(packed);
    fill(commands, gradients, 0);
    let [loss, hits, predictorLoss] = [0, 0, 0];
    for (const [index, row] of packed.rows.entries()) {
      this.#arena.reset();
      const graph = this.#trainingGraph(routing?.ofPass(index));
      if (objective.type !== 'likelihood') {
        loss +=
          objective.type === 'logprobs'
            ? this.#addGradient(graph, index, row, objective)
            : this.#addDivergence(graph, row, objective.teacherOf(index), objective.shape, 1 / counts.main);
        continue;
      }
      const recorded = this.#recordRow(graph, row, counts, settings.predictorWeight);
      commands.run();
      loss += this.#sum(recorded.main);
      hits += this.#sumOfHits(recorded.main);
      if (recorded.predictor) predictorLoss += this.#sum(recorded.predictor) / settings.predictorWeight;
    }

    sumSquares(commands, gradients, this.#norm);
    commands.run();
    const gradientNorm = Math.sqrt(this.#read(this.#norm)[0] as number);
    if (!Number.isFinite(loss + gradientNorm)) {
      throw new Error(`step ${number}: expected a finite loss and gradient, got ${loss} and norm ${gradientNorm}`);
    }
    const clip = Math.min(1, this.#settings.clipNorm / (gradientNorm + 1e-6));
    // A predictor that has not begun to learn must not be decayed away before it does.
    const { predictor } = this.#network;
    const rest = (name: string) =>
      settings.predictorWeight === 0 && predictor !== undefined && name.startsWith(predictor.prefix);
    this.optimizer.step(number, settings.learningRates, clip, rest);
    commands.run();
    const imbalance = this.#balance(settings.balanceRate);
    return {
      ...{ loss, gradientNorm, imbalance, supervisedTokens: counts.main },
      accuracy: objective.type === 'likelihood' ? hits / counts.main : undefined,
      predictorLoss: settings.predictorWeight > 0 ? predictorLoss : undefined,
    };
  }

  /** How well the supervised tokens of `packed` are predicted; changes nothing. */
  evaluate(packed: Pick<PackedStep, 'rows'>): Prediction {
    return meanPrediction(packed.rows.map((row) => this.evaluateRow(row)));
  }

  evaluateRow(row: PackedRow): PredictionSums {
    const these = targets(row, 1);
    this.#arena.reset();
    const graph = new Graph(this.#device, this.#arena, 'inference');
    const { hidden } = this.#forward(graph, row);
    const recorded = this.#recordPrediction(graph, hidden, these, 1);
    graph.run();
    this.#clearLoads();
    const weight = these.weights.reduce((sum, one) => sum + one, 0);
    return { weight, loss: this.#sum(recorded), hits: this.#sumOfHits(recorded) };
  }

  /** Log-probabilities of the supervised tokens of each document of `row`, in nats; changes nothing. */
  logprobs(row: PackedRow): Float32Array[] {
    this.#arena.reset();
    const { hidden } = this.#forward(new Graph(this.#device, this.#arena, 'inference'), row);
    const logprobs = this.#logprobs(hidden, row);
    this.#clearLoads();
    return logprobs;
  }

  [Symbol.dispose](): void {
    this.optimizer[Symbol.dispose]();
    this.parameters[Symbol.dispose]();
    this.#arena[Symbol.dispose]();
    this.#results[Symbol.dispose]();
  }

  /** Forward and backward of one row, recorded; every loss is already weighted as it enters the step's objective. */
  #recordRow(graph: Graph, row: PackedRow, counts: { main: number; predictor: number }, predictorWeight: number) {
    const { predictor: module } = this.#network;
    const { hidden, documents } = this.#forward(graph, row);
    const main = this.#recordPrediction(graph, hidden, targets(row, 1), 1 / counts.main);
    let predictor: RecordedLoss | undefined;
    if (module && predictorWeight > 0) {
      const next = this.#arena.integers(tokensOf(row).following);
      const ahead = module.forward(graph, hidden, next, documents.positions, documents);
      const scale = predictorWeight / Math.max(1, counts.predictor);
      predictor = this.#recordLoss(graph, ahead, module.head, scaled(targets(row, 2), scale));
    }
    graph.backward();
    return { main, predictor };
  }

  /**
   * Forward and backward of one row, run; returns its loss. The derivative needs the log-probabilities of the whole row first:
   * with them it is a weighted likelihood, whose gradient is made with a second product of the head.
   */
  #addGradient(graph: Graph, index: number, row: PackedRow, objective: LogprobObjective): number {
    const { hidden } = this.#forward(graph, row);
    const { loss, derivative_D_T } = objective.ofRow(index, this.#logprobs(hidden, row));
    const { rows, tokens } = targets(row, 1);
    const weights = Float32Array.from(
      derivative_D_T.flatMap((values) => [...values]),
      (value) => -value,
    );
    if (weights.length !== rows.length) {
      throw new Error(`objective: expected ${rows.length} derivatives for row ${index}, got ${weights.length}`);
    }
    this.#recordLoss(graph, hidden, this.#network.head, { rows, tokens, weights });
    graph.backward();
    graph.run();
    return loss;
  }

  /** The same for the divergence from a teacher. */
  #addDivergence(
    graph: Graph,
    row: PackedRow,
    teacher: Teacher<Int32Array, Float32Array>,
    shape: DivergenceShape,
    scale: number,
  ): number {
    const { hidden } = this.#forward(graph, row);
    const { rows, weights } = scaled(targets(row, 1), scale);
    if (rows.length === 0) return 0;
    const K = teacher.ids.length / rows.length;
    const place = {
      ids: this.#arena.integers(teacher.ids, [rows.length, K]),
      logprobs: this.#arena.floats(teacher.logprobs, [rows.length, K]),
    };
    const chosen = graph.embedding(hidden, this.#arena.integers(rows));
    const losses = graph.linearDivergence(chosen, this.#network.head, place, this.#arena.floats(weights), shape);
    graph.backward();
    graph.run();
    return this.#sum({ nll: losses, weights });
  }

  #trainingGraph(routing: PassRouting | undefined): Graph {
    const { activations = 'kept' } = this.#settings;
    return new Graph(this.#device, this.#arena, activations === 'kept' ? 'training' : 'recomputing', routing);
  }

  #forward(graph: Graph, row: PackedRow): { hidden: Tensor; documents: PackedDocuments } {
    const { ids, lengths } = tokensOf(row);
    const documents = new PackedDocuments(this.#arena, lengths);
    const hidden = this.#network.forward(graph, this.#arena.integers(ids), documents.positions, documents);
    return { hidden, documents };
  }

  /** Runs what has been recorded, and reads the log-probabilities of the supervised tokens, document by document. */
  #logprobs(hidden: Tensor, row: PackedRow): Float32Array[] {
    const mark = this.#arena.mark();
    const graph = new Graph(this.#device, this.#arena, 'inference');
    const recorded = this.#recordLoss(graph, hidden, this.#network.head, targets(row, 1));
    graph.run();
    const nll = this.#read(recorded.nll);
    this.#arena.rewind(mark);
    return splitTargets(
      row,
      nll.map((value) => -value),
    );
  }

  /** Logits are made for supervised rows only: in a conversation that is less than half of them. */
  #recordLoss(graph: Graph, hidden: Tensor, head: Weight, these: Targets, likeliest?: Tensor): RecordedLoss {
    const { rows, tokens, weights } = these;
    if (rows.length === 0) return { nll: this.#arena.take([0]), weights };
    const chosen = graph.embedding(hidden, this.#arena.integers(rows));
    const [ids, shares] = [this.#arena.integers(tokens), this.#arena.floats(weights)];
    return { nll: graph.linearCrossEntropy(chosen, head, ids, shares, likeliest), weights };
  }

  /** `scale`: of the weights in the loss. */
  #recordPrediction(graph: Graph, hidden: Tensor, these: Targets, scale: number): RecordedPrediction {
    const likeliest = this.#arena.take([these.rows.length], 'i32');
    const recorded = this.#recordLoss(graph, hidden, this.#network.head, scaled(these, scale), likeliest);
    return { ...recorded, likeliest, targets: these };
  }

  /** What only looked must not count as load. */
  #clearLoads(): void {
    for (const { counts } of this.#network.routers) this.#device.memory.write(counts, new Int32Array(counts.length));
  }

  #sum({ nll, weights }: RecordedLoss): number {
    const values = this.#read(nll);
    return values.reduce((sum, value, i) => sum + value * (weights[i] as number), 0);
  }

  #sumOfHits({ likeliest, targets: { tokens, weights } }: RecordedPrediction): number {
    const ids = new Int32Array(tokens.length);
    if (ids.length > 0) this.#device.memory.read(likeliest, ids);
    return weights.reduce((sum, weight, i) => sum + (ids[i] === tokens[i] ? weight : 0), 0);
  }

  #read(tensor: Tensor): Float32Array {
    const values = new Float32Array(tensor.length);
    if (values.length > 0) this.#device.memory.read(tensor, values);
    return values;
  }

  /**
   * Moves each router's bias by `rate` towards an even load, and clears the counts. Outside the tape: the bias steers
   * the choice of experts without a gradient (Wang et al. 2024, arXiv 2408.15664).
   */
  #balance(rate: number): number {
    let worst = 0;
    for (const { counts, bias } of this.#network.routers) {
      const load = new Int32Array(counts.length);
      this.#device.memory.read(counts, load);
      const total = load.reduce((sum, n) => sum + n, 0);
      // A module that took no part in the step has nothing to balance.
      if (total === 0) continue;
      const mean = total / load.length;
      worst = Math.max(worst, Math.max(...load) / mean);
      if (bias) {
        const moved = this.#read(bias).map((value, e) => value + rate * Math.sign(mean - (load[e] as number)));
        this.#device.memory.write(bias, moved);
      }
      this.#device.memory.write(counts, new Int32Array(counts.length));
    }
    return worst;
  }
}

export function meanPrediction(rows: readonly PredictionSums[]): Prediction {
  const total = (of: keyof PredictionSums) => rows.reduce((sum, row) => sum + row[of], 0);
  if (total('weight') === 0) throw new Error('expected at least one supervised token');
  return { loss: total('loss') / total('weight'), accuracy: total('hits') / total('weight') };
}

function scaled(these: Targets, factor: number): Targets {
  return { ...these, weights: these.weights.map((weight) => weight * factor) };
}

/** Supervised tokens of all rows, by what predicts them. */
function supervised(packed: Pick<PackedStep, 'rows'>): { main: number; predictor: number } {
  const total = (ahead: number) =>
    packed.rows.reduce((sum, row) => sum + targets(row, ahead).weights.reduce((s, w) => s + w, 0), 0);
  const main = total(1);
  if (main === 0) throw new Error('a training step needs at least one supervised token');
  return { main, predictor: total(2) };
}

/** Muon moves hidden matrices, AdamW the rest, as in DeepSeek-V4; the router's bias moves by load alone. */
function optimizerTargets({ spec, value }: Parameter, matrices: 'muon' | 'adamw'): OptimizerTarget[] {
  const common = { name: specKey(spec), value };
  switch (spec.kind) {
    case 'routerBias':
    case 'table':
      return [];
    case 'matrix':
    case 'pooling':
    case 'experts':
      if (matrices === 'muon') return muonTargets(spec, value);
      return [{ ...common, method: 'adamw', rows: value.rows, cols: value.dim(-1), decays: true }];
    case 'head':
    case 'router':
    case 'mixer':
    case 'embedding':
      return [{ ...common, method: 'adamw', rows: value.rows, cols: value.dim(-1), decays: true }];
    case 'norm':
    case 'bias':
      return [{ ...common, method: 'adamw', rows: 1, cols: value.length, decays: false }];
  }
}

/**
 * Each part is a matrix of its own: gate and up projections are fused in memory, not in meaning. Parts of one size are
 * one target, as matrices that lie one after another; query, key and value projections may differ and are one each.
 */
function muonTargets(spec: WeightSpec, value: Tensor): OptimizerTarget[] {
  const cols = value.dim(-1);
  const target = (name: string, part: Tensor, rows: number): OptimizerTarget[] => [
    { name, value: part, method: 'muon', rows, cols, decays: true },
  ];
  const rows = spec.parts.map(rowsOf);
  if (rows.every((count) => count === rows[0])) return target(specKey(spec), value, rows[0] as number);
  let begin = 0;
  return spec.parts.flatMap((part, i) => {
    const count = rows[i] as number;
    begin += count;
    return target(`${specKey(spec)}/${part.name}`, value.slice(begin - count, count), count);
  });
}
