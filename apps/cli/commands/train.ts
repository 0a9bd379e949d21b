// `hadal train`: carries out a recipe, or goes on with one.
//
// Owns how a recipe is found, the progress line and what Ctrl-C means: the step at hand is finished and saved, and the same
// command goes on from there. A recipe is a run from nothing, or a job on a model that is there. What either does is the training
// package's.

import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { JobRecipe } from '@hadal/training/job-recipe';
import type { JournalNote } from '@hadal/training/jobs/job-directory';
import type { Recipe } from '@hadal/training/recipe';
import type { Progress } from '@hadal/training/training-run';
import { Command } from 'commander';
import { exitCodes, UsageError } from '../failure.ts';
import { integerFrom } from '../option-parsers.ts';
import { secondsInWords } from '../quantities.ts';
import type { Terminal } from '../terminal.ts';

const root = join(import.meta.dirname, '../../..');
const recipesDirectory = join(root, 'recipes');

interface TrainOptions {
  readonly out?: string;
  readonly threads?: number;
  readonly checkpointEvery: number;
  readonly seed?: number;
}

export function trainCommand(terminal: Terminal): Command {
  return new Command('train')
    .description('Carry out a training recipe, or go on with one that was stopped')
    .argument('<recipe>', 'the name of a file in recipes/, or the path of one')
    .option('-o, --out <directory>', 'where checkpoints, metrics and the model go (default: runs/ and its name)')
    .option('--threads <number>', 'processor threads to compute with', integerFrom(1, 1024))
    .option('--checkpoint-every <seconds>', 'how much work a power cut may cost', integerFrom(1), 300)
    .option('--seed <number>', 'another draw of a job, kept beside the first', integerFrom(0))
    .addHelpText(
      'after',
      `
Ctrl-C finishes the step, saves a checkpoint and stops; the same command goes on from there. So it does after a crash,
from the last checkpoint, and ends with the same weights, bit for bit.

Examples:
  hadal train hadal-nano
  hadal train ./my-recipe.ts --out runs/first-try
  hadal train r1/zero
  hadal chat --model runs/hadal-nano/model`,
    )
    .action((recipe: string, options: TrainOptions) => runTraining(recipe, options, terminal));
}

async function runTraining(name: string, options: TrainOptions, terminal: Terminal): Promise<void> {
  const found = await loadRecipe(name);
  if ('rows' in found) return await runJobRecipe(found, options, terminal);
  const recipe = found;
  const { train } = await import('@hadal/training/training-run');
  const { out = join('runs', recipe.name), threads, checkpointEvery } = options;
  const controller = new AbortController();
  process.once('SIGINT', () => controller.abort());
  process.once('SIGTERM', () => controller.abort());
  const progress = progressLine(terminal);
  const isFinished = await train(recipe, {
    ...{ directory: out, root },
    checkpointSeconds: checkpointEvery,
    onProgress: progress.show,
    onEvent: progress.note,
    signal: controller.signal,
    ...(threads !== undefined && { threads }),
  });
  if (isFinished) {
    progress.note(`done; try it: npx hadal chat --model ${join(out, 'model')}`);
  } else {
    progress.note(`stopped and saved; the same command goes on from here`);
    process.exitCode = exitCodes.interrupted;
  }
}

/** A job without a server: its teachers lie on disk or elsewhere, and its graders ask no model that only a server knows. */
async function runJobRecipe(recipe: JobRecipe, options: TrainOptions, terminal: Terminal): Promise<void> {
  const [{ prepareJob }, { runJob }, { jobServices }, { openServerChannel }, { SandboxPool }] = await Promise.all([
    import('@hadal/training/job-recipe'),
    import('@hadal/training/jobs/run-job'),
    import('../training/job-services.ts'),
    import('../training/server-channel.ts'),
    import('@hadal/training/graders/sandbox/sandbox-pool'),
  ]);
  const { threads, checkpointEvery, seed } = options;
  const name = seed === undefined ? recipe.name : `${recipe.name}-${seed}`;
  const { out = join('runs', name) } = options;
  const changed = { ...recipe, name, ...(seed !== undefined && { seed }), ...(threads !== undefined && { threads }) };
  const order = prepareJob(out, changed, root);
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort());
  await using stack = new AsyncDisposableStack();
  const services = jobServices(order, openServerChannel(), stack.use(new SandboxPool()), stack);
  const progress = progressLine(terminal);
  const onNote = jobProgress(progress);
  const end = await runJob(out, { ...services, saveSeconds: checkpointEvery, signal: controller.signal, onNote });
  if (end === 'succeeded') progress.note(`done; its checkpoints are in ${join(out, 'checkpoints')}`);
  else if (end === 'stopped') progress.note('stopped and saved; the same command goes on from here');
  process.exitCode = { succeeded: exitCodes.success, stopped: exitCodes.interrupted, failed: exitCodes.failure }[end];
}

