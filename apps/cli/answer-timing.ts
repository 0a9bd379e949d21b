// How fast an answer came.
//
// Owns the measuring of a stream of events as it passes: the time to the first word, be it of reasoning or of the answer, and
// the rate after it. Changes nothing about the stream.

import type { ChatEvent } from '@hadal/protocol/chat-event';

export interface AnswerTiming {
  /** From the question to the first piece of the answer; undefined while there is none. */
  readonly firstTokenMs: number | undefined;
  /** After the first; undefined while the answer is not over, or had one token only. */
  readonly tokensPerSecond: number | undefined;
}

/** The events of `answer`, which is taken to be asked for now, and what `timing` will have seen of them. */
export function timed(
  answer: AsyncIterable<ChatEvent>,
  now: () => number = () => performance.now(),
): { readonly events: AsyncGenerator<ChatEvent, void, void>; readonly timing: AnswerTiming } {
  const startMs = now();
  const timing: { -readonly [K in keyof AnswerTiming]: AnswerTiming[K] } = {
    firstTokenMs: undefined,
    tokensPerSecond: undefined,
  };
  async function* events(): AsyncGenerator<ChatEvent, void, void> {
    for await (const event of answer) {
      if (event.type === 'finish') {
        const seconds = (now() - startMs - (timing.firstTokenMs ?? 0)) / 1000;
        const tokens = event.usage.completion - 1;
        if (timing.firstTokenMs !== undefined && tokens > 0 && seconds > 0) timing.tokensPerSecond = tokens / seconds;
      } else if (event.type !== 'start') {
        timing.firstTokenMs ??= now() - startMs;
      }
      yield event;
    }
  }
  return { events: events(), timing };
}

/** `first word after 0.24 s, then 31 tokens/s` on a line of its own; empty where nothing was said. */
export function timingInWords({ firstTokenMs, tokensPerSecond }: AnswerTiming): string {
  if (firstTokenMs === undefined) return '';
  const rate = tokensPerSecond === undefined ? '' : `, then ${tokensPerSecond.toPrecision(3)} tokens/s`;
  return `first word after ${(firstTokenMs / 1000).toFixed(2)} s${rate}\n`;
}
