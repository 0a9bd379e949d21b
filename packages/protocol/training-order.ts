// What a training process is told to do, and what it tells of it.
//
// Owns the two files that a job's directory holds between the process that trains and whoever waits for it: the order, written
// once before the start, and the journal, which only grows. Both sides may be killed and read them again. Paths are relative to
// the job's directory or absolute. Knows nothing of HTTP: the wire's names for all of this are `fine-tuning`'s.

import { z } from 'zod';
import { graderSchema } from './graders.ts';

const auto = z.literal('auto');
const count = z.int().positive();

/** What all methods have; `auto`: the process decides when it knows the data, and says what it decided (`settled`). */
const common = {
  epochs: z.union([auto, z.int().min(1).max(50)]).default('auto'),
  /** Documents of a step, or prompts of a GRPO step. */
  batchSize: z.union([auto, z.int().min(1).max(256)]).default('auto'),
  learningRateMultiplier: z.union([auto, z.number().positive()]).default('auto'),
};

/** Of GRPO (DeepSeekMath, arXiv 2402.03300) and of what was changed since; every option names its source where it acts. */
export const grpoOptions = z.object({
  groupSize: z.int().min(2).max(256).default(8),
  /** Updates on the rollouts of one step. */
  updatesPerStep: z.int().min(1).max(16).default(1),
  lossType: z.enum(['grpo', 'bnpo', 'dr_grpo', 'dapo']).default('dapo'),
  clipLow: z.number().min(0).max(1).default(0.2),
  clipHigh: z.number().min(0).max(10).default(0.28),
  klCoefficient: z.number().min(0).default(0),
  klEstimator: z.enum(['k3', 'unbiased']).default('k3'),
  scaleRewards: z.enum(['group', 'batch', 'none']).default('group'),
  importanceLevel: z.enum(['token', 'sequence']).default('token'),
  maskTruncated: z.boolean().default(true),
  dropEqualGroups: z.boolean().default(true),
  /** Steps after which the reference of the KL term becomes the present policy; 0: never. */
  referenceRefresh: z.int().min(0).default(0),
  /** Experts are chosen as they were when the answer was sampled. */
  keepRouting: z.boolean().default(false),
  /** Weight of the share of an answer's words that are in the prompt's language (DeepSeek-R1, section 2.3.2). */
  languageReward: z.number().min(0).default(0),
  maxCompletionTokens: count.default(512),
  temperature: z.number().min(0.01).max(2).default(1),
  maxSteps: count.optional(),
  /** Turns with tools that one answer may take. */
  maxTurns: z.int().min(1).max(32).default(6),
});
export type GrpoOptions = z.output<typeof grpoOptions>;

export const logitsOptions = z.object({
  topK: z.int().min(1).max(128).default(64),
  temperature: z.number().min(0.1).max(10).default(1),
  divergence: z.enum(['forward_kl', 'reverse_kl', 'jsd']).default('forward_kl'),
  jsdBeta: z.number().min(0).max(1).default(0.5),
  tail: z.enum(['bucket', 'renormalize']).default('bucket'),
});
export type LogitsOptions = z.output<typeof logitsOptions>;

/** A model that other models learn from: one that the server knows, or an OpenAI-compatible one elsewhere. */
export const teacher = z.object({
  model: z.string().min(1),
  baseUrl: z.string().optional(),
  apiKeyEnv: z.string().optional(),
  /** Of its checkpoint, where it lies on this machine: only then is it known what the teacher expects, beside what it says. */
  directory: z.string().optional(),
});

/** What a million tokens cost, in millionths of the currency: read for the first time, and written. */
const tokenPrice = z.object({ input: z.int().nonnegative(), output: z.int().nonnegative() });
export type TokenPrice = z.output<typeof tokenPrice>;

