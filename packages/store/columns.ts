// Columns that are the same in SQLite and in PostgreSQL.
//
// Owns where the two differ when tables are made; `text`, `integer` (within 32 bits), `bigint`, foreign keys, `on conflict` and
// partial indexes are alike. Knows no table. A `bigint` comes back as a number, and one that a number cannot hold throws.

import { type ColumnDefinitionBuilder, type Kysely, PostgresAdapter } from 'kysely';

type ColumnArguments = readonly ['integer' | 'bigint', (column: ColumnDefinitionBuilder) => ColumnDefinitionBuilder];

// biome-ignore lint/suspicious/noExplicitAny: it is the same whatever tables the database has.
export type AnyDatabase = Kysely<any>;

export function isPostgres(db: AnyDatabase): boolean {
  return db.getExecutor().adapter instanceof PostgresAdapter;
}

/** `addColumn('number', ...numberKey(db))`: the rows' own key, counted up in the order in which they are made. */
export function numberKey(db: AnyDatabase): ColumnArguments {
  return isPostgres(db)
    ? ['bigint', (column) => column.primaryKey().generatedByDefaultAsIdentity()]
    : ['integer', (column) => column.primaryKey().autoIncrement()];
}

/** `addColumn('data', bytesType(db))`: a `Uint8Array`. */
export function bytesType(db: AnyDatabase): 'bytea' | 'blob' {
  return isPostgres(db) ? 'bytea' : 'blob';
}
