// Batches and their lines.
//
// Owns what has been answered: a line is answered once, whoever tries to do so again, and lines are gone when the files made
// of them are there. Who works on a batch is a lease's; what is in the JSON is `protocol`'s.

import type { Kysely, Selectable } from 'kysely';
import { type Page, type PageQuery, readPage } from './page.ts';
import type { BatchesTable, Tables } from './tables.ts';

export interface StoredBatch<D> {
  readonly id: string;
  readonly owner: string;
  readonly createdMs: number;
  readonly expiresMs: number;
  readonly status: string;
  readonly details: D;
}

export interface NewLine {
  /** From 0. */
  readonly number: number;
  readonly customId: string;
  readonly body: unknown;
}

export interface LineAnswer {
  readonly isError: boolean;
  /** One line of an output file. */
  readonly json: string;
  readonly usage: LineUsage;
}

/** In tokens. */
export interface LineUsage {
  readonly prompt: number;
  readonly cacheHit: number;
  readonly completion: number;
  readonly reasoning: number;
}

export interface LineCounts {
  readonly total: number;
  readonly completed: number;
  readonly failed: number;
}

/** Rows in one statement, which may have some 30,000 values. */
const insertedTogether = 500;

type Change<D> = (batch: StoredBatch<D>) => Pick<StoredBatch<D>, 'status' | 'details'>;

/** `D`: what else there is to a batch. */
export class Batches<D> {
  readonly #db: Kysely<Tables>;

  constructor(db: Kysely<Tables>) {
    this.#db = db;
  }

  async add({ id, owner, createdMs, expiresMs, status, details }: StoredBatch<D>): Promise<void> {
    await this.#db
      .insertInto('batches')
      .values({
        ...{ id, owner, created_ms: createdMs, expires_ms: expiresMs, status, details: JSON.stringify(details) },
      })
      .execute();
  }

  async find(owner: string, id: string): Promise<StoredBatch<D> | undefined> {
    const query = this.#db.selectFrom('batches').selectAll().where('id', '=', id).where('owner', '=', owner);
    const row = await query.executeTakeFirst();
    return row && batchOf(row);
  }

