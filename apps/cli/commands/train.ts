// `hadal train`: carries out a recipe, or goes on with one.
//
// Owns how a recipe is found, the progress line and what Ctrl-C means: the step at hand is finished and saved, and the same
// command goes on from there. What a training run does is the training package's.

import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Recipe } from '@hadal/training/recipe';
import type { Progress } from '@hadal/training/training-run';
import { Command } from 'commander';
import { exitCodes, UsageError } from '../failure.ts';
import { integerFrom } from '../option-parsers.ts';
import { secondsInWords } from '../quantities.ts';
import type { Terminal } from '../terminal.ts';

const recipesDirectory = join(import.meta.dirname, '../../../recipes');

interface TrainOptions {
  readonly out?: string;
  readonly threads?: number;
  readonly checkpointEvery: number;
}

export function trainCommand(terminal: Terminal): Command {
  return new Command('train')
    .description('Carry out a training recipe, or go on with one that was stopped')
    .argument('<recipe>', 'the name of a file in recipes/, or the path of one')
    .option('-o, --out <directory>', 'where checkpoints, metrics and the model go (default: runs/ and its name)')
    .option('--threads <number>', 'processor threads to compute with', integerFrom(1, 1024))
    .option('--checkpoint-every <seconds>', 'how much work a power cut may cost', integerFrom(1), 300)
    .addHelpText(
      'after',
      `
Ctrl-C finishes the step, saves a checkpoint and stops; the same command goes on from there. So it does after a crash,
from the last checkpoint, and ends with the same weights, bit for bit.

Examples:
  hadal train hadal-nano
  hadal train ./my-recipe.ts --out runs/first-try
  hadal chat --model runs/hadal-nano/model`,
    )
    .action((recipe: string, options: TrainOptions) => runTraining(recipe, options, terminal));
}

async function runTraining(name: string, options: TrainOptions, terminal: Terminal): Promise<void> {
  const recipe = await loadRecipe(name);
  const { train } = await import('@hadal/training/training-run');
  const { out = join('runs', recipe.name), threads, checkpointEvery } = options;
  const controller = new AbortController();
  process.once('SIGINT', () => controller.abort());
  process.once('SIGTERM', () => controller.abort());
  const progress = progressLine(terminal);
  const isFinished = await train(recipe, {
    directory: out,
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

async function loadRecipe(name: string): Promise<Recipe> {
  const path = existsSync(name) ? resolve(name) : join(recipesDirectory, `${name}.ts`);
  if (!existsSync(path)) {
    const known = existsSync(recipesDirectory)
      ? readdirSync(recipesDirectory).filter((file) => file.endsWith('.ts'))
      : [];
    const names = known.map((file) => file.slice(0, -'.ts'.length)).join(', ');
    throw new UsageError(`${name}: expected a file or one of the recipes ${names}`);
  }
  const { recipe } = (await import(pathToFileURL(path).href)) as { recipe?: Recipe };
  if (recipe?.stages === undefined) throw new Error(`${path}: expected a recipe exported as 'recipe', found none`);
  return recipe;
}

/** On a terminal one line that is written over; elsewhere a line now and then, for a log. */
function progressLine(terminal: Terminal): { show(progress: Progress): void; note(text: string): void } {
  const logEveryMs = 10_000;
  let shownMs = Number.NEGATIVE_INFINITY;
  let isOpen = false;
  return {
    show(progress) {
      const isLast = progress.step === progress.totalSteps;
      const everyMs = terminal.isInteractive ? 100 : logEveryMs;
      if (!isLast && performance.now() - shownMs < everyMs) return;
      shownMs = performance.now();
      const line = describe(progress);
      isOpen = terminal.isInteractive && !isLast;
      terminal.out(`${terminal.isInteractive ? '\r\u001b[K' : ''}${line}${isOpen ? '' : '\n'}`);
    },
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
