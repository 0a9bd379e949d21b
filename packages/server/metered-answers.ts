// Answers of which it is known, in the end, what they took.
//
// Owns that every answered call is charged exactly once: before its last event is passed on, or, where nobody listens any more,
// when its generations have ended. Who leaves early has the rest of what was begun counted, which ends within a step once the
// call's signal aborts. An answer that fails is no answer. Knows no prices.

import { totalUsage } from '@hadal/protocol/chat-completions-response';
import { noUsage, type Usage } from '@hadal/protocol/chat-event';
import type { Answer, AnswerEvent } from './choices.ts';

export type Charge = (usage: Usage, finishReason: string) => Promise<void>;

/**
 * The same answers, `choices` to each prompt. `onBegun` is given, as soon as the first is read, what ends when the last is over
 * and charged, read or left: it rejects where one who left could not be charged.
 */
export function meteredAnswers<E extends AnswerEvent>(
  answers: readonly Answer<E>[],
  choices: number,
  charge: Charge,
  onBegun: (whole: Promise<void>) => void,
): Answer<E>[] {
  const usages = new Map<number, Usage>();
  const over = new Set<number>();
  const failures: unknown[] = [];
  const whole = Promise.withResolvers<void>();
  let isBegun = false;
  let finishReason = '';
  let charged: Promise<void> | undefined;

  /** Of those that were begun; those that never were took nothing. */
  function chargeOnce(): Promise<void> {
    const all = answers.map((_, i) => usages.get(i) ?? noUsage);
    charged ??= charge(totalUsage(all, choices), finishReason);
    return charged;
  }

  function begin(): void {
    if (isBegun) return;
    isBegun = true;
    onBegun(whole.promise);
  }

  /** Notes that no more is to come of an answer. */
  function end(index: number): void {
    over.add(index);
    if (over.size < answers.length) return;
    if (failures.length > 0) whole.reject(failures[0]);
    else if (usages.size === 0) whole.resolve();
    else chargeOnce().then(whole.resolve, whole.reject);
  }

  return answers.map((answer, index) => {
    let hasBegun = false;

    async function next(): Promise<IteratorResult<E, void>> {
      begin();
      hasBegun = true;
      const result = await answer.next();
      if (result.done === true) end(index);
      else if ('usage' in result.value) {
        const event = result.value as E & { readonly usage: Usage; readonly reason?: unknown };
        usages.set(index, event.usage);
        if (index === 0 && event.reason !== undefined) finishReason = String(event.reason);
        if (usages.size === answers.length) await chargeOnce();
      }
      return result;
    }

    /** The rest of what was begun, for one who left. */
    async function drain(): Promise<void> {
      if (!hasBegun) await answer.return(undefined);
      else while ((await next()).done !== true);
    }

    function leave(): void {
      drain()
        .catch((error) => {
          failures.push(error);
        })
        .finally(() => end(index));
    }

    const metered: Answer<E> = {
      next,
      async return() {
        leave();
        return { done: true, value: undefined };
      },
      async throw(error) {
        leave();
        throw error;
      },
      [Symbol.asyncIterator]: () => metered,
      async [Symbol.asyncDispose]() {
        await metered.return(undefined);
      },
    };
    return metered;
  });
}
