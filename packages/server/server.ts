// The HTTP server.
//
// Owns the socket: routes, request ids, the log line of each request, errors in the envelope of their path, and an orderly end.
// Knows models only as providers. Whatever happens, a caller gets the envelope and never a stack trace.

import { randomUUID } from 'node:crypto';
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { fastifyCors } from '@fastify/cors';
import type { BatchDetails } from '@hadal/protocol/batches';
import { errorEnvelope } from '@hadal/protocol/error-envelope';
import { operations } from '@hadal/protocol/openapi/operations';
import { type RequestError, type RequestErrorCode, requestError } from '@hadal/protocol/request-error';
import { type Dialect, dialectAt, type OperationId, type Route, routes } from '@hadal/protocol/routes';
import type { Store } from '@hadal/store/store';
import {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
  LogController,
} from 'fastify';
import { Registry } from 'prom-client';
import { type Account, Accounts, secretIn } from './accounts.ts';
import { deliverAnswer } from './answer-delivery.ts';
import { type ApiCall, isPlan } from './api-call.ts';
import { requestErrorOf } from './failure.ts';
import { FileDownload } from './file-download.ts';
import { defaultFileLimits, type FileLimits } from './files-endpoints.ts';
import { openApi } from './handlers.ts';
import { JobChanges, type WebhookPlace } from './job-changes.ts';
import { parseJsonBody } from './json-body.ts';
import { listenErrorOf, urlOf } from './listen-error.ts';
import type { Logger } from './logger.ts';
import { Metrics } from './metrics.ts';
import { listenForMetrics } from './metrics-listener.ts';
import { ModelSource } from './model-source.ts';
import { observedProvider, type Watcher } from './observed-provider.ts';
import { noPrices, type PriceList } from './prices.ts';
import type { Provider } from './provider.ts';
import { serveReferencePage } from './reference-page.ts';
import { keepSwept, noRetention, type Retention } from './retention.ts';
import { endWhenStalled } from './stalled-reader.ts';
import { TextPage } from './text-page.ts';
import type { TracedRequest, Tracing } from './tracing.ts';
import { openTrainer } from './trainer.ts';
import type { Training } from './training-desk.ts';
import { readUpload } from './upload.ts';
import { Webhooks } from './webhooks.ts';

/** What a server can be given anew while it runs. */
export interface ChangeableOptions {
  /** At least one; their model ids differ. */
  readonly providers: readonly Provider[];
  /** After how long a silence a waiting caller gets a sign of life. Default 10 seconds. */
  readonly keepAliveMs?: number | undefined;
  /** How long a reader may take nothing of its answer before the connection is cut. Default 5 minutes. */
  readonly stallTimeoutMs?: number | undefined;
  /** What answers cost; nothing when absent. */
  readonly prices?: PriceList | undefined;
  /** How long what callers leave behind is kept; for ever when absent. */
  readonly retention?: Retention | undefined;
  /** Who is told of jobs that are over; nobody when absent. */
  readonly webhooks?: readonly WebhookPlace[] | undefined;
}

export interface ServerOptions extends ChangeableOptions {
  /** 0 takes any free port. */
  readonly port: number;
  readonly host: string;
  /** Where what must survive is kept; its owner closes it after the server. */
  readonly store: Store<BatchDetails>;
  readonly fileLimits?: FileLimits;
  readonly logger: Logger;
  /** Where measurements are noted; somewhere of its own when absent. */
  readonly metrics?: Metrics;
  /** Where requests and answers are traced; nowhere when absent. Its owner closes it after the server. */
  readonly tracing?: Tracing | undefined;
  /** Where they can be read: at `/metrics` beside everything else (default), nowhere, or at another address. */
  readonly metricsAt?: MetricsPlace;
  /** Pages of which origins may call: `https://app.example.org`, or `*` for all. None when absent. */
  readonly cors?: readonly string[];
  /** How long a request may take to arrive, body included. Default 10 minutes, as long as an upload may take. */
  readonly requestTimeoutMs?: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** A new name for a request and its answer. */
  readonly newId?: () => string;
  /** Who trains; nothing is trained when absent. */
  readonly training?: Training | undefined;
  /** Before each further try of a webhook. Default: three days in all. */
  readonly webhookDelaysMs?: readonly number[];
}

export type MetricsPlace = 'on' | 'off' | { readonly host: string; readonly port: number };

export interface HttpServer extends AsyncDisposable {
  /** Such as `http://127.0.0.1:10935`. */
  readonly url: string;
  /** Where measurements are read, if anywhere. */
  readonly metricsUrl: string | undefined;
  /** From here on; answers under way go on as they are. Throws, and changes nothing, where the options cannot be. */
  replace(changes: ChangeableOptions): void;
  /**
   * Takes no more requests, lets answers end for up to `graceMs` (default 10 seconds), then aborts those that are left:
   * their streams still end properly, with finish_reason `aborted`.
   */
  close(graceMs?: number): Promise<void>;
}