/** What a job notes, as a line that is written over and lines that stay. */
function jobProgress({ line, note }: ProgressLine): (entry: JournalNote) => void {
  let steps = 0;
  let seconds = 0;
  let seen = 0;
  return (entry) => {
    switch (entry.type) {
      case 'settled':
        ({ steps } = entry);
        note(`${steps} steps of ${entry.batchSize}`);
        break;
      case 'message':
        note(entry.message);
        break;
      case 'failed':
        note(`failed: ${entry.message}`);
        break;
      case 'checkpoint':
        note(`checkpoint after step ${entry.step}`);
        break;
      case 'metrics': {
        const { step_seconds: took, ...data } = entry.data;
        if (took === undefined) {
          note(`after step ${entry.step}: ${measuresInWords(data)}`);
          break;
        }
        seconds += took;
        seen++;
        const left = ((steps - entry.step) * seconds) / seen;
        line(
          `step ${entry.step} of ${steps}  ${measuresInWords(data)}  ${secondsInWords(left)} left`,
          entry.step === steps,
        );
        break;
      }
    }
  };
}

/** The few that a person watches. */
const watched = [
  'reward',
  'loss',
  'valid_reward_mean',
  'valid_loss',
  'completions/mean_length',
  'kl',
  'entropy',
] as const;

function measuresInWords(data: Readonly<Record<string, number>>): string {
  return watched
    .flatMap((name) => {
      const value = data[name];
      return value === undefined ? [] : [`${name.replace('completions/', '')} ${Number(value.toPrecision(3))}`];
    })
    .join('  ');
}

async function loadRecipe(name: string): Promise<Recipe | JobRecipe> {
  const path = existsSync(name) ? resolve(name) : join(recipesDirectory, `${name}.ts`);
  if (!existsSync(path)) {
    const known = existsSync(recipesDirectory)
      ? (readdirSync(recipesDirectory, { recursive: true }) as string[]).filter((file) => file.endsWith('.ts'))
      : [];
    const names = known.map((file) => file.slice(0, -'.ts'.length)).join(', ');
    throw new UsageError(`${name}: expected a file or one of the recipes ${names}`);
  }
  const { recipe, job } = (await import(pathToFileURL(path).href)) as { recipe?: Recipe; job?: JobRecipe };
  if (job?.rows !== undefined) return job;
  if (recipe?.stages === undefined) {
    throw new Error(`${path}: expected a recipe exported as 'recipe', or a job as 'job', found neither`);
  }
  return recipe;
}

interface ProgressLine {
  show(progress: Progress): void;
  /** `isLast`: the line stays. */
  line(text: string, isLast: boolean): void;
  note(text: string): void;
}

/** On a terminal one line that is written over; elsewhere a line now and then, for a log. */
function progressLine(terminal: Terminal): ProgressLine {
  const logEveryMs = 10_000;
  let shownMs = Number.NEGATIVE_INFINITY;
  let isOpen = false;
  function line(text: string, isLast: boolean): void {
    const everyMs = terminal.isInteractive ? 100 : logEveryMs;
    if (!isLast && performance.now() - shownMs < everyMs) return;
    shownMs = performance.now();
    isOpen = terminal.isInteractive && !isLast;
    terminal.out(`${terminal.isInteractive ? '\r\u001b[K' : ''}${text}${isOpen ? '' : '\n'}`);
  }
  return {
    line,
    show: (progress) => line(describe(progress), progress.step === progress.totalSteps),
    note(text) {
      terminal.out(`${isOpen ? '\n' : ''}${text}\n`);
      isOpen = false;
    },
  };
}

function describe(progress: Progress): string {
  const { step, totalSteps, loss, predictorLoss, tokensPerSecond, secondsLeft, stage } = progress;
  return [
    `${stage}  step ${step} of ${totalSteps}`,
    `loss ${loss.toFixed(3)}${predictorLoss === undefined ? '' : ` (MTP ${predictorLoss.toFixed(3)})`}`,
    `${Math.round(tokensPerSecond)} tokens/s`,
    `${secondsInWords(secondsLeft)} left`,
  ].join('  ');
}
