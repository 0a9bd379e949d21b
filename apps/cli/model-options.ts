// The options of the commands that open a model: which one, and how it is run.
//
// Owns their names, ranges and help, so that no two commands differ in them. What they mean is the engine's.

import type { FitOptions } from '@hadal/engine/fit-model';
import { type PackedDtype, packedDtypes } from '@hadal/tensor/packed-matrix';
import { type Command, Option } from 'commander';
import type { LocalModelOptions } from './local-model.ts';
import { integerFrom } from './option-parsers.ts';

export interface ModelOptions {
  readonly model?: string;
  readonly threads?: number;
  readonly dtype?: PackedDtype;
  readonly context?: number;
  readonly page?: true;
}

/** `model`: what the checkpoint is for, as help says it. */
export function addModelOptions(command: Command, model: string): Command {
  return addFitOptions(command.option('-m, --model <path>', model)).option(
    '--threads <number>',
    'processor threads to compute with',
    integerFrom(1, 1024),
  );
}

/** What decides how much memory a model takes. */
export function addFitOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--dtype <name>', 'how weights are kept in memory (default: as stored, up to bf16)').choices(
        packedDtypes,
      ),
    )
    .option('--context <tokens>', 'the longest conversation, answer included', integerFrom(1))
    .option('--page', 'leave the experts of a converted mixture on disk until they are chosen');
}

export function fitOptions({ dtype, context, page }: ModelOptions): FitOptions {
  return { dtype, contextLength: context, experts: page ? 'paged' : 'resident' };
}

export function localModelOptions(options: ModelOptions): LocalModelOptions {
  return { path: options.model, threads: options.threads, ...fitOptions(options) };
}