declare module 'fastify' {
  interface FastifyRequest {
    errorCode: RequestErrorCode | null;
    account: Account;
    trace: TracedRequest | null;
  }
  interface FastifyContextConfig {
    operation?: OperationId;
    dialect?: Dialect;
    takes?: 'form' | undefined;
    takesBody?: boolean;
  }
}

// As DeepSeek, whose bodies may hold images.
const bodyLimitBytes = 48 * 1024 * 1024;
/** What anybody may ask: whether the server is there, and what it can do. */
const openOperations: ReadonlySet<OperationId> = new Set(['getHealth', 'getOpenApi']);
// How long a browser may remember who may call.
const corsSeconds = 3600;
// How long an aborted stream may take to say so before its connection is cut.
const abortMs = 2_000;
// How long what those who left had generated may take to be charged, at the end.
const settleMs = 10_000;

/** Serves `providers` over HTTP. Rejects with `ListenError` when the address cannot be had. */
export async function startServer(options: ServerOptions): Promise<HttpServer> {
  const { port, host, providers, store, logger, requestTimeoutMs = 600_000 } = options;
  const { fileLimits = defaultFileLimits, now = Date.now, newId = () => randomUUID() } = options;
  const { metrics = new Metrics(new Registry()), metricsAt = 'on', cors = [], tracing } = options;
  checkProviders(providers);
  let settings = changeableSettings(options);
  const onError = (error: unknown) => logger.error({ err: error }, 'usage or keys: the store fails');
  const accounts = new Accounts({ store, prices: () => settings.prices, now, onError });
  const loggerInstance: FastifyBaseLogger = logger;
  const app = fastify({
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    genReqId: newId,
    bodyLimit: bodyLimitBytes,
    requestTimeout: requestTimeoutMs,
    http: {
      headersTimeout: Math.min(requestTimeoutMs, 60_000),
      connectionsCheckingInterval: Math.min(requestTimeoutMs / 4, 30_000),
    },
    forceCloseConnections: 'idle',
    rewriteUrl: anthropicUrl,
    // Refused by our own hook, in our own envelope.
    return503OnClosing: false,
    clientErrorHandler: refuseConnection,
    // What fails before there is a route, such as a URL that cannot be decoded.
    frameworkErrors: (error, request, reply) => {
      refuse(error, request, reply as FastifyReply);
    },
  });

  const running = new Set<AbortController>();
  let isClosing = false;

  /** The error to show; a failure of ours is logged with all that is known. */
  function explain(error: unknown, request: FastifyRequest): RequestError {
    const shown = requestErrorOf(error, bodyLimitBytes, request.headers['content-type']);
    request.errorCode = shown.code;
    if (shown.code === 'internal' && error !== callerIsGone) request.log.error({ err: error }, 'request failed');
    return shown;
  }

  function refuse(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const shown = explain(error, request);
    return reply
      .code(shown.status)
      .headers({ 'content-type': 'application/json; charset=utf-8', 'x-request-id': request.id, ...retryAfter(shown) })
      .send(errorEnvelope(shown, dialectOf(request)));
  }

  function cancellation(response: ServerResponse): AbortSignal {
    // Gone already: nothing would tell so any more.
    if (response.destroyed) return AbortSignal.abort();
    const controller = new AbortController();
    running.add(controller);
    response.once('close', () => {
      running.delete(controller);
      controller.abort(callerIsGone);
    });
    return controller.signal;
  }

  if (cors.length > 0) {
    await app.register(fastifyCors, {
      origin: cors.includes('*') ? '*' : [...cors],
      methods: [...new Set(Object.values(routes).map(({ method }) => method))],
      exposedHeaders: ['x-request-id'],
      maxAge: corsSeconds,
      strictPreflight: false,
    });
  }
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (request: FastifyRequest, body: Buffer) =>
    // Clients announce JSON even where they send nothing.
    request.routeOptions.config.takesBody === false ? undefined : parseJsonBody(body),
  );
  app.addContentTypeParser('multipart/form-data', async ({ headers, routeOptions }: FastifyRequest, form: Readable) => {
    // Read by the handler, piece by piece.
    if (routeOptions.config.takes === 'form') return form;
    throw requestError('unsupported-media-type', {
      expected: 'application/json',
      passed: headers['content-type'] ?? 'none',
    });
  });
  app.decorateRequest('answerOutcome', null);
  app.decorateRequest('errorCode', null);
  app.decorateRequest('account');
  app.decorateRequest('trace', null);
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
    const begunMs = performance.now();
    request.trace = tracing?.request(request.method, request.routeOptions.url, request.id, request.headers) ?? null;
    endWhenStalled(reply.raw, settings.stallTimeoutMs, () => request.log.warn('the reader has stopped reading'));
    reply.raw.once('close', () => {
      logRequest(request, reply.raw);
      const { operation } = request.routeOptions.config;
      request.trace?.end(reply.raw.statusCode, request.errorCode);
      metrics.noteRequest(operation, reply.raw.statusCode, performance.now() - begunMs);
      // A connection that was busy when the server began to close would otherwise linger until its keep-alive ends.
      if (isClosing) setImmediate(() => app.server.closeIdleConnections());
    });
    if (isClosing) throw requestError('shutting-down');
    const { operation } = request.routeOptions.config;
    if (operation === undefined || openOperations.has(operation)) return;
    // Listened for first: who goes away while it is asked must not stay let in.
    const gone = new Promise((resolve) => reply.raw.once('close', resolve));
    const admission = await accounts.admit(secretIn(request.headers), operation, request.method);
    request.account = admission.account;
    void gone.then(() => admission[Symbol.dispose]());
  });
  app.setErrorHandler(refuse);
  app.setNotFoundHandler((request) => {
    throw requestError('unknown-route', { method: request.method, path: pathOf(request) });
  });

  const registered: string[] = [];
  // What answers GET answers HEAD as well.
  app.addHook('onRoute', ({ method, url }) => void (method !== 'HEAD' && registered.push(`${method} ${url}`)));
  const stopping = new AbortController();
  const watchers: Watcher[] = [(answer) => metrics.watch(answer), ...(tracing ? [tracing.watch] : [])];
  const observed = (provider: Provider) => observedProvider(provider, watchers);
  const jobChanges = new JobChanges({ webhooks: () => settings.webhooks, now, newId });
  const webhooks = new Webhooks({
    ...{ store, places: () => settings.webhooks, now, logger, retryDelaysMs: options.webhookDelaysMs },
  });
  const onJobOver = () => webhooks.wake();
  const trainer =
    options.training &&
    (await openTrainer({
      ...{ training: options.training, store, changes: jobChanges, observed, now, stopping: stopping.signal, logger },
      onOver: onJobOver,
    }));
  const models = new ModelSource(providers.map(observed), (owner) => trainer?.tuned.of(owner) ?? []);
  const api = openApi(
    {
      ...{ store, fileLimits, accounts, now, stopping: stopping.signal, newId },
      ...{ models, metrics, servesMetrics: metricsAt === 'on', jobChanges, trainer, onJobOver },
    },
    logger,
  );
  /** In this order, when nothing is asked any more. */
  async function closeParts(): Promise<void> {
    await api[Symbol.asyncDispose]();
    await trainer?.[Symbol.asyncDispose]();
    await webhooks[Symbol.asyncDispose]();
  }
  for (const [operation, route] of Object.entries<Route>(routes)) {
    for (const base of route.bases) {
      app.route({
        method: route.method,
        url: base + route.path,
        config: {
          ...{ operation: operation as OperationId, dialect: route.dialect, takes: route.takes },
          takesBody: 'body' in operations[operation as OperationId],
        },
        async handler(request, reply) {
          const call: ApiCall = {
            ...{ id: request.id, body: request.body, signal: cancellation(reply.raw) },
            account: request.account,
            params: request.params as ApiCall['params'],
            query: queryOf(request),
            headers: headersOf(request),
            upload: (limitBytes) => readUpload(formOf(request), request.headers, limitBytes),
            explain: (error) => explain(error, request),
          };
          const answer = async () => {
            const result = await api.handlers[operation as OperationId](call);
            if (result instanceof FileDownload || result instanceof TextPage) return result.send(reply);
            if (!isPlan(result)) return result;
            return await deliverAnswer(request, reply, result, { ...settings, explain: call.explain });
          };
          return await (request.trace?.within(answer) ?? answer());
        },
      });
    }
  }

  serveReferencePage(app);
  logger.debug({ routes: registered }, 'routes');

  const sweeper = keepSwept(store, () => settings.retention, now, logger);

  async function listenEverywhere() {
    const url = await listen(app, host, port);
    if (typeof metricsAt === 'string') return { url, metricsUrl: metricsAt === 'on' ? `${url}/metrics` : undefined };
    try {
      const listener = await listenForMetrics(metricsAt, () => metrics.page(models.shared));
      return { url, metricsUrl: listener.url, listener };
    } catch (error) {
      await app.close();
      throw error;
    }
  }

  const { url, metricsUrl, listener } = await listenEverywhere().catch(async (error) => {
    stopping.abort();
    sweeper[Symbol.dispose]();
    await closeParts();
    throw error;
  });

  trainer?.start(api.askFor);

  function replace(changes: ChangeableOptions): void {
    checkProviders(changes.providers);
    settings = changeableSettings(changes);
    models.replaceShared(changes.providers.map(observed));
  }

  async function close(graceMs = 10_000): Promise<void> {
    isClosing = true;
    sweeper[Symbol.dispose]();
    stopping.abort();
    const abort = setTimeout(() => {
      for (const controller of running) controller.abort();
    }, graceMs);
    const cut = setTimeout(() => app.server.closeAllConnections(), graceMs + abortMs);
    try {
      await app.close();
      await closeParts();
      // Who was cut off is charged before the store is closed.
      await accounts.settled(settleMs);
      await listener?.close();
    } finally {
      clearTimeout(abort);
      clearTimeout(cut);
    }
  }

  return { url, metricsUrl, replace, close, [Symbol.asyncDispose]: () => close() };
}

