// What a fine-tuning job is asked for with.
//
// Owns the wire's names, bounds and defaults, and turns them into a training method and its options. OpenAI's body, as its SDKs
// send it; what it has no words for (GRPO's options, adapters, limits, distillation) stands inside the method, where SDKs pass it
// through. There nothing is ignored: a name that is not known would be noticed hours later. Knows nothing of files and models.

import { z } from 'zod';
import type { JsonObject } from './chat-request.ts';
import { type Grader, graderSchema } from './graders.ts';
import { metadataField } from './metadata.ts';
import { cardNamed, type ModelCard } from './models.ts';
import { requestError } from './request-error.ts';
import { expecting, integer, jsonObject, modelName } from './sampling-fields.ts';
import { checkShape } from './shape-error.ts';
import {
  adapterOptions,
  grpoOptions,
  logitsOptions,
  type TrainingMethod,
  type TrainingOrder,
  trainingMethod,
} from './training-order.ts';

const most = Number.MAX_SAFE_INTEGER;
/** What holds where the caller says nothing: the order's own, so that a recipe means the same. */
const usual = { grpo: grpoOptions.parse({}), logits: logitsOptions.parse({}), adapter: adapterOptions.parse({}) };

function autoOr(what: string, number: (wording: { readonly error: string }) => z.ZodType<number>) {
  const wording = expecting(`"auto" or ${what}`);
  return z.union([z.literal('auto', wording), number(wording)], wording).default('auto');
}

function autoInteger(low: number, high: number) {
  const what = high === most ? `integer of at least ${low}` : `integer from ${low} to ${high}`;
  return autoOr(what, (wording) => z.int(wording).min(low, wording).max(high, wording));
}

function numberFrom(low: number, high = Infinity) {
  const wording = expecting(high === Infinity ? `number of at least ${low}` : `number from ${low} to ${high}`);
  const number = z.number(wording).min(low, wording);
  return high === Infinity ? number : number.max(high, wording);
}

function numberAbove(low: number) {
  const wording = expecting(`number above ${low}`);
  return z.number(wording).gt(low, wording);
}

const count = integer(1, most);
const common = {
  n_epochs: autoInteger(1, 50).describe('How often the file is gone through.'),
  batch_size: autoInteger(1, 256).describe('Examples of a step; with `reinforcement` prompts.'),
  learning_rate_multiplier: autoOr('number above 0', (wording) => z.number(wording).gt(0, wording)),
};
const hyperparameters = z.strictObject(common).prefault({});
const dpoHyperparameters = z
  .strictObject({
    ...common,
    beta: autoOr('number from 0 to 2', (wording) => z.number(wording).min(0, wording).max(2, wording)),
  })
  .prefault({});
const reinforcementHyperparameters = z
  .strictObject({
    ...common,
    reasoning_effort: z
      .enum(['default', 'none', 'low', 'medium', 'high'])
      .default('default')
      .describe('`none`: without thinking.'),
    compute_multiplier: autoOr('number from 0.00001 to 10', (wording) =>
      z.number(wording).min(1e-5, wording).max(10, wording),
    ),
    eval_interval: autoInteger(1, most).describe('Steps between evaluations on the validation file.'),
    eval_samples: autoInteger(1, most).describe('Answers to each of its prompts.'),
  })
  .prefault({});

/** Ours, of every method. */
const options = {
  adapter: z
    .strictObject({
      type: z.literal('lora').default('lora'),
      rank: integer(1, 512).default(usual.adapter.rank),
      alpha: numberAbove(0).default(usual.adapter.alpha),
      targets: z
        .union(
          [z.literal('all-linear'), z.array(z.string().min(1)).min(1)],
          expecting('"all-linear" or names of modules'),
        )
        .default(usual.adapter.targets),
      base_dtype: z.enum(['f32', 'bf16', 'int8', 'int4']).optional().describe('How the frozen base is kept.'),
    })
    .nullish()
    .describe('Train an adapter instead of all weights.'),
  limits: z
    .strictObject({ threads: count.optional(), memory_bytes: count.optional(), seconds: count.optional() })
    .nullish()
    .describe(
      'What the job may take, at most what the operator allows; whoever takes more is stopped, and its checkpoints stay.',
    ),
  recompute: z
    .boolean()
    .nullish()
    .describe('Compute activations again in the backward pass: less memory, more time. Default: false.'),
  checkpoint_steps: autoInteger(1, most).describe('Steps between two checkpoints.'),
};

