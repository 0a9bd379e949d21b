import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openProgressBar } from './progress-bar.ts';
import type { Terminal } from './terminal.ts';

/** A terminal and a clock that the test moves. */
function toyTerminal(showsProgress: boolean) {
  const written: string[] = [];
  const terminal: Terminal = {
    out: () => assert.fail('progress is no result'),
    err: (text) => written.push(text),
    dim: (text) => text,
    isInteractive: showsProgress,
    showsProgress,
  };
  return { terminal, written, clock: { ms: 0 } };
}

test('a bar shows share, bytes, rate and time left, now and then, and its line is cleared in the end', () => {
  const { terminal, written, clock } = toyTerminal(true);
  {
    using bar = openProgressBar('loading', terminal, () => clock.ms);
    bar.show({ doneBytes: 1e9, totalBytes: 5e9 });
    clock.ms = 1000;
    bar.show({ doneBytes: 2e9, totalBytes: 5e9 });
    clock.ms = 1050;
    bar.show({ doneBytes: 3e9, totalBytes: 5e9 });
    clock.ms = 2000;
    bar.show({ doneBytes: 5e9, totalBytes: 5e9 });
  }
  assert.deepEqual(written, [
    `\r\u001b[Kloading ${'█'.repeat(10)}${'░'.repeat(14)} 40 %  2.00 GB of 5.00 GB  1.00 GB/s  3 s left`,
    `\r\u001b[Kloading ${'█'.repeat(24)} 100 %  5.00 GB of 5.00 GB  2.00 GB/s  0 s left`,
    '\r\u001b[K',
  ]);
});

test('what is over at once, and what nobody watches, shows nothing', () => {
  const quick = toyTerminal(true);
  {
    using bar = openProgressBar('loading', quick.terminal, () => quick.clock.ms);
    bar.show({ doneBytes: 0, totalBytes: 1 });
    quick.clock.ms = 100;
    bar.show({ doneBytes: 1, totalBytes: 1 });
  }
  const piped = toyTerminal(false);
  {
    using bar = openProgressBar('loading', piped.terminal, () => piped.clock.ms);
    piped.clock.ms = 10_000;
    bar.show({ doneBytes: 1, totalBytes: 2 });
  }
  assert.deepEqual([...quick.written, ...piped.written], []);
});
