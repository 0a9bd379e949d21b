// What must survive.
//
// Owns the database and everything in it, opened and closed as one. What is written has been written when the promise
// resolves: it is there after the process was killed. Several processes may share a store.

import { Kysely } from 'kysely';
import { Migrator } from 'kysely/migration';
import { Batches } from './batches.ts';
import { Completions } from './completions.ts';
import { Files } from './files.ts';
import { Leases } from './leases.ts';
import { Responses } from './responses.ts';
import { openSqlite } from './sqlite.ts';
import { migrations, type Tables } from './tables.ts';

export interface StoreOptions {
  /** A file, made if need be, or `:memory:`. */
  readonly path: string;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** How long a claim on something holds that only one process may work on. Default 10 seconds. */
  readonly leaseMs?: number;
  /** Hears of every statement that fails, whatever becomes of it. */
  readonly onError?: (error: unknown) => void;
}

/** `B`: what there is to a batch besides its state. */
export interface Store<B = unknown> extends AsyncDisposable {
  readonly files: Files;
  readonly batches: Batches<B>;
  readonly completions: Completions;
  readonly responses: Responses;
  readonly leases: Leases;
}

/** Opens the store and brings its tables up to date. Throws an Error of one line where that cannot be. */
export async function openStore<B>(options: StoreOptions): Promise<Store<B>> {
  const { path, now = Date.now, leaseMs = 10_000, onError = () => {} } = options;
  const db = new Kysely<Tables>({
    dialect: openSqlite(path),
    log: (event) => void (event.level === 'error' && onError(event.error)),
  });
  try {
    const { error } = await new Migrator({ db, provider: migrations }).migrateToLatest();
    if (error !== undefined) throw error;
    const files = new Files(db, now);
    await files.sweep();
    return {
      files,
      batches: new Batches(db),
      completions: new Completions(db),
      responses: new Responses(db),
      leases: new Leases(db, now, leaseMs),
      [Symbol.asyncDispose]: () => db.destroy(),
    };
  } catch (error) {
    await db.destroy();
    throw error;
  }
}