const grpo = z
  .strictObject({
    group_size: integer(2, 256).default(usual.grpo.groupSize).describe('Answers to each prompt.'),
    prompts_per_step: integer(1, 256).optional().describe('Stands for `batch_size`.'),
    num_iterations: integer(1, 16).default(usual.grpo.updatesPerStep).describe('Updates on the answers of one step.'),
    loss_type: z.enum(['grpo', 'bnpo', 'dr_grpo', 'dapo']).default(usual.grpo.lossType),
    clip_low: numberFrom(0, 1).default(usual.grpo.clipLow),
    clip_high: numberFrom(0, 10).default(usual.grpo.clipHigh),
    kl_coef: numberFrom(0).default(usual.grpo.klCoefficient),
    kl_estimator: z.enum(['k3', 'unbiased']).default(usual.grpo.klEstimator),
    scale_rewards: z.enum(['group', 'batch', 'none']).default(usual.grpo.scaleRewards),
    importance_sampling_level: z.enum(['token', 'sequence']).default(usual.grpo.importanceLevel),
    mask_truncated: z.boolean().default(usual.grpo.maskTruncated),
    drop_zero_variance_groups: z.boolean().default(usual.grpo.dropEqualGroups),
    reference_refresh: integer(0, most)
      .default(usual.grpo.referenceRefresh)
      .describe('Steps after which the reference of the KL term becomes the present model; 0: never.'),
    keep_routing: z
      .boolean()
      .default(usual.grpo.keepRouting)
      .describe('Experts are chosen as they were when the answer was sampled.'),
    language_reward: numberFrom(0).default(usual.grpo.languageReward),
    max_completion_tokens: count.default(usual.grpo.maxCompletionTokens),
    temperature: numberFrom(0.01, 2).default(usual.grpo.temperature),
    max_steps: count.nullish(),
    max_turns: integer(1, 32).default(usual.grpo.maxTurns).describe('Turns with tools that one answer may take.'),
  })
  .prefault({});

const seconds = z.int().min(0);
const filter = z.strictObject({
  model: z.string().optional(),
  metadata: metadataField.optional(),
  created_after: seconds.optional(),
  created_before: seconds.optional(),
  min_score: z.number().optional().describe('By the grader of the method. Default: 1.'),
});

const distillation = z.strictObject({
  hyperparameters,
  teacher: z.strictObject({
    model: z.string().min(1, expecting('the name of a model')),
    base_url: z.url({ protocol: /^https?$/, error: 'expected a URL of http or https' }).optional(),
    api_key_env: z
      .string()
      .regex(/^HADAL_TEACHER_\w+$/, expecting('a variable of the server whose name begins with HADAL_TEACHER_'))
      .optional(),
  }),
  source: z.enum(['stored_completions', 'file', 'on_policy']).default('file'),
  filter: filter
    .nullish()
    .describe('Which stored completions; all where absent. Of the answers to a file only `min_score` is for.'),
  objective: z.enum(['sequence', 'logits']).default('sequence'),
  logits: z
    .strictObject({
      top_k: integer(1, 128).default(usual.logits.topK),
      temperature: numberFrom(0.1, 10).default(usual.logits.temperature),
      divergence: z.enum(['forward_kl', 'reverse_kl', 'jsd']).default(usual.logits.divergence),
      jsd_beta: numberFrom(0, 1).default(usual.logits.jsdBeta),
      tail: z.enum(['bucket', 'renormalize']).default(usual.logits.tail),
    })
    .prefault({}),
  on_policy_fraction: numberFrom(0, 1).default(0.5),
  samples_per_prompt: integer(1, 64).default(1),
  grader: graderSchema.nullish().describe('Of the answers of the teacher, those that it passes are learned.'),
  max_completion_tokens: count.default(512),
  ...options,
});

