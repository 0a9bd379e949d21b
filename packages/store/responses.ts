// Responses that callers asked to be stored.
//
// Owns their rows. One that is not over yet has the request to answer again, should the process that answers it be gone; once
// it is over it has its end instead. What is in the JSON is `protocol`'s.

import type { Kysely, Selectable } from 'kysely';
import type { ResponsesTable, Tables } from './tables.ts';

export interface StoredResponse {
  readonly id: string;
  readonly owner: string;
  readonly createdMs: number;
  /** The conversation that it answers, and the items that it was given. */
  readonly asked: readonly object[];
  readonly input: readonly unknown[];
  readonly state:
    | { readonly type: 'unfinished'; readonly request: object }
    /** `events`: of one that ran in the background. */
    | { readonly type: 'over'; readonly response: object; readonly events: readonly object[] | undefined };
}

export class Responses {
  readonly #db: Kysely<Tables>;

  constructor(db: Kysely<Tables>) {
    this.#db = db;
  }

  async add({ id, owner, createdMs, asked, input, state }: StoredResponse): Promise<void> {
    await this.#db
      .insertInto('responses')
      .values({
        ...{ id, owner, created_ms: createdMs, asked: JSON.stringify(asked), input: JSON.stringify(input) },
        ...columnsOf(state),
      })
      .execute();
  }

  /** Where it has not been deleted meanwhile. */
  async finish(id: string, state: StoredResponse['state']): Promise<void> {
    await this.#db.updateTable('responses').set(columnsOf(state)).where('id', '=', id).execute();
  }

  async find(owner: string, id: string): Promise<StoredResponse | undefined> {
    const query = this.#db.selectFrom('responses').selectAll().where('id', '=', id).where('owner', '=', owner);
    const row = await query.executeTakeFirst();
    return row && responseOf(row);
  }

  /** Those of all owners that are not over, oldest first. */
  async unfinished(): Promise<StoredResponse[]> {
    const query = this.#db.selectFrom('responses').selectAll().where('request', 'is not', null).orderBy('number');
    return (await query.execute()).map(responseOf);
  }

  /** Forgets those that were made before `beforeMs`, but for those that are not over. */
  async forget(beforeMs: number): Promise<void> {
    await this.#db.deleteFrom('responses').where('created_ms', '<', beforeMs).where('request', 'is', null).execute();
  }

  /** Whether there was one. */
  async delete(owner: string, id: string): Promise<boolean> {
    const query = this.#db.deleteFrom('responses').where('id', '=', id).where('owner', '=', owner);
    const { numDeletedRows } = await query.executeTakeFirst();
    return numDeletedRows > 0n;
  }
}

function columnsOf(state: StoredResponse['state']): Pick<ResponsesTable, 'request' | 'response' | 'events'> {
  if (state.type === 'unfinished') return { request: JSON.stringify(state.request), response: null, events: null };
  const events = state.events === undefined ? null : JSON.stringify(state.events);
  return { request: null, response: JSON.stringify(state.response), events };
}

function responseOf(row: Selectable<ResponsesTable>): StoredResponse {
  return {
    ...{ id: row.id, owner: row.owner, createdMs: row.created_ms },
    ...{ asked: JSON.parse(row.asked), input: JSON.parse(row.input) },
    state:
      row.request === null
        ? {
            type: 'over',
            response: JSON.parse(row.response ?? 'null'),
            events: row.events === null ? undefined : JSON.parse(row.events),
          }
        : { type: 'unfinished', request: JSON.parse(row.request) },
  };
}
