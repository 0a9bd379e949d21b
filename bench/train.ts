// How many tokens a second does Hadal train, and how many PyTorch?
//
// Both train hadal-nano's architecture from the same first weights on the same packed documents, with the same losses and
// optimizers, in float32, on every core; peers/train_torch.py is the counterpart. They take turns, so that whatever else
// the machine does meets both, and the median of the turns counts. Before anything is timed their first losses and
// gradient norms must agree. Making documents is not part of the time on either side.
//
// PyTorch runs where the first argument or the variable PYTHON names a Python that has it (`pip install torch numpy
// safetensors`); then the table is also written to its part of results/training.md. Without, only Hadal is timed.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { trainBpe } from '@hadal/formats/bpe-trainer';
import { deepseekV4 } from '@hadal/formats/chat/deepseek-v4';
import { openSafetensors, type Safetensors, writeSafetensors } from '@hadal/formats/safetensors';
import { storedWeights } from '@hadal/formats/stored-weights';
import { makeTokenizer } from '@hadal/formats/tokenizer';
import { type Device, openDevice } from '@hadal/kernels/device';
import { defineModel } from '@hadal/models/architectures';
import { specKey } from '@hadal/models/weight-source';
import { Optimizer } from '@hadal/tensor/optimizer';
import { documentStream, mixtureProblem, problemSegments } from '@hadal/training/documents';
import { initialize } from '@hadal/training/initialize';
import { type PackedStep, packStep } from '@hadal/training/packing';
import type { Stage } from '@hadal/training/recipe';
import { type StepResult, Trainer } from '@hadal/training/trainer';
import { recipe } from '../recipes/hadal-nano.ts';
import { circumstances, median, writeResults } from './results-section.ts';

/** What the weights move by, and how much the multi-token prediction loss weighs; 0 leaves the module out. */
interface Variant {
  readonly method: 'muon' | 'adamw';
  readonly predictorWeight: number;
}

type Losses = Pick<StepResult, 'loss' | 'predictorLoss' | 'gradientNorm'>;

interface Turn {
  readonly seconds: number;
  readonly results: readonly Losses[];
}

/** Someone who can train: Hadal in this process, or PyTorch in another. */
interface Contestant {
  start(variant: Variant): Promise<void>;
  /** Trains on the steps with these indices. */
  run(steps: readonly number[]): Promise<Turn>;
}

const variants: readonly Variant[] = [
  { method: 'muon', predictorWeight: 0 },
  { method: 'muon', predictorWeight: 0.3 },
  { method: 'adamw', predictorWeight: 0 },
  { method: 'adamw', predictorWeight: 0.3 },
];
/** PyTorch compiles in the first of them. */
const warmupSteps = 4;
const turns = 7;
const stepsPerTurn = 3;
const tolerance = 1e-4;

const stage = recipe.stages.find(({ method }) => method === 'sft') as Stage;
const definition = defineModel(recipe.config, `recipe ${recipe.name}: config`);
/** A tenth of the recipe's: its full rates without its warm-up would throw the load of the experts out of balance. */
const learningRates = { adamw: stage.learningRates.adamw / 10, muon: stage.learningRates.muon / 10 };

/** The recipe's own documents. Its tokenizer is trained on a tenth of the usual texts: lengths hardly differ. */
function makeSteps(): PackedStep[] {
  const { mixture, documents } = recipe.tokenizer;
  const texts = Array.from({ length: documents / 10 }, (_, index) => {
    const segments = problemSegments(mixtureProblem(mixture, `${recipe.seed}/tokenizer`, index), deepseekV4);
    return segments.map(({ text }) => text).join('');
  });
  const tokenizer = makeTokenizer(trainBpe({ texts, vocabularySize: definition.vocabularySize }), 'tokenizer');
  const stream = documentStream(stage.mixture, `${recipe.seed}/1`, { tokenizer, dialect: deepseekV4 }, 'assistant');
  const steps: PackedStep[] = [];
  for (let next = 0; steps.length < warmupSteps + turns * stepsPerTurn; ) {
    const packed = packStep(stream, next, stage.rows, stage.rowTokens);
    steps.push(packed);
    next = packed.next;
  }
  return steps;
}

class Hadal implements Contestant {
  readonly #device: Device;
  readonly #weights: Safetensors;
  readonly #steps: readonly PackedStep[];
  #trainer: Trainer | undefined;
  #variant: Variant | undefined;
  #number = 0;

  constructor(device: Device, weights: Safetensors, steps: readonly PackedStep[]) {
    this.#device = device;
    this.#weights = weights;
    this.#steps = steps;
  }