const method = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('supervised'),
    supervised: z.strictObject({ hyperparameters, ...options }).prefault({}),
  }),
  z.strictObject({
    type: z.literal('dpo'),
    dpo: z.strictObject({ hyperparameters: dpoHyperparameters, ...options }).prefault({}),
  }),
  z.strictObject({
    type: z.literal('reinforcement'),
    reinforcement: z.strictObject({
      grader: graderSchema,
      hyperparameters: reinforcementHyperparameters,
      grpo,
      response_format: z.null().optional(),
      ...options,
    }),
  }),
  z.strictObject({ type: z.literal('distillation'), distillation }),
]);
type WireMethod = z.output<typeof method>;
type WireOptions = z.output<z.ZodObject<typeof options>>;

export const fineTuningBody = z.object({
  model: modelName.describe('What to begin with: a model of this machine, or a checkpoint of an earlier job.'),
  training_file: z
    .string()
    .nullish()
    .describe('A file with purpose `fine-tune`. Only distillation from stored completions does without.'),
  validation_file: z.string().nullish().describe('The same, of what is not trained on.'),
  suffix: z
    .string()
    .max(64, expecting('at most 64 characters'))
    .nullish()
    .describe('A part of the name that the model gets, `ft:<model>:<suffix>:<id>`.'),
  seed: integer(0, 2 ** 31 - 1).nullish(),
  metadata: metadataField.nullish(),
  method: method.nullish().describe('Default: `supervised`.'),
  hyperparameters: z.strictObject(common).nullish().describe('Deprecated: those of `method.supervised`.'),
  integrations: z.array(jsonObject).nullish().describe('Must be empty.'),
});

/** Which stored completions a student learns from; times in milliseconds since 1970. */
export interface CompletionFilter {
  readonly model: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly afterMs: number;
  readonly beforeMs: number;
}

export interface FineTuningRequest {
  readonly model: string;
  /** undefined: what `storedCompletions` finds. */
  readonly trainingFileId: string | undefined;
  readonly validationFileId: string | undefined;
  readonly suffix: string;
  readonly seed: number | undefined;
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly method: TrainingMethod;
  readonly options: Pick<
    TrainingOrder,
    'adapter' | 'recompute' | 'threads' | 'maxMemoryBytes' | 'maxSeconds' | 'checkpointSteps'
  >;
  /** As it is shown, with what holds where the caller said nothing. */
  readonly wireMethod: JsonObject;
  readonly storedCompletions: CompletionFilter | undefined;
}

/** `cards`: the models that the caller may name. Throws `RequestError` for the first mistake. */
export function parseFineTuningRequest(body: unknown, cards: readonly ModelCard[]): FineTuningRequest {
  const wire = checkShape(fineTuningBody, body);
  const model = cardNamed(cards, wire.model).id;
  if ((wire.integrations?.length ?? 0) > 0) {
    const problem = 'expected none: curves stay here, as events and in the files of the result';
    throw requestError('invalid-field', { field: 'integrations', problem });
  }
  const asked = methodOf(wire);
  const storedCompletions = filterOf(asked);
  if (storedCompletions === undefined && wire.training_file == null) {
    throw requestError('wrong-shape', { field: 'training_file', problem: 'expected string, but it is missing' });
  }
  if (storedCompletions !== undefined && wire.training_file != null) {
    const problem = 'cannot be set together with source "stored_completions"';
    throw requestError('invalid-field', { field: 'training_file', problem });
  }
  checkTeacher(asked, cards);
  return {
    model,
    trainingFileId: wire.training_file ?? undefined,
    validationFileId: wire.validation_file ?? undefined,
    suffix: suffixOf(wire.suffix ?? ''),
    seed: wire.seed ?? undefined,
    metadata: wire.metadata ?? null,
    method: trainingMethodOf(asked),
    options: optionsOf(optionsIn(asked)),
    wireMethod: asked as unknown as JsonObject,
    storedCompletions,
  };
}

