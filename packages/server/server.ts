// The HTTP server.
//
// Owns the socket: routes, request ids, the log line of each request, errors in the envelope of their path, and an orderly end.
// Knows models only as providers. Whatever happens, a caller gets the envelope and never a stack trace.

import { randomUUID } from 'node:crypto';
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { Readable } from 'node:stream';
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
import { type Account, Accounts, secretIn } from './accounts.ts';
import { deliverAnswer } from './answer-delivery.ts';
import { type ApiCall, isPlan } from './api-call.ts';
import { requestErrorOf } from './failure.ts';
import { FileDownload } from './file-download.ts';
import { defaultFileLimits, type FileLimits } from './files-endpoints.ts';
import { openApi } from './handlers.ts';
import { parseJsonBody } from './json-body.ts';
import type { Logger } from './logger.ts';
import { noPrices, type PriceList } from './prices.ts';
import type { Provider } from './provider.ts';
import { serveReferencePage } from './reference-page.ts';
import { keepSwept, noRetention, type Retention } from './retention.ts';
import { readUpload } from './upload.ts';

export interface ServerOptions {
  /** 0 takes any free port. */
  readonly port: number;
  readonly host: string;
  /** At least one; their model ids differ. */
  readonly providers: readonly Provider[];
  /** Where what must survive is kept; its owner closes it after the server. */
  readonly store: Store<BatchDetails>;
  readonly fileLimits?: FileLimits;
  readonly prices?: PriceList;
  readonly retention?: Retention;
  readonly logger: Logger;
  /** After how long a silence a waiting caller gets a sign of life. Default 10 seconds. */
  readonly keepAliveMs?: number;
  /** How long a request may take to arrive, body included. Default 2 minutes. */
  readonly requestTimeoutMs?: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** A new name for a request and its answer. */
  readonly newId?: () => string;
}

export interface HttpServer extends AsyncDisposable {
  /** Such as `http://127.0.0.1:10935`. */
  readonly url: string;
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
  }
  interface FastifyContextConfig {
    dialect?: Dialect;
    operation?: OperationId;
    takes?: 'form' | undefined;
    takesBody?: boolean;
  }
}

/** The server could not take its address. The message is for the person who started it. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

// As DeepSeek, whose bodies may hold images.
const bodyLimitBytes = 48 * 1024 * 1024;
/** What anybody may ask: whether the server is there, and what it can do. */
const openOperations: ReadonlySet<OperationId> = new Set(['getHealth', 'getOpenApi']);
// How long an aborted stream may take to say so before its connection is cut.
const abortMs = 2_000;

/** Serves `providers` over HTTP. Rejects with `ListenError` when the address cannot be had. */
export async function startServer(options: ServerOptions): Promise<HttpServer> {
  const { port, host, providers, store, logger, keepAliveMs = 10_000, requestTimeoutMs = 600_000 } = options;
  const {
    fileLimits = defaultFileLimits,
    prices = noPrices,
    retention = noRetention,
    now = Date.now,
    newId = () => randomUUID(),
  } = options;
  checkProviders(providers);
  const accounts = new Accounts({ store, prices: () => prices, now });
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
    if (shown.code === 'internal') request.log.error({ err: error }, 'request failed');
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
    const controller = new AbortController();
    running.add(controller);
    response.once('close', () => {
      running.delete(controller);
      controller.abort();
    });
    return controller.signal;
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
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
    reply.raw.once('close', () => {
      logRequest(request, reply.raw);
      // A connection that was busy when the server began to close would otherwise linger until its keep-alive ends.
      if (isClosing) setImmediate(() => app.server.closeIdleConnections());
    });
    if (isClosing) throw requestError('shutting-down');
    const { operation } = request.routeOptions.config;
    if (operation === undefined || openOperations.has(operation)) return;
    const admission = await accounts.admit(secretIn(request.headers), operation, request.method);
    request.account = admission.account;
    reply.raw.once('close', () => admission[Symbol.dispose]());
  });
  app.setErrorHandler(refuse);
  app.setNotFoundHandler((request) => {
    throw requestError('unknown-route', { method: request.method, path: pathOf(request) });
  });

  const registered: string[] = [];
  // What answers GET answers HEAD as well.
  app.addHook('onRoute', ({ method, url }) => void (method !== 'HEAD' && registered.push(`${method} ${url}`)));
  const stopping = new AbortController();
  const api = openApi({ providers, store, fileLimits, accounts, now, stopping: stopping.signal, newId }, logger);
  for (const [operation, route] of Object.entries<Route>(routes)) {
    const handle = api.handlers[operation as OperationId];
    for (const base of route.bases) {
      app.route({
        method: route.method,
        url: base + route.path,
        config: {
          ...{ dialect: route.dialect, takes: route.takes, operation: operation as OperationId },
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
          const result = await handle(call);
          if (result instanceof FileDownload) return result.send(reply);
          if (!isPlan(result)) return result;
          return await deliverAnswer(request, reply, result, { keepAliveMs, explain: call.explain });
        },
      });
    }
  }

  serveReferencePage(app);
  logger.debug({ routes: registered }, 'routes');

  const sweeper = keepSwept(store, () => retention, now, logger);
  const url = await listen(app, host, port).catch(async (error) => {
    stopping.abort();
    sweeper[Symbol.dispose]();
    await api[Symbol.asyncDispose]();
    throw error;
  });

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
      await api[Symbol.asyncDispose]();
    } finally {
      clearTimeout(abort);
      clearTimeout(cut);
    }
  }

  return { url, close, [Symbol.asyncDispose]: () => close() };
}

/** When to try again, as HTTP says it. */
function retryAfter({ code, message }: RequestError): Record<string, string> {
  if (code !== 'rate-limited') return {};
  const [, seconds = '1'] = /in (\d+) seconds/.exec(message) ?? [];
  return { 'retry-after': seconds };
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
    throw listenErrorOf(error, host, port);
  }
  const { port: actual } = app.server.address() as AddressInfo;
  // Everyone's address is not one that a client can call.
  const reachable = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${actual}`;
}

function listenErrorOf(error: unknown, host: string, port: number): unknown {
  const { code } = error as NodeJS.ErrnoException;
  const cause = { cause: error };
  switch (code) {
    case 'EADDRINUSE':
      return new ListenError(
        `port ${port} on ${host} is already in use; choose another with PORT, for example PORT=${(port % 65535) + 1}`,
        cause,
      );
    case 'EACCES':
      return new ListenError(`port ${port} on ${host} needs more rights; choose one above 1023 with PORT`, cause);
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new ListenError(`host ${host} is no address of this machine`, cause);
    case 'ERR_SOCKET_BAD_PORT':
      return new ListenError(`PORT: expected 0 to 65535, got ${port}`, cause);
    default:
      return error;
  }
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

function logRequest(request: FastifyRequest, response: ServerResponse): void {
  request.log.info(
    {
      method: request.method,
      path: pathOf(request),
      status: response.statusCode,
      isComplete: response.writableFinished,
      // The code and not the message, which may quote the caller.
      ...(request.errorCode !== null && { errorCode: request.errorCode }),
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
