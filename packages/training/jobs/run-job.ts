// One job from its order to its end.
//
// Owns which method carries an order out, and that whatever happens is in the journal: done, stopped, or failed with the reason.
// Checkpoints written before stay. Knows nothing of who ordered it.

import { existsSync } from 'node:fs';
import { distill, teacherAnswers } from '../distill.ts';
import { dpo } from '../dpo.ts';
import { grpo } from '../grpo.ts';
import { supervised } from '../supervised.ts';
import type { Teacher } from '../teacher.ts';
import { problemText } from './data-file.ts';
import { readJobData } from './job-data.ts';
import { hasSucceeded, JobDirectory, type JobPosition, type JournalNote, jobStart } from './job-directory.ts';
import { JobFailure, JobStopped } from './job-failure.ts';
import { JobRun, type JobRunOptions } from './job-run.ts';
import type { Judge } from './judge.ts';

/** What is known before a teacher is asked. */
export interface TeacherBefore {
  /** Whether it has answered before: then it is there, and worth waiting for. */
  readonly hasAnswered: boolean;
  /** Nobody waits for it any more. */
  readonly signal?: AbortSignal | undefined;
}

export interface JobServices extends JobRunOptions {
  /** Who grades answers; of methods that need a grader. */
  readonly judge?: Judge | undefined;
  /** Who teaches; of distillation. */
  readonly openTeacher?: ((before: TeacherBefore) => Promise<Teacher>) | undefined;
  readonly now?: () => number;
  /** Hears everything that goes into the journal. */
  readonly onNote?: (entry: JournalNote) => void;
}

export type JobEnd = 'succeeded' | 'stopped' | 'failed';

/** Carries out the order in `path`, or goes on with it. Rejects only where there is no journal to tell it in. */
export async function runJob(path: string, services: JobServices): Promise<JobEnd> {
  using directory = new JobDirectory(path, services.now, services.onNote);
  if (hasSucceeded(path)) {
    directory.forgetState();
    return 'succeeded';
  }
  let at: JobPosition | undefined;
  try {
    using run = new JobRun(directory, services);
    at = run.start();
    at = await carryOut(run, services, at);
    if (!run.isDone(at)) {
      run.save(run.timed(at));
      directory.note({ type: 'stopped', step: at.step, trainedTokens: at.trainedTokens });
      return 'stopped';
    }
    run.writeMetrics();
    directory.note({ type: 'succeeded', trainedTokens: at.trainedTokens, resultFiles: run.results });
    directory.forgetState();
    return 'succeeded';
  } catch (error) {
    if (error instanceof JobStopped) {
      const { step, trainedTokens } = directory.state()?.position ?? jobStart;
      directory.note({ type: 'stopped', step, trainedTokens });
      return 'stopped';
    }
    const { code, message, param } = failureOf(error);
    directory.note({ type: 'failed', code, message, param, trainedTokens: at?.trainedTokens ?? 0 });
    return 'failed';
  }
}

async function carryOut(run: JobRun, services: JobServices, at: JobPosition): Promise<JobPosition> {
  const { order, directory, renderer, contextLength } = run;
  const { method } = order;
  const { data, problems } = readJobData(order, renderer, contextLength, (path) => directory.at(path));
  // It was checked before the job began; all the same it may be another file by now.
  const [first] = problems;
  if (first) throw new JobFailure(first.code, problemText(first), first.param);
  const { judge, openTeacher } = services;
  if (method.type === 'supervised' && data.type === 'documents') {
    return await supervised(run, method, { documents: data.learned, heldOut: data.heldOut }, at);
  }
  if (method.type === 'dpo' && data.type === 'pairs') return await dpo(run, method, data, at);
  if (method.type === 'reinforcement' && data.type === 'prompts' && judge) {
    return await grpo(run, method, { ...data, judge }, at);
  }
  if (method.type === 'distillation' && openTeacher && (data.type === 'prompts' || data.type === 'answered')) {
    const answered = data.type === 'answered' ? data.learned : [];
    const prompts = data.type === 'prompts' ? data.prompts : [];
    const { heldOut } = data;
    const hasAnswered = existsSync(directory.at(teacherAnswers));
    const teacher = await openTeacher({ hasAnswered, signal: services.signal });
    return await distill(run, method, { prompts, answered, heldOut, judge, teacher }, at);
  }
  throw new Error(`${method.type}: expected whoever grades or teaches, found nobody`);
}

function failureOf(error: unknown): Pick<JobFailure, 'code' | 'message' | 'param'> {
  if (error instanceof JobFailure) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOSPC') return { code: 'disk_full', message: `the disk is full: ${message}`, param: null };
  return { code: 'internal', message, param: null };
}
