// Where Hadal keeps what outlives a process.
//
// Owns the place, HADAL_HOME or else `.hadal` in the home directory, and what stands where in it. Nothing is made before it
// is needed.

import { accessSync, constants, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

export function dataDirectory(): string {
  return process.env.HADAL_HOME || join(homedir(), '.hadal');
}

/** The directory of cached prefixes, made if need be. Throws one line where it cannot be written to. */
export function prefixDirectory(): string {
  return writableDirectory('prefixes', 'to keep prefixes in', 'HADAL_HOME names another, --disk-cache 0 does without');
}

/** The database. Throws one line where it cannot be written to. */
export function storePath(): string {
  return join(writableDirectory('', 'to keep files and batches in', 'HADAL_HOME names another'), 'hadal.db');
}

function writableDirectory(name: string, purpose: string, remedy: string): string {
  const path = join(dataDirectory(), name);
  try {
    mkdirSync(path, { recursive: true });
    accessSync(path, constants.W_OK);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`${path}: expected a directory ${purpose} (${reason}); ${remedy}`);
  }
  return path;
}