  /** undefined where the row that the page goes on from does not exist. */
  async list(query: PageQuery): Promise<Page<StoredBatch<D>> | undefined> {
    const page = await readPage(this.#db, 'batches', query);
    return page && { rows: page.rows.map((row) => batchOf<D>(row)), hasMore: page.hasMore };
  }

  /** Those of all owners in one of these states, oldest first. */
  async inState(statuses: readonly string[]): Promise<StoredBatch<D>[]> {
    const query = this.#db.selectFrom('batches').selectAll().where('status', 'in', statuses).orderBy('number');
    return (await query.execute()).map((row) => batchOf<D>(row));
  }

  /**
   * Changes a batch whose status is one of `from`; `change` gets it as it is. undefined where its status is another, or it
   * does not exist.
   */
  async update(id: string, from: readonly string[], change: Change<D>): Promise<StoredBatch<D> | undefined> {
    return await this.#db.transaction().execute((transaction) => changeBatch(transaction, id, from, change));
  }

  /** As `update`, and its lines are gone. */
  async finish(id: string, from: readonly string[], change: Change<D>): Promise<void> {
    await this.#db.transaction().execute(async (transaction) => {
      const changed = await changeBatch(transaction, id, from, change);
      if (changed) await transaction.deleteFrom('batch_lines').where('batch_id', '=', id).execute();
    });
  }

  /** Adds lines, all or none; their custom ids are new to the batch. */
  async addLines(batchId: string, lines: readonly NewLine[]): Promise<void> {
    const rows = lines.map(({ number, customId, body }) => ({
      ...{ batch_id: batchId, number, custom_id: customId, body: JSON.stringify(body) },
    }));
    await this.#db.transaction().execute(async (transaction) => {
      for (let start = 0; start < rows.length; start += insertedTogether) {
        const some = rows.slice(start, start + insertedTogether);
        await transaction.insertInto('batch_lines').values(some).execute();
      }
    });
  }

  async deleteLines(batchId: string): Promise<void> {
    await this.#db.deleteFrom('batch_lines').where('batch_id', '=', batchId).execute();
  }

  /** The first `limit` lines after line `after` that have no answer. */
  async unanswered(batchId: string, after: number, limit: number): Promise<NewLine[]> {
    const rows = await this.#lines(batchId, after, limit).where('answer', 'is', null).execute();
    return rows.map(({ number, custom_id: customId, body }) => ({ number, customId, body: JSON.parse(body) }));
  }

  /** Whether the line had no answer before. */
  async answer(batchId: string, number: number, { isError, json, usage }: LineAnswer): Promise<boolean> {
    const { numUpdatedRows } = await this.#db
      .updateTable('batch_lines')
      .set({
        ...{ answer: json, is_error: isError ? 1 : 0 },
        ...{ prompt_tokens: usage.prompt, cache_hit_tokens: usage.cacheHit },
        ...{ completion_tokens: usage.completion, reasoning_tokens: usage.reasoning },
      })
      .where('batch_id', '=', batchId)
      .where('number', '=', number)
      .where('answer', 'is', null)
      .executeTakeFirst();
    return numUpdatedRows > 0n;
  }

  /** The lines of one output file, in the order of the input. */
  async *answers(batchId: string, kind: 'answers' | 'errors'): AsyncGenerator<string, void, void> {
    for (let after = -1; ; ) {
      const rows = await this.#lines(batchId, after, 100)
        .where('is_error', '=', kind === 'errors' ? 1 : 0)
        .execute();
      for (const { answer } of rows) if (answer !== null) yield answer;
      const last = rows.at(-1);
      if (last === undefined) return;
      after = last.number;
    }
  }

  async counts(batchId: string): Promise<LineCounts> {
    const rows = await this.#db
      .selectFrom('batch_lines')
      .select(({ fn }) => ['is_error', fn.countAll<number>().as('count')])
      .where('batch_id', '=', batchId)
      .groupBy('is_error')
      .execute();
    const of = (state: number | null) => Number(rows.find(({ is_error }) => is_error === state)?.count ?? 0);
    return { total: of(null) + of(0) + of(1), completed: of(0), failed: of(1) };
  }

  /** What all answers took together. */
  async usage(batchId: string): Promise<LineUsage> {
    const row = await this.#db
      .selectFrom('batch_lines')
      .select(({ fn }) => [
        fn.sum<number | null>('prompt_tokens').as('prompt'),
        fn.sum<number | null>('cache_hit_tokens').as('cacheHit'),
        fn.sum<number | null>('completion_tokens').as('completion'),
        fn.sum<number | null>('reasoning_tokens').as('reasoning'),
      ])
      .where('batch_id', '=', batchId)
      .executeTakeFirstOrThrow();
    const { prompt, cacheHit, completion, reasoning } = row;
    return {
      ...{ prompt: Number(prompt ?? 0), cacheHit: Number(cacheHit ?? 0) },
      ...{ completion: Number(completion ?? 0), reasoning: Number(reasoning ?? 0) },
    };
  }

  #lines(batchId: string, after: number, limit: number) {
    return this.#db
      .selectFrom('batch_lines')
      .selectAll()
      .where('batch_id', '=', batchId)
      .where('number', '>', after)
      .orderBy('number')
      .limit(limit);
  }
}

async function changeBatch<D>(
  db: Kysely<Tables>,
  id: string,
  from: readonly string[],
  change: Change<D>,
): Promise<StoredBatch<D> | undefined> {
  // A write, though it changes nothing: nobody else can change the row until the transaction is over.
  const row = await db
    .updateTable('batches')
    .set((batch) => ({ status: batch.ref('status') }))
    .where('id', '=', id)
    .where('status', 'in', from)
    .returningAll()
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const batch = batchOf<D>(row);
  const changed = { ...batch, ...change(batch) };
  const columns = { status: changed.status, details: JSON.stringify(changed.details) };
  await db.updateTable('batches').set(columns).where('id', '=', id).execute();
  return changed;
}

function batchOf<D>(row: Selectable<BatchesTable>): StoredBatch<D> {
  return {
    ...{ id: row.id, owner: row.owner, createdMs: row.created_ms, expiresMs: row.expires_ms },
    ...{ status: row.status, details: JSON.parse(row.details) as D },
  };
}
