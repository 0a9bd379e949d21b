// The journal of a job: how it is read while it grows, and what it makes of the job.
//
// Owns that a line counts once it is whole, that what is not a line of a journal is passed over, and that reading on from where
// one stopped gives what reading from the beginning would have given. Knows nothing of processes and stores.

import { open, readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import {
  checkpointName,
  isFinal,
  type Job,
  type JobDetails,
  type JobFailure,
  type JobProgress,
  tunedModelName,
} from '@hadal/protocol/fine-tuning';
import { type JournalEntry, jobFiles, journalEntry } from '@hadal/protocol/training-order';
import type { NewCheckpoint, NewEvent } from '@hadal/store/jobs';

export interface ReadEntry {
  readonly entry: JournalEntry;
  /** Where its line begins. */
  readonly offset: number;
}

export interface JournalPart {
  readonly entries: readonly ReadEntry[];
  /** Where to read on. */
  readonly end: number;
  /** Lines that are none of a journal. */
  readonly odd: number;
}

const maxPartBytes = 4 * 1024 * 1024;
const newline = 0x0a;

/** The whole lines from `start` on, or the first few megabytes of them. From the beginning, where there are fewer bytes than that. */
export async function readJournal(directory: string, start: number): Promise<JournalPart> {
  const path = join(directory, jobFiles.journal);
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (file === undefined) return { entries: [], end: 0, odd: 0 };
  await using _ = file;
  const { size } = await file.stat();
  const from = size < start ? 0 : start;
  const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.min(size - from, maxPartBytes)), 0, undefined, from);
  const whole = buffer.subarray(0, buffer.subarray(0, bytesRead).lastIndexOf(newline) + 1);
  const entries: ReadEntry[] = [];
  let odd = 0;
  for (let begin = 0; begin < whole.length; ) {
    const end = whole.indexOf(newline, begin);
    const entry = entryOf(whole.toString('utf8', begin, end));
    if (entry !== undefined) entries.push({ entry, offset: from + begin });
    else if (end > begin) odd++;
    begin = end + 1;
  }
  return { entries, end: from + whole.length, odd };
}

function entryOf(line: string): JournalEntry | undefined {
  try {
    return journalEntry.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

/** Cuts off a line that a process was killed in, so that the next one begins a line. Only while none writes. */
export async function mendJournal(directory: string): Promise<void> {
  const path = join(directory, jobFiles.journal);
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (bytes === undefined || bytes.length === 0 || bytes.at(-1) === newline) return;
  await truncate(path, bytes.lastIndexOf(newline) + 1);
}

/** Which file has the answers of a step, or of the last that has some. */
export async function rolloutsOf(
  directory: string,
  step: number | undefined,
): Promise<{ readonly step: number; readonly file: string } | undefined> {
  let found: { readonly step: number; readonly file: string } | undefined;
  for (let start = 0; ; ) {
    const { entries, end } = await readJournal(directory, start);
    for (const { entry } of entries) {
      if (entry.type === 'rollouts' && (step === undefined || entry.step === step)) found = entry;
    }
    if (end === start) return found && { step: found.step, file: found.file };
    start = end;
  }
}

/** What entries make of a job. */
export interface Told {
  readonly details: JobDetails;
  readonly events: readonly NewEvent[];
  readonly checkpoints: readonly NewCheckpoint[];
  readonly end: JobEnd | undefined;
}

export type JobEnd =
  | { readonly status: 'succeeded'; readonly files: readonly { readonly name: string; readonly path: string }[] }
  | { readonly status: 'failed'; readonly failure: JobFailure };

/** `newId`: a new name for an event or a checkpoint. */
export function tell(job: Job, part: JournalPart, newId: () => string): Told {
  let details: JobDetails = { ...job.details, journalBytes: part.end };
  let end: JobEnd | undefined;
  const events: NewEvent[] = [];
  const checkpoints: NewCheckpoint[] = [];
  const { model, suffix } = details.order;
  const say = (key: string, atMs: number, message: string, more: Partial<NewEvent> = {}) =>
    events.push({
      ...{ id: `ftevent-${newId()}`, key, createdMs: atMs, level: 'info', type: 'message', message, data: null },
      ...more,
    });
  for (const { entry, offset } of part.entries) {
    const { atMs } = entry;
    switch (entry.type) {
      case 'settled': {
        const { epochs, batchSize, learningRateMultiplier, steps, more } = entry;
        details = { ...details, settled: { epochs, batchSize, learningRateMultiplier, steps } };
        const text = `${steps} steps: ${epochs} epochs, batches of ${batchSize}, learning rate times ${learningRateMultiplier}`;
        say('settled', atMs, text, { data: { ...more } });
        break;
      }
      case 'message':
        say(`line:${offset}`, atMs, entry.message, { level: entry.level });
        break;
      case 'metrics': {
        const { step, data } = entry;
        details = {
          ...details,
          progress: progressed(details.progress, step, atMs),
          reachedStep: reached(details, step),
        };
        const message = metricsText(step, details.settled?.steps, data);
        say(`metrics:${step}`, atMs, message, { type: 'metrics', data: { step, ...data } });
        break;
      }
      case 'checkpoint': {
        const { step, directory, isAdapter, metrics } = entry;
        details = { ...details, reachedStep: reached(details, step) };
        const name = checkpointName(job.id, model.name, suffix, step);
        checkpoints.push({
          ...{ id: `ftckpt_${newId()}`, createdMs: atMs, step, model: name, directory, isAdapter, metrics },
        });
        say(`checkpoint:${step}`, atMs, `Checkpoint created at step ${step}: ${name}`, { data: { step } });
        break;
      }
      case 'rollouts':
        break;
      case 'succeeded':
        details = { ...details, trainedTokens: entry.trainedTokens };
        details = { ...details, fineTunedModel: tunedModelName(job.id, model.name, suffix) };
        end = { status: 'succeeded', files: entry.resultFiles };
        break;
      case 'failed': {
        const { code, message, param, trainedTokens } = entry;
        details = { ...details, trainedTokens };
        end = { status: 'failed', failure: { code, message, param } };
        break;
      }
      case 'stopped':
        details = { ...details, trainedTokens: entry.trainedTokens };
        say(`line:${offset}`, atMs, `Stopped and saved at step ${entry.step}`);
        break;
      default:
        unreachable(entry);
    }
  }
  return { details, events, checkpoints, end: isFinal(job.status) ? undefined : end };
}

function reached({ reachedStep }: JobDetails, step: number): number {
  return Math.max(reachedStep, step);
}

function progressed(before: JobProgress | undefined, step: number, atMs: number): JobProgress {
  if (before === undefined || step < before.firstStep) return { firstStep: step, firstAtMs: atMs, step, atMs };
  return { ...before, step, atMs };
}

/** What most people look for comes first. */
const shownMeasures = { reward: 'reward', train_loss: 'training loss', loss: 'loss', valid_loss: 'validation loss' };

function metricsText(step: number, steps: number | undefined, data: Readonly<Record<string, number>>): string {
  const shown = Object.entries(shownMeasures).flatMap(([name, words]) => {
    const value = data[name];
    return value === undefined ? [] : [`${words}=${Number(value.toPrecision(4))}`];
  });
  const place = steps === undefined ? `Step ${step}` : `Step ${step}/${steps}`;
  return shown.length === 0 ? place : `${place}: ${shown.join(', ')}`;
}

function unreachable(value: never): never {
  throw new Error(`expected an entry of a journal, got ${JSON.stringify(value)}`);
}
