// A recipe being carried out.
//
// Owns the device, the trainer and the run's directory for as long as the run lasts, and the bookkeeping around every
// step: metrics, progress, checkpoints in time. The methods are loops that hand it packed steps. A run that is killed and
// opened again goes on from its last checkpoint and ends with the same weights, bit for bit.

import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { tokenizerConfig, trainBpe } from '@hadal/formats/bpe-trainer';
import { deepseekV4 } from '@hadal/formats/chat/deepseek-v4';
import type { ChatDialect } from '@hadal/formats/chat/dialect';
import { type Checkpoint, openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { replaceFile } from '@hadal/formats/replace-file';
import { writeSafetensors } from '@hadal/formats/safetensors';
import { openTokenizer, type Tokenizer } from '@hadal/formats/tokenizer';
import { type Device, openDevice } from '@hadal/kernels/device';
import type { ModelDefinition } from '@hadal/models/architecture';
import { defineModel } from '@hadal/models/architectures';
import { openWeights } from '@hadal/models/language-model';
import { mixtureProblem, problemSegments } from './documents.ts';
import { initialize } from './initialize.ts';
import { modelIn } from './job-recipe.ts';
import { withFloats } from './jobs/export-checkpoint.ts';
import type { PackedStep } from './packing.ts';
import { pretrain } from './pretrain.ts';
import { type Recipe, recipeFingerprint, type Stage } from './recipe.ts';
import { type Metrics, type Position, RunDirectory, startPosition } from './run-directory.ts';
import { scheduleFactor } from './schedule.ts';
import { sft } from './sft.ts';
import { averageStages, keepStageEnd } from './stage-average.ts';
import { Trainer } from './trainer.ts';

/** How models that start from nothing are taught to be talked to. */
const ownDialect = deepseekV4;

export interface Progress extends Metrics {
  /** Of the whole recipe, at the speed so far. */
  readonly secondsLeft: number;
  readonly totalSteps: number;
}

export interface TrainingOptions {
  /** Where checkpoints, metrics and the finished model are kept. */
  readonly directory: string;
  /** Where the paths of a recipe begin. */
  readonly root: string;
  readonly threads?: number;
  readonly checkpointSeconds?: number;
  readonly onProgress?: (progress: Progress) => void;
  readonly onEvent?: (text: string) => void;
  /** Saves a checkpoint and stops after the step at hand. */
  readonly signal?: AbortSignal;
}

/** Carries out `recipe`, or goes on with it. The finished model lies in `DIRECTORY/model`. True if it was finished. */
export async function train(recipe: Recipe, options: TrainingOptions): Promise<boolean> {
  using run = new TrainingRun(recipe, options);
  let at = run.start();
  while (at.stage < recipe.stages.length && !options.signal?.aborted) {
    const stage = recipe.stages[at.stage] as Stage;
    if (at.stage > 0 && at.stageStep === 0) run.keepStageEnd(at);
    at = stage.method === 'pretrain' ? await pretrain(run, stage, at) : await sft(run, stage, at);
    if (at.stageStep === stage.schedule.steps) at = { ...at, stage: at.stage + 1, stageStep: 0, nextDocument: 0 };
  }
  run.save(at);
  run.writeModel(at);
  return at.stage === recipe.stages.length;
}

export class TrainingRun {
  readonly recipe: Recipe;
  readonly tokenizer: Tokenizer;
  readonly dialect: ChatDialect = ownDialect;
  readonly signal: AbortSignal | undefined;
  readonly #options: TrainingOptions;
  readonly #definition: ModelDefinition;
  readonly #device: Device;
  readonly #trainer: Trainer;
  readonly #directory: RunDirectory;
  readonly #totalSteps: number;
  #savedAt = performance.now();

  constructor(recipe: Recipe, options: TrainingOptions) {
    this.recipe = recipe;
    this.signal = options.signal;
    this.#options = options;
    this.#directory = new RunDirectory(options.directory, recipeFingerprint(recipe));
    this.tokenizer = openTokenizer(this.#tokenizerPath());
    this.#definition = definitionOf(recipe);
    this.#device = openDevice(options.threads === undefined ? {} : { threads: options.threads });
    const contextLength = Math.max(...recipe.stages.map((stage) => stage.rowTokens));
    const { optimizer, clipNorm } = recipe;
    this.#trainer = new Trainer(this.#device, this.#definition, { optimizer, clipNorm, contextLength });
    this.#totalSteps = recipe.stages.reduce((sum, stage) => sum + stage.schedule.steps, 0);
  }

  /** Fresh weights, those of the model that the recipe begins with, or those of the last checkpoint; where to go on. */
  start(): Position {
    const { parameters } = this.#trainer;
    const resumed = this.#directory.resume(this.#device, this.#trainer);
    const millions = (parameters.count / 1e6).toFixed(1);
    this.#event(
      `${this.recipe.name}: ${millions} million parameters, ${this.#device.threads} threads, ${this.#device.isa}`,
    );
    if (resumed) {
      this.#event(`going on after step ${resumed.step} of ${this.#totalSteps}`);
      return resumed;
    }
    const { model } = this.recipe;
    if (model === undefined) initialize(this.#device, parameters, this.recipe.seed, this.#definition.initializerRange);
    else this.#trainer.load(openWeights(this.#begunWith(model)));
    return startPosition;
  }

  /** Whether there is a next step in this stage. */
  goesOn(stage: Stage, at: Position): boolean {
    return at.stageStep < stage.schedule.steps && !this.signal?.aborted;
  }

  /** Trains on one packed step and does all that is due around it. */
  async step(stage: Stage, at: Position, packed: PackedStep): Promise<Position> {
    const started = performance.now();
    const factor = scheduleFactor(stage.schedule, at.stageStep + 1);
    const { adamw, muon } = stage.learningRates;
    const result = this.#trainer.step(at.step + 1, packed, {
      learningRates: { adamw: adamw * factor, muon: muon * factor },
      predictorWeight: stage.predictorWeight,
      balanceRate: stage.balanceRate,
    });
    const seconds = (performance.now() - started) / 1000;
    const next: Position = {
      ...{ stage: at.stage, stageStep: at.stageStep + 1, step: at.step + 1, nextDocument: packed.next },
      ...{ tokens: at.tokens + packed.tokens, seconds: at.seconds + seconds },
    };
    const metrics: Metrics = {
      ...{ step: next.step, stage: `${at.stage + 1}: ${stage.method}`, tokens: next.tokens, seconds: next.seconds },
      ...{ loss: result.loss, predictorLoss: result.predictorLoss, gradientNorm: result.gradientNorm },
      ...{ imbalance: result.imbalance, learningRate: muon * factor, tokensPerSecond: packed.tokens / seconds },
    };
    this.#directory.note(metrics);
    const secondsLeft = ((this.#totalSteps - next.step) * next.seconds) / next.step;
    this.#options.onProgress?.({ ...metrics, secondsLeft, totalSteps: this.#totalSteps });
    if (performance.now() - this.#savedAt > 1000 * (this.#options.checkpointSeconds ?? 300)) this.save(next);
    // Lets signals and timers be heard between steps.
    await setImmediate();
    return next;
  }

  /** Mean loss on documents that are never trained on. */
  validate(packed: PackedStep): number {
    return this.#trainer.evaluate(packed).loss;
  }

  note(text: string): void {
    this.#event(text);
  }

  save(at: Position): void {
    this.#directory.save(this.#device, this.#trainer, at);
    this.#directory.drawLossCurve();
    this.#savedAt = performance.now();
  }

  /** The weights as they are between two stages, where the model is going to be a mean. */
  keepStageEnd(at: Position): void {
    if (this.recipe.average !== undefined) keepStageEnd(this.#directory.path, at.stage, this.#trainer);
  }

  /** Writes the model as Hugging Face reads it, in bfloat16; nothing can be trained on after it, for the weights may be a mean then. */
  writeModel(at: Position): void {
    const { average, stages } = this.recipe;
    if (average !== undefined && at.stage === stages.length) {
      averageStages(this.#directory.path, stages.length, this.#trainer);
    }
    const directory = join(this.#directory.path, 'model');
    exportModel(directory, this.recipe, this.#trainer, this.#tokenizerPath());
    this.#event(`model written to ${directory}`);
  }

  [Symbol.dispose](): void {
    this.#directory.flush();
    this.#trainer[Symbol.dispose]();
    this.#device[Symbol.dispose]();
  }

  #event(text: string): void {
    this.#options.onEvent?.(text);
  }

  #begunWith(model: string): Checkpoint {
    return openCheckpointDirectory(modelIn(this.#options.root, model));
  }

  #tokenizerPath(): string {
    const path = join(this.#directory.path, 'tokenizer.json');
    const { model } = this.recipe;
    if (!existsSync(path) && model !== undefined) {
      replaceFile(path, readFileSync(join(this.#begunWith(model).directory, 'tokenizer.json'), 'utf8'));
    } else if (!existsSync(path)) {
      this.#event(`training the tokenizer on ${this.recipe.tokenizer.documents} documents`);
      replaceFile(path, JSON.stringify(trainTokenizer(this.recipe)));
    }
    return path;
  }
}

function definitionOf({ name, config }: Recipe): ModelDefinition {
  return defineModel(config, `recipe ${name}: config`);
}

/** A byte-level BPE over the texts of the recipe's own documents. */
function trainTokenizer({ tokenizer, seed, config }: Recipe) {
  function* texts() {
    for (let index = 0; index < tokenizer.documents; index++) {
      const segments = problemSegments(mixtureProblem(tokenizer.mixture, `${seed}/tokenizer`, index), ownDialect);
      yield segments.map(({ text }) => text).join('');
    }
  }
  const { splitting = 'deepseek' } = tokenizer;
  return trainBpe({ texts: texts(), vocabularySize: config.vocab_size, splitting });
}

function exportModel(directory: string, recipe: Recipe, trainer: Trainer, tokenizerPath: string): void {
  mkdirSync(directory, { recursive: true });
  const { contextLength } = definitionOf(recipe);
  const json = (value: unknown) => `${JSON.stringify(value, undefined, 2)}\n`;
  copyFileSync(tokenizerPath, join(directory, 'tokenizer.json'));
  replaceFile(join(directory, 'generation_config.json'), json(recipe.generation));
  replaceFile(join(directory, 'tokenizer_config.json'), json(tokenizerConfig({ contextLength })));
  writeSafetensors(join(directory, 'model.safetensors'), trainer.parameters.tensors('BF16'), { format: 'pt' });
  replaceFile(join(directory, 'config.json'), withFloats(json(recipe.config)));
}
