// The configuration of a server, one YAML file.
//
// Owns what can stand in it, what holds where it says nothing, and that all mistakes are told at once, each with its line.
// Knows nothing of where the file lies, nor of the command line, whose options come before it.

import { isDeepStrictEqual } from 'node:util';
import { expecting, integer } from '@hadal/protocol/sampling-fields';
import { shapeProblem } from '@hadal/protocol/shape-error';
import { LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import type { WebhookPlace } from './job-changes.ts';
import { deepseekNames, type ModelName } from './model-names.ts';
import { priceListOf, pricesSchema } from './price-settings.ts';
import { noPrices, type PriceList } from './prices.ts';
import { noRetention, type Retention } from './retention.ts';
import type { MetricsPlace } from './server.ts';
import type { TracingOptions } from './tracing.ts';
import type { JobLimits, Training } from './training-desk.ts';
import { type ConfiguredUpstream, upstreamOf, upstreamSchema } from './upstream/upstream-configuration.ts';

export type TracesPlace = 'off' | Omit<TracingOptions, 'logger'>;

export interface Configuration {
  readonly host: string | undefined;
  readonly port: number | undefined;
  readonly keepAliveMs: number | undefined;
  readonly startTimeoutMs: number | undefined;
  readonly missingReasoning: 'recover' | 'refuse' | undefined;
  readonly metricsAt: MetricsPlace | undefined;
  readonly stallTimeoutMs: number | undefined;
  /** Where traces are sent. */
  readonly traces: TracesPlace | undefined;
  /** Origins whose pages may call. */
  readonly cors: readonly string[] | undefined;
  /** Whether a model is loaded in this process; undefined: yes. */
  readonly localModel: boolean | undefined;
  /** Models that run elsewhere. */
  readonly upstreams: readonly ConfiguredUpstream[];
  /** Those that ship and those of the file, which come later and count. */
  readonly models: readonly ModelName[];
  readonly prices: PriceList;
  readonly retention: Retention;
  /** Who is told of jobs that are over. */
  readonly webhooks: readonly WebhookPlace[];
  /** Of the jobs that train models. */
  readonly training: Pick<Training, 'concurrent' | 'openCheckpoints' | 'limits'>;
}

/** Where a file says what a running server cannot take over, or that it can. */
const changes: Readonly<Record<keyof Configuration, 'while running' | 'upstreams' | 'training' | `server.${string}`>> =
  {
    ...{ upstreams: 'upstreams', localModel: 'server.local_model' },
    ...{ models: 'while running', keepAliveMs: 'while running', stallTimeoutMs: 'while running' },
    ...{ prices: 'while running', retention: 'while running', webhooks: 'while running', training: 'training' },
    ...{
      host: 'server.host',
      port: 'server.port',
      metricsAt: 'server.metrics',
      cors: 'server.cors',
      traces: 'server.traces',
    },
    ...{ startTimeoutMs: 'server.start_timeout_seconds', missingReasoning: 'server.missing_reasoning' },
  };

/** What is said otherwise in `after` and takes effect only at a start, as a file names it. */
export function settingsForStart(before: Configuration, after: Configuration): string[] {
  return Object.entries(changes)
    .filter(([, place]) => place !== 'while running')
    .filter(([name]) => !isDeepStrictEqual(Reflect.get(before, name), Reflect.get(after, name)))
    .map(([, place]) => place);
}

/** A file that says nothing. */
export const defaultConfiguration: Configuration = {
  ...{
    host: undefined,
    port: undefined,
    keepAliveMs: undefined,
    startTimeoutMs: undefined,
    missingReasoning: undefined,
    metricsAt: undefined,
    stallTimeoutMs: undefined,
    cors: undefined,
    traces: undefined,
    localModel: undefined,
  },
  upstreams: [],
  models: deepseekNames,
  prices: noPrices,
  retention: noRetention,
  webhooks: [],
  training: {},
};

/** What is wrong with a file, all of it; the message is for the person who wrote it. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
}

const seconds = expecting('number of seconds above 0');
const days = integer(1, 36_500);
const temperature = expecting('number from 0 to 2');
const topP = expecting('number above 0 and at most 1');
const origin = z.string().refine((text) => text === '*' || URL.parse(text)?.origin === text, {
  error: ({ input }) => `expected an origin such as https://app.example.org, or "*", got ${JSON.stringify(input)}`,
});
const share = expecting('number from 0 to 1');
const traces = z.strictObject({
  endpoint: z.url({ protocol: /^https?$/ }),
  headers: z.record(z.string(), z.string()).optional(),
  ratio: z.number(share).min(0, share).max(1, share).optional(),
});
const positive = integer(1, Number.MAX_SAFE_INTEGER);
const few = integer(1, 1000);
const jobLimits = z.strictObject({
  ...{ threads: few.optional(), memory_bytes: positive.optional(), seconds: positive.optional() },
});
const webhook = z.strictObject({
  url: z.url({ protocol: /^https?$/, error: 'expected a URL of http or https' }),
  secret: z.string().min(1, expecting('a text that is not empty')),
  events: z
    .array(z.enum(['fine_tuning.job.succeeded', 'fine_tuning.job.failed', 'fine_tuning.job.cancelled']))
    .optional(),
  private: z.boolean().optional(),
});

const model = z.strictObject({
  model: z.string().optional(),
  name: z.string().optional(),
  thinking: z.enum(['off', 'high']).optional(),
  profile: z.enum(['current', 'r1']).optional(),
  context_window: positive.optional(),
  max_output_tokens: positive.optional(),
  max_reasoning_tokens: positive.optional(),
  temperature: z.number(temperature).min(0, temperature).max(2, temperature).optional(),
  top_p: z.number(topP).gt(0, topP).max(1, topP).optional(),
});

const fileSchema = z.strictObject({
  server: z
    .strictObject({
      host: z.string().optional(),
      port: integer(0, 65535).optional(),
      keep_alive_seconds: z.number(seconds).gt(0, seconds).optional(),
      start_timeout_seconds: z.number(seconds).gt(0, seconds).optional(),
      stall_timeout_seconds: z.number(seconds).gt(0, seconds).optional(),
      cors: z.array(origin).optional(),
      traces: z.union([z.literal('off'), traces]).optional(),
      missing_reasoning: z.enum(['recover', 'refuse']).optional(),
      metrics: z
        .union([z.enum(['on', 'off']), z.strictObject({ host: z.string(), port: integer(0, 65535) })])
        .optional(),
      local_model: z.boolean().optional(),
    })
    .nullish(),
  upstreams: z.record(z.string(), upstreamSchema).nullish(),
  // Null takes a name away that ships.
  models: z.record(z.string(), model.nullable()).nullish(),
  prices: pricesSchema.nullish(),
  retention: z
    .strictObject({
      usage_days: days.optional(),
      completions_days: days.optional(),
      responses_days: days.optional(),
      audit_days: days.optional(),
    })
    .nullish(),
  webhooks: z.array(webhook).nullish(),
  training: z
    .strictObject({
      ...{ concurrent_jobs: few.optional(), loaded_checkpoints: few.optional() },
      job_limits: jobLimits.nullish(),
    })
    .nullish(),
});

/** Throws `ConfigurationError` with every mistake. `file` is how the person who wrote it calls it. */
export function parseConfiguration(text: string, file: string): Configuration {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number | undefined) => (offset === undefined ? file : `${file}:${lines.linePos(offset).line}`);
  const syntax = document.errors.map(({ message, pos }) => `${at(pos[0])}: ${message}`);
  if (syntax.length > 0) throw new ConfigurationError(syntax.join('\n'));
  const value: unknown = document.toJS() ?? {};
  const parsed = fileSchema.safeParse(value, { reportInput: true });
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => {
      const { path, field, problem } = shapeProblem([issue], value);
      return `${at(offsetOf(document, path))}: ${field}: ${problem}`;
    });
    throw new ConfigurationError(problems.join('\n'));
  }
  const { server, models, upstreams, prices, retention, webhooks, training } = parsed.data;
  if (server?.local_model === false && Object.keys(upstreams ?? {}).length === 0) {
    const line = at(offsetOf(document, ['server', 'local_model']));
    throw new ConfigurationError(`${line}: server.local_model: expected an upstream where no model is loaded`);
  }
  const ms = (count: number | undefined) => (count === undefined ? undefined : count * 1000);
  const own = Object.entries(models ?? {});
  const isOwn = (id: string) => own.some(([name]) => name === id);
  return {
    ...{ host: server?.host, port: server?.port, missingReasoning: server?.missing_reasoning },
    traces: server?.traces,
    ...{ metricsAt: server?.metrics, cors: server?.cors, stallTimeoutMs: ms(server?.stall_timeout_seconds) },
    localModel: server?.local_model,
    upstreams: Object.entries(upstreams ?? {}).map(([id, wire]) => upstreamOf(id, wire)),
    ...{ keepAliveMs: ms(server?.keep_alive_seconds), startTimeoutMs: ms(server?.start_timeout_seconds) },
    models: [
      ...deepseekNames.filter(({ id }) => !isOwn(id)),
      ...own.flatMap(([id, wire]) => (wire === null ? [] : [nameOf(id, wire)])),
    ],
    prices: priceListOf(prices),
    retention: {
      ...{ usage: retention?.usage_days, completions: retention?.completions_days },
      ...{ responses: retention?.responses_days, audit: retention?.audit_days },
    },
    webhooks: (webhooks ?? []).map(({ url, secret, events, private: isPrivate = false }) => ({
      ...{ url, secret, events, isPrivate },
    })),
    training: {
      ...(training?.concurrent_jobs !== undefined && { concurrent: training.concurrent_jobs }),
      ...(training?.loaded_checkpoints !== undefined && { openCheckpoints: training.loaded_checkpoints }),
      ...(training?.job_limits && { limits: limitsOf(training.job_limits) }),
    },
  };
}

