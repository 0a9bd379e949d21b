// Several answers to one request, as one stream.
//
// Owns how they are told apart and brought together: events in the order in which they come, each with the number of its
// answer, and what they all took with the last. Knows nothing of what is said in them. Invariant: the first answer is the
// one that a request for a single answer gets.

import { type ChoiceEvent, totalUsage } from '@hadal/protocol/chat-completions-response';
import type { ChatEvent, Usage } from '@hadal/protocol/chat-event';

type Answer = AsyncGenerator<ChatEvent, void, void>;

/** The seed of answer `index` to a request with this one. */
export function choiceSeed(seed: number | undefined, index: number): number | undefined {
  // Far apart, so that the second answer is not the first one of the next seed.
  return seed === undefined ? undefined : seed + Math.imul(index, 0x9e3779b1);
}

/**
 * The events of all answers, each of which begins with the event in `starts`. Where one fails, or this is left early, the
 * others are left too.
 */
export async function* mergeChoices(
  answers: readonly Answer[],
  starts: readonly ChatEvent[],
): AsyncGenerator<ChoiceEvent, void, void> {
  const usages: Usage[] = [];
  const pending = new Map(answers.map((answer, index) => [index, nextOf(answer, index)]));
  try {
    for (const [index, event] of starts.entries()) yield { index, event, usage: undefined };
    while (pending.size > 0) {
      const { index, result } = await Promise.race(pending.values());
      const answer = answers[index] as Answer;
      if (result.done === true) {
        pending.delete(index);
        continue;
      }
      pending.set(index, nextOf(answer, index));
      const event = result.value;
      if (event.type === 'finish') usages[index] = event.usage;
      const isLast = event.type === 'finish' && Object.keys(usages).length === answers.length;
      yield { index, event, usage: isLast ? totalUsage(usages) : undefined };
    }
  } finally {
    // Whoever waits for the next event of an answer must not hear of its failure any more.
    for (const next of pending.values()) next.catch(() => {});
    for (const answer of answers) void answer.return().catch(() => {});
  }
}

async function nextOf(answer: Answer, index: number) {
  return { index, result: await answer.next() };
}
