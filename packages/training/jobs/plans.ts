// How the work of a job is divided, as far as its numbers of rows say.
//
// Owns what `auto` becomes. Jobs and estimates ask the same functions, so an estimate is of the job that will run.

import type { TrainingMethod, TrainingOrder } from '@hadal/protocol/training-order';

type Common = Pick<TrainingMethod, 'epochs' | 'batchSize' | 'learningRateMultiplier'>;
type Reinforcement = Extract<TrainingMethod, { type: 'reinforcement' }>;

export interface EpochPlan {
  readonly epochs: number;
  readonly batchSize: number;
  readonly steps: number;
  readonly learningRateMultiplier: number;
}

/** Of a method that goes through its rows epoch by epoch. */
export function epochPlan(method: Common, rows: number): EpochPlan {
  const epochs = method.epochs === 'auto' ? 3 : method.epochs;
  // Few rows make many small steps, many rows steps that are worth their noise.
  const usual = Math.min(32, Math.max(1, Math.round(rows / 32)));
  // No row stands twice in a step.
  const batchSize = Math.min(Math.max(1, rows), method.batchSize === 'auto' ? usual : method.batchSize);
  const steps = Math.max(1, Math.round((epochs * rows) / batchSize));
  return { epochs, batchSize, steps, learningRateMultiplier: orOne(method.learningRateMultiplier) };
}

export interface GrpoPlan extends EpochPlan {
  readonly groupSize: number;
  readonly evalInterval: number;
  readonly evalSamples: number;
}

/** `prompts` of the training file. */
export function grpoPlan(method: Reinforcement, prompts: number): GrpoPlan {
  const { grpo, evalInterval, evalSamples } = method;
  const batchSize = Math.min(Math.max(1, prompts), method.batchSize === 'auto' ? 16 : method.batchSize);
  const epochs = method.epochs === 'auto' ? 1 : method.epochs;
  const steps = Math.min(grpo.maxSteps ?? Infinity, Math.max(1, Math.floor((epochs * prompts) / batchSize)));
  return {
    ...{ epochs, batchSize, steps, learningRateMultiplier: orOne(method.learningRateMultiplier) },
    // OpenAI's multiplier on what is spent on exploring.
    groupSize: Math.max(2, Math.round(grpo.groupSize * orOne(method.computeMultiplier))),
    evalInterval: evalInterval === 'auto' ? Math.max(10, Math.ceil(steps / 10)) : evalInterval,
    evalSamples: evalSamples === 'auto' ? 1 : evalSamples,
  };
}

/** Steps between checkpoints that are served; `usual` where the order does not say. */
export function checkpointInterval({ checkpointSteps }: TrainingOrder, usual: number): number {
  return checkpointSteps === 'auto' ? Math.max(1, Math.ceil(usual)) : checkpointSteps;
}

function orOne(value: 'auto' | number): number {
  return value === 'auto' ? 1 : value;
}
