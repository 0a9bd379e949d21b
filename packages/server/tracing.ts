// Traces of requests and answers, sent where OpenTelemetry's collector listens (OTLP over HTTP).
//
// Owns which spans there are and what they say: one for a request, and in it one for each answer of a model, in the words of the
// conventions for generative AI. A caller's trace is gone on with (W3C traceparent). Prompts, answers, keys, stop strings and names
// of users are in none of them. Loaded only where an endpoint is configured: all of OpenTelemetry is imported here.

import { AsyncLocalStorage } from 'node:async_hooks';
import type { IncomingHttpHeaders } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { RequestError } from '@hadal/protocol/request-error';
import {
  type Attributes,
  type Context,
  defaultTextMapGetter,
  defaultTextMapSetter,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { Logger } from './logger.ts';
import type { AnswerWatch, WatchedAnswer, WatchedEvent, Watcher } from './observed-provider.ts';

export interface TracingOptions {
  /** Of the collector; `/v1/traces` is added unless it is there. */
  readonly endpoint: string;
  /** Sent along, such as a key of the collector's. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** The share of traces begun here that is sent; a caller's own says itself. Default 1. */
  readonly ratio?: number | undefined;
  /** Hears of traces that could not be sent. */
  readonly logger: Logger;
}

export interface TracedRequest {
  readonly traceId: string;
  /** Does `work`, and whatever follows from it, in the span of this request. */
  within<T>(work: () => T): T;
  end(status: number, errorCode: string | null): void;
}

export interface Tracing extends AsyncDisposable {
  /** Begins the span of a request. `path`: the route's, with names for what varies. */
  request(method: string, path: string | undefined, requestId: string, headers: IncomingHttpHeaders): TracedRequest;
  readonly watch: Watcher;
  /** What a request to another server carries, so that it goes on with the trace; empty outside of one. */
  headers(): Record<string, string>;
}

export function openTracing({ endpoint, headers = {}, ratio = 1, logger }: TracingOptions): Tracing {
  const url = /\/v1\/traces\/?$/.test(endpoint) ? endpoint : `${endpoint.replace(/\/+$/, '')}/v1/traces`;
  const exporter = reportingExporter(new OTLPTraceExporter({ url, headers: { ...headers } }), logger);
  const provider = new TracerProvider({
    resource: defaultResource().merge(resourceFromAttributes({ 'service.name': 'hadal' })),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
    spanProcessors: [new BatchSpanProcessor({ exporter })],
  });
  const tracer = provider.getTracer('hadal');
  const propagator = new W3CTraceContextPropagator();
  const current = new AsyncLocalStorage<Context>();

  function request(
    method: string,
    path: string | undefined,
    requestId: string,
    received: IncomingHttpHeaders,
  ): TracedRequest {
    const parent = propagator.extract(ROOT_CONTEXT, received, defaultTextMapGetter);
    const attributes = {
      'http.request.method': method,
      ...(path !== undefined && { 'http.route': path }),
      'hadal.request.id': requestId,
    };
    const name = path === undefined ? method : `${method} ${path}`;
    const span = tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, parent);
    const context = trace.setSpan(parent, span);
    return {
      traceId: span.spanContext().traceId,
      within: (work) => current.run(context, work),
      end(status, errorCode) {
        span.setAttribute('http.response.status_code', status);
        if (errorCode !== null) span.setAttribute('error.type', errorCode);
        // A caller's mistake is no failure of a server.
        if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
        span.end();
      },
    };
  }

  function watch(answer: WatchedAnswer): AnswerWatch {
    const parent = current.getStore() ?? ROOT_CONTEXT;
    const operation = operations[answer.kind];
    const span = tracer.startSpan(
      `${operation} ${answer.name}`,
      { kind: SpanKind.INTERNAL, attributes: requestAttributes(answer, operation) },
      parent,
    );
    const context = trace.setSpan(parent, span);
    const begunMs = performance.now();
    let hasSpoken = false;
    return {
      within: (work) => current.run(context, work),
      event(event) {
        if (event.type === 'finish') {
          span.setAttributes(finishAttributes(event));
        } else if (!hasSpoken && event.type !== 'start' && event.type !== 'prompt') {
          hasSpoken = true;
          span.setAttribute('gen_ai.response.time_to_first_chunk', (performance.now() - begunMs) / 1000);
        }
      },
      end(failure) {
        if (failure !== undefined) {
          // The code and not the message, which may quote the caller.
          span.setAttribute('error.type', failure instanceof RequestError ? failure.code : 'internal');
          span.setStatus({ code: SpanStatusCode.ERROR });
        }
        span.end();
      },
    };
  }

  return {
    request,
    watch,
    headers() {
      const carrier: Record<string, string> = {};
      const context = current.getStore();
      if (context !== undefined) propagator.inject(context, carrier, defaultTextMapSetter);
      return carrier;
    },
    // What cannot be sent has been told of, and holds up no end.
    [Symbol.asyncDispose]: () =>
      Promise.race([provider.shutdown().catch(() => {}), delay(lastWordsMs, undefined, { ref: false })]),
  };
}

/** How long the last traces may take to be sent. */
const lastWordsMs = 3_000;

const operations = { chat: 'chat', 'text-completion': 'text_completion' } as const;

function requestAttributes({ name, model, request }: WatchedAnswer, operation: string): Attributes {
  const { maxTokens, temperature, topP, topK, frequencyPenalty, presencePenalty, seed } = request;
  return {
    'gen_ai.operation.name': operation,
    'gen_ai.provider.name': 'hadal',
    'gen_ai.request.model': name,
    'gen_ai.response.model': model,
    'gen_ai.request.temperature': temperature,
    'gen_ai.request.top_p': topP,
    ...(topK > 0 && { 'gen_ai.request.top_k': topK }),
    ...(maxTokens.type === 'asked' && { 'gen_ai.request.max_tokens': maxTokens.tokens }),
    ...(frequencyPenalty !== 0 && { 'gen_ai.request.frequency_penalty': frequencyPenalty }),
    ...(presencePenalty !== 0 && { 'gen_ai.request.presence_penalty': presencePenalty }),
    ...(seed !== undefined && { 'gen_ai.request.seed': seed }),
  };
}

function finishAttributes({ reason, usage, queuedMs }: Extract<WatchedEvent, { type: 'finish' }>): Attributes {
  return {
    'gen_ai.response.finish_reasons': [reason],
    'gen_ai.usage.input_tokens': usage.prompt,
    'gen_ai.usage.cache_read.input_tokens': usage.cacheHit,
    'gen_ai.usage.output_tokens': usage.completion,
    'gen_ai.usage.reasoning.output_tokens': usage.reasoning,
    ...(usage.isEstimate && { 'hadal.usage.is_estimate': true }),
    ...(queuedMs !== undefined && { 'hadal.queue_seconds': queuedMs / 1000 }),
  };
}

/** The SDK keeps failures to itself. */
function reportingExporter(exporter: SpanExporter, logger: Logger): SpanExporter {
  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        if (result.error) logger.warn({ err: result.error }, 'traces could not be sent');
        done(result);
      }),
    shutdown: () => exporter.shutdown(),
    forceFlush: async () => await exporter.forceFlush?.(),
  };
}
