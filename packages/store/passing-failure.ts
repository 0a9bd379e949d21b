// Which failures of a store pass.
//
// Owns telling a database that is away, full or busy from a mistake of ours: the one goes well when it is tried again later, the
// other never does. Knows both kinds of database by their codes, and no statement. Nothing is said of whether what failed was
// written: a connection may die between the writing and the word of it.

/** Of PostgreSQL, by the first two characters: no connection, conflicts, no room, an operator's, the system's. */
const sqlClasses = new Set(['08', '40', '53', '57', '58']);
/** After a failover, the old primary may still be asked. */
const readOnly = '25006';
const networkCodes = new Set([
  ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'EHOSTDOWN', 'ENETUNREACH'],
  ...['EAI_AGAIN', 'ENOTFOUND'],
  // Its socket is not there.
  'ENOENT',
]);
/** `pg` gives these no code. */
const clientWords = /^(Connection terminated|timeout exceeded when trying to connect|Client .* is not queryable)/;
/** SQLITE_BUSY, SQLITE_LOCKED, SQLITE_IOERR, SQLITE_FULL; the lower byte, the rest says why. */
const sqliteCodes = new Set([5, 6, 10, 13]);

export function isPassing(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code, errcode } = error as { readonly code?: unknown; readonly errcode?: unknown };
  if (code === 'ERR_SQLITE_ERROR') return sqliteCodes.has(Number(errcode) & 0xff);
  if (typeof code !== 'string') return clientWords.test(error.message);
  const isState = /^[0-9A-Z]{5}$/.test(code) && 'severity' in error;
  return isState ? code === readOnly || sqlClasses.has(code.slice(0, 2)) : networkCodes.has(code);
}
