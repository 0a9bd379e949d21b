// A result file that several benches share.
//
// Owns how one of them replaces its own part, from a heading of the second level to the next, and leaves the rest.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';

/** Writes `body` below `## heading` in results/FILE, in the place of what stood there. */
export function writeResults(file: string, heading: string, body: string): void {
  const directory = join(import.meta.dirname, 'results');
  mkdirSync(directory, { recursive: true });
  const path = join(directory, file);
  const sections = (existsSync(path) ? readFileSync(path, 'utf8') : '').trimEnd().split(/^(?=## )/m);
  const own = `## ${heading}\n\n${body.trim()}\n\n`;
  const place = sections.findIndex((section) => section.startsWith(`## ${heading}\n`));
  if (place < 0) sections.push(own);
  else sections[place] = own;
  writeFileSync(path, `${sections.map((section) => section.trimEnd()).join('\n\n')}\n`);
}

/** Date, processor and how busy the machine was: averages of the last 1, 5 and 15 minutes. */
export function circumstances(): string {
  const load = loadavg().map((value) => value.toFixed(1));
  return `${new Date().toISOString().slice(0, 10)}, ${cpus()[0]?.model.trim()}, ${cpus().length} cores, load ${load.join(', ')}`;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const place = share * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(place)] ?? Number.NaN, sorted[Math.ceil(place)] ?? Number.NaN];
  return low + (high - low) * (place - Math.floor(place));
}