function limitsOf(wire: z.infer<typeof jobLimits>): JobLimits {
  return {
    ...(wire.threads !== undefined && { threads: wire.threads }),
    ...(wire.memory_bytes !== undefined && { maxMemoryBytes: wire.memory_bytes }),
    ...(wire.seconds !== undefined && { maxSeconds: wire.seconds }),
  };
}

/** Says nothing of what the file does not say. */
function nameOf(id: string, wire: z.infer<typeof model>): ModelName {
  const shipped = deepseekNames.find((name) => name.id === id);
  const changes = {
    ...{ model: wire.model, name: wire.name, thinking: wire.thinking, profile: wire.profile },
    ...{ contextWindow: wire.context_window, maxOutputTokens: wire.max_output_tokens },
    maxReasoningTokens: wire.max_reasoning_tokens,
    temperature: wire.temperature,
    topP: wire.top_p,
  };
  const said = Object.entries(changes).filter(([, value]) => value !== undefined);
  return { ...shipped, ...Object.fromEntries(said), id };
}

/** Where a path begins, or as much of it as there is. */
function offsetOf(document: ReturnType<typeof parseDocument>, path: readonly PropertyKey[]): number | undefined {
  for (let length = path.length; length >= 0; length--) {
    const node = document.getIn(path.slice(0, length), true) as { readonly range?: readonly number[] } | undefined;
    if (node?.range) return node.range[0];
  }
  return undefined;
}
