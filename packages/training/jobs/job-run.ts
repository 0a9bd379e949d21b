// A job being carried out.
//
// Owns what every method of training needs while it runs: the model with its trainer, the place in the work, and the bookkeeping
// around every step: metrics, states to go on from, checkpoints to be served. The methods are loops that hand it updates.
// Invariant: a job that is killed and opened again ends with the same weights, bit for bit.

import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { type Checkpoint, openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { replaceFile } from '@hadal/formats/replace-file';
import { openSafetensors, writeSafetensors } from '@hadal/formats/safetensors';
import { storedWeights } from '@hadal/formats/stored-weights';
import type { Tokenizer } from '@hadal/formats/tokenizer';
import { type Device, openDevice } from '@hadal/kernels/device';
import { openAdapter, writeAdapter } from '@hadal/models/adapters/adapter-files';
import { AdapterSet } from '@hadal/models/adapters/adapter-set';
import type { ModelDefinition } from '@hadal/models/architecture';
import { CheckpointWeights } from '@hadal/models/checkpoint-weights';
import { readStopTokens } from '@hadal/models/generation-config';
import { holdingsOf, openWeights, readDefinition, runTimeDtype } from '@hadal/models/language-model';
import { ParameterSet } from '@hadal/models/parameter-set';
import { collectSpecs } from '@hadal/models/weight-source';
import type { TrainingMethod, TrainingOrder } from '@hadal/protocol/training-order';
import type { KeptRouting } from '@hadal/tensor/kept-routing';
import { steepIterations } from '@hadal/tensor/optimizer';
import type { Candidate } from '../exchange.ts';
import type { PackedRow } from '../packing.ts';
import { ReferencePolicy } from '../reference-policy.ts';
import { RolloutEngine } from '../rollout-engine.ts';
import { type Schedule, scheduleFactor } from '../schedule.ts';
import {
  meanPrediction,
  type Objective,
  type Prediction,
  type PredictionSums,
  type StepResult,
  Trainer,
  type TrainerSettings,
} from '../trainer.ts';
import { readTrainerFiles, writeTrainerFiles } from '../trainer-files.ts';
import type { Renderer } from './conversation-documents.ts';
import { exportCheckpoint } from './export-checkpoint.ts';
import { rendererOf } from './job-data.ts';
import { type JobDirectory, type JobPosition, jobStart } from './job-directory.ts';
import { JobFailure } from './job-failure.ts';
import { checkpointInterval, type EpochPlan, epochPlan } from './plans.ts';

/** What a method has decided when it knows its data. */
export interface JobPlan {
  readonly epochs: number;
  readonly batchSize: number;
  readonly learningRateMultiplier: number;
  readonly schedule: Schedule;
  /** Steps between checkpoints that are served. */
  readonly checkpointSteps: number;
  readonly more?: Readonly<Record<string, number | string>>;
}

export interface JobRunOptions {
  /** Finishes the step at hand, saves and stops. */
  readonly signal?: AbortSignal | undefined;
  /** How much work a power cut may cost. */
  readonly saveSeconds?: number;
}

/** Longer documents than this are cut; a step's memory grows with them. */
const longestContext = 32_768;

export class JobRun implements Disposable {
  readonly directory: JobDirectory;
  readonly order: TrainingOrder;
  readonly base: Checkpoint;
  readonly definition: ModelDefinition;
  readonly device: Device;
  readonly trainer: Trainer;
  readonly tokenizer: Tokenizer;
  /** The policy: the weights in training, as an engine and how it is talked to. */
  readonly candidate: Candidate;
  readonly contextLength: number;
  readonly #options: JobRunOptions;
  /** Weights that do not move: below an adapter, or the reference's own. */
  readonly #base: CheckpointWeights | undefined;
  #frozen: ParameterSet | CheckpointWeights | undefined;
  /** Of an adapter that is trained further, how it was. */
  #startingAdapter: AdapterSet | undefined;
  #reference: ReferencePolicy | undefined;
  #engine: RolloutEngine | undefined;
  #plan: JobPlan | undefined;
  readonly #results = new Set<string>();
  #savedMs = performance.now();
  /** When the step at hand began. */
  #begunMs = performance.now();
  /** Up to when the time of the job is in its position. */
  #countedMs = performance.now();

  constructor(directory: JobDirectory, options: JobRunOptions = {}) {
    this.directory = directory;
    this.order = directory.order;
    this.#options = options;
    const { model, threads } = this.order;
    this.base = openCheckpointDirectory(model.directory);
    this.definition = readDefinition(this.base);
    this.contextLength = trainedContext(this.definition);
    this.device = openDevice(threads === undefined ? {} : { threads });
    const { adapter } = this.order;
    if (adapter) {
      const stored = openWeights(this.base);
      this.#base = new CheckpointWeights(this.device, stored, { dtype: runTimeDtype(this.base, adapter.baseDtype) });
      this.#frozen = this.#base;
    }
    this.trainer = new Trainer(
      this.device,
      this.definition,
      trainerSettings(this.base, this.order),
      this.#openAdapter(),
    );
    const { tokenizer, dialect } = rendererOf(this.base);
    this.tokenizer = tokenizer;
    const engine = () => this.#openEngine();
    this.candidate = {
      // Opened when first asked: not every method asks the policy.
      get engine() {
        return engine();
      },
      ...{ dialect, stopTokens: readStopTokens(this.base, dialect, tokenizer) },
    };
  }

  /** How the model is talked to. */
  get renderer(): Renderer {
    return { tokenizer: this.tokenizer, dialect: this.candidate.dialect };
  }

  /** The base's weights, or those of the last state; where to go on. */
  start(): JobPosition {
    const state = this.directory.state();
    if (state) readTrainerFiles(state.directory, this.device, this.trainer);
    else if (this.trainer.parameters instanceof ParameterSet) this.trainer.load(openWeights(this.base));
    else this.#initialize(this.trainer.parameters);
    const millions = (this.trainer.parameters.count / 1e6).toFixed(1);
    const place = state ? `going on after step ${state.position.step}` : 'starting';
    this.note(
      `${this.order.model.name}: ${millions} million weights in training, ${this.device.threads} threads; ${place}`,
    );
    return state?.position ?? jobStart;
  }

  /** Says how the work is divided, once and after every start. */
  settle(plan: JobPlan): void {
    this.#plan = plan;
    const { epochs, batchSize, learningRateMultiplier, schedule, more = {} } = plan;
    this.directory.note({ type: 'settled', epochs, batchSize, learningRateMultiplier, steps: schedule.steps, more });
  }

  /** `settle` for a method that goes through `rows` documents epoch by epoch, at a rate that falls to zero. */
  settleEpochs(
    method: Pick<TrainingMethod, 'epochs' | 'batchSize' | 'learningRateMultiplier'>,
    rows: number,
    more: JobPlan['more'] = {},
  ): EpochPlan {
    const plan = epochPlan(method, rows);
    const { steps, epochs } = plan;
    this.settle({
      ...{ ...plan, more, checkpointSteps: checkpointInterval(this.order, steps / epochs) },
      schedule: { steps, warmupSteps: Math.min(50, Math.ceil(steps / 20)), decayShare: 1 },
    });
    return plan;
  }

  /** Whether there is a next step to make. Throws where there is no time for it. */
  goesOn(at: JobPosition): boolean {
    this.checkTime(at);
    this.#begunMs = performance.now();
    return !this.isDone(at) && !this.isStopping;
  }

  /** Throws where the job has had all its time; what it has learned by then is written first. */
  checkTime(at: JobPosition): void {
    const { maxSeconds } = this.order;
    const seconds = this.#secondsOf(at);
    if (maxSeconds === undefined || seconds < maxSeconds || this.isDone(at)) return;
    // One of this very step may be there, and be answering.
    if (at.step > 0 && !(this.#plan && this.isCheckpoint(at.step))) this.writeCheckpoint(at, {});
    const took = Math.floor(seconds);
    throw new JobFailure('time_limit', `The job took ${took} seconds, ${maxSeconds} are allowed`, 'method');
  }

  /** `at` with all the time that the job has taken. */
  timed(at: JobPosition): JobPosition {
    const seconds = this.#secondsOf(at);
    this.#countedMs = performance.now();
    return { ...at, seconds };
  }

  /** All that it has taken: what comes before the first step, and saving between steps, too. */
  #secondsOf(at: JobPosition): number {
    return at.seconds + (performance.now() - this.#countedMs) / 1000;
  }

  /** Whether all steps are made; not before it is known how many they are. */
  isDone({ step }: JobPosition): boolean {
    return this.#plan !== undefined && step >= this.#plan.schedule.steps;
  }

  /** Whether a checkpoint is to be served after `step`. */
  isCheckpoint(step: number): boolean {
    const { checkpointSteps, schedule } = this.#planned;
    return step % checkpointSteps === 0 || step === schedule.steps;
  }

  /** The rate of a step's updates; `step` counts from 1. */
  learningRate(step: number): number {
    const { learningRateMultiplier, schedule } = this.#planned;
    return baseLearningRate(this.#width) * learningRateMultiplier * scheduleFactor(schedule, step);
  }

  /** Moves the weights once. */
  update(at: JobPosition, rows: readonly PackedRow[], objective?: Objective, routing?: KeptRouting): StepResult {
    const rate = this.learningRate(at.step + 1);
    const settings = { learningRates: { adamw: rate, muon: rate }, predictorWeight: 0, balanceRate: 0 };
    return this.trainer.step(at.update + 1, { rows }, settings, objective, routing);
  }

  /**
   * How well `rows` are predicted; row by row, so that signals are heard meanwhile. Undefined where the job is then to stop, or has no
   * time left.
   */
  async measure(at: JobPosition, rows: readonly PackedRow[]): Promise<Prediction | undefined> {
    const sums: PredictionSums[] = [];
    for (const row of rows) {
      await setImmediate();
      if (this.isStopping || this.#secondsOf(at) > (this.order.maxSeconds ?? Infinity)) return undefined;
      sums.push(this.trainer.evaluateRow(row));
    }
    return meanPrediction(sums);
  }

  /** Closes a step, whose time `next` lacks: notes what was measured, and saves where that is due. */
  async finishStep(next: JobPosition, data: Readonly<Record<string, number>>): Promise<JobPosition> {
    const took = (performance.now() - this.#begunMs) / 1000;
    const at = this.timed(next);
    const finite = Object.fromEntries(Object.entries(data).filter(([, value]) => Number.isFinite(value)));
    this.directory.note({
      type: 'metrics',
      step: at.step,
      data: { ...finite, learning_rate: this.learningRate(at.step), step_seconds: took },
    });
    const isCheckpoint = this.isCheckpoint(at.step);
    if (isCheckpoint) this.writeCheckpoint(at, finite);
    const saveMs = 1000 * (this.#options.saveSeconds ?? 300);
    if (isCheckpoint || performance.now() - this.#savedMs > saveMs) this.save(at);
    // Lets signals and timers be heard between steps.
    await setImmediate();
    return at;
  }

  /** The policy that divergences are measured from: what the job began with, or what was trained at `step`. */
  openReference(step: number): ReferencePolicy {
    const { device, definition, contextLength } = this;
    if (this.order.adapter?.continues !== undefined && !this.#startingAdapter) {
      this.#startingAdapter = this.#openAdapter() as AdapterSet;
      this.#initialize(this.#startingAdapter);
    }
    if (!this.#frozen) {
      const options = { form: definition.forms[0], positions: contextLength, predictor: 'absent' } as const;
      const copy = new ParameterSet(
        device,
        collectSpecs((source) => definition.assemble(source, options)),
        'frozen',
      );
      const saved = this.directory.atState(referenceName(step));
      copy.load(step === 0 ? openWeights(this.base) : storedWeights(openSafetensors(saved)));
      this.#frozen = copy;
    }
    this.#reference ??= new ReferencePolicy(device, definition, contextLength, this.#startingAdapter ?? this.#frozen);
    return this.#reference;
  }

  /** Makes the present weights the reference, and keeps them: a job that goes on needs them again. */
  renewReference(at: JobPosition): void {
    const { parameters } = this.trainer;
    if (!(this.#frozen instanceof ParameterSet) || !(parameters instanceof ParameterSet)) {
      throw new Error('reference: expected all weights in training, an adapter measures from its base');
    }
    this.#frozen.copyFrom(parameters);
    mkdirSync(this.directory.atState(), { recursive: true });
    writeSafetensors(this.directory.atState(referenceName(at.step)), parameters.tensors('F32'));
    const before = this.directory.state()?.position.referenceStep ?? 0;
    this.save(at);
    if (before > 0 && before !== at.step) rmSync(this.directory.atState(referenceName(before)), { force: true });
  }

  /** Measurements beside those of a step's end. */
  noteMeasures(step: number, data: Readonly<Record<string, number>>): void {
    this.directory.note({ type: 'metrics', step, data });
  }

  /** Keeps a step's rollouts, a JSON line each. */
  noteRollouts(step: number, lines: readonly object[]): void {
    const file = `rollouts/step-${String(step).padStart(6, '0')}.jsonl`;
    mkdirSync(this.directory.at('rollouts'), { recursive: true });
    replaceFile(this.directory.at(file), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    this.directory.note({ type: 'rollouts', step, file });
  }

  /** Brings the policy's engine up to the weights. */
  refreshEngine(): void {
    this.#engine?.refresh();
  }

  save(at: JobPosition): void {
    this.directory.saveState(at, (path) => writeTrainerFiles(path, this.device, this.trainer));
    this.#savedMs = performance.now();
  }

  /** Writes a model that can be served, and says so. */
  writeCheckpoint(at: JobPosition, metrics: Readonly<Record<string, number>>): void {
    const name = `checkpoints/step-${at.step}`;
    const [path, temporary] = [this.directory.at(name), this.directory.at(`${name}.tmp`)];
    rmSync(temporary, { recursive: true, force: true });
    mkdirSync(temporary, { recursive: true });
    const { parameters } = this.trainer;
    const isAdapter = !(parameters instanceof ParameterSet);
    try {
      if (isAdapter) writeAdapter(temporary, parameters, { base: this.order.model.name, dtype: 'F32' });
      else exportCheckpoint(temporary, this.base, parameters);
    } catch (error) {
      // The journal needs room to tell why.
      rmSync(temporary, { recursive: true, force: true });
      throw error;
    }
    rmSync(path, { recursive: true, force: true });
    renameSync(temporary, path);
    this.directory.note({ type: 'checkpoint', step: at.step, directory: name, isAdapter, metrics });
  }

  /** Whether it was asked to stop. */
  get isStopping(): boolean {
    return this.#options.signal?.aborted === true;
  }

  /** A file for whoever ordered the job. */
  writeResult(name: string, content: string): void {
    replaceFile(this.directory.at(name), content);
    this.#results.add(name);
  }

  get results(): { readonly name: string; readonly path: string }[] {
    return [...this.#results].map((name) => ({ name, path: name }));
  }

  /** All measurements as a table, a row for each step: OpenAI's result file. Of a step that was repeated, the last. */
  writeMetrics(): void {
    const steps = new Map<number, Record<string, number>>();
    for (const entry of this.directory.entries()) {
      if (entry.type === 'metrics') steps.set(entry.step, { ...steps.get(entry.step), ...entry.data });
    }
    const columns = [...new Set([...steps.values()].flatMap((data) => Object.keys(data)))];
    const lines = [...steps].map(([step, data]) => [step, ...columns.map((name) => data[name] ?? '')].join(','));
    this.writeResult('step_metrics.csv', `${[['step', ...columns].join(','), ...lines].join('\n')}\n`);
  }

  note(message: string, level: 'info' | 'warn' | 'error' = 'info'): void {
    this.directory.note({ type: 'message', level, message });
  }

  [Symbol.dispose](): void {
    this.#engine?.[Symbol.dispose]();
    this.#reference?.[Symbol.dispose]();
    this.trainer[Symbol.dispose]();
    this.#startingAdapter?.[Symbol.dispose]();
    this.#frozen?.[Symbol.dispose]();
    this.device[Symbol.dispose]();
  }

  #initialize(set: AdapterSet): void {
    const { continues } = this.order.adapter ?? {};
    if (continues === undefined) set.initialize(`${this.order.seed}/adapter`);
    else set.load(openAdapter(continues).weights);
  }

  #openAdapter(): AdapterSet | undefined {
    const { order, definition, device, contextLength: positions } = this;
    if (!order.adapter || !this.#base) return undefined;
    const { rank, alpha, targets } = order.adapter;
    const options = { form: definition.forms[0], positions, predictor: 'absent' } as const;
    const specs = collectSpecs((source) => definition.assemble(source, options), this.#base.has);
    return new AdapterSet(device, this.#base, specs, { rank, alpha, targets, scaling: 'byRank' });
  }

  #openEngine(): RolloutEngine {
    const { device, definition, contextLength } = this;
    this.#engine ??= new RolloutEngine({
      ...{ device, definition, contextLength, parameters: this.trainer.parameters, tokenizer: this.tokenizer },
    });
    return this.#engine;
  }

  /** Of the residual stream. */
  get #width(): number {
    const options = { form: this.definition.forms[0], positions: 1, predictor: 'absent' } as const;
    const specs = collectSpecs((source) => this.definition.assemble(source, options));
    const embedding = specs.find(({ kind }) => kind === 'embedding' || kind === 'head');
    if (!embedding) throw new Error(`${this.base.path}: expected an embedding, found none`);
    return embedding.shape.at(-1) as number;
  }

  get #planned(): JobPlan {
    if (!this.#plan) throw new Error('job: expected a plan before the first step');
    return this.#plan;
  }
}

/** Tokens that a document in training may have. */
export function trainedContext(definition: ModelDefinition): number {
  return Math.min(definition.contextLength, longestContext);
}

export function trainerSettings(
  base: Checkpoint,
  { adapter, recompute }: Pick<TrainingOrder, 'adapter' | 'recompute'>,
): TrainerSettings {
  const definition = readDefinition(base);
  return {
    optimizer: {
      adamw: { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0 },
      muon: { momentum: 0.95, weightDecay: 0, updateRms: 0.2, iterations: steepIterations },
    },
    ...{ clipNorm: 1, contextLength: trainedContext(definition), matrices: 'adamw' },
    // An adapter leaves the prediction module as it is.
    predictor: adapter ? 'absent' : holdingsOf(base, definition.forms[0]).predictor,
    activations: recompute ? 'recomputed' : 'kept',
  };
}

function referenceName(step: number): string {
  return `reference-${step}.safetensors`;
}

/**
 * What a multiplier of 1 is: AdamW's rate at a width of 4,096 is 1e-5, as fine-tuning of models of that size commonly has, and in
 * inverse proportion to the width elsewhere (Yang et al. 2022, arXiv 2203.03466, table 3).
 */
export function baseLearningRate(width: number): number {
  return (1e-5 * 4096) / width;
}
