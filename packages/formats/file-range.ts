// Ranges of a file, read into memory of their own.
//
// Owns the reading and the proof that a file is still the one that was looked at: its size and time of change are noted
// when its header is read, and a file that was replaced since is refused. Knows nothing of what bytes mean.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** Tells a file from one that replaced it. */
export interface FileVersion {
  readonly size: number;
  readonly mtimeMs: number;
}

export function fileVersion(file: number): FileVersion {
  const { size, mtimeMs } = fstatSync(file);
  return { size, mtimeMs };
}

/** Bytes `begin` to `end` of the file at `path`; `what` is for the error when it is no longer `version`. */
export function readFileRange(
  path: string,
  version: FileVersion | undefined,
  [begin, end]: readonly [number, number],
  what: string,
): Uint8Array<ArrayBuffer> {
  const file = openSync(path, 'r');
  try {
    const { size, mtimeMs } = fileVersion(file);
    if (version === undefined || version.size !== size || version.mtimeMs !== mtimeMs) {
      throw new Error(`${path}: ${what}: the file was replaced after its header was read`);
    }
    return readRange(file, begin, end, path);
  } finally {
    closeSync(file);
  }
}

/** Bytes `begin` to `end` of an open file, in a buffer of exactly that size. */
export function readRange(file: number, begin: number, end: number, path: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(end - begin);
  const maxBytes = 1 << 28;
  let done = 0;
  while (done < bytes.length) {
    const count = readSync(file, bytes, done, Math.min(maxBytes, bytes.length - done), begin + done);
    if (count === 0) throw new Error(`${path}: expected bytes ${begin} to ${end}, file ends at ${begin + done}`);
    done += count;
  }
  return bytes;
}
