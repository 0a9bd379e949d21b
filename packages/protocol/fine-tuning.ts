// Fine-tuning jobs on the wire: jobs, their events, checkpoints and estimates, as OpenAI's SDKs read them.
//
// Owns what there is to a job beside its id and its state, the names that its models get, and how all of it is shown. Knows
// nothing of who trains. OpenAI's statuses have no word for a job that is paused: it is shown as queued, and `paused` says so.

import type { JsonObject } from './chat-request.ts';
import type { ModelCard } from './models.ts';
import type { TrainingOrder } from './training-order.ts';

export type JobStatus = 'validating_files' | 'queued' | 'running' | 'paused' | 'succeeded' | 'failed' | 'cancelled';

/** From these nothing follows. */
const finalStatuses: readonly JobStatus[] = ['succeeded', 'failed', 'cancelled'];

export function isFinal(status: string): boolean {
  return finalStatuses.some((one) => one === status);
}

export interface JobFailure {
  readonly code: string;
  readonly message: string;
  /** The field of the request that is to blame, such as `training_file`. */
  readonly param: string | null;
}

/** How far it is, by the steps that there were since it was last started. */
export interface JobProgress {
  readonly firstStep: number;
  readonly firstAtMs: number;
  readonly step: number;
  readonly atMs: number;
}

/** What there is to a job besides its id, its status, and when it was made. */
export interface JobDetails {
  /** As the caller named it. */
  readonly model: string;
  /** Of the model that it begins with: what its checkpoints can do too. */
  readonly card: ModelCard;
  readonly trainingFileId: string;
  readonly validationFileId: string | null;
  readonly metadata: Readonly<Record<string, string>> | null;
  /** Whose key pays for what graders ask of models; absent where the server had none. */
  readonly keyId?: string | undefined;
  readonly order: TrainingOrder;
  readonly wireMethod: JsonObject;
  /** When a status last began, in milliseconds since 1970. */
  readonly since: Readonly<Partial<Record<JobStatus, number>>>;
  readonly failure: JobFailure | null;
  /** What `auto` became, and how many steps there are going to be. */
  readonly settled?:
    | {
        readonly epochs: number;
        readonly batchSize: number;
        readonly learningRateMultiplier: number;
        readonly steps: number;
      }
    | undefined;
  readonly progress?: JobProgress | undefined;
  /** The last step there ever was of it. */
  readonly reachedStep: number;
  readonly fineTunedModel: string | null;
  readonly trainedTokens: number | null;
  readonly resultFileIds: readonly string[];
  /** So much of the journal is in the store. */
  readonly journalBytes: number;
  /** For how long its process has run, all runs together. */
  readonly ranMs: number;
}

export interface Job {
  readonly id: string;
  readonly owner: string;
  readonly createdMs: number;
  readonly status: string;
  readonly details: JobDetails;
}

/** `ft:<model>:<suffix>:<id>`; of a model that was made so itself, the one at the beginning. */
export function tunedModelName(jobId: string, model: string, suffix: string): string {
  return `ft:${trainedFrom(model) ?? model}:${suffix}:${jobId.replace(/^ftjob-/, '').slice(0, 12)}`;
}

/** The model that one with such a name was made of; undefined for other names. */
export function trainedFrom(name: string): string | undefined {
  return name.startsWith('ft:') ? name.slice('ft:'.length).split(':', 1)[0] : undefined;
}

export function checkpointName(jobId: string, model: string, suffix: string, step: number): string {
  return `${tunedModelName(jobId, model, suffix)}:ckpt-step-${step}`;
}

const seconds = (ms: number) => Math.floor(ms / 1000);

export function wireJob({ id, owner, createdMs, status, details }: Job, nowMs: number) {
  const { since, order, settled } = details;
  const finishedMs = finalStatuses.map((one) => (one === status ? since[one] : undefined)).find(Boolean);
  const { n_epochs, batch_size, learning_rate_multiplier } = hyperparametersOf(details);
  return {
    ...{ id, object: 'fine_tuning.job' as const, created_at: seconds(createdMs), model: details.model },
    finished_at: finishedMs === undefined ? null : seconds(finishedMs),
    estimated_finish: status === 'running' ? estimatedFinish(details, nowMs) : null,
    ...{ error: details.failure, fine_tuned_model: details.fineTunedModel },
    hyperparameters: { n_epochs, batch_size, learning_rate_multiplier },
    method: wireMethod(details),
    organization_id: owner,
    ...{ result_files: details.resultFileIds, trained_tokens: details.trainedTokens, seed: order.seed },
    ...{ status: status === 'paused' ? 'queued' : status, paused: status === 'paused' },
    ...{ training_file: details.trainingFileId, validation_file: details.validationFileId },
    ...{ integrations: [], metadata: details.metadata, user_provided_suffix: order.suffix || null },
    ...(details.progress && { step: details.progress.step }),
    ...(settled && { total_steps: settled.steps }),
  };
}

