// What is still to be told to somebody elsewhere.
//
// Owns the messages until they are delivered or given up, and when each is to be tried next. Knows nothing of how they are sent.

import type { Kysely } from 'kysely';
import type { Tables } from './tables.ts';

export interface NewDelivery {
  readonly id: string;
  readonly createdMs: number;
  readonly url: string;
  readonly body: string;
}

export interface Delivery extends NewDelivery {
  /** How often it was tried in vain. */
  readonly attempts: number;
  readonly dueMs: number;
}

export class Deliveries {
  readonly #db: Kysely<Tables>;

  constructor(db: Kysely<Tables>) {
    this.#db = db;
  }

  /** Those that are to be tried by now, oldest first. */
  async due(nowMs: number, limit: number): Promise<Delivery[]> {
    const query = this.#db.selectFrom('deliveries').selectAll().where('due_ms', '<=', nowMs);
    const rows = await query.orderBy('number').limit(limit).execute();
    return rows.map((row) => ({
      ...{ id: row.id, createdMs: row.created_ms, url: row.url, body: row.body },
      ...{ attempts: row.attempts, dueMs: row.due_ms },
    }));
  }

  /** It was tried in vain, and is to be tried again. */
  async postpone(id: string, attempts: number, dueMs: number): Promise<void> {
    await this.#db.updateTable('deliveries').set({ attempts, due_ms: dueMs }).where('id', '=', id).execute();
  }

  /** It is delivered, or given up. */
  async remove(id: string): Promise<void> {
    await this.#db.deleteFrom('deliveries').where('id', '=', id).execute();
  }
}

export async function addDeliveries(db: Kysely<Tables>, deliveries: readonly NewDelivery[]): Promise<void> {
  if (deliveries.length === 0) return;
  const rows = deliveries.map(({ id, createdMs, url, body }) => ({
    ...{ id, created_ms: createdMs, url, body, attempts: 0, due_ms: createdMs },
  }));
  await db.insertInto('deliveries').values(rows).execute();
}
