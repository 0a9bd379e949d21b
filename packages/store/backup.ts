// A copy of a store in one file.
//
// Owns what is in such a file and how it comes to be: all content as it was at one moment, whatever is written meanwhile, in
// SQLite tables whichever kind of store it comes from, with the measure of each table. It has its name only once it is whole,
// checked and on the disk. Leaves alone what it copies.

import { existsSync, realpathSync } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import process from 'node:process';
import { Kysely, sql } from 'kysely';
import { doneMigrations, migrate, openDatabase, type StorePlace } from './database.ts';
import { openSqlite } from './sqlite.ts';
import {
  compareTables,
  contentTablesOf,
  copyRows,
  countRows,
  inSnapshot,
  measureTables,
  type RowProgress,
  type TableMeasure,
} from './store-contents.ts';
import type { Tables } from './tables.ts';

export interface BackupOptions {
  /** Where there is such a file already. */
  readonly existing: 'refuse' | 'replace';
  readonly onProgress?: (progress: RowProgress) => void;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

export interface Backup {
  /** Of the file. */
  readonly bytes: number;
  readonly tables: readonly TableMeasure[];
}

/** What a backup has beside the tables of a store. */
export interface BackupTables extends Tables {
  /** Every other table. */
  readonly backup_tables: TableMeasure;
  readonly backup: { readonly made_ms: number };
}

/** Throws an Error of one line where it cannot be made; nothing is left of it then. */
export async function backupStore(place: StorePlace, file: string, options: BackupOptions): Promise<Backup> {
  const { existing, onProgress = () => {}, now = Date.now } = options;
  if ('path' in place && !existsSync(place.path)) throw new Error(`${place.path}: there is no store yet`);
  if (existsSync(file)) {
    const isStore = 'path' in place && realpathSync(file) === realpathSync(place.path);
    if (isStore) throw new Error(`${file}: expected a file to copy the store into, this is the store`);
    if (existing === 'refuse')
      throw new Error(`${file}: there is such a file already; --replace puts the backup in its place`);
  }
  const source = await openDatabase(place);
  const partial = `${file}.${process.pid}.partial`;
  try {
    const version = (await doneMigrations(source))?.at(-1);
    if (version === undefined) throw new Error('there is no store in this database yet');
    await removeDatabase(partial);
    const tables = await writeBackup(source, partial, { version, madeMs: now(), onProgress });
    await syncToDisk(partial);
    const { size: bytes } = await stat(partial);
    await rename(partial, file);
    await syncToDisk(dirname(file));
    return { bytes, tables };
  } catch (error) {
    await removeDatabase(partial);
    throw error;
  } finally {
    await source.destroy();
  }
}

interface NewBackup {
  /** The last migration of what is copied. */
  readonly version: string;
  readonly madeMs: number;
  readonly onProgress: (progress: RowProgress) => void;
}

async function writeBackup(
  source: Kysely<Tables>,
  path: string,
  { version, madeMs, onProgress }: NewBackup,
): Promise<readonly TableMeasure[]> {
  const copy = new Kysely<BackupTables>({ dialect: await openSqlite(path) });
  try {
    // Until it has its name nobody needs it: it goes to the disk once, at the end.
    await sql`pragma synchronous = off`.execute(copy);
    await migrate(copy as unknown as Kysely<Tables>, version);
    const names = await contentTablesOf(copy);
    let [doneRows, totalRows] = [0, 0];
    const onRow = () => onProgress({ doneRows: ++doneRows, totalRows });
    const tables = await inSnapshot(source, async (from) => {
      // Each is read here, and again from the copy.
      totalRows = 2 * (await countRows(from, names));
      return await copy.transaction().execute(async (to) => {
        const copied = await copyRows(from, to, names, onRow);
        await describeBackup(to, copied, madeMs);
        return copied;
      });
    });
    await checkDatabase(path, copy);
    compareTables(path, tables, await measureTables(copy, names, onRow));
    // One file, without a journal beside it.
    await sql`pragma journal_mode = delete`.execute(copy);
    return tables;
  } finally {
    await copy.destroy();
  }
}

/** Throws where SQLite finds it damaged, or a row refers to one that is not there. */
export async function checkDatabase(subject: string, db: Kysely<BackupTables>): Promise<void> {
  const checked = await sql<{ integrity_check: string }>`pragma integrity_check(1)`.execute(db);
  const [{ integrity_check: found } = { integrity_check: 'nothing' }] = checked.rows;
  if (found !== 'ok') throw new Error(`${subject}: damaged: ${found}`);
  const { rows } = await sql<{ table: string; parent: string }>`pragma foreign_key_check`.execute(db);
  const [wrong] = rows;
  if (wrong)
    throw new Error(`${subject}: damaged: a row of ${wrong.table} belongs to one of ${wrong.parent} that is not there`);
}

async function describeBackup(
  db: Kysely<BackupTables>,
  tables: readonly TableMeasure[],
  madeMs: number,
): Promise<void> {
  await db.schema
    .createTable('backup_tables')
    .addColumn('table', 'text', (column) => column.primaryKey())
    .addColumn('rows', 'integer', (column) => column.notNull())
    .addColumn('digest', 'text', (column) => column.notNull())
    .execute();
  await db.schema
    .createTable('backup')
    .addColumn('made_ms', 'bigint', (column) => column.notNull())
    .execute();
  await db.insertInto('backup').values({ made_ms: madeMs }).execute();
  const described = await measureTables(db, ['backup'], () => {});
  await db
    .insertInto('backup_tables')
    .values([...tables, ...described])
    .execute();
}

async function removeDatabase(path: string): Promise<void> {
  for (const ending of ['', '-wal', '-shm', '-journal']) await rm(`${path}${ending}`, { force: true });
}

async function syncToDisk(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
