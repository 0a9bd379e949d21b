// What must survive.
//
// Owns the database and everything in it, opened and closed as one. What is written has been written when the promise
// resolves: it is there after the process was killed. Several processes may share a store.

import { Batches } from './batches.ts';
import { Completions } from './completions.ts';
import { migrate, openDatabase, type StorePlace } from './database.ts';
import { Deliveries } from './deliveries.ts';
import { Files } from './files.ts';
import { Jobs } from './jobs.ts';
import { Keys } from './keys.ts';
import { Leases } from './leases.ts';
import { Ledger } from './ledger.ts';
import { Responses } from './responses.ts';

export type StoreOptions = StorePlace & {
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** How long a claim on something holds that only one process may work on. Default 10 seconds. */
  readonly leaseMs?: number;
  /** Hears of every statement that fails, whatever becomes of it. */
  readonly onError?: (error: unknown) => void;
};

/** `B`: what there is to a batch besides its state. */
export interface Store<B = unknown> extends AsyncDisposable {
  readonly files: Files;
  readonly batches: Batches<B>;
  readonly jobs: Jobs;
  readonly deliveries: Deliveries;
  readonly completions: Completions;
  readonly responses: Responses;
  readonly leases: Leases;
  readonly keys: Keys;
  readonly ledger: Ledger;
}

/** Opens the store and brings its tables up to date. Throws an Error of one line where that cannot be. */
export async function openStore<B>(options: StoreOptions): Promise<Store<B>> {
  const { now = Date.now, leaseMs = 10_000, onError = () => {}, ...place } = options;
  const db = await openDatabase(place, onError);
  try {
    await migrate(db);
    const files = new Files(db, now);
    await files.sweep();
    return {
      files,
      batches: new Batches(db),
      jobs: new Jobs(db),
      deliveries: new Deliveries(db),
      completions: new Completions(db),
      responses: new Responses(db),
      leases: new Leases(db, now, leaseMs),
      keys: new Keys(db),
      ledger: new Ledger(db),
      [Symbol.asyncDispose]: () => db.destroy(),
    };
  } catch (error) {
    await db.destroy();
    throw error;
  }
}
