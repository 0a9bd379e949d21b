// Crash-safe replacement of one file.
//
// Owns the order of system calls that makes a file appear whole or not at all: temporary name beside the target,
// write, fsync, rename, fsync of the directory. Knows nothing about what the bytes mean. Whatever moment the process
// dies at, `path` holds either the complete old content or the complete new content.

import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** Replaces the file at `path` by `data` (text as UTF-8). The directory must exist. */
export function replaceFile(path: string, data: Uint8Array | string): void {
  replaceFileInParts(path, [typeof data === 'string' ? Buffer.from(data) : data]);
}

/** Replaces the file at `path` by `parts`, one after another; memory holds one part at a time. */
export function replaceFileInParts(path: string, parts: Iterable<Uint8Array>): void {
  const directory = dirname(path);
  // The process id keeps two writers from sharing a temporary file; within a process the call is synchronous.
  const temporary = join(directory, `.${basename(path)}.${process.pid}.tmp`);
  try {
    const file = openSync(temporary, 'w');
    try {
      for (const part of parts) writeFully(file, part);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  syncDirectory(directory);
}

function writeFully(file: number, part: Uint8Array): void {
  // write(2) may take fewer bytes than offered, and at most 2 GiB at once.
  const maxBytes = 1 << 28;
  let done = 0;
  while (done < part.length) done += writeSync(file, part, done, Math.min(maxBytes, part.length - done));
}

function syncDirectory(directory: string): void {
  const handle = openSync(directory, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
