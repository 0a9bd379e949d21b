// A model that others learn from.
//
// Owns the two things that a teacher does: answer a question in words, and, where its tokens are the student's, say what it would
// have expected in every place of a text. Where the teacher runs is its maker's business.

import { type Engine, plainRequest } from '@hadal/engine/engine';
import type { ChatMessage } from '@hadal/formats/chat/message';
import type { Teacher as TopTokens } from '@hadal/kernels/divergence';
import { type Candidate, converse, type Exchange, type ExchangeOptions, type Question } from './exchange.ts';
import type { Sample } from './graders/sample.ts';
import { sampleOf } from './jobs/judge.ts';

export interface Teacher {
  readonly name: string;
  answer(question: Question, options: ExchangeOptions): Promise<TaughtAnswer>;
  /** Absent where only its words can be had. */
  readonly scoring?: TeacherScoring | undefined;
}

/** `sample`: what graders see of it. */
export interface TaughtAnswer {
  readonly sample: Sample;
  /** All that was said after the question, tools' results included: what there is to learn. */
  readonly said: readonly ChatMessage[];
  readonly promptTokens: number;
  readonly completionTokens: number;
}

export interface TeacherScoring {
  readonly candidate: Candidate;
  /**
   * The likeliest tokens in the places of `tokens` from `from` (at least 1) on, and their log-probabilities: [tokens.length - from,
   * topK] each.
   */
  topTokens(tokens: readonly number[], from: number, topK: number): Promise<TopTokens<Int32Array, Float32Array>>;
}

/** A teacher that runs in an engine of this process. */
export function engineTeacher(candidate: Candidate, name: string = candidate.engine.model.id): Teacher {
  const { engine } = candidate;
  return {
    name,
    async answer(question, options) {
      return taughtBy(await converse(candidate, question, options));
    },
    scoring: { candidate, topTokens: (tokens, from, topK) => topTokens(engine, tokens, from, topK) },
  };
}

export function taughtBy(exchange: Exchange): TaughtAnswer {
  const { said, promptTokens, completionTokens } = exchange;
  // Of an exchange that is learned whole no turn may be cut off.
  const isTruncated = exchange.turns.some((turn) => turn.isTruncated);
  return { sample: { ...sampleOf(exchange), isTruncated }, said, promptTokens, completionTokens };
}

async function topTokens(
  engine: Engine,
  tokens: readonly number[],
  from: number,
  topK: number,
): Promise<TopTokens<Int32Array, Float32Array>> {
  const places = tokens.length - from;
  const ids = new Int32Array(places * topK).fill(-1);
  const logprobs = new Float32Array(places * topK).fill(Number.NEGATIVE_INFINITY);
  const request = {
    ...{ ...plainRequest, prompt: tokens, maxTokens: 1 },
    ...{ topPromptLogprobs: topK, promptLogprobsFrom: from },
  };
  for await (const event of engine.generate(request)) {
    if (event.type !== 'prompt-top') continue;
    const rows = event.ids.length / event.count;
    for (let row = 0; row < rows; row++) {
      const place = (event.from - from + row) * topK;
      ids.set(event.ids.subarray(row * event.count, (row + 1) * event.count), place);
      logprobs.set(event.logprobs.subarray(row * event.count, (row + 1) * event.count), place);
    }
  }
  return { ids, logprobs };
}
