// Servers that are killed while they answer, again and again: `node usage-kills.ts [TIMES]`.
//
// Owns the check that usage survives it: what a client saw completed is counted, nothing is counted twice, and the balance is
// what was there less what the rows say. Run by a test with few kills, by hand with a thousand; then it checks and tells as it
// goes, so that one that is interrupted has shown something too.

import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import type { BatchDetails } from '@hadal/protocol/batches';
import { openStore } from '@hadal/store/store';

const budget = 1e15;
const parallel = 4;

/** How many kills there are between two checks. */
const checkEvery = 25;

export interface Outcome {
  readonly kills: number;
  /** Requests that a client saw completed, and rows; there may be more rows. */
  readonly completed: number;
  readonly rows: number;
}

/** `onCheck` hears how it stands every now and then. Throws where anything is lost or counted twice. */
export async function killAgainAndAgain(
  times: number,
  seed: number,
  onCheck: (outcome: Outcome) => void = () => {},
): Promise<Outcome> {
  const directory = await mkdtemp(join(tmpdir(), 'hadal-kills-'));
  try {
    const path = join(directory, 'hadal.db');
    {
      await using store = await openStore<BatchDetails>({ path });
      await store.ledger.pay('', 'USD', 'granted', budget);
    }
    const completed: string[] = [];
    for (let i = 0; i < times; i++) {
      if (i > 0 && i % checkEvery === 0) onCheck(await check(path, i, completed));
      // Anywhere from before the first answer to after many, the same for the same seed.
      const lifeMs = ((i + seed) * 7919) % 97;
      await oneLife(path, lifeMs, completed);
    }
    return await check(path, times, completed);
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function check(path: string, kills: number, completed: readonly string[]): Promise<Outcome> {
  await using store = await openStore<BatchDetails>({ path });
  for (const id of completed) assert.ok(await store.ledger.has(id), `after ${kills} kills: ${id} was seen completed`);
  const [sum] = await store.ledger.usage({ fromMs: 0, toMs: 1e15, by: [] });
  const [balance] = await store.ledger.balances('');
  const left = (balance?.granted ?? 0) + (balance?.toppedUp ?? 0);
  assert.equal(left, budget - (sum?.cost ?? 0), `after ${kills} kills: what is left of the balance`);
  const rows = sum?.requests ?? 0;
  // At most those that were being answered when they were cut off have a row that nobody saw completed.
  assert.ok(rows <= completed.length + kills * parallel, `after ${kills} kills: ${rows} rows for ${completed.length}`);
  return { kills, completed: completed.length, rows };
}

async function oneLife(path: string, lifeMs: number, completed: string[]): Promise<void> {
  const child = fork(join(import.meta.dirname, 'metered-server.ts'), [path], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const over = new Promise((resolve) => child.once('close', resolve));
  const url = await addressOf(child);
  const asking = Array.from({ length: parallel }, (_, i) => askUntilDead(url, i, completed));
  await delay(lifeMs);
  child.kill('SIGKILL');
  await over;
  await Promise.all(asking);
}

function addressOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once('message', (url) => resolve(String(url)));
    child.once('close', () => reject(new Error('expected the server to start, it ended')));
  });
}

/** Whole and streamed in turn. */
async function askUntilDead(url: string, number: number, completed: string[]): Promise<void> {
  for (let i = number; ; i++) {
    try {
      const body = { model: 'toy', messages: [{ role: 'user', content: 'Hello' }], stream: i % 2 === 0 };
      const response = await fetch(`${url}/chat/completions`, {
        ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) },
      });
      const text = await response.text();
      const isWhole = body.stream ? text.endsWith('data: [DONE]\n\n') : text.endsWith('}');
      const id = response.headers.get('x-request-id');
      if (isWhole && id !== null) completed.push(id);
    } catch {
      return;
    }
  }
}

if (process.argv[1] === import.meta.filename) {
  const times = Number(process.argv[2] ?? 1000);
  const startMs = performance.now();
  const tell = ({ kills, completed, rows }: Outcome) => {
    const seconds = Math.round((performance.now() - startMs) / 1000);
    console.log(`${seconds} s, ${kills} kills: ${completed} seen completed, ${rows} rows, none lost, none twice`);
  };
  tell(await killAgainAndAgain(times, 1, tell));
}
