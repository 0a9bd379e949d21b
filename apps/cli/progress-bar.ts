// How far something long is, on one line of standard error that goes away again.
//
// Owns the bar, the rate and the guess of the time left. Silent where standard error is no terminal, and for what is over
// before a person would have wondered. Knows nothing about what takes so long.

import { bytesInWords, secondsInWords } from './quantities.ts';
import type { Terminal } from './terminal.ts';

export interface ByteProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface ProgressBar extends Disposable {
  show(progress: ByteProgress): void;
}

const patienceMs = 300;
const everyMs = 100;
const width = 24;

/** `label`: what is going on. Disposal clears the line. */
export function openProgressBar(
  label: string,
  terminal: Terminal,
  now: () => number = () => performance.now(),
): ProgressBar {
  const startMs = now();
  let shownMs = Number.NEGATIVE_INFINITY;
  /** Where this run began: what was there before says nothing about its rate. */
  let firstBytes: number | undefined;
  return {
    show({ doneBytes, totalBytes }) {
      firstBytes ??= doneBytes;
      const nowMs = now();
      if (!terminal.showsProgress || nowMs - startMs < patienceMs || nowMs - shownMs < everyMs) return;
      shownMs = nowMs;
      const share = totalBytes === 0 ? 1 : doneBytes / totalBytes;
      const filled = Math.round(share * width);
      const rate = ((doneBytes - firstBytes) / (nowMs - startMs)) * 1000;
      const left = rate > 0 ? `  ${secondsInWords((totalBytes - doneBytes) / rate)} left` : '';
      const bar = `${'█'.repeat(filled)}${'░'.repeat(width - filled)}`;
      const bytes = `${bytesInWords(doneBytes)} of ${bytesInWords(totalBytes)}`;
      terminal.err(`\r\u001b[K${label} ${bar} ${Math.floor(share * 100)} %  ${bytes}  ${bytesInWords(rate)}/s${left}`);
    },
    [Symbol.dispose]() {
      if (shownMs > Number.NEGATIVE_INFINITY) terminal.err('\r\u001b[K');
    },
  };
}
