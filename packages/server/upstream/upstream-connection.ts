// The way to one server that speaks OpenAI's API.
//
// Owns its address and key, the sockets to it, how long each phase of an answer may take, and how much may come. What comes back
// is the data of server-sent events, or a failure; an answer in JSON is one event. Knows nothing of what stands in them. Once its
// signal aborts nothing is read any more, and the socket is gone.

import { type IncomingMessage, Agent as PlainAgent, type RequestOptions, request as requestPlain } from 'node:http';
import { request as requestSecure, Agent as SecureAgent } from 'node:https';
import { createParser } from 'eventsource-parser';
import { lateness, messageIn, refusal, UpstreamFailure } from './upstream-failure.ts';

export interface UpstreamTimeouts {
  readonly connectMs: number;
  /** From the request to the first word, the way through the prompt included. */
  readonly firstTokenMs: number;
  readonly betweenTokensMs: number;
  /** undefined: an answer may take as long as it likes, if it goes on. */
  readonly totalMs: number | undefined;
}

export interface UpstreamServer {
  /** What `/chat/completions` is under, such as `http://host:8000/v1`. */
  readonly url: string;
  /** Sent as a bearer token; undefined: none. */
  readonly apiKey: string | undefined;
}

/** Sent with one request, beside what all of them have. */
export type RequestHeaders = Readonly<Record<string, string>>;

/** An answer as it comes. */
export interface AnswerStream extends Disposable {
  /** The data of each event up to `[DONE]`. Throws `UpstreamFailure`; ends where the server has ended the answer, whole or not. */
  data(): AsyncGenerator<string, void, void>;
  /** The first word is there: from now on the time between two events counts. */
  said(): void;
  /** The last word is there: what follows is not waited for long. */
  over(): void;
}

/** A call that is answered at once. */
export interface UpstreamCall {
  readonly path: string;
  /** `root` where the path is beside `/v1`. */
  readonly from: 'root' | 'base';
  /** undefined: it is a GET. */
  readonly body?: object;
  readonly headers?: RequestHeaders;
}

/** No event, and no body that is read at once, is larger. */
const maxEventBytes = 16 * 2 ** 20;
const maxRefusalBytes = 64 * 1024;
/** As much as a model can say, with all that servers write around each token. */
const maxAnswerBytes = 512 * 2 ** 20;
/** A closed socket shows that it is one within so long; what takes longer is another failure. */
const staleMs = 1_000;
/** Idle sockets are given up before servers do so, most of which wait for five seconds. */
const idleMs = 4_000;
/** What may come ahead of who reads it. */
const maxUnreadBytes = 256 * 1024;
/** How long to wait for the usage after the end of an answer. */
const tailMs = 5_000;

export class UpstreamConnection {
  readonly #server: UpstreamServer;
  readonly #timeouts: UpstreamTimeouts;
  readonly #agent: PlainAgent | SecureAgent;
  readonly #isSecure: boolean;

  constructor(server: UpstreamServer, timeouts: UpstreamTimeouts) {
    this.#server = server;
    this.#timeouts = timeouts;
    this.#isSecure = new URL(server.url).protocol === 'https:';
    // The socket used last is the one least likely to be closed on the other side.
    const options = { keepAlive: true, scheduling: 'lifo', maxFreeSockets: 64, timeout: idleMs } as const;
    this.#agent = this.#isSecure ? new SecureAgent(options) : new PlainAgent(options);
  }

  /** Resolves when the server has taken the request. Throws `UpstreamFailure` when it has not. */
  async open(path: string, body: object, headers: RequestHeaders, signal: AbortSignal): Promise<AnswerStream> {
    const { firstTokenMs, betweenTokensMs, totalMs } = this.#timeouts;
    const phases = new Phases(totalMs);
    try {
      const inbox = await this.#send('POST', path, body, headers, signal, phases, firstTokenMs);
      let isDone = false;
      return {
        async *data() {
          isDone = yield* eventData(inbox, phases);
        },
        said: () => phases.enter('between-tokens', betweenTokensMs),
        over: () => phases.enter('between-tokens', tailMs),
        [Symbol.dispose]() {
          phases.stop();
          if (isDone) inbox.drain();
          else inbox.response.destroy();
        },
      };
    } catch (error) {
      phases.stop();
      throw error;
    }
  }