  async start(variant: Variant): Promise<void> {
    this.#trainer?.[Symbol.dispose]();
    this.#trainer = openTrainer(this.#device);
    this.#trainer.load(storedWeights(this.#weights));
    if (variant.method === 'adamw') useAdamwOnly(this.#device, this.#trainer);
    this.#variant = variant;
    this.#number = 0;
  }

  async run(steps: readonly number[]): Promise<Turn> {
    const [trainer, variant] = [this.#trainer as Trainer, this.#variant as Variant];
    const { balanceRate } = stage;
    const { predictorWeight } = variant;
    const started = performance.now();
    const results = steps.map((index) => {
      this.#number++;
      const packed = this.#steps[index] as PackedStep;
      return trainer.step(this.#number, packed, { learningRates, balanceRate, predictorWeight });
    });
    return { seconds: (performance.now() - started) / 1000, results };
  }
}

function openTrainer(device: Device): Trainer {
  const { optimizer, clipNorm } = recipe;
  return new Trainer(device, definition, { optimizer, clipNorm, contextLength: stage.rowTokens });
}

/** Trainers give hidden matrices to Muon. This one gets an optimizer that does not, to see what Muon costs. */
function useAdamwOnly(device: Device, trainer: Trainer): void {
  const targets = trainer.parameters.parameters.flatMap(({ spec, value }) =>
    spec.kind === 'routerBias'
      ? []
      : {
          ...{ name: specKey(spec), value, method: 'adamw' as const, rows: value.rows, cols: value.dim(-1) },
          decays: spec.kind !== 'norm',
        },
  );
  trainer.optimizer[Symbol.dispose]();
  Object.assign(trainer, { optimizer: new Optimizer(device, targets, recipe.optimizer) });
}

/** Talks with peers/train_torch.py, a line of JSON each way. */
class PyTorch implements Contestant {
  versions = '';
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(python: string, directory: string, threads: number) {
    const script = join(import.meta.dirname, 'peers', 'train_torch.py');
    this.#process = spawn(python, [script, directory, '--threads', String(threads)], {
      stdio: ['pipe', 'pipe', 'inherit'],
      // Large pages, which Hadal takes as well, make it some 4 % faster.
      env: { ...process.env, GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1' },
    });
    // A Python that cannot be started also ends its output, which is where `#ask` notices.
    this.#process.on('error', (error) => console.error(`${python}: ${error.message}`));
    this.#process.stdin?.on('error', () => {});
    this.#lines = createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]();
  }

  async start(variant: Variant): Promise<void> {
    const { versions } = (await this.#ask({ start: variant })) as { versions: string };
    this.versions = versions;
  }

  async run(steps: readonly number[]): Promise<Turn> {
    return (await this.#ask({ run: steps })) as Turn;
  }

  [Symbol.dispose](): void {
    this.#process.stdin?.end();
  }

  async #ask(request: object): Promise<unknown> {
    this.#process.stdin?.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('peers/train_torch.py ended without an answer; does this Python have torch?');
    return JSON.parse(value);
  }
}

interface Measurement {
  readonly hadal: number;
  readonly peer: number | undefined;
}

/** Median tokens per second of both over their turns; who goes first alternates. */
async function race(
  variant: Variant,
  steps: readonly PackedStep[],
  hadal: Contestant,
  peer: Contestant | undefined,
): Promise<Measurement> {
  const warmup = Array.from({ length: warmupSteps }, (_, i) => i);
  await hadal.start(variant);
  await peer?.start(variant);
  const mine = await hadal.run(warmup);
  if (peer) checkAgreement(variant, mine.results[0] as Losses, (await peer.run(warmup)).results[0] as Losses);
  const rates: { hadal: number[]; peer: number[] } = { hadal: [], peer: [] };
  for (let turn = 0; turn < turns; turn++) {
    const indices = Array.from({ length: stepsPerTurn }, (_, i) => warmupSteps + turn * stepsPerTurn + i);
    const tokens = indices.reduce((sum, index) => sum + (steps[index] as PackedStep).tokens, 0);
    const takeTurn = async (name: 'hadal' | 'peer', contestant: Contestant | undefined) => {
      if (contestant) rates[name].push(tokens / (await contestant.run(indices)).seconds);
    };
    if (turn % 2 === 0) await takeTurn('hadal', hadal);
    await takeTurn('peer', peer);
    if (turn % 2 === 1) await takeTurn('hadal', hadal);
  }
  return { hadal: median(rates.hadal), peer: peer ? median(rates.peer) : undefined };
}

function checkAgreement(variant: Variant, mine: Losses, theirs: Losses): void {
  const pairs = [
    ['loss', mine.loss, theirs.loss],
    ['predictor loss', mine.predictorLoss ?? 0, theirs.predictorLoss ?? 0],
    ['gradient norm', mine.gradientNorm, theirs.gradientNorm],
  ] as const;
  for (const [name, a, b] of pairs) {
    if (!(Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(a)))) {
      throw new Error(`${describe(variant)}: first ${name}: ${a} here, ${b} in PyTorch`);
    }
  }
  const text = pairs.map(([name, a, b]) => `${name} ${a.toFixed(6)} and ${b.toFixed(6)}`).join(', ');
  console.log(`${describe(variant)}: first ${text}`);
}

function describe({ method, predictorWeight }: Variant): string {
  const optimizer = method === 'muon' ? 'Muon and AdamW' : 'AdamW';
  return predictorWeight > 0 ? `${optimizer}, with multi-token prediction` : optimizer;
}

function table(rows: readonly (readonly [Variant, Measurement])[]): string {
  const lines = rows.map(([variant, { hadal, peer }]) => {
    const theirs = peer === undefined ? '' : ` ${peer.toFixed(0)} | ${(hadal / peer).toFixed(2)} |`;
    return `| ${describe(variant)} | ${hadal.toFixed(0)} |${theirs}`;
  });
  const withPeer = rows.some(([, { peer }]) => peer !== undefined);
  const head = withPeer
    ? ['| tokens per second | Hadal | PyTorch | ratio |', '|---|---|---|---|']
    : ['| tokens per second | Hadal |', '|---|---|'];
  return [...head, ...lines].join('\n');
}

function report(device: Device, rows: readonly (readonly [Variant, Measurement])[], versions: string): string {
  const { hidden_size, num_hidden_layers, n_routed_experts, num_experts_per_tok } = recipe.config;
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const lengths = steps.flatMap((step) => step.rows).flatMap((row) => row.documents.map((d) => d.tokens.length));
  const supervised = steps.flatMap((step) => step.rows).flatMap((row) => row.documents.flatMap((d) => d.weights));
  return `${circumstances()}, ${device.isa}. ${versions}. Aim: 1.5 times as many; a job of method \`supervised\`
makes the steps of the rows with AdamW alone, without multi-token prediction.

${table(rows)}

hadal-nano's architecture: width ${hidden_size}, ${num_hidden_layers} layers, ${num_experts_per_tok} of ${n_routed_experts} experts, one prediction module. Steps of ${stage.rows} rows of at
most ${stage.rowTokens} tokens, documents of ${mean(lengths).toFixed(0)} tokens on average, ${(100 * mean(supervised)).toFixed(0)} % of the tokens supervised; float32. Medians of ${turns} turns of
${stepsPerTurn} steps each. First losses and gradient norms agree within ${tolerance}. \`npm run bench -- train\` with PYTHON set repeats it.
`;
}

// Stays there: `peers/train_torch.py DIRECTORY --explore` times that program's alternatives on it.
const directory = join(tmpdir(), 'hadal-bench-train');
mkdirSync(directory, { recursive: true });

using device = openDevice({ threads: availableParallelism() });
const steps = makeSteps();
const weightsPath = join(directory, 'weights.safetensors');
{
  using trainer = openTrainer(device);
  initialize(device, trainer.parameters, recipe.seed, definition.initializerRange);
  writeSafetensors(weightsPath, trainer.parameters.tensors('F32'));
}
const { optimizer, clipNorm } = recipe;
const { balanceRate } = stage;
const documents = steps.map(({ rows }) => rows.map((row) => row.documents));
const work = { config: recipe.config, optimizer, clipNorm, learningRates, balanceRate, steps: documents };
writeFileSync(join(directory, 'work.json'), JSON.stringify(work));

const python = process.argv[2] ?? process.env.PYTHON;
const hadal = new Hadal(device, openSafetensors(weightsPath), steps);
using peer = python === undefined ? undefined : new PyTorch(python, directory, device.threads);
const rows: [Variant, Measurement][] = [];
for (const variant of variants) rows.push([variant, await race(variant, steps, hadal, peer)]);

console.log(`\n${table(rows)}\n`);
if (peer) {
  writeResults('training.md', 'Tokens per second: Hadal and PyTorch', report(device, rows, peer.versions));
} else {
  console.log('For PyTorch beside it: PYTHON=/path/to/a/python/with/torch npm run bench -- train');
}
