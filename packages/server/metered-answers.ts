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
 * The same answers, `choices` to each prompt. `onLeft` is given what goes on for one who left: it rejects where the charge could
 * not be made.
 */
export function meteredAnswers<E extends AnswerEvent>(
  answers: readonly Answer<E>[],
  choices: number,
  charge: Charge,
  onLeft: (rest: Promise<void>) => void,
): Answer<E>[] {
  const usages = new Map<number, Usage>();
  const over = new Set<number>();
  let finishReason = '';
  let charged: Promise<void> | undefined;

  /** Of those that were begun; those that never were took nothing. */
  function chargeOnce(): Promise<void> {
    const all = answers.map((_, i) => usages.get(i) ?? noUsage);
    charged ??= charge(totalUsage(all, choices), finishReason);
    return charged;
  }

  return answers.map((answer, index) => {
    let hasBegun = false;

    async function next(): Promise<IteratorResult<E, void>> {
      hasBegun = true;
      const result = await answer.next();
      if (result.done !== true && 'usage' in result.value) {
        const event = result.value as E & { readonly usage: Usage; readonly reason?: unknown };
        usages.set(index, event.usage);
        if (index === 0 && event.reason !== undefined) finishReason = String(event.reason);
        if (usages.size === answers.length) await chargeOnce();
      }
      return result;
    }

    async function drain(): Promise<void> {
      if (!hasBegun) await answer.return(undefined);
      else for (;;) if ((await next()).done === true) break;
      over.add(index);
      if (over.size === answers.length && usages.size > 0) await chargeOnce();
    }

    const metered: Answer<E> = {
      next,
      async return() {
        onLeft(drain());
        return { done: true, value: undefined };
      },
      async throw(error) {
        onLeft(drain());
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
