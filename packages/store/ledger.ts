// What was used, what it cost, and what there is to pay with.
//
// Owns the one row of each answered request and the balances, which change in the same transaction: whatever ends the process,
// a request is counted once or not at all. Amounts are whole millionths of a currency. What something costs is the server's.

import type { UsageAxis, UsageSum } from '@hadal/protocol/account';
import { type InsertResult, type Kysely, type QueryCreator, type RawBuilder, sql } from 'kysely';
import { isPostgres } from './columns.ts';
import type { Tables, UsageTable } from './tables.ts';

export interface UsageRow {
  /** Of the request, or of a batch and its line: the same request has the same one, however often it is tried. */
  readonly id: string;
  /** When it was answered. */
  readonly endedMs: number;
  readonly organization: string;
  /** undefined: the server had no keys. */
  readonly key: string | undefined;
  /** As the request says; empty where it says nothing. */
  readonly user: string;
  readonly model: string;
  readonly operation: string;
  readonly cacheHit: number;
  readonly cacheMiss: number;
  readonly completion: number;
  readonly reasoning: number;
  /** In millionths of `currency`. */
  readonly cost: number;
  readonly currency: string;
  readonly finishReason: string;
}

export interface Balance {
  readonly currency: string;
  /** Millionths; may be below zero by what the last requests cost. */
  readonly granted: number;
  readonly toppedUp: number;
}

export interface UsageQuery {
  readonly organization?: string | undefined;
  /** Times of answers: from `fromMs`, before `toMs`. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly by: readonly UsageAxis[];
}

export interface AuditEntry {
  readonly atMs: number;
  /** Who did it: a key's id, or `command line`. */
  readonly actor: string;
  readonly action: string;
  readonly target: string;
  readonly details: object;
}

const dayMs = 86_400_000;

export class Ledger {
  readonly #db: Kysely<Tables>;

  constructor(db: Kysely<Tables>) {
    this.#db = db;
  }

  /**
   * Writes the row of an answered request and takes its cost from what is granted, then from what was topped up. False where
   * it is counted already.
   */
  async record(row: UsageRow): Promise<boolean> {
    const db = this.#db;
    if (row.cost === 0) return isChange(await countIn(db, row, sql.lit(0)).executeTakeFirst());
    const granted = sql<number>`coalesce((select granted_cost from held), 0)`;
    if (isPostgres(db)) {
      // One statement: a transaction of several would hold the balance while each of them travels.
      const counted = await db
        .with('held', (held) => heldFor(held, row).forNoKeyUpdate())
        .with('counted', (counted) => countIn(counted, row, granted).returningAll())
        .with('paid', (paid) => payIn(paid))
        .with('spent', (spent) => spendIn(spent))
        .selectFrom('counted')
        .select('id')
        .executeTakeFirst();
      return counted !== undefined;
    }
    return await db.transaction().execute(async (transaction) => {
      const held = transaction.with('held', (held) => heldFor(held, row));
      if (!isChange(await countIn(held, row, granted).executeTakeFirst())) return false;
      const counted = transaction.with('counted', (counted) =>
        counted.selectFrom('usage').selectAll().where('id', '=', row.id),
      );
      await payIn(counted).execute();
      await spendIn(counted).execute();
      return true;
    });
  }

