// How much a key may do at a time.
//
// Owns the rates: calls at once, and calls and tokens a minute as buckets that fill evenly. Tokens are known when a call is over:
// whoever has used more than there was waits until the bucket is above nothing again. In this process alone; knows no keys but
// their names.

import { requestError } from '@hadal/protocol/request-error';
import type { KeyScope } from '@hadal/store/keys';

interface Bucket {
  level: number;
  filledMs: number;
}

const minuteMs = 60_000;

export class RateLimits {
  readonly #now: () => number;
  readonly #running = new Map<string, number>();
  readonly #buckets = new Map<string, Bucket>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Throws `RequestError` where a rate is used up. The caller calls what is returned when the call is over. */
  enter(name: string, { concurrency, requestsPerMinute, tokensPerMinute }: KeyScope): () => void {
    const running = this.#running.get(name) ?? 0;
    if (concurrency !== undefined && running >= concurrency) {
      throw requestError('rate-limited', { limit: `${concurrency} requests at a time`, seconds: 1 });
    }
    if (tokensPerMinute !== undefined)
      this.#check(`${name} tokens`, tokensPerMinute, 0, `${tokensPerMinute} tokens a minute`);
    if (requestsPerMinute !== undefined) {
      this.#check(`${name} requests`, requestsPerMinute, 1, `${requestsPerMinute} requests a minute`);
    }
    this.#running.set(name, running + 1);
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      const left = (this.#running.get(name) ?? 1) - 1;
      if (left > 0) this.#running.set(name, left);
      else this.#running.delete(name);
    };
  }

  spend(name: string, { tokensPerMinute }: KeyScope, tokens: number): void {
    if (tokensPerMinute !== undefined) this.#filled(`${name} tokens`, tokensPerMinute).level -= tokens;
  }

  /** Takes `amount`, or where it is nothing asks that there be anything. */
  #check(name: string, perMinute: number, amount: number, limit: string): void {
    const bucket = this.#filled(name, perMinute);
    const needed = amount === 0 ? Number.MIN_VALUE : amount;
    if (bucket.level < needed) {
      const seconds = Math.max(1, Math.ceil((((needed - bucket.level) / perMinute) * minuteMs) / 1000));
      throw requestError('rate-limited', { limit, seconds });
    }
    bucket.level -= amount;
  }

  #filled(name: string, perMinute: number): Bucket {
    const nowMs = this.#now();
    const bucket = this.#buckets.get(name) ?? { level: perMinute, filledMs: nowMs };
    bucket.level = Math.min(perMinute, bucket.level + ((nowMs - bucket.filledMs) / minuteMs) * perMinute);
    bucket.filledMs = nowMs;
    this.#buckets.set(name, bucket);
    return bucket;
  }
}
