// What an answer in training is worth.
//
// Owns what a job makes of gradings: who judges is handed in. A grading that failed says nothing of its answer, which is left out;
// when most of them fail the job has no reward to follow, and ends.

import type { JsonObject } from '@hadal/protocol/chat-request';
import type { GraderRun } from '@hadal/protocol/grader-run';
import type { Exchange, Question } from '../exchange.ts';
import { isSound } from '../graders/grader.ts';
import type { Sample } from '../graders/sample.ts';
import { languageConsistency } from '../graders/task-grader.ts';
import { JobFailure, JobStopped } from './job-failure.ts';
import type { JobRun } from './job-run.ts';

/** Grades the answer to a row. Never rejects for what the answer or the grader does. */
export type Judge = (item: JsonObject, sample: Sample) => Promise<GraderRun>;

/** What there is to grade of an exchange. */
export function sampleOf({ answer, turns }: Pick<Exchange, 'answer' | 'turns'>): Sample {
  const { content: text, reasoning, toolCalls } = answer;
  return { text, reasoning, toolCalls, isTruncated: turns.at(-1)?.isTruncated === true };
}

/** What `gradings` come to; undefined where there is nobody left to ask. */
export async function unlessStopped<T>(gradings: Promise<T>): Promise<T | undefined> {
  return await gradings.catch((error) => {
    if (error instanceof JobStopped) return undefined;
    throw error;
  });
}

/** Tells of gradings that failed. Throws `JobFailure` when they are more than half of a step's. */
export function noteGradings(job: JobRun, runs: readonly Pick<GraderRun, 'problems'>[]): void {
  // An answer that a grader cannot read is graded: it is a bad one.
  const failed = runs.filter((run) => !isSound(run));
  const first = failed[0]?.problems.find(({ kind }) => kind !== 'sample-parse');
  if (!first) return;
  const message = `${failed.length} of ${runs.length} gradings failed; ${first.grader}: ${first.message}`;
  if (failed.length * 2 > runs.length)
    throw new JobFailure('grader_failed', message, `method.${job.order.method.type}.grader`);
  job.note(message, 'warn');
}

/** The share of an answer's words that are in the language of the question (DeepSeek-R1, arXiv 2501.12948, section 2.3.2). */
export function languageShare({ messages }: Pick<Question, 'messages'>, { reasoning, text }: Sample): number {
  const asked = messages.findLast(({ role }) => role === 'user')?.content ?? '';
  const language = languageConsistency(asked, 'zh') > 0.5 && /\p{Script=Han}/u.test(asked) ? 'zh' : 'en';
  return languageConsistency(`${reasoning}\n${text}`, language);
}
