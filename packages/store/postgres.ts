// PostgreSQL, through `pg`, under kysely.
//
// Owns how its connections are opened and what becomes of values on the way: numbers come back as numbers, and text may hold
// what PostgreSQL's cannot. Knows no table. A connection that dies fails what was being asked on it and nothing else; while the
// server restarts, those who need a new one wait for it.

import { setTimeout as delay } from 'node:timers/promises';
import { type Dialect, type PostgresCursorConstructor, PostgresDialect, type PostgresPoolClient } from 'kysely';
import pg from 'pg';
import Cursor from 'pg-cursor';

const maxConnections = 10;
const connectTimeoutMs = 10_000;
/** How long a server that was there may be away. */
const defaultPatienceMs = 10_000;
const retryMs = 100;

/** Throws an Error of one line, without the password, where there is no database at `url` that can be used. */
export async function openPostgres(url: string, patienceMs = defaultPatienceMs): Promise<Dialect> {
  const pool = new pg.Pool({
    ...{ connectionString: checkUrl(url), max: maxConnections, connectionTimeoutMillis: connectTimeoutMs },
    ...{
      keepAlive: true,
      application_name: 'hadal',
      types: { getTypeParser: parserOf as typeof pg.types.getTypeParser },
    },
  });
  // The pool forgets a connection that died; whoever was using it has been told. Unheard, the event would end the process.
  pool.on('error', () => {});
  pool.on('connect', (client) => void client.on('error', () => {}));
  try {
    const { rows } = await pool.query('show server_encoding');
    const encoding: unknown = rows[0].server_encoding;
    if (encoding !== 'UTF8') throw new Error(`expected a database in UTF8, this one is in ${encoding}`);
  } catch (error) {
    await pool.end();
    throw new Error(`${describePlace(url)}: ${describeError(error)}`);
  }
  return new PostgresDialect({
    pool: { options: {}, connect: async () => adapt(await connect(pool, patienceMs)), end: () => pool.end() },
    cursor: cursorOf as unknown as PostgresCursorConstructor,
  });
}

function checkUrl(url: string): string {
  if (!/^postgres(ql)?:\/\//.test(url))
    throw new Error('the URL of a database: expected postgres://user:password@host/name');
  try {
    new pg.Client({ connectionString: url });
    return url;
  } catch {
    throw new Error('the URL of a database: expected postgres://user:password@host/name, with % before odd characters');
  }
}

/** As the URL says it, or PostgreSQL's own variables, without the password. */
function describePlace(url: string): string {
  const { user, host, port, database } = new pg.Client({ connectionString: url });
  return `PostgreSQL, database ${database} at ${host}:${port} as ${user}`;
}

function describeError(error: unknown): string {
  // Of a name with several addresses, all of which failed.
  if (error instanceof AggregateError) return error.errors.map(describeError).join(', ');
  return error instanceof Error ? error.message : String(error);
}

async function connect(pool: pg.Pool, patienceMs: number): Promise<pg.PoolClient> {
  for (const startMs = performance.now(); ; await delay(retryMs)) {
    try {
      return await pool.connect();
    } catch (error) {
      if (!isAway(error) || performance.now() - startMs > patienceMs) throw error;
    }
  }
}

/** Whether the server is about to be there again: nothing has been asked of it yet, so asking again does no harm. */
function isAway(error: unknown): boolean {
  const { code, message } = error as NodeJS.ErrnoException;
  const isSaidSo = code === '57P01' || code === '57P02' || code === '57P03';
  const isGone = code === 'ECONNREFUSED' || code === 'ECONNRESET' || code === 'EPIPE' || code === 'ENOENT';
  return isSaidSo || isGone || message === 'Connection terminated unexpectedly';
}

function adapt(client: pg.PoolClient): PostgresPoolClient {
  return {
    query: (query: unknown, values?: readonly unknown[]) =>
      client.query(query as string, values?.map(parameterOf)) as never,
    release: (destroy) => client.release(destroy),
  };
}

function cursorOf(sql: string, values: readonly unknown[]): Cursor {
  return new Cursor(sql, values.map(parameterOf), {
    types: { getTypeParser: parserOf as typeof pg.types.getTypeParser },
  });
}

const oids = { bigint: 20, text: 25, varchar: 1043, numeric: 1700 } as const;

function parserOf(oid: number, format?: 'text' | 'binary'): (value: string) => unknown {
  if (oid === oids.bigint || oid === oids.numeric) return numberOf;
  if (oid === oids.text || oid === oids.varchar) return textOf;
  return pg.types.getTypeParser(oid, format) as (value: string) => unknown;
}

/** Sums of integers are `numeric`. */
function numberOf(text: string): number {
  const number = Number(text);
  if (Math.abs(number) > Number.MAX_SAFE_INTEGER)
    throw new Error(`expected a number below 2^53 in a row, found ${text}`);
  return number;
}

// PostgreSQL's text has no zero character, and callers' may: it is written as \x10 and 0, and \x10 itself as \x10 and 1.

function parameterOf(value: unknown): unknown {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are meant.
  return typeof value === 'string' ? value.replace(/[\0\x10]/g, (one) => (one === '\0' ? '\x100' : '\x101')) : value;
}

function textOf(text: string): string {
  return text.includes('\x10') ? text.replaceAll('\x100', '\0').replaceAll('\x101', '\x10') : text;
}
