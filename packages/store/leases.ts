// Who works on something that only one process may work on at a time.
//
// Owns the claims. A claim ends by itself when its holder does not renew it, or when it is seen to be dead, so that what a
// process that was killed has left behind is taken up by another. Clocks of processes that share a store must agree within
// seconds.

import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import process from 'node:process';
import type { Kysely } from 'kysely';
import type { Tables } from './tables.ts';

export class Leases {
  readonly #db: Kysely<Tables>;
  readonly #now: () => number;
  /** This process, and no other ever: where it runs, what it is called there, and which of that name it is. */
  readonly #holder = `${hostname()} ${process.pid} ${randomUUID()}`;
  /** How long a claim holds. */
  readonly leaseMs: number;

  constructor(db: Kysely<Tables>, now: () => number, leaseMs: number) {
    this.#db = db;
    this.#now = now;
    this.leaseMs = leaseMs;
  }

  /** Claims `name`, or renews the claim; false where another holds it. */
  async claim(name: string): Promise<boolean> {
    if (await this.#tryClaim(name)) return true;
    const held = await this.#db.selectFrom('leases').select('holder').where('name', '=', name).executeTakeFirst();
    if (held === undefined || !isDead(held.holder)) return false;
    await this.#db.deleteFrom('leases').where('name', '=', name).where('holder', '=', held.holder).execute();
    return await this.#tryClaim(name);
  }

  async #tryClaim(name: string): Promise<boolean> {
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

/** Whether a holder was a process of this machine that is no more. */
function isDead(holder: string): boolean {
  const [host, pid] = holder.split(' ');
  if (host !== hostname()) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    // Another user's process lives too.
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}