  /** Whether the call of this id has been counted. */
  async has(id: string): Promise<boolean> {
    return (await this.#db.selectFrom('usage').select('id').where('id', '=', id).executeTakeFirst()) !== undefined;
  }

  /** One for each currency in which there was ever anything. */
  async balances(organization: string): Promise<Balance[]> {
    const query = this.#db.selectFrom('balances').selectAll().where('organization', '=', organization);
    const rows = await query.orderBy('currency').execute();
    return rows.map(({ currency, granted, topped_up: toppedUp }) => ({ currency, granted, toppedUp }));
  }

  /** Adds to a balance, or with an amount below zero takes from it. */
  async pay(organization: string, currency: string, kind: 'granted' | 'topped-up', amount: number): Promise<void> {
    const column = kind === 'granted' ? 'granted' : 'topped_up';
    const nothing = { organization, currency, granted: 0, topped_up: 0 };
    await this.#db
      .insertInto('balances')
      .values({ ...nothing, [column]: amount })
      .onConflict((conflict) =>
        conflict
          .columns(['organization', 'currency'])
          .doUpdateSet({ [column]: sql`balances.${sql.ref(column)} + ${amount}` }),
      )
      .execute();
  }

  /** Sums, in the order of their axes. Costs of different currencies are never added up. */
  async usage({ organization, fromMs, toMs, by }: UsageQuery): Promise<UsageSum[]> {
    const axis = {
      day: sql<string>`cast(ended_ms / ${sql.lit(dayMs)} as integer)`,
      key: sql<string>`coalesce(key_id, '')`,
      model: sql<string>`model`,
      user: sql<string>`user_id`,
      operation: sql<string>`operation`,
    } as const satisfies Record<UsageAxis, unknown>;
    let query = this.#db
      .selectFrom('usage')
      .select(({ fn }) => [
        fn.countAll<number>().as('requests'),
        fn.sum<number>('cache_hit_tokens').as('cacheHit'),
        fn.sum<number>('cache_miss_tokens').as('cacheMiss'),
        fn.sum<number>('completion_tokens').as('completion'),
        fn.sum<number>('reasoning_tokens').as('reasoning'),
        fn.sum<number>('cost').as('cost'),
        fn.sum<number>('granted_cost').as('grantedCost'),
        'currency',
      ])
      .where('ended_ms', '>=', fromMs)
      .where('ended_ms', '<', toMs)
      .groupBy('currency')
      .orderBy('currency');
    for (const name of by) query = query.select(axis[name].as(name)).groupBy(axis[name]).orderBy(axis[name]);
    if (organization !== undefined) query = query.where('organization', '=', organization);
    const rows = (await query.execute()) as (Record<string, number | string> & { currency: string })[];
    return rows.map((row) => ({
      axes: Object.fromEntries(by.map((name) => [name, name === 'day' ? dayOf(Number(row.day)) : String(row[name])])),
      ...{ requests: Number(row.requests), cacheHit: Number(row.cacheHit), cacheMiss: Number(row.cacheMiss) },
      ...{ completion: Number(row.completion), reasoning: Number(row.reasoning) },
      ...{ cost: Number(row.cost), grantedCost: Number(row.grantedCost) },
      currency: row.currency,
    }));
  }

  /** Forgets what ended before `beforeMs`. How much it was. */
  async forget(beforeMs: number): Promise<number> {
    const { numDeletedRows } = await this.#db.deleteFrom('usage').where('ended_ms', '<', beforeMs).executeTakeFirst();
    return Number(numDeletedRows);
  }

  async forgetAudit(beforeMs: number): Promise<void> {
    await this.#db.deleteFrom('audit').where('at_ms', '<', beforeMs).execute();
  }

  async note({ atMs, actor, action, target, details }: AuditEntry): Promise<void> {
    const row = { at_ms: atMs, actor, action, target, details: JSON.stringify(details) };
    await this.#db.insertInto('audit').values(row).execute();
  }

  /** The latest first. */
  async audit(limit: number): Promise<AuditEntry[]> {
    const rows = await this.#db.selectFrom('audit').selectAll().orderBy('number', 'desc').limit(limit).execute();
    return rows.map(({ at_ms: atMs, actor, action, target, details }) => ({
      ...{ atMs, actor, action, target, details: JSON.parse(details) },
    }));
  }
}

// The steps by which a row is counted, in this order. `held` and `counted` are what the steps before have found and written:
// parts of one statement where a part may write (PostgreSQL), statements of one transaction where it may not (SQLite).

type Counted = Tables & { readonly counted: UsageTable };

/** What the balance has of what is granted, up to the cost; no row where there is no balance. */
function heldFor(db: QueryCreator<Tables>, { organization, currency, cost }: UsageRow) {
  const granted = sql<number>`case when granted < 0 then 0 when granted < ${cost} then granted else ${cost} end`;
  const own = db.selectFrom('balances').where('organization', '=', organization).where('currency', '=', currency);
  return own.select(granted.as('granted_cost'));
}

function countIn(db: QueryCreator<Tables>, row: UsageRow, granted: RawBuilder<number>) {
  return db
    .insertInto('usage')
    .values({ ...columnsOf(row), granted_cost: granted })
    .onConflict((conflict) => conflict.column('id').doNothing());
}

function payIn(db: QueryCreator<Counted>) {
  return db
    .updateTable('balances')
    .from('counted')
    .set({
      granted: sql`balances.granted - counted.granted_cost`,
      topped_up: sql`balances.topped_up - (counted.cost - counted.granted_cost)`,
    })
    .whereRef('balances.organization', '=', 'counted.organization')
    .whereRef('balances.currency', '=', 'counted.currency');
}

function spendIn(db: QueryCreator<Counted>) {
  return db
    .updateTable('keys')
    .from('counted')
    .set({ spent: sql`keys.spent + counted.cost` })
    .whereRef('keys.id', '=', 'counted.key_id');
}

function isChange(result: InsertResult): boolean {
  return result.numInsertedOrUpdatedRows === 1n;
}

/** In UTC, such as `2026-11-26`. */
function dayOf(number: number): string {
  return new Date(number * dayMs).toISOString().slice(0, 10);
}

function columnsOf(row: UsageRow): Omit<UsageTable, 'granted_cost'> {
  return {
    ...{ id: row.id, ended_ms: row.endedMs, organization: row.organization, key_id: row.key ?? null },
    ...{ user_id: row.user, model: row.model, operation: row.operation, finish_reason: row.finishReason },
    ...{ cache_hit_tokens: row.cacheHit, cache_miss_tokens: row.cacheMiss },
    ...{ completion_tokens: row.completion, reasoning_tokens: row.reasoning },
    ...{ cost: row.cost, currency: row.currency },
  };
}
