// What is measured, in Prometheus' form.
//
// Owns the names of all measurements, what each of them counts, and the second names under which vLLM has the same, so that what
// was made for vLLM reads this server too. The registry is its owner's. Labels have few values: operations, statuses, models that
// are loaded. Never a caller, a path or a text.

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { AnswerWatch, WatchedAnswer, WatchedEvent } from './observed-provider.ts';
import { modelBehind, type Provider } from './provider.ts';

export interface MetricsPage {
  readonly contentType: string;
  readonly text: string;
}

/** The names that vLLM has for the same (October 2026), its older ones last. */
const vllmNames: Readonly<Record<string, readonly string[]>> = {
  hadal_requests_running: ['vllm:num_requests_running'],
  hadal_requests_waiting: ['vllm:num_requests_waiting'],
  hadal_kv_cache_usage_ratio: ['vllm:kv_cache_usage_perc', 'vllm:gpu_cache_usage_perc'],
  hadal_prompt_tokens_total: ['vllm:prompt_tokens_total'],
  hadal_generation_tokens_total: ['vllm:generation_tokens_total'],
  hadal_prefix_cache_queried_tokens_total: ['vllm:prefix_cache_queries_total', 'vllm:gpu_prefix_cache_queries_total'],
  hadal_prefix_cache_hit_tokens_total: ['vllm:prefix_cache_hits_total', 'vllm:gpu_prefix_cache_hits_total'],
  hadal_speculative_drafted_tokens_total: ['vllm:spec_decode_num_draft_tokens_total'],
  hadal_speculative_accepted_tokens_total: ['vllm:spec_decode_num_accepted_tokens_total'],
  hadal_answers_total: ['vllm:request_success_total'],
  hadal_time_to_first_token_seconds: ['vllm:time_to_first_token_seconds'],
  hadal_inter_token_latency_seconds: ['vllm:inter_token_latency_seconds', 'vllm:time_per_output_token_seconds'],
  hadal_time_per_output_token_seconds: ['vllm:request_time_per_output_token_seconds'],
  hadal_answer_seconds: ['vllm:e2e_request_latency_seconds'],
  hadal_queue_seconds: ['vllm:request_queue_time_seconds'],
  hadal_prefill_seconds: ['vllm:request_prefill_time_seconds'],
  hadal_decode_seconds: ['vllm:request_decode_time_seconds'],
  hadal_inference_seconds: ['vllm:request_inference_time_seconds'],
  hadal_answer_prompt_tokens: ['vllm:request_prompt_tokens'],
  hadal_answer_generation_tokens: ['vllm:request_generation_tokens'],
};

/** Seconds; from a small model's first token to an answer of ten minutes. */
const longSeconds = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640];
const tokenSeconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2.5, 5, 10];
const tokenCounts = [1, 4, 16, 64, 256, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072];

/** How long an engine may take to say what it has to do before its last word is taken. */
const loadMs = 1000;

/** In a registry of their own, beside what is known of the process; for the one server that a process has. */
export function openMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return new Metrics(registry);
}

export class Metrics {
  readonly #registry: Registry;
  readonly #now: () => number;
  readonly #requests;
  readonly #requestSeconds;
  readonly #batchLines;
  readonly #storeErrors;
  readonly #running;
  readonly #waiting;
  readonly #cacheUsage;
  readonly #tokens;
  readonly #answers;
  readonly #estimates;
  readonly #seconds;
  readonly #sizes;

