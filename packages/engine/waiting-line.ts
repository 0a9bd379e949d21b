// Who is served next.
//
// Owns the requests that wait and the order in which they are let in: interactive ones before batches, and within a class the
// namespace that has had the least service, each namespace first come, first served. Knows nothing of pages or models; the
// clock is the caller's. Invariant: nobody starves. A namespace that waits is passed only by those that had less than it, and
// whoever has waited for `patienceMs` counts as interactive.

export type Priority = 'interactive' | 'batch';

/** What the order depends on. */
export interface Waiter {
  /** Names the request. */
  readonly key: number;
  readonly namespace: string;
  readonly priority: Priority;
  /** Milliseconds on the caller's clock. */
  readonly arrivedMs: number;
}

export interface WaitingLineOptions {
  /** Requests that may wait at a time. */
  readonly capacity: number;
  /** After how long a batch request counts as interactive. */
  readonly patienceMs: number;
}

export class WaitingLine<W extends Waiter> {
  readonly #options: WaitingLineOptions;
  /** First come first, whatever their class. */
  readonly #waiting: W[] = [];
  /** Tokens that each namespace has been served, of those that have work; see `join`. */
  readonly #service = new Map<string, number>();

  constructor(options: WaitingLineOptions) {
    this.#options = options;
  }

  get length(): number {
    return this.#waiting.length;
  }

  get isFull(): boolean {
    return this.#waiting.length >= this.#options.capacity;
  }

  add(waiter: W): void {
    this.#join(waiter.namespace);
    this.#waiting.push(waiter);
  }

  /** Puts back a request that had been let in: before all that came after it. */
  putBack(waiter: W): void {
    const place = this.#waiting.findIndex(({ arrivedMs }) => arrivedMs > waiter.arrivedMs);
    this.#waiting.splice(place < 0 ? this.#waiting.length : place, 0, waiter);
  }

  remove(key: number): W | undefined {
    const place = this.#waiting.findIndex((waiter) => waiter.key === key);
    return place < 0 ? undefined : this.#waiting.splice(place, 1)[0];
  }

  /** Who is next at `nowMs`; still waiting until removed. */
  next(nowMs: number): W | undefined {
    const { patienceMs } = this.#options;
    const isUrgent = ({ priority, arrivedMs }: W) => priority === 'interactive' || nowMs - arrivedMs >= patienceMs;
    const urgent = this.#waiting.filter(isUrgent);
    return this.#leastServed(urgent.length > 0 ? urgent : this.#waiting);
  }

  /** Notes that a namespace has been served `tokens` more. */
  serve(namespace: string, tokens: number): void {
    this.#service.set(namespace, (this.#service.get(namespace) ?? 0) + tokens);
  }

  /** Forgets a namespace that has nothing waiting or running any more. */
  leave(namespace: string): void {
    if (!this.#waiting.some((waiter) => waiter.namespace === namespace)) this.#service.delete(namespace);
  }

  /** Everyone who waits, in order of arrival. */
  [Symbol.iterator](): Iterator<W> {
    return this.#waiting.values();
  }

  /**
   * A namespace that had no work starts level with the least served of those that have some: it is not punished for what
   * it had long ago, and silence earns no credit (start-time fair queueing, Goyal et al. 1996).
   */
  #join(namespace: string): void {
    if (this.#service.has(namespace)) return;
    const others = [...this.#service.values()];
    this.#service.set(namespace, others.length === 0 ? 0 : Math.min(...others));
  }

  #leastServed(candidates: readonly W[]): W | undefined {
    const served = (waiter: W) => this.#service.get(waiter.namespace) ?? 0;
    return candidates.reduce<W | undefined>(
      (best, waiter) => (best === undefined || served(waiter) < served(best) ? waiter : best),
      undefined,
    );
  }
}
