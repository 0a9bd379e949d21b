// Who works on something that only one process may work on at a time.
//
// Owns the claims. A claim ends by itself when its holder does not renew it, so that what a process that was killed has left
// behind is taken up by another, or by itself when it is back. Clocks of processes that share a store must agree within seconds.

import type { Kysely } from 'kysely';
import type { Tables } from './tables.ts';

export class Leases {
  readonly #db: Kysely<Tables>;
  readonly #now: () => number;
  readonly #holder: string;
  /** How long a claim holds. */
  readonly leaseMs: number;

  /** `holder`: this process, and no other ever. */
  constructor(db: Kysely<Tables>, now: () => number, holder: string, leaseMs: number) {
    this.#db = db;
    this.#now = now;
    this.#holder = holder;
    this.leaseMs = leaseMs;
  }

  /** Claims `name`, or renews the claim; false where another holds it. */
  async claim(name: string): Promise<boolean> {
    const nowMs = this.#now();
    const row = { holder: this.#holder, expires_ms: nowMs + this.leaseMs };
    const { numInsertedOrUpdatedRows } = await this.#db
      .insertInto('leases')
      .values({ name, ...row })
      .onConflict((conflict) =>
        conflict
          .column('name')
          .doUpdateSet(row)
          .where((lease) =>
            lease.or([lease('leases.expires_ms', '<=', nowMs), lease('leases.holder', '=', this.#holder)]),
          ),
      )
      .executeTakeFirst();
    return numInsertedOrUpdatedRows === 1n;
  }

  async release(name: string): Promise<void> {
    await this.#db.deleteFrom('leases').where('name', '=', name).where('holder', '=', this.#holder).execute();
  }

  /** While this lasts, `name` stays claimed; disposing gives it back. undefined where another holds it. */
  async hold(name: string): Promise<AsyncDisposable | undefined> {
    if (!(await this.claim(name))) return undefined;
    const renewal = setInterval(() => void this.claim(name).catch(() => {}), this.leaseMs / 3);
    renewal.unref();
    return {
      [Symbol.asyncDispose]: async () => {
        clearInterval(renewal);
        await this.release(name);
      },
    };
  }
}
