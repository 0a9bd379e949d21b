// `hadal convert`: a checkpoint made ready ahead of time, so that it starts at once and its experts can stay on disk.
//
// Owns what is said of it in a terminal and what Ctrl-C means: it stops, and the same command goes on. What is written, and
// that nothing half-written is ever taken for a model, is the models package's.

import { Command, Option } from 'commander';
import { exitCodes } from '../failure.ts';
import { integerFrom } from '../option-parsers.ts';
import { openProgressBar } from '../progress-bar.ts';
import { bytesInWords } from '../quantities.ts';
import type { Terminal } from '../terminal.ts';

interface ConvertOptions {
  readonly to: 'bf16' | 'int8' | 'int4';
  readonly shardSize: number;
  readonly threads?: number;
}

export function convertCommand(terminal: Terminal): Command {
  return new Command('convert')
    .description('Pack a checkpoint ahead of time: it then opens at once, whatever its size')
    .argument('<checkpoint>', 'a directory, or a .gguf file')
    .argument('<out>', 'the directory to make')
    .addOption(
      new Option('--to <dtype>', 'how weights are kept').choices(['bf16', 'int8', 'int4']).makeOptionMandatory(),
    )
    .option('--shard-size <megabytes>', 'of a file, at most, where no single weight is larger', integerFrom(1), 4000)
    .option('--threads <number>', 'processor threads to compute with', integerFrom(1, 1024))
    .addHelpText(
      'after',
      `
The directory appears under its name when it is whole. Stopped by Ctrl-C, or by anything else, the same command goes on
after the last finished file.

Examples:
  hadal convert DeepSeek-R1-Distill-Qwen-7B qwen-7b-int8 --to int8
  hadal chat --model qwen-7b-int8
  hadal convert DeepSeek-V2-Lite v2-lite-int4 --to int4
  hadal serve --model v2-lite-int4 --page`,
    )
    .action((path: string, out: string, options: ConvertOptions) => convert(path, out, options, terminal));
}

async function convert(path: string, out: string, options: ConvertOptions, terminal: Terminal): Promise<void> {
  const [{ openCheckpoint }, { openDevice }, { convertCheckpoint }] = await Promise.all([
    import('@hadal/formats/checkpoint'),
    import('@hadal/kernels/device'),
    import('@hadal/models/packed/convert'),
  ]);
  const checkpoint = await openCheckpoint(path);
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort());
  using device = openDevice(options.threads === undefined ? {} : { threads: options.threads });
  let doneBytes = 0;
  const outcome = await (async () => {
    using bar = openProgressBar(`converting ${checkpoint.name}`, terminal);
    return await convertCheckpoint(device, checkpoint, out, {
      dtype: options.to,
      shardBytes: options.shardSize * 1e6,
      signal: controller.signal,
      onProgress(progress) {
        ({ doneBytes } = progress);
        bar.show(progress);
      },
    });
  })();
  const size = bytesInWords(outcome.bytes);
  switch (outcome.kind) {
    case 'converted':
    case 'already': {
      const files = outcome.shards === 1 ? '1 file' : `${outcome.shards} files`;
      const found = outcome.kind === 'already' ? 'is there already' : 'is ready';
      terminal.out(`${out} ${found}: ${options.to}, ${size} in ${files}\n`);
      break;
    }
    case 'interrupted':
      terminal.out(`stopped after ${bytesInWords(doneBytes)} of ${size}; the same command goes on\n`);
      process.exitCode = exitCodes.interrupted;
      break;
    default:
      outcome.kind satisfies never;
  }
}
