// Several answers to one request, as one stream.
//
// Owns how they are told apart and brought together: events in the order in which they come, each with the number of its
// answer, and what they all took with the last. Knows nothing of what is said in them. Invariant: the first answer is the
// one that a request for a single answer gets.

import { totalUsage } from '@hadal/protocol/chat-completions-response';
import type { Usage } from '@hadal/protocol/chat-event';

/** What every kind of answer has: one `start`, in the end one `finish`. */
export type AnswerEvent = { readonly type: string } | { readonly type: 'finish'; readonly usage: Usage };

export type Answer<E extends AnswerEvent> = AsyncGenerator<E, void, void>;

export interface NumberedEvent<E extends AnswerEvent> {
  /** Which answer. */
  readonly index: number;
  readonly event: E;
  /** On the very last event: what all answers took together. */
  readonly usage: Usage | undefined;
}

/** The seed of answer `index` to a request with this one. */
export function choiceSeed(seed: number | undefined, index: number): number | undefined {
  // Far apart, so that the second answer is not the first one of the next seed.
  return seed === undefined ? undefined : seed + (Math.imul(index, 0x9e3779b1) >>> 0);
}

/**
 * The events of all answers, `choices` to each prompt, each of which begins with the event in `starts`. Where one fails, or
 * this is left early, the others are left too.
 */
export async function* mergeChoices<E extends AnswerEvent>(
  answers: readonly Answer<E>[],
  starts: readonly E[],
  choices: number,
): AsyncGenerator<NumberedEvent<E>, void, void> {
  const usages = new Map<number, Usage>();
  const pending = new Map(answers.map((answer, index) => [index, nextOf(answer, index)]));
  try {
    for (const [index, event] of starts.entries()) yield { index, event, usage: undefined };
    while (pending.size > 0) {
      const { index, result } = await Promise.race(pending.values());
      const answer = answers[index] as Answer<E>;
      if (result.done === true) {
        pending.delete(index);
        continue;
      }
      pending.set(index, nextOf(answer, index));
      const event = result.value;
      if ('usage' in event) usages.set(index, event.usage);
      const isLast = 'usage' in event && usages.size === answers.length;
      const all = () => answers.map((_, i) => usages.get(i) as Usage);
      yield { index, event, usage: isLast ? totalUsage(all(), choices) : undefined };
    }
  } finally {
    // Whoever waits for the next event of an answer must not hear of its failure any more.
    for (const next of pending.values()) next.catch(() => {});
    leaveAll(answers);
  }
}

/** Leaves answers that may not have begun. */
export function leaveAll(answers: readonly AsyncGenerator[]): void {
  for (const answer of answers) void answer.return(undefined).catch(() => {});
}

async function nextOf<E extends AnswerEvent>(answer: Answer<E>, index: number) {
  return { index, result: await answer.next() };
}
