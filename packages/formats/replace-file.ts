// Crash-safe replacement of one file.
//
// Owns the order of system calls that makes a file appear whole or not at all: temporary name beside the target,
// write, fsync, rename, fsync of the directory. Knows nothing about what the bytes mean. Whatever moment the process
// dies at, `path` holds either the complete old content or the complete new content.

import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Replaces the file at `path` by `data` (text as UTF-8). The directory must exist. */
export function replaceFile(path: string, data: Uint8Array | string): void {
  replaceFileInParts(path, [typeof data === 'string' ? Buffer.from(data) : data]);
}

/** Replaces the file at `path` by `parts`, one after another; memory holds one part at a time. */
export function replaceFileInParts(path: string, parts: Iterable<Uint8Array>): void {
  const temporary = temporaryPath(path);
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
  syncDirectory(dirname(path));
}

/** As `replaceFileInParts`, for parts that take a while: between two of them the process does other things. */
export async function replaceFileByStream(path: string, parts: AsyncIterable<Uint8Array>): Promise<void> {
  const temporary = temporaryPath(path);
  try {
    await using file = await open(temporary, 'w');
    for await (const part of parts) await file.writeFile(part);
    await file.sync();
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  renameSync(temporary, path);
  syncDirectory(dirname(path));
}

/** Where `path` is written before it is whole. The process id keeps two processes from sharing it. */
function temporaryPath(path: string): string {
  return join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
}

function writeFully(file: number, part: Uint8Array): void {
  // write(2) may take fewer bytes than offered, and at most 2 GiB at once.
  const maxBytes = 1 << 28;
  let done = 0;
  while (done < part.length) done += writeSync(file, part, done, Math.min(maxBytes, part.length - done));
}

/** Makes renames in a directory last. */
export function syncDirectory(directory: string): void {
  const handle = openSync(directory, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
