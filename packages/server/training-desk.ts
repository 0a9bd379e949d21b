// How the server knows whoever trains.
//
// Owns the contract between jobs and the trainer, which the server does not import: apps put the two together. Orders are checked
// and estimated here, carried out by a process of its own that is known by its directory alone, and what it leaves behind is opened
// as a provider. Knows nothing of HTTP.

import type { OrderProblem, TrainingEstimate } from '@hadal/protocol/fine-tuning';
import type { GraderRun } from '@hadal/protocol/grader-run';
import type { Grader } from '@hadal/protocol/graders';
import type { AdapterOptions, TrainingOrder } from '@hadal/protocol/training-order';
import type { AskModels } from './model-asker.ts';
import type { Provider } from './provider.ts';

export interface JobExit {
  readonly code: number | null;
  readonly signal: string | null;
  /** The end of what it has written, for a person. */
  readonly lastWords: string;
}

/** A process that carries out the order in a directory. It ends by itself when the process that started it is gone. */
export interface JobProcess {
  readonly pid: number | undefined;
  /** Never rejects. */
  readonly exited: Promise<JobExit>;
  /** It finishes its step, saves, says `stopped` in its journal and exits. */
  stop(): void;
  kill(): void;
}

/** An answer for a grader to judge. */
export interface GraderCall {
  readonly grader: Grader;
  readonly item: unknown;
  readonly sample: string;
  /** For graders that ask a model. */
  readonly ask: AskModels;
  readonly signal: AbortSignal;
}

export interface GraderMistake {
  /** Of the grader, such as `graders.a.source`. */
  readonly field: string;
  readonly problem: string;
}

export interface ServedCheckpoint {
  /** Absolute. */
  readonly directory: string;
  /** How it was made, where it is an adapter. */
  readonly adapter: AdapterOptions | undefined;
  /** What the job began with, and what an adapter is to. */
  readonly base: TrainingOrder['model'];
}

export interface TrainingDesk {
  /** The checkpoint of a model that is served, by the id of the model behind a name; undefined where it cannot be trained. */
  checkpointOf(model: string): string | undefined;
  /** What is wrong with an order whose files lie in `directory`; `freedBytes`: memory that jobs before it are going to give back. */
  check(order: TrainingOrder, directory: string, freedBytes: number): Promise<readonly OrderProblem[]>;
  estimate(order: TrainingOrder, directory: string): Promise<TrainingEstimate>;
  /** `ask`: what the process may ask of the server's models, in the name of whoever ordered the job. */
  start(directory: string, ask: AskModels): JobProcess;
  /** Of a grader alone, whose rows are not known yet. */
  validateGrader(grader: Grader): Promise<readonly GraderMistake[]>;
  runGrader(call: GraderCall): Promise<GraderRun>;
  /** Under a name of its own choice. Throws an Error of one line where it cannot be opened. */
  openCheckpoint(checkpoint: ServedCheckpoint): Promise<Provider & AsyncDisposable>;
}

/** The most that a job may take, and what it may take where it says nothing. */
export type JobLimits = Pick<TrainingOrder, 'threads' | 'maxMemoryBytes' | 'maxSeconds'>;

/** Who trains, and where. */
export interface Training {
  readonly desk: TrainingDesk;
  /** Of all jobs; each has a directory in it. */
  readonly directory: string;
  /** Jobs that run at the same time. Default 1. */
  readonly concurrent?: number;
  readonly limits?: JobLimits;
  /** How often journals and limits are looked at, at the least. Default 1 second. */
  readonly pollMs?: number;
  /** How long a process may take to stop before it is killed. Default 30 seconds. */
  readonly stopMs?: number;
  /** How much longer than it may a job runs before it is ended from outside: its process ends it between two steps. Default 60 seconds. */
  readonly timeLeewayMs?: number;
  /** Before a process that died is started again: one for each time that it may die without getting on. */
  readonly restartDelaysMs?: readonly number[];
  /** Checkpoints that are loaded at the same time. Default 2. */
  readonly openCheckpoints?: number;
  /** After how long one that nobody asks is closed. Default 10 minutes. */
  readonly idleMs?: number;
}
