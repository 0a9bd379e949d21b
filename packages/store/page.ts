// One page of a list.
//
// Owns how callers go through lists: in the order in which rows were made or backwards, from after or before a row that they
// name. What a list is narrowed by is its table's.

import type { Expression, ExpressionBuilder, Kysely, Selectable, SqlBool } from 'kysely';
import type { Tables } from './tables.ts';

export interface PageQuery {
  readonly owner: string;
  /** Rows at most. */
  readonly limit: number;
  readonly order: 'asc' | 'desc';
  /** Begins after the row of this id, in the order asked for. */
  readonly after?: string | undefined;
  /** Ends before the row of this id, with those nearest to it. Not both. */
  readonly before?: string | undefined;
}

export interface Page<T> {
  readonly rows: readonly T[];
  /** Whether there are more in the direction in which the caller goes. */
  readonly hasMore: boolean;
}

/** The tables whose rows are numbered in the order in which they were made. */
type Listed = 'files' | 'completions' | 'batches' | 'jobs' | 'job_events' | 'job_checkpoints';

type Where<T extends Listed> = (expressions: ExpressionBuilder<Tables, T>) => Expression<SqlBool>;

/** undefined where the row that is named does not exist. */
export async function readPage<T extends Listed>(
  db: Kysely<Tables>,
  table: T,
  { owner, limit, order, after, before }: PageQuery,
  where?: Where<T>,
): Promise<Page<Selectable<Tables[T]>> | undefined> {
  // All listed tables have the columns that are used here; the compiler is shown one of them.
  const rowsOf = db.selectFrom(table as 'files').where('owner', '=', owner);
  const isBackward = before !== undefined;
  let query = rowsOf.selectAll().limit(limit + 1);
  const cursor = before ?? after;
  if (cursor !== undefined) {
    const named = await rowsOf.select('number').where('id', '=', cursor).executeTakeFirst();
    if (named === undefined) return undefined;
    query = query.where('number', (order === 'asc') !== isBackward ? '>' : '<', named.number);
  }
  if (where) query = query.where(where as unknown as Where<'files'>);
  const found = await query.orderBy('number', (order === 'asc') !== isBackward ? 'asc' : 'desc').execute();
  const rows = found.slice(0, limit);
  if (isBackward) rows.reverse();
  return { rows: rows as unknown as Selectable<Tables[T]>[], hasMore: found.length > limit };
}