/** With numbers for what was `auto`, once they are known. */
function hyperparametersOf({ wireMethod, settled }: JobDetails): JsonObject {
  const { hyperparameters } = Reflect.get(wireMethod, String(wireMethod.type)) as { hyperparameters: JsonObject };
  if (settled === undefined) return hyperparameters;
  const { epochs, batchSize, learningRateMultiplier } = settled;
  return {
    ...hyperparameters,
    ...{ n_epochs: epochs, batch_size: batchSize, learning_rate_multiplier: learningRateMultiplier },
  };
}

function wireMethod(details: JobDetails): JsonObject {
  const type = String(details.wireMethod.type);
  const given = Reflect.get(details.wireMethod, type) as JsonObject;
  return { type, [type]: { ...given, ...limitsOf(details), hyperparameters: hyperparametersOf(details) } };
}

/** Those that hold, the operator's too. */
function limitsOf({ order: { threads, maxMemoryBytes, maxSeconds } }: JobDetails): JsonObject {
  const limits = {
    ...(threads !== undefined && { threads }),
    ...(maxMemoryBytes !== undefined && { memory_bytes: maxMemoryBytes }),
    ...(maxSeconds !== undefined && { seconds: maxSeconds }),
  };
  return Object.keys(limits).length === 0 ? {} : { limits };
}

function estimatedFinish({ settled, progress }: JobDetails, nowMs: number): number | null {
  if (settled === undefined || progress === undefined || progress.step === progress.firstStep) return null;
  const msPerStep = (progress.atMs - progress.firstAtMs) / (progress.step - progress.firstStep);
  const left = Math.max(0, settled.steps - progress.step) * msPerStep;
  return seconds(Math.max(nowMs, progress.atMs + left));
}

export interface JobEvent {
  readonly id: string;
  readonly createdMs: number;
  readonly level: 'info' | 'warn' | 'error';
  readonly message: string;
  readonly type: 'message' | 'metrics';
  readonly data: JsonObject | null;
}

export function wireJobEvent({ id, createdMs, level, message, type, data }: JobEvent) {
  return {
    ...{ id, object: 'fine_tuning.job.event' as const, created_at: seconds(createdMs) },
    ...{ level, message, type, data: data ?? {} },
  };
}

export interface JobCheckpoint {
  readonly id: string;
  readonly jobId: string;
  readonly createdMs: number;
  readonly step: number;
  /** The name that it is asked by. */
  readonly model: string;
  readonly metrics: Readonly<Record<string, number>>;
}

export function wireCheckpoint({ id, jobId, createdMs, step, model, metrics }: JobCheckpoint) {
  return {
    ...{ id, object: 'fine_tuning.job.checkpoint' as const, created_at: seconds(createdMs) },
    ...{ fine_tuned_model_checkpoint: model, fine_tuning_job_id: jobId, step_number: step },
    metrics: { step, ...metrics },
  };
}

/** What a job is going to take. */
export interface TrainingEstimate {
  readonly tokens: number;
  readonly steps: number;
  readonly memoryBytes: number;
  readonly seconds: number;
}

export function wireEstimate(model: string, { tokens, steps, memoryBytes, seconds }: TrainingEstimate) {
  return { object: 'fine_tuning.estimate' as const, model, tokens, steps, memory_bytes: memoryBytes, seconds };
}

/** What is wrong with an order, found before it is carried out. */
export interface OrderProblem {
  readonly code: string;
  readonly message: string;
  readonly param: string | null;
  /** Of the file, from 1; null where no line is to blame. */
  readonly line: number | null;
}

export type JobWebhook = 'fine_tuning.job.succeeded' | 'fine_tuning.job.failed' | 'fine_tuning.job.cancelled';

/** What is told of a job that is over, to whoever asked to be told. */
export function wireWebhook(id: string, type: JobWebhook, jobId: string, createdMs: number) {
  return { id, object: 'event' as const, created_at: seconds(createdMs), type, data: { id: jobId } };
}
