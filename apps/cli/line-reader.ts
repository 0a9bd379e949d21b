// Lines that a person types, or that a pipe brings.
//
// Owns standard input while a line is read, and lets go of it in between, so that Ctrl-C reaches the program as a signal
// while it works. Knows nothing about what the lines mean.

import { createInterface } from 'node:readline';

export interface LineReader extends Disposable {
  /** The next line without its end; undefined once there is no more input. */
  read(prompt: string): Promise<string | undefined>;
}

export function openLineReader(): LineReader {
  return process.stdin.isTTY ? typedLines() : pipedLines();
}

/** Ctrl-C drops what was typed; on an empty line it says how to leave. */
function typedLines(): LineReader {
  let history: string[] = [];
  return {
    read(prompt) {
      const editor = createInterface({
        input: process.stdin,
        output: process.stdout,
        history,
        historySize: 1000,
        removeHistoryDuplicates: true,
      });
      editor.setPrompt(prompt);
      editor.on('history', (lines) => {
        history = [...lines];
      });
      return new Promise((resolve) => {
        let line: string | undefined;
        editor.on('SIGINT', () => {
          process.stdout.write(editor.line === '' ? '\n(Ctrl-D or /exit leaves)\n' : '\n');
          editor.write(null, { ctrl: true, name: 'e' });
          editor.write(null, { ctrl: true, name: 'u' });
          editor.prompt();
        });
        editor.on('line', (text) => {
          line = text;
          editor.close();
        });
        editor.on('close', () => {
          if (line === undefined) process.stdout.write('\n');
          resolve(line);
        });
        editor.prompt();
      });
    },
    [Symbol.dispose]() {},
  };
}

/** No prompt is shown: nobody is there to be prompted. */
function pipedLines(): LineReader {
  const editor = createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY });
  const lines = editor[Symbol.asyncIterator]();
  return {
    async read() {
      const { done, value } = await lines.next();
      return done === true ? undefined : value;
    },
    [Symbol.dispose]() {
      editor.close();
    },
  };
}
