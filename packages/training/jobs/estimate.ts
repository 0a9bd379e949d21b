// What a job will take, said before anything starts.
//
// Owns the sum of its tokens, the memory of its largest step, recorded on a device that only counts, and the time that the tokens
// take on this machine, from a product timed here and now. Reads no weight. The time is rough: it says whether a job takes minutes
// or days.

import { pageBytes } from '@hadal/engine/kv-cache';
import { memoryEstimator } from '@hadal/engine/memory-estimate';
import { openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { KEY_BLOCK } from '@hadal/kernels/attention';
import { openDevice } from '@hadal/kernels/device';
import { openDryDevice } from '@hadal/kernels/dry-device';
import { matmul } from '@hadal/kernels/matmul';
import { countParameters, type ModelDefinition } from '@hadal/models/architecture';
import { holdingsOf, readDefinition, runTimeDtype } from '@hadal/models/language-model';
import { runTimeWeights } from '@hadal/models/run-time-weights';
import { recordRequests } from '@hadal/models/weight-source';
import type { TrainingOrder } from '@hadal/protocol/training-order';
import { askedAtOnce } from '../in-flight.ts';
import { jobRowTokens, type PackedRow, packDocuments, type TrainingDocument } from '../packing.ts';
import { usualRolloutLimits } from '../rollout-engine.ts';
import { Trainer } from '../trainer.ts';
import { type JobData, readJobData, rendererOf } from './job-data.ts';
import { trainedContext, trainerSettings } from './job-run.ts';
import { checkpointInterval, epochPlan, grpoPlan } from './plans.ts';

export interface TrainingEstimate {
  /** Read and learned from, over all epochs; of answers yet to be sampled at most so many. */
  readonly tokens: number;
  readonly steps: number;
  readonly memoryBytes: number;
  readonly seconds: number;
}

/**
 * Shares of the product's rate that training and sampling reach, measured on hadal-nano (`bench/grpo.ts`): smaller matrices, norms
 * and attention take the rest.
 */
const trainingShare = 0.35;
const samplingShare = 0.15;

/** `at` completes the order's paths; `measureRate`: operations a second of a large product, on so many threads. */
export function estimateOrder(
  order: TrainingOrder,
  at: (path: string) => string,
  measureRate: (threads: number | undefined) => number = productRate,
): TrainingEstimate {
  const base = openCheckpointDirectory(order.model.directory);
  const definition = readDefinition(base);
  const context = trainedContext(definition);
  const { data } = readJobData(order, rendererOf(base), context, at);
  const { steps, trained, measured, sampled, longest } = workOf(order, data, context);
  const { active } = countParameters(definition);
  const rate = measureRate(order.threads);
  // Forward and twice as much backward; an adapter needs no gradient of the weights below it. Computed again: forward twice.
  const passes = (order.adapter ? 4 : 6) + (order.recompute ? 2 : 0);
  const training = (active * (passes * trained + 2 * measured)) / (rate * trainingShare);
  const sampling = (2 * active * sampled) / (rate * samplingShare);
  return { tokens: trained, steps, memoryBytes: memoryOf(order, longest), seconds: training + sampling };
}

/** The memory alone, which needs no measuring. */
export function estimateMemory(order: TrainingOrder, at: (path: string) => string): number {
  const base = openCheckpointDirectory(order.model.directory);
  const context = trainedContext(readDefinition(base));
  const { data } = readJobData(order, rendererOf(base), context, at);
  return memoryOf(order, workOf(order, data, context).longest);
}

interface Work {
  readonly steps: number;
  /** Tokens of forward and backward passes, of forward passes over held-out rows, and of sampling. */
  readonly trained: number;
  readonly measured: number;
  readonly sampled: number;
  /** Tokens of the largest pass. */
  readonly longest: number;
}

function workOf(order: TrainingOrder, data: JobData, context: number): Work {
  const { method } = order;
  switch (data.type) {
    case 'documents':
    case 'answered': {
      const learned = data.type === 'answered' ? data.learned.map(({ document }) => document) : data.learned;
      const { epochs, steps } = epochPlan(method, learned.length);
      const tokens = tokensOf(learned);
      const checkpoints = Math.ceil(steps / checkpointInterval(order, steps / epochs));
      const measured = data.type === 'documents' ? checkpoints * tokensOf(data.heldOut) : 0;
      const largest = Math.max(0, ...packDocuments(learned, jobRowTokens).rows.map((row) => row.tokens));
      return { steps, trained: tokens * epochs, measured, sampled: 0, longest: largest };
    }
    case 'pairs': {
      const { epochs, steps } = epochPlan(method, data.pairs.length);
      const tokens = data.pairs.flat().reduce((sum, document) => sum + document.tokens.length, 0);
      const largest = Math.max(0, ...data.pairs.map(([a, b]) => a.tokens.length + b.tokens.length));
      // Once more under the reference, without the backward pass.
      return {
        steps,
        trained: Math.round(tokens * epochs * (4 / 3)),
        ...{ measured: 0, sampled: 0 },
        longest: Math.max(largest, Math.min(jobRowTokens, tokens)),
      };
    }
    case 'prompts': {
      if (method.type === 'reinforcement') {
        const { steps, batchSize, groupSize } = grpoPlan(method, data.prompts.length);
        const answers = steps * batchSize * groupSize;
        // What is known of a prompt's length is that it leaves room for the answer.
        const answer = method.grpo.maxCompletionTokens;
        const trained = answers * answer * method.grpo.updatesPerStep;
        return {
          steps,
          trained,
          ...{ measured: 0, sampled: answers * answer },
          longest: Math.max(jobRowTokens, Math.min(context, 2 * answer)),
        };
      }
      const { epochs, steps } = epochPlan(method, data.prompts.length);
      const answer = method.type === 'distillation' ? method.maxCompletionTokens : 0;
      const answers = data.prompts.length * (method.type === 'distillation' ? method.samplesPerPrompt : 1);
      return {
        steps,
        trained: answers * answer * epochs,
        ...{ measured: 0, sampled: answers * answer },
        longest: Math.max(jobRowTokens, answer),
      };
    }
  }
}

function tokensOf(documents: readonly TrainingDocument[]): number {
  return documents.reduce((sum, { tokens }) => sum + tokens.length, 0);
}

/** Weights, their gradients and moments, and everything that the largest pass keeps for its backward pass. */
function memoryOf(order: TrainingOrder, tokens: number): number {
  const base = openCheckpointDirectory(order.model.directory);
  const definition = readDefinition(base);
  const context = trainedContext(definition);
  using device = openDryDevice();
  using trainer = new Trainer(device, definition, trainerSettings(base, order));
  const weights = device.memory.stats().bytesInUse;
  const row: PackedRow = {
    documents: [{ tokens: new Array(tokens).fill(0), weights: new Array(tokens).fill(1) }],
    tokens,
  };
  trainer.step(1, { rows: [row] }, { learningRates: { adamw: 0, muon: 0 }, predictorWeight: 0, balanceRate: 0 });
  const activations = device.memory.stats().bytesInUse - weights;
  const beside = rolloutBytes(order, definition, context) + teacherBytes(order);
  // Of all weights once more, as they were: what divergences are measured from.
  const reference = isMeasured(order.method) ? 4 * trainer.parameters.count : 0;
  if (!order.adapter) return device.memory.stats().bytesInUse + reference + beside;
  // The base lies in its own form; what an adapter adds to it is small beside the activations.
  const options = { form: definition.forms[0], positions: 1, predictor: 'absent' } as const;
  const { weights: requests } = recordRequests((source) => definition.assemble(source, options));
  const dtype = runTimeDtype(base, order.adapter.baseDtype);
  return runTimeWeights(requests, dtype).reduce((sum, { bytes }) => sum + bytes, 0) + activations + beside;
}

function isMeasured(method: TrainingOrder['method']): boolean {
  return method.type === 'dpo' || (method.type === 'reinforcement' && method.grpo.klCoefficient > 0);
}

/** Of the engine that the policy answers with: its own form of the weights, and keys and values of what is answered at a time. */
function rolloutBytes(
  { method, adapter, validationFile }: TrainingOrder,
  definition: ModelDefinition,
  context: number,
): number {
  const isAsked =
    method.type === 'reinforcement' ||
    (method.type === 'distillation' && (method.source === 'on_policy' || validationFile !== undefined));
  if (!isAsked) return 0;
  const [form] = definition.forms;
  const { maxRunning, cacheBytes } = usualRolloutLimits;
  const { weights: requests } = recordRequests((source) =>
    definition.assemble(source, { form, positions: 1, predictor: 'absent' }),
  );
  const packed = adapter ? 0 : runTimeWeights(requests, 'f32').reduce((sum, { bytes }) => sum + bytes, 0);
  return (
    packed + Math.min(cacheBytes, (maxRunning * context * pageBytes(definition.cacheLayout(form, 'f32'))) / KEY_BLOCK)
  );
}

/** Of a teacher that runs in the same process. */
function teacherBytes({ method }: TrainingOrder): number {
  if (method.type !== 'distillation' || method.teacher.directory === undefined) return 0;
  const checkpoint = openCheckpointDirectory(method.teacher.directory);
  const definition = readDefinition(checkpoint);
  const [form] = definition.forms;
  const options = { form, holdings: holdingsOf(checkpoint, form), stepTokens: 512 };
  const { weights, scratch, cachePerToken } = memoryEstimator(definition, options)(runTimeDtype(checkpoint, undefined));
  return weights + scratch + cachePerToken * askedAtOnce * trainedContext(definition);
}

/** Operations a second of a large product, two for each element of it. */
function productRate(threads: number | undefined): number {
  using device = openDevice(threads === undefined ? {} : { threads });
  const size = 768;
  const handles = Array.from({ length: 3 }, () => device.memory.allocate(size * size * 4));
  const [a, b, c] = handles.map((handle) => ({ handle, offset: 0, length: size * size }));
  let best = 0;
  for (let turn = 0; turn < 4; turn++) {
    const begunMs = performance.now();
    if (a && b && c) matmul(device.commands, a, b, c, { M: size, N: size, K: size, transB: true });
    device.commands.run();
    best = Math.max(best, (2 * size ** 3) / ((performance.now() - begunMs) / 1000));
  }
  for (const handle of handles) device.memory.free(handle);
  return best;
}
