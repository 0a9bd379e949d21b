// One answer from one of several servers.
//
// Owns the attempts: a place at a server, the request, the answer up to its first word, and another server where that fails. Knows
// no chunk (its reader does) and not who asks. Invariants: once output has begun no request is sent again; an answer that ends
// without saying how is a failure; every place that was taken is given back.

import { setTimeout as delay } from 'node:timers/promises';
import { followSignals } from '../followed-signals.ts';
import type { Logger } from '../logger.ts';
import type { EventReader } from './upstream-chunk.ts';
import type { AnswerStream, RequestHeaders, UpstreamConnection } from './upstream-connection.ts';
import { failureShown, UpstreamFailure } from './upstream-failure.ts';
import type { Lease, Outcome, PlaceWanted, UpstreamPool } from './upstream-pool.ts';

export interface RelayParts {
  /** Of the model, for who reads of its failure. */
  readonly name: string;
  readonly pool: UpstreamPool;
  /** One for each server of the pool. */
  readonly connections: readonly UpstreamConnection[];
  readonly retries: RetryOptions;
  /** How long a request may wait for a place. */
  readonly queueMs: number;
  /** How long an upstream may look at a request before its caller is told that it is at work. Some say nothing before a word. */
  readonly patienceMs: number;
  readonly logger: Logger;
  /** From 0 to 1. */
  readonly random: () => number;
}

export interface RetryOptions {
  /** Requests that are sent for one answer, at most. */
  readonly attempts: number;
  /** Before the second; twice as long before each that follows. */
  readonly backoffMs: number;
}

export interface RelayedRequest<E> {
  readonly path: string;
  readonly body: object;
  /** Sent with every attempt. */
  readonly headers: RequestHeaders;
  readonly prefixes: readonly string[];
  readonly priority: PlaceWanted['priority'];
  /** A reader for an attempt. */
  readonly openReader: () => EventReader<E>;
  /** Said as soon as the request is accepted. */
  readonly start: E;
}

/** An answer that has begun. */
interface LiveAnswer<E> {
  readonly reader: EventReader<E>;
  /** What came up to its first word. */
  readonly first: readonly E[];
  readonly data: AsyncGenerator<string, void, void>;
  readonly stream: AnswerStream;
  readonly lease: Lease;
}

/** How long a server is left alone that is too busy and does not say for how long. */
const usualRestMs = 1_000;

/** The events of one answer, up to the first of `signals` that aborts. Throws `RequestError`. */
export async function* relayAnswer<E>(
  parts: RelayParts,
  request: RelayedRequest<E>,
  ...signals: readonly AbortSignal[]
): AsyncGenerator<E, void, void> {
  using left = followSignals(...signals);
  const gone = left.signal;
  const accepted = Promise.withResolvers<void>();
  const attempts = begin(parts, request, gone, accepted.resolve);
  // It is waited for further down, and may fail before.
  attempts.catch(() => {});
  const patience = setTimeout(accepted.resolve, parts.patienceMs);
  try {
    await Promise.race([accepted.promise, attempts]).catch((error) => {
      if (!(error instanceof LeftAnswer)) throw error;
    });
    yield request.start;
    yield* follow(parts, await attempts, gone);
  } catch (error) {
    if (!(error instanceof LeftAnswer)) throw error;
    yield* error.lastWords as E[];
  } finally {
    clearTimeout(patience);
    left.abort('over');
    // Left while it was waited for.
    void attempts.then(({ stream, lease }) => end(stream, lease, { type: 'neutral' })).catch(() => {});
  }
}

/** An answer that is not waited for any longer. It ends like any other. */
class LeftAnswer extends Error {
  override readonly name = 'LeftAnswer';
  readonly lastWords: readonly unknown[];

  constructor(lastWords: readonly unknown[]) {
    super('left');
    this.lastWords = lastWords;
  }
}

/** Sends the request until an answer has begun. Throws `RequestError`, or `LeftAnswer`. */
async function begin<E>(
  parts: RelayParts,
  request: RelayedRequest<E>,
  gone: AbortSignal,
  onAccepted: () => void,
): Promise<LiveAnswer<E>> {
  const { pool, name, retries, random } = parts;
  const tried = new Set<number>();
  let last: UpstreamFailure | undefined;
  for (let attempt = 0; attempt < retries.attempts; attempt++) {
    if (attempt > 0) {
      const ms = retries.backoffMs * 2 ** (attempt - 1) * (0.5 + random());
      await delay(ms, undefined, { signal: gone }).catch(() => {});
    }
    const lease = await placeFor({ prefixes: request.prefixes, tried, priority: request.priority }, parts, gone);
    if (gone.aborted || lease === 'late') {
      if (typeof lease === 'object') lease.release({ type: 'neutral' });
      const reason = gone.aborted ? 'aborted' : 'insufficient_system_resource';
      // Attempts that failed are nobody's to pay for.
      throw new LeftAnswer(request.openReader().leave(reason, false));
    }
    if (lease === undefined) break;
    tried.add(lease.server);
    const begun = await tryAt(lease, parts, request, gone, onAccepted);
    if (!(begun instanceof UpstreamFailure)) {
      pool.remember(request.prefixes, lease.server);
      return begun;
    }
    last = begun;
    if (!begun.isRetryable) break;
  }
  throw failureShown(last ?? new UpstreamFailure('connect', 'no server is well'), name, false);
}