  /** What a call that takes no time answers. Throws `UpstreamFailure`. */
  async call(
    { path, from, body, headers = {} }: UpstreamCall,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<unknown> {
    const phases = new Phases(undefined);
    try {
      const method = body === undefined ? 'GET' : 'POST';
      const place = from === 'root' ? `${this.#server.url.replace(/\/(v1|beta)\/?$/, '')}/${path}` : path;
      const inbox = await this.#send(method, place, body, headers, signal, phases, timeoutMs);
      const text = await textOf(inbox, maxEventBytes);
      // Health is told without a body, too.
      return text === '' ? undefined : parsed(text);
    } finally {
      phases.stop();
    }
  }

  /** Closes sockets that nobody uses; those in use are their requests' to close. */
  close(): void {
    this.#agent.destroy();
  }

  /** Resolves with the response where its status is 200. */
  async #send(
    method: string,
    path: string,
    body: object | undefined,
    headers: RequestHeaders,
    signal: AbortSignal,
    phases: Phases,
    firstMs: number,
  ): Promise<Inbox> {
    const { url, apiKey } = this.#server;
    const target = new URL(path.includes('://') ? path : `${url.replace(/\/$/, '')}/${path}`);
    const text = body === undefined ? undefined : JSON.stringify(body);
    const options: RequestOptions = {
      method,
      headers: {
        ...headers,
        accept: 'text/event-stream, application/json',
        ...(text !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
        ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }),
      },
    };
    const ask = (agent: PlainAgent | SecureAgent | false) =>
      this.#ask(target, { ...options, agent }, text, signal, phases, firstMs);
    const inbox = await ask(this.#agent).catch((error) => {
      // The server had given up the idle socket by then, and has not seen the request.
      if (error instanceof StaleSocket && !signal.aborted) return ask(false);
      throw error;
    });
    const { response } = inbox;
    phases.of((failure) => response.destroy(failure));
    if (response.statusCode === 200) return inbox;
    const said = await textOf(inbox, maxRefusalBytes).catch(() => '');
    throw refusal(response.statusCode ?? 0, said, response.headers['retry-after'], Date.now());
  }

  /** Resolves when the response begins. */
  #ask(
    target: URL,
    options: RequestOptions,
    text: string | undefined,
    signal: AbortSignal,
    phases: Phases,
    firstMs: number,
  ): Promise<Inbox> {
    return new Promise((resolve, reject) => {
      const request = this.#isSecure ? requestSecure(target, options) : requestPlain(target, options);
      const sentAt = performance.now();
      phases.of((failure) => request.destroy(failure));
      // As an option, the signal would be the socket's too, which others use after this request.
      phases.until(signal, () => void request.destroy());
      phases.enter('connect', this.#timeouts.connectMs);
      let isConnected = false;
      const connected = () => {
        isConnected = true;
        phases.enter('first-token', firstMs);
      };
      request.once('socket', (socket) => {
        // A socket that is used again is connected.
        if (!socket.connecting) connected();
        else socket.once(this.#isSecure ? 'secureConnect' : 'connect', connected);
      });
      request.once('response', (response) => resolve(new Inbox(response)));
      request.on('error', (error: NodeJS.ErrnoException) => {
        const isStale = request.reusedSocket && performance.now() - sentAt < staleMs;
        if (error instanceof UpstreamFailure) reject(error);
        else if (isStale && (error.code === 'ECONNRESET' || error.code === 'EPIPE'))
          reject(new StaleSocket(error.code));
        else reject(new UpstreamFailure(isConnected ? 'broken' : 'connect', error.code ?? error.message));
      });
      request.end(text);
    });
  }
}

/** A socket that was used before has turned out to be closed when it was used again. */
class StaleSocket extends Error {
  override readonly name = 'StaleSocket';
}

/**
 * How long the present phase of a call may still take, and whether it goes on at all. The time that our own caller takes to read is
 * nobody's lateness.
 */
class Phases {
  #timer: NodeJS.Timeout | undefined;
  #phase: 'connect' | 'first-token' | 'between-tokens' = 'connect';
  #ms = 0;
  #isHeld = false;
  #forget: () => void = () => {};
  readonly #total: NodeJS.Timeout | undefined;
  #end: (failure: UpstreamFailure) => void = () => {};

  constructor(totalMs: number | undefined) {
    if (totalMs !== undefined) this.#total = setTimeout(() => this.#end(lateness('total', totalMs)), totalMs);
  }

  /** Ends something when the signal aborts, unless it was over before. */
  until(signal: AbortSignal, leave: () => void): void {
    this.#forget();
    if (signal.aborted) leave();
    signal.addEventListener('abort', leave, { once: true });
    this.#forget = () => signal.removeEventListener('abort', leave);
  }

  /** Who is to be ended. */
  of(end: (failure: UpstreamFailure) => void): void {
    this.#end = end;
  }

  enter(phase: 'connect' | 'first-token' | 'between-tokens', ms: number): void {
    this.#phase = phase;
    this.#ms = ms;
    this.#start();
  }

  /** Events have come, and are about to be read. */
  hold(): void {
    this.#isHeld = true;
    if (this.#phase === 'between-tokens') clearTimeout(this.#timer);
  }

  /** They have been read. */
  goOn(): void {
    this.#isHeld = false;
    if (this.#phase === 'between-tokens') this.#start();
  }

  stop(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#total);
    this.#forget();
  }

  #start(): void {
    clearTimeout(this.#timer);
    const [phase, ms] = [this.#phase, this.#ms];
    if (phase === 'between-tokens' && this.#isHeld) return;
    this.#timer = setTimeout(() => this.#end(lateness(phase, ms)), ms);
  }
}

/** Whether the mark of the end has come. */
async function* eventData(inbox: Inbox, phases: Phases): AsyncGenerator<string, boolean, void> {
  if (!/^text\/event-stream\b/i.test(inbox.response.headers['content-type'] ?? '')) {
    // Servers without streams answer as they can.
    yield await textOf(inbox, maxEventBytes);
    return true;
  }
  // What is garbled must not pass for text.
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const ready: string[] = [];
  let problem: UpstreamFailure | undefined;
  const parser = createParser({
    onEvent: ({ data }) => ready.push(data),
    onError({ type, field, value }) {
      // Older llama.cpp tells errors in a field of its own; any other is a line that was damaged.
      const message = type === 'unknown-field' && field === 'error' ? messageIn(value ?? '') : undefined;
      problem ??=
        message === undefined
          ? new UpstreamFailure('unreadable', `a line of the event stream: ${type}`)
          : new UpstreamFailure('status', message, 500);
    },
    maxBufferSize: maxEventBytes,
  });
  const feed = (text: () => string) => {
    try {
      parser.feed(text());
    } catch (error) {
      problem ??= new UpstreamFailure('unreadable', `a line of the event stream: ${(error as Error).message}`);
    }
  };
  let bytes = 0;
  for await (const piece of inbox.pieces()) {
    bytes += piece.length;
    if (bytes > maxAnswerBytes) throw new UpstreamFailure('unreadable', `more than ${maxAnswerBytes} bytes`);
    feed(() => decoder.decode(piece, { stream: true }));
    // Comments keep a connection alive and say nothing of the answer: only events count.
    if (ready.length > 0) {
      phases.hold();
      for (const data of ready.splice(0)) {
        if (data === endMark) return true;
        yield data;
      }
      phases.goOn();
    }
    if (problem !== undefined) throw problem;
  }
  // The last event may lack the line that ends it.
  feed(() => `${decoder.decode()}\n\n`);
  for (const data of ready) {
    if (data === endMark) return true;
    yield data;
  }
  if (problem !== undefined) throw problem;
  return false;
}

const endMark = '[DONE]';

/**
 * What comes of a response, kept from the moment it comes: a stream that fails forgets what was not read of it, and then nobody
 * would know that output had begun.
 */
class Inbox {
  readonly response: IncomingMessage;
  readonly #pieces: Buffer[] = [];
  #bytes = 0;
  #end: 'open' | 'whole' | UpstreamFailure = 'open';
  #changed = Promise.withResolvers<void>();

  constructor(response: IncomingMessage) {
    this.response = response;
    response.on('data', (piece: Buffer) => {
      this.#pieces.push(piece);
      this.#bytes += piece.length;
      if (this.#bytes > maxUnreadBytes) response.pause();
      this.#changed.resolve();
    });
    response.on('end', () => this.#close('whole'));
    response.on('error', (error: NodeJS.ErrnoException) =>
      this.#close(
        error instanceof UpstreamFailure ? error : new UpstreamFailure('broken', error.code ?? error.message),
      ),
    );
    response.on('close', () => {
      if (this.#end === 'open') this.#close(new UpstreamFailure('broken', 'closed'));
    });
  }

  /** Each piece once. Throws `UpstreamFailure` after the last one where the response did not end in order. */
  async *pieces(): AsyncGenerator<Buffer, void, void> {
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece !== undefined) {
        this.#bytes -= piece.length;
        if (this.response.isPaused() && this.#bytes <= maxUnreadBytes) this.response.resume();
        yield piece;
      } else if (this.#end === 'open') {
        await this.#changed.promise;
        this.#changed = Promise.withResolvers();
      } else if (this.#end === 'whole') return;
      else throw this.#end;
    }
  }

  /** Forgets what comes, so that the socket can be used again once it is over. */
  drain(): void {
    this.response.removeAllListeners('data').resume();
    if (this.response.complete) return;
    const timer = setTimeout(() => this.response.destroy(), tailMs);
    this.response.once('close', () => clearTimeout(timer));
  }

  #close(end: 'whole' | UpstreamFailure): void {
    if (this.#end === 'open') this.#end = end;
    this.#changed.resolve();
  }
}

async function textOf(inbox: Inbox, limitBytes: number): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const piece of inbox.pieces()) {
    parts.push(piece);
    bytes += piece.length;
    if (bytes <= limitBytes) continue;
    inbox.response.destroy();
    throw new UpstreamFailure('unreadable', `more than ${limitBytes} bytes`);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts));
  } catch {
    throw new UpstreamFailure('unreadable', 'expected UTF-8');
  }
}

/** Throws `UpstreamFailure` for what is no JSON. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UpstreamFailure('unreadable', 'expected JSON');
  }
}
