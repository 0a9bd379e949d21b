// What an answer in training is worth.
//
// Owns what a job makes of gradings: who judges is handed in. A grading that failed is worth nothing, which is an answer's bad
// luck; when most of them fail the job has no reward to follow, and ends.

import type { JsonObject } from '@hadal/protocol/chat-request';
import type { GraderRun } from '@hadal/protocol/grader-run';
import type { Question } from '../exchange.ts';
import type { Answer } from '../tasks/task.ts';
import { JobFailure } from './job-failure.ts';
import type { JobRun } from './job-run.ts';

/** Grades the answer to a row. Never rejects for what the answer or the grader does. */
export type Judge = (item: JsonObject, answer: Answer) => Promise<GraderRun>;

/** Tells of gradings that failed. Throws `JobFailure` when they are more than half of a step's. */
export function noteGradings(job: JobRun, runs: readonly Pick<GraderRun, 'problems'>[]): void {
  // An answer that a grader cannot read is graded: it is a bad one.
  const failed = runs.flatMap(({ problems }) => problems.find(({ kind }) => kind !== 'sample-parse') ?? []);
  const [first] = failed;
  if (!first) return;
  const message = `${failed.length} of ${runs.length} gradings failed; ${first.grader}: ${first.message}`;
  if (failed.length * 2 > runs.length) throw new JobFailure('grader_failed', message, 'method.reinforcement.grader');
  job.note(message, 'warn');
}

const chinese = /\p{Script=Han}/gu;
const latin = /\p{Script=Latin}+/gu;

/**
 * The share of an answer's words that are in the language of the question: the language consistency of DeepSeek-R1 (arXiv
 * 2501.12948, section 2.3.2). A Chinese character counts as a word; numbers and signs belong to every language. 1 where there
 * are no words.
 */
export function wordShare({ messages }: Pick<Question, 'messages'>, { reasoning, content }: Answer): number {
  const asked = messages.findLast(({ role }) => role === 'user')?.content ?? '';
  const isChinese = countOf(asked, chinese) > countOf(asked, latin);
  const text = `${reasoning}\n${content}`;
  const [han, words] = [countOf(text, chinese), countOf(text, latin)];
  return han + words === 0 ? 1 : (isChinese ? han : words) / (han + words);
}

function countOf(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}
