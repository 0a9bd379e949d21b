// The servers of one model, and who is asked next.
//
// Owns how many requests each server has, the waiting line in front of them, where a conversation was answered before, and which
// servers are left alone for a while: after failures in a row (a breaker, which lets one trial through when its time is up), where
// they are not well, or where they asked for it. Knows no connection. A server never has more requests than it is said to take.

import { createHash } from 'node:crypto';
import { requestError } from '@hadal/protocol/request-error';

/** Time, as far as a pool needs it. */
export interface Clock {
  /** Milliseconds, from anywhere. */
  now(): number;
  /** Calls back later; what it returns takes that back. */
  after(ms: number, call: () => void): () => void;
}

export interface PoolOptions {
  /** Requests that each of the servers takes at a time. */
  readonly concurrency: readonly number[];
  /** Requests that may wait for a place; those after them are refused. */
  readonly maxWaiting: number;
  /** Failures in a row that open a breaker. */
  readonly breakerFailures: number;
  /** How long a breaker stays open at first; twice as long after each trial that fails, up to `breakerMaxMs`. */
  readonly breakerMs: number;
  readonly breakerMaxMs: number;
  readonly clock: Clock;
}

export type BreakerState = 'closed' | 'open' | 'half-open';

/** How a server is, for those who watch. */
export interface ServerStatus {
  readonly breaker: BreakerState;
  /** What the last health check said; true before the first. */
  readonly isHealthy: boolean;
  readonly running: number;
}

/** `failure`: the server's fault. `busy`: it has enough for so long. `neutral`: nothing was learned of it. */
export type Outcome =
  | { readonly type: 'success' | 'failure' | 'neutral' }
  | { readonly type: 'busy'; readonly forMs: number };

/** A place at a server. */
export interface Lease {
  readonly server: number;
  /** Gives it back, once. */
  release(outcome: Outcome): void;
}

export interface PlaceWanted {
  /** Of what the request begins with, from `prefixKeys`, shortest first. */
  readonly prefixes: readonly string[];
  /** Servers that were asked before; asked again only where there is no other. */
  readonly tried: ReadonlySet<number>;
  readonly priority: 'interactive' | 'batch';
}

interface Server {
  readonly concurrency: number;
  running: number;
  isHealthy: boolean;
  failures: number;
  /** When an open breaker lets a trial through; undefined while it is closed. */
  openUntil: number | undefined;
  openMs: number;
  isOnTrial: boolean;
  busyUntil: number;
  /** When it was chosen last, counted in choices. */
  chosen: number;
}

interface Waiting {
  readonly wanted: PlaceWanted;
  readonly resolve: (lease: Lease | undefined) => void;
}

/** Beginnings whose server is remembered. */
const maxPrefixes = 100_000;
/** A conversation leaves its server when that has so many requests more than the least busy one, or this share of its places. */
const affinityRequests = 4;
const affinityShare = 0.25;
/** A server that asks for a longer rest is asked again after this. */
const maxBusyMs = 60_000;

