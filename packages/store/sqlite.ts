// SQLite, as Node brings it, under kysely.
//
// Owns how the database file is opened and how kysely's driver speaks to `node:sqlite`. Knows no table. A write that has
// returned survives the process, however it ends: the journal is written ahead, and the system keeps what the process wrote.
// Nothing else stands still while another process writes.

import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type SqliteDatabase,
  SqliteDialect,
  type SqliteStatement,
} from 'kysely';

/** Statements are prepared once; so many are kept. */
const maxStatements = 200;
/** How long another process may write in one go. */
const patienceMs = 30_000;
const retryMs = 5;
/** SQLITE_BUSY. */
const busy = 5;

export type SqliteAccess = 'read and write' | 'read';

/** `path` is a file, made if need be where it is written to, or `:memory:`. Throws where it is no database. */
export async function openSqlite(path: string, access: SqliteAccess = 'read and write'): Promise<Dialect> {
  const database = openFile(path, access);
  try {
    // Readers never wait for the writer, nor for what another process reads.
    const settings = 'pragma journal_mode = wal; pragma synchronous = normal; pragma foreign_keys = on;';
    await whenFree(database, () => database.exec(access === 'read' ? 'pragma query_only = on' : settings));
  } catch (error) {
    database.close();
    throw new Error(`${path}: expected a database (${messageOf(error)})`);
  }
  const dialect = new SqliteDialect({ database: adapt(database) });
  return {
    createDriver: () => patientDriver(dialect.createDriver(), database),
    createQueryCompiler: () => dialect.createQueryCompiler(),
    createIntrospector: (db) => dialect.createIntrospector(db),
    // Tables are made in transactions as rows are: no process finds half of a migration, nor makes one twice.
    createAdapter: () => Object.create(dialect.createAdapter(), { supportsTransactionalDdl: { value: true } }),
  };
}

function openFile(path: string, access: SqliteAccess): DatabaseSync {
  try {
    return new DatabaseSync(path, { timeout: 0, readOnly: access === 'read' });
  } catch (error) {
    throw new Error(`${path}: expected a database (${messageOf(error)})`);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** SQLite's own waiting would stop this process, and with it a transaction of another connection here that is waited for. */
async function whenFree<T>(database: DatabaseSync, work: () => T | Promise<T>): Promise<T> {
  for (const startMs = performance.now(); ; await delay(retryMs)) {
    try {
      return await work();
    } catch (error) {
      // The lower byte; the rest says why.
      const isBusy = (Number((error as { errcode?: unknown }).errcode) & 0xff) === busy;
      if (!isBusy || database.isTransaction || performance.now() - startMs > patienceMs) throw error;
    }
  }
}

function patientDriver(driver: Driver, database: DatabaseSync): Driver {
  const acquire = driver.acquireConnection.bind(driver);
  // There is one connection, and kysely keeps account of all that it is given.
  let patient: DatabaseConnection | undefined;
  async function acquireConnection(): Promise<DatabaseConnection> {
    const connection = await acquire();
    patient ??= {
      executeQuery: (query) => whenFree(database, () => connection.executeQuery(query)),
      streamQuery: (query, rows) => connection.streamQuery(query, rows),
    };
    return patient;
  }
  return Object.assign(driver, { acquireConnection });
}

function adapt(database: DatabaseSync): SqliteDatabase {
  const statements = new Map<string, SqliteStatement>();
  return {
    close: () => database.close(),
    prepare(text) {
      // A transaction that reads first and then writes would fail where another process wrote between the two.
      const sql = text === 'begin' ? 'begin immediate' : text;
      const known = statements.get(sql);
      if (known) return known;
      const statement = adaptStatement(database.prepare(sql));
      statements.set(sql, statement);
      const [oldest] = statements.keys();
      if (statements.size > maxStatements && oldest !== undefined) statements.delete(oldest);
      return statement;
    },
  };
}

function adaptStatement(statement: StatementSync): SqliteStatement {
  return {
    reader: statement.columns().length > 0,
    all: (parameters) => statement.all(...(parameters as SQLInputValue[])),
    run: (parameters) => statement.run(...(parameters as SQLInputValue[])),
    iterate: (parameters) => statement.iterate(...(parameters as SQLInputValue[])),
  };
}
