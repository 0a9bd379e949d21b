// What is told to others, until they have heard it.
//
// Owns how a message is signed (standard webhooks, as OpenAI's are), when it counts as heard, and how long one who does not answer
// is tried again. A message is in the store until then, and has the same id each time. Knows nothing of what messages say.

import { createHmac } from 'node:crypto';
import type { Delivery } from '@hadal/store/deliveries';
import type { Store } from '@hadal/store/store';
import type { WebhookPlace } from './job-changes.ts';
import type { Logger } from './logger.ts';
import { safeFetch } from './safe-fetch.ts';

export interface WebhooksOptions {
  readonly store: Pick<Store, 'deliveries' | 'leases'>;
  /** As they are at the moment. */
  readonly places: () => readonly WebhookPlace[];
  readonly now: () => number;
  readonly logger: Logger;
  /** Before each further try. */
  readonly retryDelaysMs?: readonly number[] | undefined;
}

/** Three days in all, as OpenAI tries. */
const usualDelaysMs = [5_000, 30_000, 120_000, 600_000, 3600_000, ...Array.from({ length: 11 }, () => 6 * 3600_000)];
const pollMs = 5_000;
const timeoutMs = 15_000;
const sentTogether = 20;

export class Webhooks implements AsyncDisposable {
  readonly #options: WebhooksOptions;
  readonly #stopping = new AbortController();
  readonly #poll: NodeJS.Timeout;
  #work: Promise<void> | undefined;
  #isWanted = false;

  constructor(options: WebhooksOptions) {
    this.#options = options;
    const soonest = Math.min(pollMs, ...(options.retryDelaysMs ?? []));
    this.#poll = setInterval(() => this.wake(), Math.max(10, soonest));
    this.#poll.unref();
    this.wake();
  }

  /** There may be something to tell. */
  wake(): void {
    if (this.#stopping.signal.aborted || this.#options.places().length === 0) return;
    this.#isWanted = true;
    this.#work ??= this.#deliverAll()
      .catch((error) => this.#options.logger.error({ err: error }, 'webhooks cannot be sent'))
      .finally(() => {
        this.#work = undefined;
      });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#poll);
    this.#stopping.abort();
    await this.#work;
  }

  async #deliverAll(): Promise<void> {
    const { store, now } = this.#options;
    await using lease = await store.leases.hold('webhooks');
    if (lease === undefined) return;
    while (this.#isWanted && !this.#stopping.signal.aborted) {
      this.#isWanted = false;
      for (;;) {
        const due = await store.deliveries.due(now(), sentTogether);
        if (due.length === 0 || this.#stopping.signal.aborted) break;
        await Promise.all(due.map((delivery) => this.#deliver(delivery)));
      }
    }
  }

  async #deliver(delivery: Delivery): Promise<void> {
    const { store, places, now, logger, retryDelaysMs = usualDelaysMs } = this.#options;
    const { id, url, attempts } = delivery;
    const place = places().find((one) => one.url === url);
    const problem = place === undefined ? 'is no longer in the configuration' : await this.#send(delivery, place);
    if (problem === undefined) return await store.deliveries.remove(id);
    // The end of the server says nothing about the other side.
    if (this.#stopping.signal.aborted) return;
    const delayMs = place && retryDelaysMs[attempts];
    const where = { origin: URL.parse(url)?.origin, webhook: id, problem };
    if (delayMs === undefined) {
      logger.error(where, 'webhook given up');
      return await store.deliveries.remove(id);
    }
    logger.warn({ ...where, retryMs: delayMs }, 'webhook not delivered');
    await store.deliveries.postpone(id, attempts + 1, now() + delayMs);
  }

  /** What went wrong; undefined where it was heard. */
  async #send({ id, url, body }: Delivery, { secret, isPrivate }: WebhookPlace): Promise<string | undefined> {
    const timestamp = Math.floor(this.#options.now() / 1000);
    try {
      const { status } = await safeFetch(url, {
        ...{ method: 'POST', body, maxBytes: 1024 * 1024, timeoutMs, signal: this.#stopping.signal },
        headers: {
          ...{ 'content-type': 'application/json', 'user-agent': 'Hadal' },
          ...{ 'webhook-id': id, 'webhook-timestamp': String(timestamp) },
          'webhook-signature': webhookSignature(secret, `${id}.${timestamp}.${body}`),
        },
        ...(isPrivate && { isAllowed: () => true }),
      });
      return status >= 200 && status < 300 ? undefined : `answered with status ${status}`;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }
}

function webhookSignature(secret: string, text: string): string {
  const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice('whsec_'.length), 'base64') : Buffer.from(secret);
  return `v1,${createHmac('sha256', key).update(text).digest('base64')}`;
}
