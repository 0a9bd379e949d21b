// How many usage rows a second does the store take?
//
// Each row is what the server writes for an answer: the row itself, what is taken from the balance and what is added to the key,
// in one transaction that has been written when it returns. One writer at a time, and 64 that wait for each other, as answers
// do. SQLite in a file on this machine's disk, and PostgreSQL where DATABASE_URL names one.
//
//     node bench/usage-rows.ts
//
// Prints the median of five turns.

import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { unboundedScope } from '@hadal/store/keys';
import { openStore, type StoreOptions } from '@hadal/store/store';

const turns = 5;
const rowsPerTurn = 3000;

const directory = mkdtempSync(join(tmpdir(), 'hadal-bench-'));
const stores: Record<string, StoreOptions> = { SQLite: { path: join(directory, 'hadal.db') } };
const url = process.env.DATABASE_URL;
if (url) stores.PostgreSQL = { url };

console.log(`${cpus()[0]?.model ?? 'unknown processor'}, ${availableParallelism()} cores, ${new Date().toISOString()}`);
try {
  for (const [name, options] of Object.entries(stores)) {
    await using store = await openStore(options);
    const key = {
      id: `key_${process.pid}`,
      organization: '',
      member: undefined,
      role: 'member',
      name: 'bench',
    } as const;
    const rest = { createdMs: 0, expiresMs: undefined, keepsText: false, scope: unboundedScope };
    await store.keys.add({ ...key, ...rest }, `sk-${process.pid}`);
    await store.ledger.pay('', 'USD', 'granted', 1e12);
    let count = 0;
    const record = async () =>
      await store.ledger.record({
        ...{
          id: `${process.pid}-${count++}`,
          endedMs: Date.now(),
          organization: '',
          key: key.id,
          user: 'ann',
          model: 'm',
        },
        ...{ operation: 'createChatCompletion', cacheHit: 10, cacheMiss: 100, completion: 50, reasoning: 20 },
        ...{ cost: 1234, currency: 'USD', finishReason: 'stop' },
      });
    for (const writers of [1, 64]) {
      const rates = [];
      for (let turn = 0; turn < turns; turn++) {
        const began = performance.now();
        let left = rowsPerTurn;
        const write = async () => {
          while (left-- > 0) await record();
        };
        await Promise.all(Array.from({ length: writers }, write));
        rates.push((rowsPerTurn / (performance.now() - began)) * 1000);
      }
      const median = rates.sort((a, b) => a - b)[Math.floor(turns / 2)] as number;
      console.log(`${name}, ${writers} at a time: ${Math.round(median)} rows a second`);
    }
  }
} finally {
  rmSync(directory, { recursive: true });
}
