// What the system asks of a server's process.
//
// Owns which signal means what: SIGINT and SIGTERM stop it, at once when they come a second time; SIGHUP has the configuration read
// again. A terminal that is closed sends SIGHUP too, and then there is nobody left to serve. Knows nothing of servers.

import { closeSync, openSync } from 'node:fs';
import process from 'node:process';
import type { Terminal } from './terminal.ts';

export interface Signals {
  /** Resolves when the process is asked to stop. */
  readonly stopped: Promise<void>;
  /** Called at each SIGHUP from here on, and now if there was one already. */
  onReload(reload: () => void): void;
}

/** From here on no signal ends the process, but the second one that asks it to stop. */
export function listenForSignals({ isInteractive }: Pick<Terminal, 'isInteractive'>): Signals {
  const { promise: stopped, resolve: stop } = Promise.withResolvers<void>();
  let wasAsked = false;
  let reload = () => {
    wasAsked = true;
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop());
  process.on('SIGHUP', () => {
    if (isInteractive && !hasTerminal()) stop();
    else reload();
  });
  return {
    stopped,
    onReload(listener) {
      reload = listener;
      if (wasAsked) listener();
    },
  };
}

/** Whether the terminal that the process was started from is still there. */
function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch {
    return false;
  }
}
