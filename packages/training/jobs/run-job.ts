// One job from its order to its end.
//
// Owns which method carries an order out, and that whatever happens is in the journal: done, stopped, or failed with the reason.
// Checkpoints written before stay. Knows nothing of who ordered it.

import type { TrainingMethod } from '@hadal/protocol/training-order';
import { type GrpoData, grpo } from '../grpo.ts';
import { readRows } from './data-file.ts';
import { JobDirectory, type JobPosition } from './job-directory.ts';
import { JobFailure } from './job-failure.ts';
import { JobRun, type JobRunOptions } from './job-run.ts';
import type { Judge } from './judge.ts';
import { parsePrompt } from './prompts.ts';

export interface JobServices extends JobRunOptions {
  /** Who grades answers; of methods that need a grader. */
  readonly judge?: Judge | undefined;
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
    directory.note({ type: 'succeeded', trainedTokens: at.trainedTokens, resultFiles: [run.writeMetrics()] });
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
    default:
      throw new Error(`${method.type}: not built yet`);
  }
}

function grpoData(
  { order, directory }: JobRun,
  { reasoning }: Extract<TrainingMethod, { type: 'reinforcement' }>,
  { judge }: JobServices,
): GrpoData {
  if (!judge) throw new Error('reinforcement: expected somebody who grades');
  const parse = (line: unknown) => parsePrompt(line, reasoning === 'on');
  const prompts = checkedRows(directory.at(order.trainingFile), 'training_file', parse);
  const heldOut = order.validationFile
    ? checkedRows(directory.at(order.validationFile), 'validation_file', parse)
    : [];
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