/** What stands in a name that has colons between its parts. */
function suffixOf(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9._-]+/g, '-').replaceAll(/^-+|-+$/g, '');
}

function methodOf({ method: asked, hyperparameters: old }: z.output<typeof fineTuningBody>): WireMethod {
  if (asked == null) return method.parse({ type: 'supervised', supervised: { hyperparameters: old ?? {} } });
  if (old == null || Object.values(old).every((value) => value === 'auto')) return asked;
  const problem = 'deprecated, and cannot be set together with method; write them into the method';
  throw requestError('invalid-field', { field: 'hyperparameters', problem });
}

function filterOf(asked: WireMethod): CompletionFilter | undefined {
  if (asked.type !== 'distillation') return undefined;
  const { source, filter } = asked.distillation;
  if (source !== 'stored_completions') {
    const [other] = Object.keys(filter ?? {}).filter((name) => name !== 'min_score');
    if (other === undefined) return undefined;
    const problem = 'only allowed with source "stored_completions"';
    throw requestError('invalid-field', { field: `method.distillation.filter.${other}`, problem });
  }
  return {
    ...{ model: filter?.model, metadata: filter?.metadata ?? {} },
    afterMs: (filter?.created_after ?? 0) * 1000,
    beforeMs: filter?.created_before === undefined ? Infinity : filter.created_before * 1000,
  };
}

function checkTeacher(asked: WireMethod, cards: readonly ModelCard[]): void {
  if (asked.type !== 'distillation' || asked.distillation.teacher.base_url !== undefined) return;
  const { model } = asked.distillation.teacher;
  if (cards.some(({ id }) => id === model)) return;
  const problem = `expected one of the models here (${cards.map(({ id }) => id).join(', ')}) or a base_url, got ${JSON.stringify(model)}`;
  throw requestError('invalid-field', { field: 'method.distillation.teacher.model', problem });
}

function optionsIn(asked: WireMethod): WireOptions {
  switch (asked.type) {
    case 'supervised':
      return asked.supervised;
    case 'dpo':
      return asked.dpo;
    case 'reinforcement':
      return asked.reinforcement;
    case 'distillation':
      return asked.distillation;
    default:
      return unreachable(asked);
  }
}

function optionsOf({ adapter, limits, recompute, checkpoint_steps }: WireOptions): FineTuningRequest['options'] {
  return {
    ...(adapter && {
      adapter: {
        ...{ rank: adapter.rank, alpha: adapter.alpha, targets: adapter.targets },
        ...(adapter.base_dtype !== undefined && { baseDtype: adapter.base_dtype }),
      },
    }),
    recompute: recompute ?? false,
    ...(limits?.threads !== undefined && { threads: limits.threads }),
    ...(limits?.memory_bytes !== undefined && { maxMemoryBytes: limits.memory_bytes }),
    ...(limits?.seconds !== undefined && { maxSeconds: limits.seconds }),
    checkpointSteps: checkpoint_steps as TrainingOrder['checkpointSteps'],
  };
}

function trainingMethodOf(asked: WireMethod): TrainingMethod {
  return trainingMethod.parse(plainMethodOf(asked));
}

function plainMethodOf(asked: WireMethod): z.input<typeof trainingMethod> {
  switch (asked.type) {
    case 'supervised':
      return { type: 'supervised', ...commonOf(asked.supervised.hyperparameters) };
    case 'dpo': {
      const { hyperparameters: given } = asked.dpo;
      return { type: 'dpo', ...commonOf(given), beta: given.beta };
    }
    case 'reinforcement':
      return reinforcementOf(asked.reinforcement);
    case 'distillation':
      return distillationOf(asked.distillation);
    default:
      return unreachable(asked);
  }
}