function changeableSettings(options: ChangeableOptions) {
  const { keepAliveMs = 10_000, stallTimeoutMs = 300_000, prices = noPrices, retention = noRetention } = options;
  return { keepAliveMs, stallTimeoutMs, prices, retention, webhooks: options.webhooks ?? [] };
}

/** When to try again, as HTTP says it. */
function retryAfter({ retryAfterSeconds }: RequestError): Record<string, string> {
  return retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) };
}

function checkProviders(providers: readonly Provider[]): void {
  const ids = providers.map(({ model }) => model.id);
  if (ids.length === 0) throw new Error('providers: expected at least one, got none');
  const twice = ids.find((id, index) => ids.indexOf(id) < index);
  if (twice !== undefined) throw new Error(`providers: expected one for each model id, got two for ${twice}`);
}

async function listen(app: FastifyInstance, host: string, port: number): Promise<string> {
  try {
    await app.listen({ host, port, listenTextResolver: (address) => `listening on ${address}` });
  } catch (error) {
    await app.close();
    throw listenErrorOf(error, host, port, 'PORT');
  }
  return urlOf(app.server, host);
}

/** Answers what is not even HTTP, where no framework can. */
function refuseConnection(error: Error & { readonly code?: string }, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const isLate = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
  const shown = isLate ? requestError('request-timeout') : requestError('malformed-http', { problem: error.message });
  const body = JSON.stringify(errorEnvelope(shown, 'deepseek'));
  const head = ['Content-Type: application/json; charset=utf-8', `Content-Length: ${Buffer.byteLength(body)}`];
  socket.end(
    [`HTTP/1.1 ${shown.status} ${STATUS_CODES[shown.status]}`, ...head, 'Connection: close', '', body].join('\r\n'),
  );
}

