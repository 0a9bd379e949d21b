// What the programs of coding clients share: a folder to work in, a home that is nobody's, and the one task.
//
// Owns the folders, which go when the program ends, and the running of a client in them. The file that is asked for is the
// proof that tools ran: nothing here writes it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import process from 'node:process';
import { text } from 'node:stream/consumers';

export const task = 'Write "deep sea" into hello.txt, then show the file.';

const folder = mkdtempSync(join(tmpdir(), 'hadal-client-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }));

/** A new pair of folders. */
export function workplace(/** @type {string} */ name) {
  const [home, work] = [join(folder, name, 'home'), join(folder, name, 'work')];
  for (const path of [home, work]) mkdirSync(path, { recursive: true });
  return { home, work };
}

/**
 * Runs an installed client to its end, with this environment and hardly anything else of ours. `folder` is where it is installed.
 * @param {string} name
 * @param {string[]} args
 * @param {{ work: string, home: string, env: Record<string, string>, folder?: string }} options
 */
export async function runClient(name, args, { work, home, env, folder = '..' }) {
  const child = spawn(join(import.meta.dirname, folder, 'node_modules/.bin', name), args, {
    cwd: work,
    stdio: ['ignore', 'pipe', 'pipe'],
    // The Node that runs this runs the client too.
    env: { PATH: [dirname(process.execPath), process.env.PATH].join(delimiter), HOME: home, ...env },
  });
  const ended = new Promise((resolve, reject) => child.once('error', reject).once('close', resolve));
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  assert.equal(code, 0, `${name} ended with ${code}:\n${stdout}\n${stderr}`);
  return stdout;
}

export function assertWritten(/** @type {string} */ work) {
  assert.equal(readFileSync(join(work, 'hello.txt'), 'utf8'), 'deep sea\n');
}

export function linesOf(/** @type {string} */ json) {
  return json
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}