type Common = z.output<z.ZodObject<typeof common>>;

function commonOf({ n_epochs, batch_size, learning_rate_multiplier }: Common) {
  return { epochs: n_epochs, batchSize: batch_size, learningRateMultiplier: learning_rate_multiplier };
}

function reinforcementOf({ grader, hyperparameters: given, grpo: wire }: ReinforcementWire) {
  return {
    ...{ type: 'reinforcement' as const, ...commonOf(given), grader },
    ...(wire.prompts_per_step !== undefined && { batchSize: wire.prompts_per_step }),
    reasoning: given.reasoning_effort === 'none' ? ('off' as const) : ('on' as const),
    ...{ evalInterval: given.eval_interval, evalSamples: given.eval_samples },
    computeMultiplier: given.compute_multiplier,
    grpo: {
      ...{ groupSize: wire.group_size, updatesPerStep: wire.num_iterations, lossType: wire.loss_type },
      ...{ clipLow: wire.clip_low, clipHigh: wire.clip_high },
      ...{ klCoefficient: wire.kl_coef, klEstimator: wire.kl_estimator },
      ...{ scaleRewards: wire.scale_rewards, importanceLevel: wire.importance_sampling_level },
      ...{ maskTruncated: wire.mask_truncated, dropEqualGroups: wire.drop_zero_variance_groups },
      ...{ referenceRefresh: wire.reference_refresh, keepRouting: wire.keep_routing },
      languageReward: wire.language_reward,
      ...{ maxCompletionTokens: wire.max_completion_tokens, temperature: wire.temperature },
      ...(wire.max_steps != null && { maxSteps: wire.max_steps }),
      maxTurns: wire.max_turns,
    },
  };
}
type ReinforcementWire = Extract<WireMethod, { type: 'reinforcement' }>['reinforcement'];

function distillationOf(wire: z.output<typeof distillation>) {
  const { teacher, logits, filter: of } = wire;
  return {
    ...{ type: 'distillation' as const, ...commonOf(wire.hyperparameters) },
    teacher: {
      model: teacher.model,
      ...(teacher.base_url !== undefined && { baseUrl: teacher.base_url }),
      ...(teacher.api_key_env !== undefined && { apiKeyEnv: teacher.api_key_env }),
    },
    ...{ source: wire.source, objective: wire.objective },
    logits: {
      ...{ topK: logits.top_k, temperature: logits.temperature, divergence: logits.divergence },
      ...{ jsdBeta: logits.jsd_beta, tail: logits.tail },
    },
    ...{ onPolicyFraction: wire.on_policy_fraction, samplesPerPrompt: wire.samples_per_prompt },
    ...(wire.grader != null && { grader: wire.grader }),
    ...(of?.min_score !== undefined && { minScore: of.min_score }),
    maxCompletionTokens: wire.max_completion_tokens,
  };
}

const itemField = z.unknown().describe('A row of the data: what `{{ item.x }}` stands for.');
export const runGraderBody = z.object({
  grader: graderSchema,
  item: itemField.optional(),
  model_sample: z.string().describe('An answer: what `{{ sample.output_text }}` stands for.'),
});
export const validateGraderBody = z.object({ grader: graderSchema });

/** Throws `RequestError` for the first mistake. */
export function parseGraderRun(body: unknown): {
  readonly grader: Grader;
  readonly item: unknown;
  readonly sample: string;
} {
  const { grader, item, model_sample: sample } = checkShape(runGraderBody, body);
  return { grader, item, sample };
}

/** Throws `RequestError` for the first mistake. */
export function parseGraderValidation(body: unknown): Grader {
  return checkShape(validateGraderBody, body).grader;
}

function unreachable(value: never): never {
  throw new Error(`expected a known method, got ${JSON.stringify(value)}`);
}
