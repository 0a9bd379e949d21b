// `hadal curves`: measurements of training jobs as a picture.
//
// Owns which journals are read and which measure is shown; the picture is the training package's.

import { existsSync, readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { replaceFile } from '@hadal/formats/replace-file';
import { jobFiles, journalEntry } from '@hadal/protocol/training-order';
import { Command } from 'commander';
import { UsageError } from '../failure.ts';
import { integerFrom } from '../option-parsers.ts';
import type { Terminal } from '../terminal.ts';

interface CurvesOptions {
  readonly measure: string;
  readonly out: string;
  readonly title?: string;
  readonly window: number;
}

export function curvesCommand(terminal: Terminal): Command {
  return new Command('curves')
    .description('Draw a measure of training jobs over their steps, as SVG')
    .argument('<directories...>', "jobs' directories: of `hadal train`, or in HADAL_HOME/jobs")
    .requiredOption('-m, --measure <name>', 'what to show, such as reward or completions/mean_length')
    .requiredOption('-o, --out <file>', 'where the picture goes')
    .option('--title <text>', 'above it (default: the measure)')
    .option('--window <steps>', 'how many steps each point is the mean of', integerFrom(1), 1)
    .addHelpText(
      'after',
      `
Examples:
  hadal curves runs/r1-zero -m reward -o reward.svg --window 10
  hadal curves runs/r1-zero runs/r1-final -m valid_accuracy/mean -o accuracy.svg`,
    )
    .action(async (directories: string[], options: CurvesOptions) => {
      const { curves } = await import('@hadal/training/curves');
      const { measure, out, title = measure, window } = options;
      const series = directories.map((directory) => ({
        name: basename(resolve(directory)),
        points: pointsOf(directory, measure),
      }));
      replaceFile(out, curves(series, { title, xLabel: 'step', yLabel: measure, window }));
      terminal.out(`${out}: ${series.map(({ name, points }) => `${name}, ${points.length} points`).join('; ')}\n`);
    });
}

/** Of a step that was made twice, the last. */
function pointsOf(directory: string, measure: string): [number, number][] {
  const path = join(directory, jobFiles.journal);
  if (!existsSync(path))
    throw new UsageError(`${directory}: expected a job's directory, found no ${jobFiles.journal} there`);
  const points = new Map<number, number>();
  const known = new Set<string>();
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const entry = line === '' ? undefined : journalEntry.safeParse(parsed(line)).data;
    if (entry?.type !== 'metrics') continue;
    for (const name of Object.keys(entry.data)) known.add(name);
    const value = entry.data[measure];
    if (value !== undefined) points.set(entry.step, value);
  }
  if (points.size === 0) {
    throw new UsageError(`${directory}: expected one of the measures ${[...known].join(', ')}, got ${measure}`);
  }
  return [...points];
}

/** undefined for a line that a kill has cut off. */
function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
