// Does the server keep what it has over ten thousand requests?
//
// Real HTTP to a server in a process of its own: prompts and answers of random lengths, shared prefixes, drafters, formats
// that are enforced, several answers at once; callers who cancel, who leave while they wait and who send nonsense. At the end
// every page must be free, nobody may be waiting, and resident memory must be what it was after the first fifth, within 5 %.
//
//     node bench/soak.ts [requests] [concurrency] [seed]

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import type { EngineLoad } from '@hadal/engine/engine';
import { uniforms } from '@hadal/kernels/parity';

interface Report {
  readonly load: EngineLoad;
  readonly residentBytes: number;
}

const [requests = 10_000, concurrency = 24, seed = 1] = process.argv.slice(2).map(Number);
const tolerance = 0.05;
const reports = 20;

const root = join(import.meta.dirname, '..');
const child = fork(join(import.meta.dirname, 'soak', 'server.ts'), [join(root, 'models/hadal-nano')]);
const [{ url }] = (await once(child, 'message')) as [{ url: string }];
const next = uniforms(seed);
const pick = <T>(...options: readonly T[]): T => options[Math.floor(next() * options.length)] as T;
const outcomes = new Map<string, number>();
const resident: number[] = [];
let asked = 0;

console.log(`${cpus()[0]?.model ?? 'unknown processor'}, ${availableParallelism()} cores, ${new Date().toISOString()}`);
const started = performance.now();
try {
  await Promise.all(Array.from({ length: concurrency }, work));
  const { load } = await settled();
  console.log([...outcomes].map(([outcome, count]) => `${outcome}: ${count}`).join('; '));
  if (load.availablePages !== load.pages || load.running + load.waiting > 0) {
    throw new Error(`expected every page to be free and nobody to wait, found ${JSON.stringify(load)}`);
  }
  const settledAt = Math.floor(resident.length / 5);
  const [first, last] = [resident[settledAt] as number, resident.at(-1) as number];
  const most = Math.max(...resident.slice(settledAt));
  const growth = (bytes: number) => `${((100 * bytes) / first - 100).toFixed(1)} %`;
  console.log(
    `all ${load.pages} pages free; resident ${mega(first)} MB after a fifth, ${mega(last)} at the end (${growth(last)}), ${mega(most)} at most (${growth(most)})`,
  );
  if (last > first * (1 + tolerance)) throw new Error(`expected resident memory to stay within ${100 * tolerance} %`);
} finally {
  child.disconnect();
}

async function work(): Promise<void> {
  while (asked < requests) {
    const number = ++asked;
    const outcome = await ask();
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    if (number % Math.ceil(requests / reports) === 0) {
      const { load, residentBytes } = await report();
      resident.push(residentBytes);
      const seconds = (performance.now() - started) / 1000;
      console.log(
        `${number} requests, ${seconds.toFixed(0)} s: resident ${mega(residentBytes)} MB, ${load.running} run, ${load.waiting} wait, ${load.availablePages} of ${load.pages} pages free`,
      );
    }
  }
}

/** One request, and how it ended. */
async function ask(): Promise<string> {
  if (next() < 0.03) return await nonsense();
  const leave = new AbortController();
  const patience = next() < 0.25 ? setTimeout(() => leave.abort(), next() * 400) : undefined;
  const isStream = next() < 0.7;
  const format = pick<object>(
    ...[{}, {}, {}, { response_format: { type: 'json_object' } }],
    ...[{ structured_outputs: { regex: '[a-z ]{3,60}' } }, { structured_outputs: { choice: ['yes', 'no'] } }],
  );
  const body = {
    ...{ model: 'hadal-nano', stream: isStream, messages: conversation() },
    ...{ thinking: { type: pick('enabled', 'disabled') }, temperature: pick(0, 0.7, 1.2), max_tokens: 1 + size(160) },
    ...{ user_id: `user-${size(12)}`, n: next() < 0.05 ? 3 : 1, logprobs: next() < 0.1 },
    ...{ speculative: { method: pick('mtp', 'ngram', 'none') }, ...format },
  };
  try {
    const response = await fetch(`${url}/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: leave.signal,
    });
    const text = await response.text();
    if (!response.ok) return `status ${response.status}`;
    const isWhole = isStream ? text.endsWith('data: [DONE]\n\n') : 'usage' in JSON.parse(text);
    if (!isWhole) throw new Error(`expected a whole answer, got ${JSON.stringify(text.slice(-200))}`);
    return 'answered';
  } catch (error) {
    if (leave.signal.aborted) return 'left';
    throw error;
  } finally {
    clearTimeout(patience);
  }
}

function conversation(): object[] {
  const system = { role: 'system', content: 'You are a patient assistant of the deep sea. '.repeat(pick(1, 8)) };
  const words = Array.from({ length: 1 + size(300) }, () => pick('why', 'is', 'the', 'sea', 'deep', '12', '+', '7?'));
  return [...(next() < 0.5 ? [system] : []), { role: 'user', content: words.join(' ') }];
}

async function nonsense(): Promise<string> {
  const body = pick('{', '{"model": "hadal-nano"}', JSON.stringify({ model: 'hadal-nano', messages: 'hello' }));
  const response = await fetch(`${url}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  await response.text();
  if (response.status !== 400) throw new Error(`expected 400 for ${body}, got ${response.status}`);
  return 'refused as nonsense';
}

/** Mostly small, at most `most`. */
function size(most: number): number {
  return Math.floor(next() ** 3 * most);
}

async function report(): Promise<Report> {
  const answer = once(child, 'message') as Promise<[Report]>;
  child.send('report');
  return (await answer)[0];
}

/** What is held once those who left have been noticed. */
async function settled(): Promise<Report> {
  for (let i = 0; i < 100; i++) {
    const { load } = await report();
    if (load.running + load.waiting === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return await report();
}

function mega(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}
