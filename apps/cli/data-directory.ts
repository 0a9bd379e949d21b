// Where Hadal keeps what outlives a process.
//
// Owns the place, HADAL_HOME or else `.hadal` in the home directory, and what stands where in it; the database alone may be
// elsewhere. Nothing is made before it is needed.

import { accessSync, constants, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

export function dataDirectory(): string {
  return process.env.HADAL_HOME || join(homedir(), '.hadal');
}

/** The directory of cached prefixes, made if need be. Throws one line where it cannot be written to. */
export function prefixDirectory(): string {
  return writableDirectory('prefixes', 'to keep prefixes in', 'HADAL_HOME names another, --disk-cache 0 does without');
}

/** Where each job has a directory; made with the first of them. */
export function jobsDirectory(): string {
  return resolve(dataDirectory(), 'jobs');
}

/** The database that DATABASE_URL names, or else a file here. Throws one line where that cannot be written to. */
export function storePlace(): { readonly url: string } | { readonly path: string } {
  const url = process.env.DATABASE_URL;
  if (url) return { url };
  const remedy = 'HADAL_HOME names another, DATABASE_URL a PostgreSQL database';
  return { path: join(writableDirectory('', 'to keep files and batches in', remedy), 'hadal.db') };
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
