// One job from its order to its end.
//
// Owns which method carries an order out, and that whatever happens is in the journal: done, stopped, or failed with the reason.
// Checkpoints written before stay. Knows nothing of who ordered it.

import type { TrainingMethod, TrainingOrder } from '@hadal/protocol/training-order';
import { parseConversationRow, parsePreferenceRow } from '@hadal/protocol/training-rows';
import { type Distillation, type DistillationData, distill } from '../distill.ts';
import { dpo, type PreferencePair } from '../dpo.ts';
import { type GrpoData, grpo } from '../grpo.ts';
import { type SupervisedData, supervised } from '../supervised.ts';
import type { Teacher } from '../teacher.ts';
import { conversationDocument, learnedTokens, preferenceDocuments } from './conversation-documents.ts';
import { readRows } from './data-file.ts';
import { JobDirectory, type JobPosition } from './job-directory.ts';
import { JobFailure } from './job-failure.ts';
import { JobRun, type JobRunOptions } from './job-run.ts';
import type { Judge } from './judge.ts';
import { parsePrompt } from './prompts.ts';

export interface JobServices extends JobRunOptions {
  /** Who grades answers; of methods that need a grader. */
  readonly judge?: Judge | undefined;
  /** Who teaches; of distillation. */
  readonly openTeacher?: (() => Promise<Teacher>) | undefined;
  readonly now?: () => number;
}

export type JobEnd = 'succeeded' | 'stopped' | 'failed';

/** Carries out the order in `path`, or goes on with it. Rejects only where there is no journal to tell it in. */
export async function runJob(path: string, services: JobServices): Promise<JobEnd> {
  using directory = new JobDirectory(path, services.now);
  let at: JobPosition | undefined;
  try {
    using run = new JobRun(directory, services);
    at = run.start();
    at = await carryOut(run, directory.order.method, services, at);
    run.save(at);
    if (!run.isDone(at)) {
      directory.note({ type: 'stopped', step: at.step, trainedTokens: at.trainedTokens });
      return 'stopped';
    }
    run.writeCheckpoint(at, {});
    run.writeMetrics();
    directory.note({ type: 'succeeded', trainedTokens: at.trainedTokens, resultFiles: run.results });
    return 'succeeded';
  } catch (error) {
    const { code, message, param } = failureOf(error);
    directory.note({ type: 'failed', code, message, param, trainedTokens: at?.trainedTokens ?? 0 });
    return 'failed';
  }
}

async function carryOut(
  run: JobRun,
  method: TrainingMethod,
  services: JobServices,
  at: JobPosition,
): Promise<JobPosition> {
  switch (method.type) {
    case 'reinforcement':
      return await grpo(run, method, grpoData(run, method, services), at);
    case 'supervised':
      return await supervised(run, method, supervisedData(run.order, run), at);
    case 'dpo':
      return await dpo(run, method, preferencePairs(run), at);
    case 'distillation':
      return await distill(run, method, await distillationData(run, method, services), at);
  }
}

function supervisedData(
  order: Pick<TrainingOrder, 'trainingFile' | 'validationFile'>,
  { directory, renderer, contextLength }: JobRun,
): SupervisedData {
  const documents = (file: string, param: string) =>
    checkedRows(directory.at(file), param, parseConversationRow)
      .map((row) => conversationDocument(row, renderer, contextLength))
      .filter((document) => learnedTokens(document) > 0);
  const heldOut = order.validationFile ? documents(order.validationFile, 'validation_file') : [];
  const learned = documents(order.trainingFile, 'training_file');
  if (learned.length === 0) {
    const problem = `training_file: expected answers within the model's ${contextLength} tokens, found none`;
    throw new JobFailure('invalid_training_file', problem, 'training_file');
  }
  return { documents: learned, heldOut };
}

async function distillationData(
  run: JobRun,
  { source }: Distillation,
  { judge, openTeacher }: JobServices,
): Promise<DistillationData> {
  if (!openTeacher) throw new Error('distillation: expected somebody who teaches');
  const { order, directory } = run;
  const parse = (line: unknown) => parsePrompt(line, true);
  const isStored = source === 'stored_completions';
  return {
    prompts: isStored ? [] : checkedRows(directory.at(order.trainingFile), 'training_file', parse),
    answered: isStored ? supervisedData({ ...order, validationFile: undefined }, run).documents : [],
    heldOut: order.validationFile ? checkedRows(directory.at(order.validationFile), 'validation_file', parse) : [],
    ...{ judge, teacher: await openTeacher() },
  };
}

function preferencePairs(run: JobRun): PreferencePair[] {
  const { order, directory, contextLength } = run;
  const rows = checkedRows(directory.at(order.trainingFile), 'training_file', parsePreferenceRow);
  return rows
    .map((row) => preferenceDocuments(row, run.renderer, contextLength))
    .filter((pair) => pair.every((document) => learnedTokens(document) > 0));
}

function grpoData(
  { order, directory }: JobRun,
  { reasoning }: Extract<TrainingMethod, { type: 'reinforcement' }>,
  { judge }: JobServices,
): GrpoData {
  if (!judge) throw new Error('reinforcement: expected somebody who grades');
  const parse = (line: unknown) => parsePrompt(line, reasoning === 'on');
  const prompts = checkedRows(directory.at(order.trainingFile), 'training_file', parse);
  const heldOut = order.validationFile ? checkedRows(directory.at(order.validationFile), 'validation_file', parse) : [];
  return { prompts, heldOut, judge };
}

/** Rows of a file that was checked before the job began; all the same it may be another one by now. */
function checkedRows<T>(path: string, param: string, parse: (line: unknown) => T): readonly T[] {
  const { rows, problems } = readRows(path, param, parse);
  const [first] = problems;
  if (first) throw new JobFailure(first.code, first.message, first.param);
  return rows;
}

function failureOf(error: unknown): Pick<JobFailure, 'code' | 'message' | 'param'> {
  if (error instanceof JobFailure) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOSPC') return { code: 'disk_full', message: `the disk is full: ${message}`, param: null };
  return { code: 'internal', message, param: null };
}
