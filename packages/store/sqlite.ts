// SQLite, as Node brings it, under kysely.
//
// Owns how the database file is opened and how kysely's driver speaks to `node:sqlite`. Knows no table. A write that has
// returned survives the process, however it ends: the journal is written ahead, and the system keeps what the process wrote.

import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { type SqliteDatabase, SqliteDialect, type SqliteStatement } from 'kysely';

/** Statements are prepared once; so many are kept. */
const maxStatements = 200;

/** `path` is a file, made if need be, or `:memory:`. Throws where it is no database of ours to write to. */
export function openSqlite(path: string): SqliteDialect {
  const database = new DatabaseSync(path, { timeout: 10_000 });
  try {
    // Readers never wait for the writer, nor for what another process reads.
    database.exec('pragma journal_mode = wal; pragma synchronous = normal; pragma foreign_keys = on;');
  } catch (error) {
    database.close();
    throw error;
  }
  return new SqliteDialect({ database: adapt(database) });
}

function adapt(database: DatabaseSync): SqliteDatabase {
  const statements = new Map<string, SqliteStatement>();
  return {
    close: () => database.close(),
    prepare(sql) {
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
