// A training run on disk.
//
// Owns the checkpoints, the metrics and the loss curve of one run. A checkpoint is weights, optimizer state and position;
// its manifest is written last, so that a run killed at any moment finds the last whole one. Knows nothing of what is
// trained.

import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFile } from '@hadal/formats/replace-file';
import type { Device } from '@hadal/kernels/device';
import { z } from 'zod';
import { lossCurve } from './loss-curve.ts';
import type { Trainer } from './trainer.ts';
import { readTrainerFiles, writeTrainerFiles } from './trainer-files.ts';

const position = z.object({
  /** Index of the stage in the recipe. */
  stage: z.int().nonnegative(),
  /** Steps done in this stage, and in the whole run. */
  stageStep: z.int().nonnegative(),
  step: z.int().nonnegative(),
  /** Index of the next document of the stage's stream. */
  nextDocument: z.int().nonnegative(),
  /** Tokens seen and seconds spent training so far. */
  tokens: z.int().nonnegative(),
  seconds: z.number().nonnegative(),
});

export type Position = z.infer<typeof position>;

const manifest = z.object({ checkpoint: z.string(), recipe: z.string(), position });

export interface Metrics {
  readonly step: number;
  readonly stage: string;
  readonly tokens: number;
  readonly loss: number;
  readonly predictorLoss: number | undefined;
  readonly gradientNorm: number;
  readonly imbalance: number;
  readonly learningRate: number;
  readonly tokensPerSecond: number;
  readonly seconds: number;
}

export const startPosition: Position = { stage: 0, stageStep: 0, step: 0, nextDocument: 0, tokens: 0, seconds: 0 };

export class RunDirectory {
  readonly path: string;
  readonly #fingerprint: string;
  readonly #pending: string[] = [];

  /** `fingerprint` tells recipes apart: a run is resumed only under the recipe that began it. */
  constructor(path: string, fingerprint: string) {
    this.path = path;
    this.#fingerprint = fingerprint;
    mkdirSync(path, { recursive: true });
  }

  /** Restores weights and optimizer of the last checkpoint. Returns where it stood, or undefined for a new run. */
  resume(device: Device, trainer: Trainer): Position | undefined {
    const file = join(this.path, 'checkpoint.json');
    if (!existsSync(file)) return undefined;
    const { checkpoint, recipe, position: at } = manifest.parse(JSON.parse(readFileSync(file, 'utf8')));
    if (recipe !== this.#fingerprint) {
      throw new Error(`${this.path}: expected a run of recipe ${this.#fingerprint}, this one is of ${recipe}`);
    }
    readTrainerFiles(join(this.path, checkpoint), device, trainer);
    this.#trimMetrics(at.step);
    return at;
  }

  /** Saves a checkpoint, then forgets the one before. */
  save(device: Device, trainer: Trainer, at: Position): void {
    this.flush();
    const checkpoint = `checkpoint-${at.step}`;
    writeTrainerFiles(join(this.path, checkpoint), device, trainer);
    const before = this.#current();
    const content = { checkpoint, recipe: this.#fingerprint, position: at };
    replaceFile(join(this.path, 'checkpoint.json'), `${JSON.stringify(content, undefined, 2)}\n`);
    if (before && before !== checkpoint) rmSync(join(this.path, before), { recursive: true, force: true });
  }

  /** Notes a step's metrics; they reach the disk with the next `flush` or `save`. */
  note(metrics: Metrics): void {
    this.#pending.push(`${JSON.stringify(metrics)}\n`);
    if (this.#pending.length >= 20) this.flush();
  }

  flush(): void {
    if (this.#pending.length > 0) appendFileSync(this.#metricsPath, this.#pending.splice(0).join(''));
  }

  /** Every step's metrics so far. */
  metrics(): Metrics[] {
    this.flush();
    if (!existsSync(this.#metricsPath)) return [];
    const lines = readFileSync(this.#metricsPath, 'utf8').split('\n');
    return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Metrics);
  }

  /** Draws `loss.svg`. */
  drawLossCurve(): void {
    replaceFile(join(this.path, 'loss.svg'), lossCurve(this.metrics()));
  }

  get #metricsPath(): string {
    return join(this.path, 'metrics.jsonl');
  }

  #current(): string | undefined {
    const file = join(this.path, 'checkpoint.json');
    return existsSync(file) ? manifest.parse(JSON.parse(readFileSync(file, 'utf8'))).checkpoint : undefined;
  }

  /** Drops metrics of steps that a killed run made after its last checkpoint: they will be made again. */
  #trimMetrics(step: number): void {
    if (!existsSync(this.#metricsPath)) return;
    const lines = readFileSync(this.#metricsPath, 'utf8').split('\n');
    const kept = lines.filter((line) => {
      try {
        return (JSON.parse(line) as Metrics).step <= step;
      } catch {
        return false; // the last line of a run that was killed while writing it
      }
    });
    replaceFile(this.#metricsPath, kept.map((line) => `${line}\n`).join(''));
  }
}
