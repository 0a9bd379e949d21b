// A backup, back in a store.
//
// Owns what a file must be to be trusted, and the one transaction in which its content takes the place of what was there: it is
// all there in the end, row by row as it was written, or nothing has changed. The store may be of the other kind than the one
// that the backup was made of.

import { constants } from 'node:fs';
import { copyFile, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Kysely, sql } from 'kysely';
import { type BackupTables, checkDatabase } from './backup.ts';
import { isPostgres } from './columns.ts';
import { doneMigrations, latestMigrations, migrate, openDatabase, type StorePlace } from './database.ts';
import { openSqlite } from './sqlite.ts';
import {
  compareTables,
  contentTables,
  contentTablesOf,
  copyRows,
  countRows,
  deleteRows,
  measureTables,
  type RowProgress,
  type TableMeasure,
} from './store-contents.ts';
import type { Tables } from './tables.ts';

export interface RestoreOptions {
  /** Where the store is not empty. */
  readonly existing: 'refuse' | 'replace';
  readonly onProgress?: (progress: RowProgress) => void;
}

export interface Restored {
  /** Milliseconds since 1970. */
  readonly madeMs: number;
  readonly tables: readonly TableMeasure[];
  /** What was in the store before. */
  readonly replacedRows: number;
}

/** Throws an Error of one line where it cannot be done; the store is as it was then. */
export async function restoreStore(file: string, place: StorePlace, options: RestoreOptions): Promise<Restored> {
  const { existing, onProgress = () => {} } = options;
  let [doneRows, totalRows] = [0, 0];
  const onRow = () => onProgress({ doneRows: ++doneRows, totalRows });
  await using backup = await openBackup(file, {
    onRow,
    // Each is read to be checked, to be copied, and again from the store.
    onCount: (rows) => (totalRows = 3 * rows),
  });
  const { db: source, tables, madeMs } = backup;
  const target = await openDatabase(place);
  try {
    await migrate(target);
    const replacedRows = await target.transaction().execute(async (to) => {
      // Others may read what was there, and write when it is over. SQLite's transactions are so anyway.
      const names = sql.join(contentTables.map((name) => sql.table(name)));
      if (isPostgres(to)) await sql`lock table ${names} in exclusive mode`.execute(to);
      const count = await countRows(to, contentTables);
      if (count > 0 && existing === 'refuse') {
        throw new Error(`the store has ${count} rows already; --replace puts the backup in their place`);
      }
      await deleteRows(to);
      compareTables(file, tables, await copyRows(source, to, contentTables, onRow));
      compareTables('the store', tables, await measureTables(to, contentTables, onRow));
      return count;
    });
    return { madeMs, tables, replacedRows };
  } finally {
    await target.destroy();
  }
}

interface OpenBackup extends AsyncDisposable {
  readonly db: Kysely<BackupTables>;
  readonly tables: readonly TableMeasure[];
  readonly madeMs: number;
}

interface CheckProgress {
  readonly onCount: (rows: number) => void;
  readonly onRow: () => void;
}

/** Throws where it is not a whole and unchanged backup, of this version or an earlier one. */
async function openBackup(file: string, progress: CheckProgress): Promise<OpenBackup> {
  await checkBeginning(file);
  await using opened = new AsyncDisposableStack();
  const db = new Kysely<BackupTables>({ dialect: await openSqlite(file, 'read') });
  opened.defer(() => db.destroy());
  const { tables, done, madeMs } = await checkBackup(file, db, progress);
  if (done.length === latestMigrations.length) return openBackupOf({ db, tables, madeMs }, opened.move());
  const migrated = opened.use(await migratedCopy(file));
  const changed = await measureTables(migrated.db, contentTables, () => {});
  return openBackupOf({ db: migrated.db, tables: changed, madeMs }, opened.move());
}

function openBackupOf(backup: Omit<OpenBackup, typeof Symbol.asyncDispose>, opened: AsyncDisposableStack): OpenBackup {
  return { ...backup, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** Before SQLite has it, which finds many words for a file that is something else. */
async function checkBeginning(file: string): Promise<void> {
  let header: Buffer;
  let bytes: number;
  try {
    await using handle = await open(file, constants.O_RDONLY);
    ({ size: bytes } = await handle.stat());
    ({ buffer: header } = await handle.read(Buffer.alloc(100), 0, 100, 0));
  } catch (error) {
    throw new Error(`${file}: expected a backup (${error instanceof Error ? error.message : error})`);
  }
  if (header.toString('latin1', 0, 16) !== 'SQLite format 3\0') {
    throw new Error(`${file}: not a backup: expected a file that hadal backup wrote`);
  }
  // SQLite itself reads zeros where the last page was cut. A page of 65536 bytes is written as 1.
  const pageBytes = header.readUInt16BE(16) === 1 ? 65536 : header.readUInt16BE(16);
  const expected = pageBytes * header.readUInt32BE(28);
  if (bytes !== expected) throw new Error(`${file}: damaged: expected ${expected} bytes, found ${bytes}`);
}

interface CheckedBackup {
  readonly tables: readonly TableMeasure[];
  /** The migrations that its tables are of. */
  readonly done: readonly string[];
  readonly madeMs: number;
}

async function checkBackup(file: string, db: Kysely<BackupTables>, progress: CheckProgress): Promise<CheckedBackup> {
  const { onCount, onRow } = progress;
  try {
    await checkDatabase(file, db);
    const known = new Set((await db.introspection.getTables()).map(({ name }) => name));
    const done = await doneMigrations(db);
    if (!known.has('backup') || !known.has('backup_tables') || done === undefined) {
      throw new Error(`${file}: not a backup: expected a file that hadal backup wrote, this is another database`);
    }
    const later = done.find((name) => !latestMigrations.includes(name));
    if (later !== undefined)
      throw new Error(`${file}: made by a later version of Hadal (${later}), which can restore it`);
    const recorded = (await db.selectFrom('backup_tables').selectAll().execute()).map((row) => ({ ...row }));
    const tables = recorded.filter(({ table }) => table !== 'backup');
    onCount(tables.reduce((sum, { rows }) => sum + rows, 0));
    const names = tables.map(({ table }) => table);
    const missing = (await contentTablesOf(db)).find((name) => !names.includes(name));
    if (missing !== undefined) throw new Error(`${file}: damaged: nothing is known of table ${missing}`);
    const found = [...(await measureTables(db, names, onRow)), ...(await measureTables(db, ['backup'], () => {}))];
    compareTables(file, recorded, found);
    const { made_ms: madeMs } = await db.selectFrom('backup').selectAll().executeTakeFirstOrThrow();
    return { tables, done, madeMs };
  } catch (error) {
    // SQLite's own words do not say of what.
    const message = error instanceof Error ? error.message : String(error);
    throw message.startsWith(`${file}: `) ? error : new Error(`${file}: damaged: ${message}`);
  }
}

/** A copy brought up to date, gone in the end: the backup stays as it is. */
async function migratedCopy(file: string): Promise<{ readonly db: Kysely<BackupTables> } & AsyncDisposable> {
  await using opened = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'hadal-restore-'));
  opened.defer(() => rm(directory, { recursive: true }));
  const path = join(directory, 'backup.db');
  await copyFile(file, path);
  const db = new Kysely<BackupTables>({ dialect: await openSqlite(path) });
  opened.defer(() => db.destroy());
  await migrate(db as unknown as Kysely<Tables>);
  const owned = opened.move();
  return { db, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
