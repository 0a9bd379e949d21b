// The directory of one job, as the process that trains sees it.
//
// Owns the order that is read there, the journal that only grows, the lock that keeps a second process out, and the state to go
// on from, whose manifest is written last: a process killed at any moment finds the last whole one. Knows nothing of what is
// trained.

import { appendFileSync, closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFile } from '@hadal/formats/replace-file';
import {
  type JournalEntry,
  jobFiles,
  journalEntry,
  type TrainingOrder,
  trainingOrder,
} from '@hadal/protocol/training-order';
import { z } from 'zod';

const position = z.object({
  /** Steps done, and updates of the weights: a step of GRPO may have several. */
  step: z.int().nonnegative(),
  update: z.int().nonnegative(),
  /** Index of the next row of the data, counted over all epochs. */
  next: z.int().nonnegative(),
  trainedTokens: z.int().nonnegative(),
  seconds: z.number().nonnegative(),
  /** Step whose policy is the reference, where it is no longer the base. */
  referenceStep: z.int().nonnegative(),
});
export type JobPosition = z.output<typeof position>;

export const jobStart: JobPosition = { step: 0, update: 0, next: 0, trainedTokens: 0, seconds: 0, referenceStep: 0 };

const manifest = z.object({ directory: z.string(), position });

/** Entries that a process ends with. */
const ends: ReadonlySet<JournalEntry['type']> = new Set(['succeeded', 'failed', 'stopped']);

/** An entry of the journal before it has its time. */
export type JournalNote = JournalEntry extends infer E ? (E extends JournalEntry ? Omit<E, 'atMs'> : never) : never;

export class JobDirectory implements Disposable {
  readonly path: string;
  readonly order: TrainingOrder;
  readonly #now: () => number;
  readonly #onNote: (entry: JournalNote) => void;

  /** Throws where there is no order, or where another process that is alive works on it. `onNote` hears what is noted. */
  constructor(path: string, now: () => number = Date.now, onNote: (entry: JournalNote) => void = () => {}) {
    this.path = path;
    this.#now = now;
    this.#onNote = onNote;
    this.order = readOrder(path);
    this.#lock();
    // The last line of a process that was killed while it wrote it.
    if (existsSync(this.#journal) && !readFileSync(this.#journal, 'utf8').endsWith('\n'))
      appendFileSync(this.#journal, '\n');
  }

  /** A path of the order, which is relative to the directory unless it is absolute. */
  at(...names: string[]): string {
    return join(this.path, ...names);
  }

  /** Appends to the journal. What must be known even after a crash of the machine is flushed to the disk. */
  note(entry: JournalNote): void {
    this.#onNote(entry);
    const line = `${JSON.stringify({ atMs: this.#now(), ...entry })}\n`;
    if (entry.type === 'metrics' || entry.type === 'message') {
      appendFileSync(this.#journal, line);
      return;
    }
    const file = openSync(this.#journal, 'a');
    try {
      appendFileSync(file, line);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  }

  /** Everything told so far. */
  entries(): JournalEntry[] {
    return readEntries(this.path);
  }

  /** A path among what is forgotten when the job has succeeded. */
  atState(...names: string[]): string {
    return this.at(jobFiles.state, ...names);
  }

  /** Where to go on, and the directory that holds what was learned so far; undefined for a new job. */
  state(): { readonly position: JobPosition; readonly directory: string } | undefined {
    if (!existsSync(this.#manifest)) return undefined;
    const { directory, position } = manifest.parse(JSON.parse(readFileSync(this.#manifest, 'utf8')));
    return { position, directory: this.atState(directory) };
  }

  /** Saves a state, then forgets the one before. `write` fills a directory. */
  saveState(at: JobPosition, write: (directory: string) => void): void {
    const name = `step-${at.step}-${at.referenceStep}`;
    const path = this.atState(name);
    const before = this.state();
    const settle = () =>
      replaceFile(this.#manifest, `${JSON.stringify({ directory: name, position: at }, undefined, 2)}\n`);
    // Of this very place: nothing has changed since but the time.
    if (before?.directory === path) {
      settle();
      return;
    }
    rmSync(path, { recursive: true, force: true });
    mkdirSync(path, { recursive: true });
    try {
      write(path);
    } catch (error) {
      // Half a state is none, and takes the room that the journal needs to tell why.
      rmSync(path, { recursive: true, force: true });
      throw error;
    }
    settle();
    if (before) rmSync(before.directory, { recursive: true, force: true });
  }

  /** Gives back the room that the state took: weights and moments, three times the model or more. */
  forgetState(): void {
    rmSync(this.atState(), { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    rmSync(this.#lockFile, { force: true });
  }

  get #journal(): string {
    return this.at(jobFiles.journal);
  }

  get #manifest(): string {
    return this.atState('latest.json');
  }

  get #lockFile(): string {
    return this.at('lock');
  }

  #lock(): void {
    if (existsSync(this.#lockFile)) {
      const { pid } = z.object({ pid: z.int() }).parse(JSON.parse(readFileSync(this.#lockFile, 'utf8')));
      if (pid !== process.pid && isAlive(pid)) {
        throw new Error(`${this.path}: expected nobody to be at work on this job, process ${pid} is`);
      }
    }
    replaceFile(this.#lockFile, `${JSON.stringify({ pid: process.pid })}\n`);
  }
}

/** Throws where there is none. */
export function readOrder(directory: string): TrainingOrder {
  return trainingOrder.parse(JSON.parse(readFileSync(join(directory, jobFiles.order), 'utf8')));
}

/** Whether there is nothing left to be done. */
export function hasSucceeded(directory: string): boolean {
  return readEntries(directory).findLast(({ type }) => ends.has(type))?.type === 'succeeded';
}

/** Everything told so far; a line that was cut off by a kill is left out. */
function readEntries(directory: string): JournalEntry[] {
  const journal = join(directory, jobFiles.journal);
  if (!existsSync(journal)) return [];
  return readFileSync(journal, 'utf8')
    .split('\n')
    .flatMap((line) => {
      try {
        return line === '' ? [] : [journalEntry.parse(JSON.parse(line))];
      } catch {
        return [];
      }
    });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
