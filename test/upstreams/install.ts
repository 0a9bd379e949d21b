// Gets the servers that Hadal is put in front of from where their makers publish them.
//
// Owns what is installed where: each in a virtual environment of its own under .venv/. Nothing of it is part of Hadal, and nothing
// is done when it is there. The small one is installed by its test; the large one only by who asks for it.

import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { OfflineError, PrepareError } from '../../scripts/prepare.mjs';

export type RealServer = 'llama-server' | 'transformers';

export function environmentOf(name: RealServer): string {
  return join(import.meta.dirname, '.venv', name);
}

export function requirementsOf(name: RealServer): string {
  return join(import.meta.dirname, 'python', `${name}.txt`);
}

/** Whether it is there, as it is wanted. */
export function isInstalled(name: RealServer): boolean {
  const installed = join(environmentOf(name), 'requirements.txt');
  return existsSync(installed) && readFileSync(installed, 'utf8') === readFileSync(requirementsOf(name), 'utf8');
}

/** Installs what is missing; says why where it cannot be had on this machine. Throws `PrepareError` for anything else. */
export function install(name: RealServer): 'ready' | { readonly missing: string } {
  if (isInstalled(name)) return 'ready';
  const environment = environmentOf(name);
  rmSync(environment, { recursive: true, force: true });
  const made = spawnSync('python3', ['-m', 'venv', environment], { encoding: 'utf8' });
  if (made.status !== 0) return { missing: 'python3 with venv is needed for it' };
  const options = ['--quiet', '--disable-pip-version-check', '--retries', '1', '--only-binary', ':all:'];
  const pip = ['-m', 'pip', 'install', ...options, '-r', requirementsOf(name)];
  const { status, stderr } = spawnSync(join(environment, 'bin/python'), pip, { encoding: 'utf8' });
  if (status === 0) {
    copyFileSync(requirementsOf(name), join(environment, 'requirements.txt'));
    return 'ready';
  }
  if (/NewConnectionError|ConnectTimeout|Temporary failure in name resolution/.test(stderr)) {
    return { missing: new OfflineError('pip install: the package index cannot be reached').message };
  }
  if (/Requires-Python|requires a different Python|No matching distribution/.test(stderr)) {
    return { missing: 'there is no such package for this machine and its python3' };
  }
  throw new PrepareError(`pip install failed:\n${stderr.trim()}`);
}