/** undefined: there is nobody to wait for. `late`: there was no place within the time for it. */
async function placeFor(
  wanted: PlaceWanted,
  { pool, queueMs }: RelayParts,
  gone: AbortSignal,
): Promise<Lease | 'late' | undefined> {
  using wait = followSignals(gone);
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    wait.abort();
  }, queueMs);
  try {
    const lease = await pool.acquire(wanted, wait.signal);
    return lease ?? (isLate ? 'late' : undefined);
  } finally {
    clearTimeout(timer);
  }
}

/** One attempt, up to the first word. */
async function tryAt<E>(
  lease: Lease,
  parts: RelayParts,
  { path, body, headers, openReader }: RelayedRequest<E>,
  gone: AbortSignal,
  onAccepted: () => void,
): Promise<LiveAnswer<E> | UpstreamFailure> {
  const connection = parts.connections[lease.server] as UpstreamConnection;
  const reader = openReader();
  let stream: AnswerStream | undefined;
  try {
    stream = await connection.open(path, body, headers, gone);
    onAccepted();
    const data = stream.data();
    const first: E[] = [];
    while (!reader.hasBegun) {
      const { value, done } = await data.next();
      if (done === true) throw new UpstreamFailure('broken', 'the answer ended before it began');
      first.push(...reader.read(value));
    }
    stream.said();
    if (reader.isOver) stream.over();
    return { reader, first, data, stream, lease };
  } catch (error) {
    if (gone.aborted) {
      end(stream, lease, { type: 'neutral' });
      const isSent = !(error instanceof UpstreamFailure && error.kind === 'connect');
      throw new LeftAnswer(reader.leave('aborted', isSent));
    }
    if (!(error instanceof UpstreamFailure)) {
      end(stream, lease, { type: 'neutral' });
      throw error;
    }
    end(stream, lease, outcomeOf(error));
    note(parts, lease, error, 'before its first word');
    return error;
  }
}

/** The rest of an answer that has begun. */
async function* follow<E>(
  parts: RelayParts,
  { reader, first, data, stream, lease }: LiveAnswer<E>,
  gone: AbortSignal,
): AsyncGenerator<E, void, void> {
  let outcome: Outcome = { type: 'neutral' };
  try {
    yield* first;
    try {
      for await (const event of data) {
        const wasOver = reader.isOver;
        yield* reader.read(event);
        if (!wasOver && reader.isOver) stream.over();
      }
      if (!reader.isOver) throw new UpstreamFailure('broken', 'the answer ended without its last event');
    } catch (error) {
      if (gone.aborted) throw new LeftAnswer(reader.leave('aborted', true));
      if (!(error instanceof UpstreamFailure)) throw error;
      note(parts, lease, error, reader.isOver ? 'after its last word' : 'in the middle of an answer');
      // All that was to be said is said: only what it took stays unknown.
      if (!reader.isOver) {
        outcome = outcomeOf(error);
        throw failureShown(error, parts.name, true);
      }
    }
    outcome = { type: 'success' };
    end(stream, lease, outcome);
    yield* reader.end();
  } finally {
    end(stream, lease, outcome);
  }
}

/** May be called again. */
function end(stream: AnswerStream | undefined, lease: Lease, outcome: Outcome): void {
  stream?.[Symbol.dispose]();
  lease.release(outcome);
}

function outcomeOf(failure: UpstreamFailure): Outcome {
  if (failure.isBusy || (failure.status === 503 && failure.retryAfterMs !== undefined)) {
    return { type: 'busy', forMs: failure.retryAfterMs ?? usualRestMs };
  }
  return { type: failure.isServersFault ? 'failure' : failure.isCallers ? 'success' : 'neutral' };
}

function note({ name, logger }: RelayParts, { server }: Lease, failure: UpstreamFailure, when: string): void {
  if (failure.isCallers) return;
  // A refusal's words may quote the prompt.
  const problem = failure.kind === 'status' ? `status ${failure.status}` : failure.message;
  logger.warn({ model: name, server, kind: failure.kind, problem }, `upstream failed ${when}`);
}