export class UpstreamPool {
  readonly #options: PoolOptions;
  readonly #servers: readonly Server[];
  readonly #line: Record<PlaceWanted['priority'], Set<Waiting>> = { interactive: new Set(), batch: new Set() };
  /** Least recently used first. */
  readonly #homes = new Map<string, number>();
  #choices = 0;
  #cancelWake: () => void = () => {};

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#servers = options.concurrency.map((concurrency) => ({
      ...{ concurrency, running: 0, isHealthy: true, failures: 0, openUntil: undefined, openMs: options.breakerMs },
      ...{ isOnTrial: false, busyUntil: Number.NEGATIVE_INFINITY, chosen: 0 },
    }));
  }

  get status(): readonly ServerStatus[] {
    return this.#servers.map((server) => ({
      breaker: this.#breaker(server),
      ...{ isHealthy: server.isHealthy, running: server.running },
    }));
  }

  get waiting(): number {
    return this.#line.interactive.size + this.#line.batch.size;
  }

  /**
   * A place at the best server, as soon as there is one; undefined when none is well enough to wait for, or the signal aborts.
   * Throws `RequestError` where too many wait.
   */
  async acquire(wanted: PlaceWanted, signal: AbortSignal): Promise<Lease | undefined> {
    if (signal.aborted) return undefined;
    const lease = this.waiting > 0 && this.#line[wanted.priority].size > 0 ? undefined : this.#take(wanted);
    if (lease !== undefined) return lease;
    if (!this.#servers.some((server) => this.#isUsable(server))) return undefined;
    if (this.waiting >= this.#options.maxWaiting) throw requestError('queue-full', { waiting: this.waiting });
    const { promise, resolve } = Promise.withResolvers<Lease | undefined>();
    const line = this.#line[wanted.priority];
    const waiting = { wanted, resolve };
    line.add(waiting);
    const leave = () => {
      line.delete(waiting);
      resolve(undefined);
    };
    signal.addEventListener('abort', leave, { once: true });
    this.#admit();
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  /** What a health check has found. */
  noteHealth(index: number, isHealthy: boolean): void {
    const server = this.#servers[index] as Server;
    // A server that is back need not wait for its breaker; whether it answers, a trial shows.
    if (isHealthy && !server.isHealthy && server.openUntil !== undefined) server.openUntil = this.#now();
    server.isHealthy = isHealthy;
    this.#admit();
  }

  /** A conversation that began like this was answered there. */
  remember(prefixes: readonly string[], index: number): void {
    if (this.#servers.length === 1) return;
    for (const key of prefixes) {
      this.#homes.delete(key);
      this.#homes.set(key, index);
    }
    for (const key of this.#homes.keys()) {
      if (this.#homes.size <= maxPrefixes) break;
      this.#homes.delete(key);
    }
  }

  #now(): number {
    return this.#options.clock.now();
  }

  #breaker({ openUntil }: Server): BreakerState {
    return openUntil === undefined ? 'closed' : openUntil > this.#now() ? 'open' : 'half-open';
  }

  /** Whether it answers requests, though perhaps not this moment. */
  #isUsable(server: Server): boolean {
    return server.isHealthy && this.#breaker(server) !== 'open';
  }

  #hasRoom(server: Server): boolean {
    if (!this.#isUsable(server) || server.busyUntil > this.#now()) return false;
    return this.#breaker(server) === 'half-open' ? !server.isOnTrial : server.running < server.concurrency;
  }

  #take({ prefixes, tried }: PlaceWanted): Lease | undefined {
    const all = this.#servers.map((server, index) => ({ server, index }));
    const untried = all.filter(({ server, index }) => !tried.has(index) && this.#isUsable(server));
    const open = (untried.length > 0 ? untried : all).filter(({ server }) => this.#hasRoom(server));
    const least = open.toSorted((a, b) => load(a.server) - load(b.server) || a.server.chosen - b.server.chosen)[0];
    if (least === undefined) return undefined;
    const homeIndex = this.#home(prefixes);
    const home = open.find(({ index }) => index === homeIndex);
    const isHome = home !== undefined && !isMuchMore(home.server, least.server);
    return this.#lease(isHome ? home.index : least.index);
  }

  /** Where the longest known beginning was answered. */
  #home(prefixes: readonly string[]): number | undefined {
    for (const key of prefixes.toReversed()) {
      const index = this.#homes.get(key);
      if (index !== undefined) return index;
    }
    return undefined;
  }

  #lease(index: number): Lease {
    const server = this.#servers[index] as Server;
    const isTrial = this.#breaker(server) === 'half-open';
    server.isOnTrial ||= isTrial;
    server.running++;
    server.chosen = ++this.#choices;
    let isReleased = false;
    return {
      server: index,
      release: (outcome) => {
        if (isReleased) return;
        isReleased = true;
        server.running--;
        if (isTrial) server.isOnTrial = false;
        this.#note(server, outcome, isTrial);
        this.#admit();
      },
    };
  }

  #note(server: Server, outcome: Outcome, isTrial: boolean): void {
    const { breakerFailures, breakerMs, breakerMaxMs } = this.#options;
    switch (outcome.type) {
      case 'neutral':
        break;
      case 'busy':
        server.busyUntil = this.#now() + Math.min(outcome.forMs, maxBusyMs);
        break;
      case 'success':
        server.failures = 0;
        // A request from before the breaker opened says nothing of how the server is now.
        if (server.openUntil === undefined || isTrial) {
          server.openUntil = undefined;
          server.openMs = breakerMs;
        }
        break;
      case 'failure':
        server.failures++;
        if (isTrial) server.openMs = Math.min(server.openMs * 2, breakerMaxMs);
        if (isTrial || (server.openUntil === undefined && server.failures >= breakerFailures)) {
          server.openUntil = this.#now() + server.openMs;
        }
        break;
      default:
        outcome satisfies never;
    }
  }

  /** Lets in whoever can be, those who have somebody waiting for them first; sends all away where there is nobody to wait for. */
  #admit(): void {
    this.#cancelWake();
    this.#cancelWake = () => {};
    if (this.waiting === 0) return;
    const isHopeless = !this.#servers.some((server) => this.#isUsable(server));
    for (const line of [this.#line.interactive, this.#line.batch]) {
      for (const waiting of line) {
        const lease = isHopeless ? undefined : this.#take(waiting.wanted);
        if (lease === undefined && !isHopeless) break;
        line.delete(waiting);
        waiting.resolve(lease);
      }
    }
    if (this.waiting === 0) return;
    // Nobody need give a place back for a server to have had its rest.
    const rests = this.#servers
      .flatMap(({ busyUntil, openUntil = 0 }) => [busyUntil - this.#now(), openUntil - this.#now()])
      .filter((ms) => ms > 0);
    if (rests.length > 0) this.#cancelWake = this.#options.clock.after(Math.min(...rests), () => this.#admit());
  }
}

function load({ running, concurrency }: Server): number {
  return running / concurrency;
}

function isMuchMore(home: Server, least: Server): boolean {
  const allowed = Math.max(affinityRequests, Number.isFinite(home.concurrency) ? home.concurrency * affinityShare : 0);
  return home.running - least.running > allowed;
}

/**
 * Names for what a request begins with, one for each part that it may have in common with the next request, shortest first.
 * `parts`: what comes first, in order. Two namespaces share nothing.
 */
export function prefixKeys(namespace: string, parts: readonly string[]): string[] {
  let last = createHash('sha256').update(JSON.stringify(namespace)).digest();
  return parts.map((part) => {
    last = createHash('sha256').update(last).update(part).digest();
    return last.toString('base64url', 0, 16);
  });
}