  /** `now`: milliseconds on a clock that does not go back. */
  constructor(registry: Registry, now: () => number = () => performance.now()) {
    this.#registry = registry;
    this.#now = now;
    const registers = [registry];
    const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
      new Counter({ name, help, labelNames: [...labelNames], registers });
    const gauge = (name: string, help: string) => new Gauge({ name, help, labelNames: ['model_name'], registers });
    const histogram = (name: string, help: string, buckets: number[]) =>
      new Histogram({ name, help, buckets, labelNames: ['model_name'], registers });
    const ofModel = ['model_name'] as const;

    this.#requests = counter('hadal_requests_total', 'Requests that were answered, whatever the answer.', [
      ...(['operation', 'status'] as const),
    ]);
    this.#requestSeconds = new Histogram({
      name: 'hadal_request_seconds',
      help: 'From the first byte of a request to the last of its answer.',
      ...{ buckets: longSeconds, labelNames: ['operation'], registers },
    });
    this.#batchLines = counter('hadal_batch_lines_total', 'Lines of batches that were answered.', ['outcome']);
    this.#storeErrors = counter('hadal_store_errors_total', 'Statements that the database refused.', []);

    this.#running = gauge('hadal_requests_running', 'Answers that are being generated.');
    this.#waiting = gauge('hadal_requests_waiting', 'Answers that wait for their turn.');
    this.#cacheUsage = gauge('hadal_kv_cache_usage_ratio', 'Pages of the cache that answers hold, 1 being all.');

    const total = (name: string, help: string) => counter(`hadal_${name}_tokens_total`, help, ofModel);
    this.#tokens = {
      prompt: total('prompt', 'Tokens of prompts.'),
      generation: total('generation', 'Tokens generated.'),
      queried: total('prefix_cache_queried', 'Tokens of prompts that were looked up in the cache.'),
      hit: total('prefix_cache_hit', 'Tokens of prompts that were found in the cache.'),
      drafted: total('speculative_drafted', 'Tokens that were guessed ahead.'),
      accepted: total('speculative_accepted', 'Tokens that were guessed ahead and came true.'),
    };
    this.#answers = counter('hadal_answers_total', 'Answers that are over, by how they ended.', [
      ...(['model_name', 'finished_reason'] as const),
    ]);
    this.#estimates = counter(
      'hadal_estimated_answers_total',
      'Answers whose tokens were counted here, as their upstream did not say them.',
      ofModel,
    );
    this.#seconds = {
      firstToken: histogram('hadal_time_to_first_token_seconds', 'From being asked to the first text.', longSeconds),
      betweenTokens: histogram(
        'hadal_inter_token_latency_seconds',
        'Between two pieces of text; a piece is a token, or the tokens that were guessed ahead with it.',
        tokenSeconds,
      ),
      perToken: histogram(
        'hadal_time_per_output_token_seconds',
        'Of an answer: time after its first text, for each token after the first.',
        tokenSeconds,
      ),
      whole: histogram('hadal_answer_seconds', 'From being asked to the end of the answer.', longSeconds),
      queue: histogram('hadal_queue_seconds', 'From being asked until something is done for it.', longSeconds),
      prefill: histogram('hadal_prefill_seconds', 'From when something is done for it to the first text.', longSeconds),
      decode: histogram('hadal_decode_seconds', 'From the first text to the end.', longSeconds),
      inference: histogram('hadal_inference_seconds', 'Of an answer, all but the waiting.', longSeconds),
    };
    this.#sizes = {
      prompt: histogram('hadal_answer_prompt_tokens', 'Tokens of the prompt of an answer.', tokenCounts),
      generation: histogram('hadal_answer_generation_tokens', 'Tokens of an answer.', tokenCounts),
    };
  }

  /** `operation`: its id in the table of routes; undefined where there was none. */
  noteRequest(operation: string | undefined, status: number, ms: number): void {
    const labels = { operation: operation ?? 'unknown' };
    this.#requests.inc({ ...labels, status: String(status) });
    this.#requestSeconds.observe(labels, ms / 1000);
  }

  noteBatchLine(outcome: 'completed' | 'failed' | 'expired'): void {
    this.#batchLines.inc({ outcome });
  }

  noteStoreError(): void {
    this.#storeErrors.inc();
  }

  /** Watches one answer. */
  watch({ model }: WatchedAnswer): AnswerWatch {
    const labels = { model_name: model };
    const seconds = this.#seconds;
    const askedAt = this.#now();
    let firstAt: number | undefined;
    let lastAt = askedAt;
    let reason: string | undefined;
    return {
      event: (event) => {
        if (event.type === 'finish') {
          reason = reasonLabels[event.reason];
          this.#noteFinish(event, labels, askedAt, firstAt);
          return;
        }
        if (event.type === 'start' || event.type === 'prompt') return;
        const at = this.#now();
        if (firstAt === undefined) seconds.firstToken.observe(labels, (at - askedAt) / 1000);
        else seconds.betweenTokens.observe(labels, (at - lastAt) / 1000);
        firstAt ??= at;
        lastAt = at;
      },
      // One that was left has no finish.
      end: (failure) =>
        this.#answers.inc({ ...labels, finished_reason: failure === undefined ? (reason ?? 'abort') : 'error' }),
    };
  }

  #noteFinish(
    { usage, queuedMs }: Extract<WatchedEvent, { type: 'finish' }>,
    labels: { readonly model_name: string },
    askedAt: number,
    firstAt: number | undefined,
  ): void {
    const tokens = this.#tokens;
    const seconds = this.#seconds;
    const prompt = usage.prompt;
    tokens.prompt.inc(labels, prompt);
    tokens.queried.inc(labels, prompt);
    tokens.hit.inc(labels, usage.cacheHit);
    tokens.generation.inc(labels, usage.completion);
    tokens.drafted.inc(labels, usage.acceptedPrediction + usage.rejectedPrediction);
    tokens.accepted.inc(labels, usage.acceptedPrediction);
    if (usage.isEstimate) this.#estimates.inc(labels);
    this.#sizes.prompt.observe(labels, prompt);
    this.#sizes.generation.observe(labels, usage.completion);
    const wholeMs = this.#now() - askedAt;
    seconds.whole.observe(labels, wholeMs / 1000);
    if (queuedMs !== undefined) {
      seconds.queue.observe(labels, queuedMs / 1000);
      seconds.inference.observe(labels, Math.max(0, wholeMs - queuedMs) / 1000);
    }
    if (firstAt === undefined) return;
    const decodeMs = askedAt + wholeMs - firstAt;
    seconds.prefill.observe(labels, Math.max(0, firstAt - askedAt - (queuedMs ?? 0)) / 1000);
    seconds.decode.observe(labels, decodeMs / 1000);
    if (usage.completion > 1) seconds.perToken.observe(labels, decodeMs / 1000 / (usage.completion - 1));
  }

  /** All there is to read, under all its names. */
  async page(providers: readonly Provider[]): Promise<MetricsPage> {
    await Promise.all(providers.map((provider) => this.#readLoad(provider)));
    const blocks: string[] = [];
    for (const { name } of this.#registry.getMetricsAsArray()) {
      const block = await this.#registry.getSingleMetricAsString(name);
      blocks.push(block);
      for (const alias of vllmNames[name] ?? []) {
        blocks.push(block.replaceAll(new RegExp(`^((?:# (?:HELP|TYPE) )?)${name}`, 'gm'), `$1${alias}`));
      }
    }
    return { contentType: this.#registry.contentType, text: `${blocks.join('\n\n')}\n` };
  }

  async #readLoad(provider: Provider): Promise<void> {
    const model = provider.model.id;
    // The other names of a model have the same engine.
    if (provider.load === undefined || modelBehind(provider) !== model) return;
    const late = new Promise<undefined>((resolve) => setTimeout(resolve, loadMs, undefined).unref());
    const load = await Promise.race([provider.load().catch(() => undefined), late]);
    if (load === undefined) return;
    const labels = { model_name: model };
    const { running, waiting, pages, availablePages } = load;
    this.#running.set(labels, running);
    this.#waiting.set(labels, waiting);
    this.#cacheUsage.set(labels, pages === 0 ? 0 : (pages - availablePages) / pages);
  }
}

/** vLLM's words where it has one. */
const reasonLabels = {
  ...{ stop: 'stop', length: 'length', tool_calls: 'tool_calls', aborted: 'abort' },
  insufficient_system_resource: 'timeout',
  content_filter: 'content_filter',
} as const;
