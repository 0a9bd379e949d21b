// Gets the clients from where their makers publish them.
//
// Owns what is installed where: packages of npm here and, for DeepSeek Harness, in dsh/; those of Python in .venv/. Nothing of it
// is part of Hadal or of its own packages, and nothing is done when it is there.

import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ensurePackages, OfflineError, PrepareError } from '../../scripts/prepare.mjs';

export type Need = 'packages' | 'harness' | 'python';
export const needs: readonly Need[] = ['packages', 'harness', 'python'];

const environment = join(import.meta.dirname, '.venv');
const requirements = join(import.meta.dirname, 'python/requirements.txt');
const installedRequirements = join(environment, 'requirements.txt');

export const pythonPath = join(environment, 'bin/python');

/** Installs what is missing; says why where it cannot be had on this machine. Throws `PrepareError` for anything else. */
export function ensure(need: Need): 'ready' | { readonly missing: string } {
  try {
    switch (need) {
      case 'packages':
        ensurePackages('test/clients', 'Installing the clients that Hadal is tried with (once)...');
        return 'ready';
      case 'harness':
        // Not `ci`: it insists on packages for other platforms, not all of which are published.
        ensurePackages('test/clients/dsh', 'Installing DeepSeek Harness (once)...', ['install', '--no-save']);
        return 'ready';
      case 'python':
        return ensurePython();
      default:
        return need satisfies never;
    }
  } catch (error) {
    if (error instanceof OfflineError) return { missing: error.message };
    throw error;
  }
}

function ensurePython(): 'ready' | { readonly missing: string } {
  if (isCurrent()) return 'ready';
  process.stderr.write('Installing the Python clients (once)...\n');
  rmSync(environment, { recursive: true, force: true });
  const made = spawnSync('python3', ['-m', 'venv', environment], { encoding: 'utf8' });
  if (made.status !== 0) return { missing: 'python3 with venv is needed for the Python clients' };
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--retries', '1', '-r', requirements];
  const { status, stderr } = spawnSync(pythonPath, pip, { encoding: 'utf8' });
  if (status !== 0) {
    if (/NewConnectionError|ConnectTimeout|Temporary failure in name resolution/.test(stderr)) {
      throw new OfflineError('pip install: the package index cannot be reached');
    }
    if (/Requires-Python|requires a different Python/.test(stderr)) {
      return { missing: 'the Python clients need a newer python3' };
    }
    throw new PrepareError(`pip install failed:\n${stderr.trim()}`);
  }
  copyFileSync(requirements, installedRequirements);
  return 'ready';
}

function isCurrent(): boolean {
  if (!existsSync(installedRequirements)) return false;
  return readFileSync(installedRequirements, 'utf8') === readFileSync(requirements, 'utf8');
}
