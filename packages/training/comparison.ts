// Teacher and student side by side, at the end of a distillation.
//
// Owns what is told of both on the same held-out prompts: score, speed, and what an answer takes in tokens, time and money. Knows
// nothing of how the one has learned from the other.

import type { GraderRun } from '@hadal/protocol/grader-run';
import type { TokenPrice } from '@hadal/protocol/training-order';
import type { Distillation, DistillationData } from './distill.ts';
import { converse, type ExchangeOptions, greedyExchange } from './exchange.ts';
import { isSound } from './graders/grader.ts';
import { askedAtOnce, inFlight } from './in-flight.ts';
import { JobFailure, JobStopped } from './jobs/job-failure.ts';
import type { JobRun } from './jobs/job-run.ts';
import { noteGradings } from './jobs/judge.ts';
import type { TrainingPrompt } from './jobs/prompts.ts';
import { meanOf } from './policy-objective.ts';
import { type TaughtAnswer, taughtBy } from './teacher.ts';

/** One side of the comparison that a job ends with. */
export interface ComparedModel {
  readonly model: string;
  /** Mean reward; absent where nobody grades. */
  readonly score?: number;
  readonly meanCompletionTokens: number;
  readonly tokensPerSecond: number;
  readonly secondsPerAnswer: number;
  /** What a caller pays for a thousand such answers, where that is known; nothing of a prompt is taken from a cache. */
  readonly costPer1000Answers?: number;
  readonly currency?: string;
}

/**
 * Teacher and student on the same held-out prompts, greedily: what each scores, how fast it is, and what an answer takes. A teacher
 * that fails now leaves the student without the comparison; what was learned is not lost with it.
 */
export async function compare(
  job: JobRun,
  data: DistillationData,
  { maxCompletionTokens: maxTokens, prices }: Distillation,
): Promise<void> {
  if (data.heldOut.length === 0) return;
  if (job.isStopping) throw new JobStopped();
  try {
    const sides = await comparedModels(job, data, { ...greedyExchange, maxTokens }, prices);
    for (const one of sides) {
      const score = one.score === undefined ? '' : `score ${one.score.toFixed(3)}, `;
      const cost = `${one.meanCompletionTokens.toFixed(0)} tokens and ${one.secondsPerAnswer.toFixed(3)} s an answer`;
      const { costPer1000Answers: paid, currency } = one;
      const price = paid === undefined ? '' : `, ${Number(paid.toPrecision(3))} ${currency} for 1,000`;
      job.note(`${one.model}: ${score}${one.tokensPerSecond.toFixed(0)} tokens/s, ${cost}${price}`);
    }
    job.writeResult('comparison.json', `${JSON.stringify(sides, undefined, 2)}\n`);
  } catch (error) {
    if (!(error instanceof JobFailure)) throw error;
    job.note(`teacher and student could not be compared: ${error.message}`, 'warn');
  }
}

async function comparedModels(
  job: JobRun,
  { teacher, heldOut, judge }: DistillationData,
  options: ExchangeOptions,
  prices: Distillation['prices'],
): Promise<readonly ComparedModel[]> {
  async function side(
    model: string,
    price: TokenPrice | undefined,
    answerTo: (question: TrainingPrompt['question']) => Promise<TaughtAnswer>,
  ): Promise<ComparedModel> {
    const begunMs = performance.now();
    const answers: TaughtAnswer[] = [];
    await inFlight(heldOut, askedAtOnce, async ({ question }, i) => {
      if (job.isStopping) throw new JobStopped();
      answers[i] = await answerTo(question);
    });
    const seconds = (performance.now() - begunMs) / 1000;
    const tokens = answers.reduce((sum, { completionTokens }) => sum + completionTokens, 0);
    const read = answers.reduce((sum, { promptTokens }) => sum + promptTokens, 0);
    const runs: GraderRun[] = [];
    if (judge) {
      await inFlight(heldOut, askedAtOnce, async ({ item }, i) => {
        runs[i] = await judge(item, (answers[i] as TaughtAnswer).sample);
      });
      noteGradings(job, runs);
    }
    return {
      ...{ model, meanCompletionTokens: tokens / heldOut.length, tokensPerSecond: tokens / seconds },
      secondsPerAnswer: seconds / heldOut.length,
      ...(price && prices && { costPer1000Answers: costPer1000(price, read, tokens), currency: prices.currency }),
      ...(judge && { score: meanOf(runs.filter(isSound).map(({ reward }) => reward)) }),
    };
  }
  return [
    await side(teacher.name, prices?.teacher, (question) => teacher.answer(question, options)),
    await side('student', prices?.student, async (question) =>
      taughtBy(await converse(job.candidate, question, options)),
    ),
  ];

  /** Prices are in millionths, and for a million tokens. */
  function costPer1000({ input, output }: TokenPrice, read: number, written: number): number {
    return (read * input + written * output) / 1e9 / heldOut.length;
  }
}
