// What a command writes to.
//
// Owns the two streams and whether text on them may be styled. Knows nothing about what is written. A reader that leaves
// early, such as `head`, ends the program quietly: there is nobody left to tell.

import { styleText } from 'node:util';

export interface Terminal {
  /** Results: what a pipe is meant to carry. */
  out(text: string): void;
  /** Everything else. */
  err(text: string): void;
  /** Less conspicuous on standard output, unchanged where that is no terminal or NO_COLOR is set. */
  dim(text: string): string;
  /** A person watches standard output. */
  readonly isInteractive: boolean;
  /** A person watches standard error: lines there may be written over. */
  readonly showsProgress: boolean;
}

export function processTerminal(): Terminal {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit();
      throw error;
    });
  }
  return {
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    dim: (text) => styleText('dim', text, { stream: process.stdout }),
    isInteractive: process.stdout.isTTY === true,
    showsProgress: process.stderr.isTTY === true,
  };
}

/** What a model wrote, without the control characters that would steer the terminal; lines and tabs stay. */
export function printable(text: string): string {
  return text.replaceAll(/(?![\n\t])\p{Cc}/gu, '');
}
