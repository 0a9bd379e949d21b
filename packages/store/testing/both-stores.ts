// Tests that hold for a store of either kind.
//
// Owns where each of them has its store: a file or a database of its own, gone afterwards. Where PostgreSQL is not installed its
// half is skipped, with the reason. Never used outside tests.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { StorePlace } from '../database.ts';
import { missingPostgres, type PostgresCluster, startCluster } from './postgres-cluster.ts';

export const storeKinds = ['SQLite', 'PostgreSQL'] as const;
export type StoreKind = (typeof storeKinds)[number];

let cluster: Promise<PostgresCluster> | undefined;
after(async () => (await cluster)?.[Symbol.asyncDispose]());

/** The one server that all tests of a file share. */
function testCluster(): Promise<PostgresCluster> {
  cluster ??= startCluster();
  return cluster;
}

/** Whether a test of this kind has to be left out, and why: an option of `test`. */
export function skipOf(kind: StoreKind): string | false {
  return kind === 'PostgreSQL' ? (missingPostgres() ?? false) : false;
}

/** One test of each kind, with an empty store to open. */
export function testBoth(title: string, body: (place: StorePlace, kind: StoreKind) => Promise<void>): void {
  for (const kind of storeKinds) {
    test(`${title} (${kind})`, { skip: skipOf(kind) }, async () => {
      await using place = await emptyStore(kind);
      await body(place.place, kind);
    });
  }
}

/** A place for a store, with nothing there yet. */
export async function emptyStore(kind: StoreKind): Promise<{ readonly place: StorePlace } & AsyncDisposable> {
  if (kind === 'SQLite') {
    const directory = await mkdtemp(join(tmpdir(), 'hadal-store-'));
    const place = { path: join(directory, 'hadal.db') };
    return { place, [Symbol.asyncDispose]: () => rm(directory, { recursive: true }) };
  }
  const server = await testCluster();
  const url = await server.createDatabase();
  return { place: { url }, [Symbol.asyncDispose]: () => server.dropDatabase(url) };
}
