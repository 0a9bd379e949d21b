// What can go wrong with an upstream, and what follows from it.
//
// Owns the kinds of failure, which of them another server may make good, which say something about the server, and what a caller
// is told. A caller reads an upstream's own words only where the mistake is the caller's; addresses and keys never.

import { type RequestError, requestError } from '@hadal/protocol/request-error';

/**
 * `connect`: nobody was reached. `late`: a phase took too long. `broken`: the connection or the answer ended early. `unreadable`:
 * what came is no answer. `status`: the upstream refused, with a status or in the middle of its stream.
 */
export type FailureKind = 'connect' | 'late' | 'broken' | 'unreadable' | 'status';

export class UpstreamFailure extends Error {
  override readonly name = 'UpstreamFailure';
  readonly kind: FailureKind;
  /** Of a refusal. */
  readonly status: number | undefined;
  /** How long the upstream asks to be left alone. */
  readonly retryAfterMs: number | undefined;

  constructor(kind: FailureKind, message: string, status?: number, retryAfterMs?: number) {
    super(message);
    this.kind = kind;
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }

  /** Whether another server may do better, as long as no output has begun. Whoever waited long is not made to wait again. */
  get isRetryable(): boolean {
    return this.kind === 'status' ? this.isBusy || isServers(this.status) : this.kind !== 'late';
  }

  /** Whether the server has as much as it takes. */
  get isBusy(): boolean {
    return this.status === 429;
  }

  /** Whether the server answers and has nothing in this place. */
  get isServerWithout(): boolean {
    return this.status === 404 || this.status === 405 || this.status === 501;
  }

  /** Whether it speaks against the server. A 500 may be the request's doing, which must not take a server from the others. */
  get isServersFault(): boolean {
    return this.kind === 'status' ? isServers(this.status) : true;
  }

  /** Whether the request is to blame. */
  get isCallers(): boolean {
    const { status } = this;
    return status !== undefined && status >= 400 && status < 500 && !isServers(status) && !this.isBusy;
  }
}

/** The failure of a phase that has lasted too long. */
export function lateness(phase: 'connect' | 'first-token' | 'between-tokens' | 'total', ms: number): UpstreamFailure {
  const within = `within ${ms / 1000} s`;
  switch (phase) {
    case 'connect':
      return new UpstreamFailure('connect', `no connection ${within}`);
    case 'first-token':
      return new UpstreamFailure('late', `no answer ${within}`);
    case 'between-tokens':
      return new UpstreamFailure('late', `the answer did not go on ${within}`);
    case 'total':
      return new UpstreamFailure('late', `the answer was not whole ${within}`);
    default:
      return phase satisfies never;
  }
}

/** Of a refusal whose body is `text`. */
export function refusal(status: number, text: string, retryAfter: string | undefined, now: number): UpstreamFailure {
  return new UpstreamFailure('status', messageIn(text) ?? `status ${status}`, status, retryMs(retryAfter, now));
}

/** What a server that is a part of this service may answer when it is the service that is set up wrongly. */
function isServers(status: number | undefined): boolean {
  return status !== undefined && [401, 402, 403, 404, 408, 502, 503, 504].includes(status);
}

/** What the caller is told. `name`: of the model. */
export function failureShown(failure: UpstreamFailure, name: string, hasBegun: boolean): RequestError {
  if (failure.isCallers && !hasBegun) return requestError('upstream-refused', { problem: failure.message });
  const isAway = failure.kind === 'connect' || failure.isBusy || failure.status === 503;
  if (isAway && !hasBegun) return requestError('upstream-unavailable', { model: name });
  return requestError('upstream-failed', { model: name, problem: problemOf(failure) });
}

function problemOf({ kind, message, status }: UpstreamFailure): string {
  switch (kind) {
    case 'late':
      return message;
    case 'connect':
      return 'it cannot be reached';
    case 'broken':
      return 'the answer broke off';
    case 'unreadable':
      return 'the answer cannot be read';
    case 'status':
      return `status ${status}`;
    default:
      return kind satisfies never;
  }
}

/** The words of an error in any of the forms that servers give it; undefined where there are none. */
export function messageIn(text: string): string | undefined {
  try {
    const message = wordsOf(JSON.parse(text));
    return message?.slice(0, maxMessage);
  } catch {
    // A page of a proxy says less than the status does.
    return undefined;
  }
}

const maxMessage = 1000;

function wordsOf(body: unknown): string | undefined {
  if (typeof body === 'string') return body === '' ? undefined : body;
  if (Array.isArray(body)) return body.flatMap((one) => wordsOf(one) ?? []).join('; ') || undefined;
  if (typeof body !== 'object' || body === null) return undefined;
  const { error, message, detail, msg } = body as Record<string, unknown>;
  return wordsOf(error) ?? wordsOf(message) ?? wordsOf(detail) ?? wordsOf(msg);
}

/** Seconds, or a date. */
function retryMs(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined;
  const ms = /^\d+(\.\d+)?$/.test(header) ? Number(header) * 1000 : Date.parse(header) - now;
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}
