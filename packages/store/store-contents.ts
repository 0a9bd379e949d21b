// What a store holds, row by row.
//
// Owns which tables are its content, in an order in which rows can be added, and how they are copied and compared between two
// databases of whichever kind. Knows nothing of files and of what a backup is. Two databases whose tables measure the same hold
// the same rows, to the bit.

import { createHash } from 'node:crypto';
import { type Kysely, sql } from 'kysely';
import { type AnyDatabase, isPostgres } from './columns.ts';
import type { Tables } from './tables.ts';

/** Rows that others refer to come first. Who works on something just now is no content. */
const tables = {
  files: 'content',
  file_chunks: 'content',
  completions: 'content',
  completion_metadata: 'content',
  responses: 'content',
  batches: 'content',
  batch_lines: 'content',
  jobs: 'content',
  job_metadata: 'content',
  job_events: 'content',
  job_checkpoints: 'content',
  deliveries: 'content',
  organizations: 'content',
  members: 'content',
  keys: 'content',
  balances: 'content',
  usage: 'content',
  audit: 'content',
  leases: 'passing',
} as const satisfies Record<keyof Tables, 'content' | 'passing'>;

export const contentTables: readonly string[] = Object.entries(tables)
  .filter(([, kind]) => kind === 'content')
  .map(([name]) => name);

export interface TableMeasure {
  readonly table: string;
  readonly rows: number;
  /** Of all its rows, in whichever order. */
  readonly digest: string;
}

/** Every row is counted as often as it is read. */
export interface RowProgress {
  readonly doneRows: number;
  readonly totalRows: number;
}

type Row = Readonly<Record<string, string | number | Uint8Array | null>>;

/** So many rows are in memory at a time; one may have a megabyte. */
const rowsTogether = 20;

/** All that `work` reads is of one moment, and others write meanwhile. */
export async function inSnapshot<T>(db: Kysely<Tables>, work: (db: Kysely<Tables>) => Promise<T>): Promise<T> {
  if (isPostgres(db)) {
    return await db.transaction().setIsolationLevel('repeatable read').setAccessMode('read only').execute(work);
  }
  return await db.connection().execute(async (connection) => {
    // Unlike a plain `begin`, which is for writing.
    await sql`begin deferred`.execute(connection);
    try {
      return await work(connection);
    } finally {
      await sql`rollback`.execute(connection);
    }
  });
}

/** Those of a database that an earlier version may have made. */
export async function contentTablesOf(db: AnyDatabase): Promise<readonly string[]> {
  const there = new Set((await db.introspection.getTables()).map(({ name }) => name));
  return contentTables.filter((name) => there.has(name));
}

/** Of all tables together. */
export async function countRows(db: AnyDatabase, names: readonly string[]): Promise<number> {
  let count = 0;
  for (const name of names) {
    const row = await db
      .selectFrom(name)
      .select(({ fn }) => fn.countAll<number>().as('rows'))
      .executeTakeFirstOrThrow();
    count += Number(row.rows);
  }
  return count;
}

/** `onRow` hears of each. */
export async function measureTables(
  db: AnyDatabase,
  names: readonly string[],
  onRow: () => void,
): Promise<TableMeasure[]> {
  const measures: TableMeasure[] = [];
  for (const name of names) {
    const meter = openMeter(name);
    for await (const row of readRows(db, name)) {
      meter.add(row);
      onRow();
    }
    measures.push(meter.measure());
  }
  return measures;
}

/** Adds all rows of one database to another, in whose tables there are none, and measures them on the way. */
export async function copyRows(
  from: AnyDatabase,
  to: AnyDatabase,
  names: readonly string[],
  onRow: () => void,
): Promise<TableMeasure[]> {
  const measures: TableMeasure[] = [];
  for (const name of names) {
    const meter = openMeter(name);
    let waiting: Row[] = [];
    for await (const row of readRows(from, name)) {
      meter.add(row);
      waiting.push(row);
      if (waiting.length === rowsTogether) {
        await to.insertInto(name).values(waiting).execute();
        waiting = [];
      }
      onRow();
    }
    if (waiting.length > 0) await to.insertInto(name).values(waiting).execute();
    measures.push(meter.measure());
  }
  if (isPostgres(to)) await countOnFromHere(to);
  return measures;
}

export async function deleteRows(db: AnyDatabase): Promise<void> {
  for (const name of contentTables.toReversed()) await db.deleteFrom(name).execute();
}

/** Throws at the first table that is not what it should be; `subject` says whose. */
export function compareTables(
  subject: string,
  expected: readonly TableMeasure[],
  found: readonly TableMeasure[],
): void {
  for (const { table, rows, digest } of expected) {
    const own = found.find((one) => one.table === table);
    const has = `${subject}: table ${table}: expected ${rows} rows`;
    if (own?.rows !== rows) throw new Error(`${has}, found ${own?.rows ?? 'no table'}`);
    if (own.digest !== digest) throw new Error(`${has} as they were written, found others`);
  }
}

function readRows(db: AnyDatabase, table: string): AsyncIterable<Row> {
  return db.selectFrom(table).selectAll().stream(rowsTogether);
}

function openMeter(table: string) {
  let rows = 0;
  const sum = Buffer.alloc(32);
  return {
    add(row: Row): void {
      rows++;
      for (const [i, byte] of digestOf(row).entries()) sum[i] = (sum[i] ?? 0) ^ byte;
    },
    measure: (): TableMeasure => ({ table, rows, digest: sum.toString('hex') }),
  };
}

function digestOf(row: Row): Buffer {
  const hash = createHash('sha256');
  for (const name of Object.keys(row).sort()) {
    const value = row[name] ?? null;
    if (value instanceof Uint8Array) hash.update(`${name} ${value.length} bytes\n`).update(value);
    else hash.update(`${name} ${JSON.stringify(value)}\n`);
  }
  return hash.digest();
}

/** Rows that were added with their numbers leave PostgreSQL's own count where it was. */
async function countOnFromHere(db: AnyDatabase): Promise<void> {
  const { rows } = await sql<{ table: string; column: string }>`
    select table_name as "table", column_name as "column" from information_schema.columns
    where table_schema = current_schema() and is_identity = 'YES'`.execute(db);
  for (const { table, column } of rows.filter(({ table }) => contentTables.includes(table))) {
    await sql`
      select setval(pg_get_serial_sequence(${table}, ${column}), max(${sql.ref(column)}))
      from ${sql.table(table)} having max(${sql.ref(column)}) is not null`.execute(db);
  }
}