export const trainingMethod = z.discriminatedUnion('type', [
  z.object({ type: z.literal('supervised'), ...common }),
  z.object({ type: z.literal('dpo'), ...common, beta: z.union([auto, z.number().min(0).max(2)]).default('auto') }),
  z.object({
    type: z.literal('reinforcement'),
    ...common,
    grader: graderSchema,
    reasoning: z.enum(['on', 'off']).default('on'),
    /** Steps between evaluations on the validation file, and answers to each of its prompts. */
    evalInterval: z.union([auto, count]).default('auto'),
    evalSamples: z.union([auto, count]).default('auto'),
    computeMultiplier: z.union([auto, z.number().min(1e-5).max(10)]).default('auto'),
    grpo: grpoOptions,
  }),
  z.object({
    type: z.literal('distillation'),
    ...common,
    teacher,
    /** `file`: prompts, answered by the teacher; `on_policy`: prompts, answered by the student and scored by the teacher. */
    source: z.enum(['stored_completions', 'file', 'on_policy']),
    objective: z.enum(['sequence', 'logits']),
    logits: logitsOptions,
    /** Share of the steps with answers of the student itself (GKD's lambda). */
    onPolicyFraction: z.number().min(0).max(1).default(0.5),
    /** Answers of the teacher to each prompt, of which those that the grader passes are learned. */
    samplesPerPrompt: z.int().min(1).max(64).default(1),
    grader: graderSchema.optional(),
    minScore: z.number().optional(),
    maxCompletionTokens: count.default(512),
    /** What callers pay, as far as anybody knows, so that it can be told what an answer of either costs. */
    prices: z
      .object({ currency: z.string(), teacher: tokenPrice.optional(), student: tokenPrice.optional() })
      .optional(),
  }),
]);
export type TrainingMethod = z.output<typeof trainingMethod>;

export const adapterOptions = z.object({
  rank: z.int().min(1).max(512).default(16),
  alpha: z.number().positive().default(32),
  /** `all-linear`, or modules as PEFT names them. */
  targets: z.union([z.literal('all-linear'), z.array(z.string().min(1)).min(1)]).default('all-linear'),
  /** How the frozen base is kept. */
  baseDtype: z.enum(['f32', 'bf16', 'int8', 'int4']).optional(),
  /** Directory of an adapter of this shape, which is trained further; absent: a new one. */
  continues: z.string().optional(),
});
export type AdapterOptions = z.output<typeof adapterOptions>;

export const trainingOrder = z.object({
  id: z.string(),
  model: z.object({ name: z.string(), directory: z.string() }),
  suffix: z.string(),
  seed: z.int(),
  trainingFile: z.string(),
  validationFile: z.string().optional(),
  method: trainingMethod,
  /** Absent: all weights are trained. */
  adapter: adapterOptions.optional(),
  /** Activations are computed again in the backward pass instead of being kept. */
  recompute: z.boolean().default(false),
  threads: count.optional(),
  maxMemoryBytes: count.optional(),
  maxSeconds: count.optional(),
  checkpointSteps: z.union([auto, count]).default('auto'),
});
export type TrainingOrder = z.output<typeof trainingOrder>;

const step = z.int().nonnegative();
const measures = z.record(z.string(), z.number());

/** One line of the journal. What is told of a step is told again, the same, where a killed process had to repeat it. */
export const journalEntry = z.discriminatedUnion('type', [
  /** What `auto` became, and how long it is going to be. */
  z.object({
    type: z.literal('settled'),
    atMs: z.int(),
    epochs: z.number(),
    batchSize: z.int(),
    learningRateMultiplier: z.number(),
    steps: z.int(),
    more: z.record(z.string(), z.union([z.number(), z.string()])).default({}),
  }),
  z.object({
    type: z.literal('message'),
    atMs: z.int(),
    level: z.enum(['info', 'warn', 'error']),
    message: z.string(),
  }),
  /** TRL's names where it has them. */
  z.object({ type: z.literal('metrics'), atMs: z.int(), step, data: measures }),
  /** A model, or an adapter, that can be served from `directory` from now on. */
  z.object({
    type: z.literal('checkpoint'),
    atMs: z.int(),
    step,
    directory: z.string(),
    isAdapter: z.boolean(),
    metrics: measures,
  }),
  /** Rollouts of a step lie in `file`, a JSON line each. */
  z.object({ type: z.literal('rollouts'), atMs: z.int(), step, file: z.string() }),
  /** The job is over, and its last checkpoint is its model. `resultFiles`: to be kept for whoever ordered it. */
  z.object({
    type: z.literal('succeeded'),
    atMs: z.int(),
    trainedTokens: z.int(),
    resultFiles: z.array(z.object({ name: z.string(), path: z.string() })),
  }),
  z.object({
    type: z.literal('failed'),
    atMs: z.int(),
    code: z.string(),
    message: z.string(),
    param: z.string().nullable(),
    trainedTokens: z.int(),
  }),
  /** It was asked to stop, has saved where it is, and goes on from there when it is started again. */
  z.object({ type: z.literal('stopped'), atMs: z.int(), step, trainedTokens: z.int() }),
]);
export type JournalEntry = z.output<typeof journalEntry>;

/** Names within a job's directory. `state`: what is needed to go on, and nothing to anybody else; a job that is over needs none. */
export const jobFiles = { order: 'order.json', journal: 'journal.jsonl', stop: 'stop', state: 'state' } as const;
