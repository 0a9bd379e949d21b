// The database under a store, whichever kind it is.
//
// Owns which of the two is opened and how its tables are brought up to date: all migrations that it lacks, or none. Several
// processes may do so at once. Knows nothing of what is in the tables.

import { Kysely, sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import { openPostgres } from './postgres.ts';
import { openSqlite } from './sqlite.ts';
import { migrations, type Tables } from './tables.ts';

/**
 * `path`: a SQLite file, made if need be, or `:memory:`. `url`: a PostgreSQL database, `postgres://user:password@host/name`;
 * `patienceMs`: how long it is waited for when it goes away, before what needs it fails. Default 10 seconds.
 */
export type StorePlace = { readonly path: string } | { readonly url: string; readonly patienceMs?: number };

/**
 * Opens it as it is; `onError` hears of every statement that fails, whatever becomes of it. Throws an Error of one line where
 * that cannot be; it has no password in it.
 */
export async function openDatabase(
  place: StorePlace,
  onError: (error: unknown) => void = () => {},
): Promise<Kysely<Tables>> {
  return new Kysely<Tables>({
    dialect: 'url' in place ? await openPostgres(place.url, place.patienceMs) : await openSqlite(place.path),
    log: (event) => void (event.level === 'error' && onError(event.error)),
  });
}

/** Up to the migration `last`, or to the latest. Throws where it cannot be done, or where a later version has been there. */
export async function migrate(db: Kysely<Tables>, last?: string): Promise<void> {
  const later = (await doneMigrations(db))?.find((name) => !Object.hasOwn(migrations, name));
  if (later !== undefined) throw new Error(`the store has been used by a later version of Hadal (${later})`);
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } });
  const { error } = await (last === undefined ? migrator.migrateToLatest() : migrator.migrateTo(last));
  if (error !== undefined) throw error;
}

/** The names of the migrations that have been made, in order. undefined where it is no store, or none yet. */
export async function doneMigrations(db: Kysely<Tables>): Promise<string[] | undefined> {
  const known = await db.introspection.getTables({ withInternalKyselyTables: true });
  if (!known.some(({ name }) => name === 'kysely_migration')) return undefined;
  const { rows } = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(db);
  return rows.map(({ name }) => name);
}

export const latestMigrations: readonly string[] = Object.keys(migrations).sort();
