// A training job as a value.
//
// Owns the shape of a recipe that is carried out as a job is: a model, a method and the rows it learns from, and how it becomes
// a job's directory. A file under `recipes/` exports one as `job`. Knows nothing of servers.

import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { replaceFile, replaceFileInParts } from '@hadal/formats/replace-file';
import { jobFiles, type TrainingOrder, trainingOrder } from '@hadal/protocol/training-order';
import type { z } from 'zod';
import { hasSucceeded, readOrder } from './jobs/job-directory.ts';

type Order = z.input<typeof trainingOrder>;

export interface JobRecipe extends Omit<Order, 'id' | 'suffix' | 'trainingFile' | 'validationFile' | 'model'> {
  readonly name: string;
  /** What it begins with, from the root of the repository: a model's directory, or a job's, for what it has made. */
  readonly model: string;
  /** Lines of the training file. */
  readonly rows: () => Iterable<object>;
  readonly heldOut?: () => Iterable<object>;
}

/** Writes the order and its files into `directory`, or finds them there. Throws where another order lies there. */
export function prepareJob(directory: string, recipe: JobRecipe, root: string): TrainingOrder {
  const { name, model, rows, heldOut, method, ...rest } = recipe;
  const order = trainingOrder.parse({
    ...{ ...rest, method: withTeacher(method, root), id: name, suffix: name, trainingFile: 'training.jsonl' },
    ...(heldOut && { validationFile: 'validation.jsonl' }),
    model: { name, directory: modelIn(root, model) },
  });
  const path = `${directory}/${jobFiles.order}`;
  if (existsSync(path)) {
    if (JSON.stringify(readOrder(directory)) === JSON.stringify(order)) return order;
    throw new Error(`${directory}: expected the job of recipe ${name} as it is now, found another; name a new --out`);
  }
  mkdirSync(directory, { recursive: true });
  replaceFileInParts(`${directory}/training.jsonl`, lines(rows()));
  if (heldOut) replaceFileInParts(`${directory}/validation.jsonl`, lines(heldOut()));
  replaceFile(path, `${JSON.stringify(order, undefined, 2)}\n`);
  return order;
}

/** Teachers are found as models are. */
function withTeacher(method: Order['method'], root: string): Order['method'] {
  if (method.type !== 'distillation' || method.teacher.directory === undefined) return method;
  return { ...method, teacher: { ...method.teacher, directory: modelIn(root, method.teacher.directory) } };
}

/** The directory of a model that a recipe begins with: itself, or the last that a job has made. Throws where there is none. */
export function modelIn(root: string, path: string): string {
  const directory = resolve(root, path);
  if (existsSync(join(directory, 'config.json'))) return directory;
  if (existsSync(join(directory, jobFiles.order)) && !hasSucceeded(directory)) {
    const hint = 'the command that began it goes on with it, or name one of its checkpoints';
    throw new Error(`${directory}: expected a job that has come to its end, found one that has not; ${hint}`);
  }
  const checkpoints = join(directory, 'checkpoints');
  const steps = existsSync(checkpoints)
    ? readdirSync(checkpoints).flatMap((name) => /^step-(\d+)$/.exec(name)?.[1] ?? [])
    : [];
  if (steps.length === 0) throw new Error(`${directory}: expected a model, found none; train it first`);
  return join(checkpoints, `step-${Math.max(...steps.map(Number))}`);
}

/** Rows that name problems of a built-in task, to be thought about. */
export function* taskRows(
  task: string,
  split: 'train' | 'validation' | 'test',
  first: number,
  count: number,
  difficulty?: number,
): Iterable<object> {
  for (let index = first; index < first + count; index++) {
    yield { task, split, index, thinking: true, ...(difficulty !== undefined && { difficulty }) };
  }
}

function* lines(rows: Iterable<object>): Iterable<Uint8Array> {
  for (const row of rows) yield Buffer.from(`${JSON.stringify(row)}\n`);
}
