// How many usage rows a second does the store take?
//
// Each row is what the server writes for an answer: the row itself, what is taken from the balance and what is added to the key,
// all of it or nothing, which has been written when it returns. One writer at a time, and 64 at once, as answers do, for one
// organization or for one each. SQLite in a file on this machine's disk, and PostgreSQL where DATABASE_URL names one; beside
// them how often a second the disk itself writes, which no single writer to PostgreSQL can exceed.
//
//     node bench/usage-rows.ts [ROWS]
//
// Prints the median of five turns of ROWS rows each (3000).

import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { unboundedScope } from '@hadal/store/keys';
import { openStore, type Store, type StoreOptions } from '@hadal/store/store';

const turns = 5;
const rowsPerTurn = Number(process.argv[2] ?? 3000);
/** How many write at once, and for how many organizations. */
const settings = [
  { writers: 1, organizations: 1 },
  { writers: 64, organizations: 1 },
  { writers: 64, organizations: 64 },
] as const;

const directory = mkdtempSync(join(tmpdir(), 'hadal-bench-'));
const stores: Record<string, StoreOptions> = { SQLite: { path: join(directory, 'hadal.db') } };
const url = process.env.DATABASE_URL;
if (url) stores.PostgreSQL = { url };

console.log(`${cpus()[0]?.model ?? 'unknown processor'}, ${availableParallelism()} cores, ${new Date().toISOString()}`);
try {
  for (const [name, options] of Object.entries(stores)) {
    await using store = await openStore(options);
    const keys: string[] = [];
    for (let i = 0; i < 64; i++) keys.push(await addPayer(store, `${process.pid}-${i}`));
    let count = 0;
    const record = async (payer: string) => {
      const id = `${process.pid}-${count++}`;
      await store.ledger.record({
        ...{ id, endedMs: Date.now(), organization: payer, key: payer, user: 'ann', model: 'm' },
        ...{ operation: 'createChatCompletion', cacheHit: 10, cacheMiss: 100, completion: 50, reasoning: 20 },
        ...{ cost: 1234, currency: 'USD', finishReason: 'stop' },
      });
    };
    for (const { writers, organizations } of settings) {
      const rates: number[] = [];
      const syncs: number[] = [];
      for (let turn = 0; turn < turns; turn++) {
        syncs.push(syncsPerSecond());
        const began = performance.now();
        let left = rowsPerTurn;
        const write = async (_: unknown, writer: number) => {
          while (left-- > 0) await record(keys[writer % organizations] as string);
        };
        await Promise.all(Array.from({ length: writers }, write));
        rates.push((rowsPerTurn / (performance.now() - began)) * 1000);
      }
      const who = `${writers} at a time, ${organizations} organization(s)`;
      console.log(`${name}, ${who}: ${median(rates)} rows a second; the disk: ${median(syncs)} writes a second`);
    }
  }
} finally {
  rmSync(directory, { recursive: true });
}

/** An organization with a balance and a key, both of this name. */
async function addPayer(store: Store, name: string): Promise<string> {
  const key = { id: name, organization: name, member: undefined, role: 'member', name } as const;
  const rest = { createdMs: 0, expiresMs: undefined, keepsText: false, scope: unboundedScope };
  await store.keys.add({ ...key, ...rest }, `sk-${name}`);
  await store.ledger.pay(name, 'USD', 'granted', 1e12);
  return name;
}

/** As PostgreSQL writes its log: a page of 8 KiB into a file that has its length, and then until the disk has it. */
function syncsPerSecond(): number {
  const page = Buffer.alloc(8192, 1);
  const pages = 100;
  const file = openSync(join(directory, 'log'), 'w');
  for (let i = 0; i < pages; i++) writeSync(file, page);
  fdatasyncSync(file);
  const began = performance.now();
  for (let i = 0; i < pages; i++) {
    writeSync(file, page, 0, page.length, i * page.length);
    fdatasyncSync(file);
  }
  const rate = (pages / (performance.now() - began)) * 1000;
  closeSync(file);
  return rate;
}

function median(values: number[]): number {
  return Math.round(values.sort((a, b) => a - b)[Math.floor(values.length / 2)] as number);
}
