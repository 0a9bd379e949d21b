// Jobs small enough for a test: hadal-nano, a few rows, a few steps.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openSafetensors } from '@hadal/formats/safetensors';
import type { JournalEntry } from '@hadal/protocol/training-order';
import type { Judge } from '../jobs/judge.ts';
import { taskNamed } from '../tasks/registry.ts';

export const nanoDirectory = fileURLToPath(new URL('../../../models/hadal-nano', import.meta.url));

export interface ToyJob extends Disposable {
  readonly path: string;
  writeOrder(): void;
  entries(): JournalEntry[];
  /** Values of all weights of a checkpoint, by name. */
  weights(step: number): Map<string, Uint8Array>;
}

/** A job's directory with its order and files, gone with its scope. */
export function toyJob(order: object, files: Readonly<Record<string, readonly object[]>>): ToyJob {
  const path = mkdtempSync(join(tmpdir(), 'hadal-job-'));
  mkdirSync(path, { recursive: true });
  for (const [name, rows] of Object.entries(files)) {
    writeFileSync(join(path, name), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  }
  const common = { id: 'ftjob-toy', model: { name: 'hadal-nano', directory: nanoDirectory }, suffix: 'toy', seed: 7 };
  const writeOrder = () =>
    writeFileSync(join(path, 'order.json'), JSON.stringify({ ...common, trainingFile: 'train.jsonl', ...order }));
  writeOrder();
  return {
    ...{ path, writeOrder },
    entries: () =>
      readFileSync(join(path, 'journal.jsonl'), 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as JournalEntry),
    weights(step) {
      const file = openSafetensors(join(path, `checkpoints/step-${step}/model.safetensors`));
      return new Map([...file.tensors.keys()].map((name) => [name, file.read(name).slice()]));
    },
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}

export function taskRows(task: string, count: number, first = 0, split = 'train'): object[] {
  return Array.from({ length: count }, (_, i) => ({ task, split, index: first + i }));
}

/** Judges rows of built-in tasks, 1 or 0. */
export const taskJudge: Judge = async (item, { text, reasoning, toolCalls }) => {
  const { task, split, index } = item as { task: string; split: 'train'; index: number };
  const { isCorrect } = taskNamed(task).generate(split, index).judge({ content: text, reasoning, toolCalls });
  const reward = isCorrect ? 1 : 0;
  return {
    name: 'task',
    type: 'task',
    reward,
    subRewards: { accuracy: reward },
    problems: [],
    executionMs: 0,
    usage: {},
  };
};

export function metricsOf(entries: readonly JournalEntry[]): { step: number; data: Record<string, number> }[] {
  return entries.flatMap((entry) => (entry.type === 'metrics' ? [{ step: entry.step, data: entry.data }] : []));
}
