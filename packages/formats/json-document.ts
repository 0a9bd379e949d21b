// A JSON file, read.
//
// Owns the one line that a missing or damaged file is refused with. Knows nothing of what documents say.

import { readFileSync } from 'node:fs';

export interface JsonDocument {
  /** Where it stands, for errors. */
  readonly path: string;
  readonly value: unknown;
}

/** Throws `PATH: expected JSON, ...`. */
export function readJson(path: string): JsonDocument {
  return parseJsonDocument(readFileSync(path, 'utf8'), path);
}

/** The document at `path`, or undefined where there is none. */
export function readJsonIfPresent(path: string): JsonDocument | undefined {
  const text = readTextIfPresent(path);
  return text === undefined ? undefined : parseJsonDocument(text, path);
}

export function readTextIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function parseJsonDocument(text: string, path: string): JsonDocument {
  try {
    return { path, value: JSON.parse(text) };
  } catch (error) {
    throw new Error(`${path}: expected JSON, ${error instanceof Error ? error.message : String(error)}`);
  }
}
