// Hands this process over to a program under the pinned Node.
//
// Knows nothing about what it runs. The terminal sends Ctrl-C to the whole process group, so the program decides what
// an interrupt means and this process only waits: it leaves exactly as the program does.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import process from 'node:process';

/**
 * Runs `node args...` with this process's streams and resolves to the exit code. A program that an interrupt ended ends
 * this process as well, so that nothing is started after it. What stands in this process's environment goes before `environment`.
 * @param {string} node
 * @param {string[]} args
 * @param {Record<string, string>} environment
 * @returns {Promise<number>}
 */
export async function launch(node, args, environment = {}) {
  const child = spawn(node, args, { stdio: 'inherit', env: { ...environment, ...process.env } });
  /** @param {NodeJS.Signals} signal */
  const passOn = (signal) => void child.kill(signal);
  const wait = () => {};
  process.on('SIGINT', wait).on('SIGTERM', passOn).on('SIGHUP', passOn);
  try {
    const [code, signal] = await once(child, 'close');
    if (signal === 'SIGINT') process.exit(130);
    return code ?? 128 + constants.signals[/** @type {NodeJS.Signals} */ (signal)];
  } finally {
    process.off('SIGINT', wait).off('SIGTERM', passOn).off('SIGHUP', passOn);
  }
}