/** Why work for a caller ends; a reason of its own would be an error with a stack, for each answer that has long been sent. */
const callerIsGone = 'closed';

function logRequest(request: FastifyRequest, response: ServerResponse): void {
  request.log.info(
    {
      method: request.method,
      path: pathOf(request),
      status: response.statusCode,
      isComplete: response.writableFinished,
      // The code and not the message, which may quote the caller.
      ...(request.errorCode !== null && { errorCode: request.errorCode }),
      ...(request.trace !== null && { traceId: request.trace.traceId }),
      ...request.answerOutcome,
    },
    'request',
  );
}

/** Anthropic's clients ask for lists of another shape on the paths of OpenAI's. */
function anthropicUrl({ url = '/', headers }: IncomingMessage): string {
  return headers['anthropic-version'] !== undefined && /^\/v1\/(files|models)(\/|\?|$)/.test(url)
    ? `/anthropic${url}`
    : url;
}

/** Whose envelope the caller expects. */
function dialectOf(request: FastifyRequest): Dialect {
  return request.routeOptions?.config?.dialect ?? dialectAt(pathOf(request));
}

/** Throws `RequestError` where the body is no form. */
function formOf({ body, headers }: FastifyRequest): Readable {
  if (body instanceof Readable) return body;
  const passed = headers['content-type'] ?? 'none';
  throw requestError('unsupported-media-type', { expected: 'multipart/form-data', passed });
}

function headersOf({ headers }: FastifyRequest): ApiCall['headers'] {
  return Object.fromEntries(Object.entries(headers).map(([name, value = '']) => [name, value.toString()]));
}

/** Of a name that is given twice, the last. */
function queryOf(request: FastifyRequest): ApiCall['query'] {
  const query = Object.entries(request.query as Record<string, string | string[]>);
  return Object.fromEntries(query.map(([name, value]) => [name, Array.isArray(value) ? value.at(-1) : value]));
}

/** Without the query, which may hold what a log should not. */
function pathOf(request: FastifyRequest): string {
  return request.url.split('?', 1)[0] ?? request.url;
}
