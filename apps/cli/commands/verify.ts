// `hadal verify`: is what we compute what the reference implementation computed?
//
// Owns how the comparison is shown. What is compared, and how close it must be, is the engine's.

import { Command } from 'commander';
import { exitCodes } from '../failure.ts';
import { integerFrom } from '../option-parsers.ts';
import type { Terminal } from '../terminal.ts';

export function verifyCommand(terminal: Terminal): Command {
  return new Command('verify')
    .description('Compare a checkpoint with the reference values beside it')
    .argument('<path>', 'a checkpoint that has a golden.safetensors beside it')
    .option('--threads <number>', 'processor threads to compute with', integerFrom(1, 1024))
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Exits with 1 when anything differs by more than its tolerance. Of gradients, the difference is a share of the largest
gradient; of greedy tokens, how many differ.

Examples:
  hadal verify test/golden/deepseek-v3
  hadal verify my-checkpoint --json | jq '.comparisons[] | select(.passes | not)'`,
    )
    .action((path: string, options: { threads?: number; json?: true }) => verify(path, options, terminal));
}

async function verify(path: string, options: { threads?: number; json?: true }, terminal: Terminal) {
  const [{ openCheckpoint }, { openDevice }, { passes, verifyCheckpoint }] = await Promise.all([
    import('@hadal/formats/checkpoint'),
    import('@hadal/kernels/device'),
    import('@hadal/engine/verify'),
  ]);
  using device = openDevice(options.threads === undefined ? {} : { threads: options.threads });
  const checkpoint = await openCheckpoint(path);
  const comparisons = verifyCheckpoint(device, checkpoint).map((result) => ({ ...result, passes: passes(result) }));
  const failed = comparisons.filter((result) => !result.passes);
  if (options.json) {
    terminal.out(`${JSON.stringify({ checkpoint: path, passes: failed.length === 0, comparisons })}\n`);
  } else {
    const width = Math.max(...comparisons.map(({ name }) => name.length));
    for (const { name, difference, tolerance, passes: isClose } of comparisons) {
      const numbers = `${scientific(difference, 2).padStart(8)} of ${scientific(tolerance, 0)}`;
      terminal.out(`${isClose ? 'ok  ' : 'FAIL'} ${name.padEnd(width)}  ${numbers}\n`);
    }
    terminal.out(`\n${comparisons.length - failed.length} of ${comparisons.length} within tolerance\n`);
  }
  if (failed.length > 0) process.exitCode = exitCodes.failure;
}

function scientific(value: number, digits: number): string {
  return value === 0 ? '0' : value.toExponential(digits);
}
