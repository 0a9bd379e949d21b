// Chat completions that callers asked to be stored.
//
// Owns their rows: the completion as it was sent, the messages that it answers, and the metadata that lists are narrowed by.
// What is in the JSON is `protocol`'s.

import type { Kysely, Selectable } from 'kysely';
import { type Page, type PageQuery, readPage } from './page.ts';
import type { CompletionsTable, Tables } from './tables.ts';

export type Metadata = Readonly<Record<string, string>>;

export interface StoredCompletion {
  readonly id: string;
  readonly owner: string;
  readonly createdMs: number;
  readonly model: string;
  readonly metadata: Metadata;
  readonly completion: object;
  readonly messages: readonly object[];
}

export interface CompletionQuery extends PageQuery {
  readonly model?: string | undefined;
  /** All of these. */
  readonly metadata?: Metadata;
}

export class Completions {
  readonly #db: Kysely<Tables>;

  constructor(db: Kysely<Tables>) {
    this.#db = db;
  }

  async add({ metadata, ...row }: StoredCompletion): Promise<void> {
    await this.#db.transaction().execute(async (transaction) => {
      await transaction
        .insertInto('completions')
        .values({
          ...{ id: row.id, owner: row.owner, created_ms: row.createdMs, model: row.model },
          ...{ completion: JSON.stringify(row.completion), messages: JSON.stringify(row.messages) },
        })
        .execute();
      await addMetadata(transaction, row.id, metadata);
    });
  }

  async find(owner: string, id: string): Promise<StoredCompletion | undefined> {
    const query = this.#db.selectFrom('completions').selectAll().where('id', '=', id).where('owner', '=', owner);
    const row = await query.executeTakeFirst();
    return row && (await this.#whole(row));
  }

  /** undefined where the row that the page goes on from does not exist. */
  async list(query: CompletionQuery): Promise<Page<StoredCompletion> | undefined> {
    const page = await readPage(this.#db, 'completions', query, (row) =>
      row.and([
        ...(query.model === undefined ? [] : [row('model', '=', query.model)]),
        ...Object.entries(query.metadata ?? {}).map(([name, value]) =>
          row.exists(
            row
              .selectFrom('completion_metadata')
              .select('name')
              .whereRef('completion_id', '=', 'completions.id')
              .where('name', '=', name)
              .where('value', '=', value),
          ),
        ),
      ]),
    );
    if (page === undefined) return undefined;
    return { rows: await Promise.all(page.rows.map((row) => this.#whole(row))), hasMore: page.hasMore };
  }

  /** Puts other metadata in the place of all there was. Whether there was such a completion. */
  async setMetadata(owner: string, id: string, metadata: Metadata): Promise<boolean> {
    return await this.#db.transaction().execute(async (transaction) => {
      // A write, though it changes nothing: whoever replaces the same metadata waits until the transaction is over.
      const row = await transaction
        .updateTable('completions')
        .set({ owner })
        .where('id', '=', id)
        .where('owner', '=', owner)
        .returning('id')
        .executeTakeFirst();
      if (row === undefined) return false;
      await transaction.deleteFrom('completion_metadata').where('completion_id', '=', id).execute();
      await addMetadata(transaction, id, metadata);
      return true;
    });
  }

  /** Forgets those that were made before `beforeMs`. */
  async forget(beforeMs: number): Promise<void> {
    await this.#db.deleteFrom('completions').where('created_ms', '<', beforeMs).execute();
  }

  /** Whether there was one. */
  async delete(owner: string, id: string): Promise<boolean> {
    const query = this.#db.deleteFrom('completions').where('id', '=', id).where('owner', '=', owner);
    const { numDeletedRows } = await query.executeTakeFirst();
    return numDeletedRows > 0n;
  }

  async #whole(row: Selectable<CompletionsTable>): Promise<StoredCompletion> {
    const metadata = await this.#db
      .selectFrom('completion_metadata')
      .select(['name', 'value'])
      .where('completion_id', '=', row.id)
      .execute();
    return {
      ...{ id: row.id, owner: row.owner, createdMs: row.created_ms, model: row.model },
      metadata: Object.fromEntries(metadata.map(({ name, value }) => [name, value])),
      ...{ completion: JSON.parse(row.completion), messages: JSON.parse(row.messages) },
    };
  }
}

async function addMetadata(db: Kysely<Tables>, id: string, metadata: Metadata): Promise<void> {
  const rows = Object.entries(metadata).map(([name, value]) => ({ completion_id: id, name, value }));
  if (rows.length > 0) await db.insertInto('completion_metadata').values(rows).execute();
}
