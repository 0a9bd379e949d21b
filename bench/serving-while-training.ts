// How long does a chat wait for its next token while a job trains on the same machine?
//
// The program itself serves hadal-nano; one client reads one stream after another. Beside it the process of a job trains
// hadal-nano on conversations, started as the server starts it. The job is stopped and let go on (SIGSTOP, SIGCONT) in turns, so
// that whatever else the machine does meets both.
//
//     node bench/serving-while-training.ts [TURNS] [SECONDS]
//
// writes a part of results/training.md.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { startJobProcess } from '@hadal/server/job-process';
import { countdownProblem } from '@hadal/training/tasks/countdown';
import { circumstances, median, quantile, writeResults } from './results-section.ts';

/**
 * A nice value holds within a session alone where the kernel weighs sessions against each other, and a job has one of its own;
 * `among all`: the session is told as well, as the server does.
 */
type Priority = 'nice 10 in a session of its own' | 'nice 10 among all';

interface Variant {
  readonly threads: number;
  readonly priority: Priority;
}

/** Milliseconds between tokens, and to the first of each stream. */
interface Window {
  readonly gaps: number[];
  readonly firsts: number[];
}

const [turns = 5, seconds = 10] = process.argv.slice(2).map(Number);
const root = resolve(import.meta.dirname, '..');
const model = join(root, 'models', 'hadal-nano');
const program = join(root, 'apps', 'cli', 'hadal.ts');
const variants: readonly Variant[] = [2, 1].flatMap((threads) =>
  (['nice 10 in a session of its own', 'nice 10 among all'] as const).map((priority) => ({ threads, priority })),
);

const directory = mkdtempSync(join(tmpdir(), 'hadal-serving-training-'));
const server = spawn(process.execPath, [program, 'serve', '--port', '0', '--speculative', 'none'], {
  env: { ...process.env, HADAL_HOME: join(directory, 'home') },
  stdio: ['ignore', 'pipe', 'inherit'],
});
try {
  const url = await addressOf(server);
  await ask(url, 0, { gaps: [], firsts: [] }, Number.POSITIVE_INFINITY);
  const lines: string[] = [];
  for (const variant of variants) lines.push(...(await measure(url, variant)));
  const text = ['| job | | alone | while it trains | ratio |', '|---|---|---|---|---|', ...lines].join('\n');
  console.log(`\n${text}\n`);
  writeResults(
    'training.md',
    'Serving while a job trains',
    `${circumstances()}. hadal-nano served by the program with its defaults but without guessing ahead, one stream at a time; a job of
method \`supervised\` on hadal-nano as the server starts it. ${turns} turns of ${seconds} s alone and ${seconds} s beside the job; quantiles over all gaps of
a side, ratios are medians of the turns' ratios. Aim: at most doubled. \`node bench/serving-while-training.ts\` repeats it.

${text}`,
  );
} finally {
  server.kill('SIGTERM');
  await new Promise((over) => server.once('exit', over));
  rmSync(directory, { recursive: true, force: true });
}

async function measure(url: string, variant: Variant): Promise<string[]> {
  const path = join(directory, `job-${variant.threads}-${variant.priority.replaceAll(' ', '-')}`);
  writeJob(path, variant.threads);
  const job = startJobProcess({ program: process.execPath, args: [program, 'train-job', path] }, path, async () => {
    throw new Error('this job asks nobody');
  });
  const pid = job.pid as number;
  if (variant.priority === 'nice 10 in a session of its own') writeFileSync(`/proc/${pid}/autogroup`, '0');
  try {
    await untilItTrains(path);
    const alone: Window[] = [];
    const beside: Window[] = [];
    for (let turn = 0; turn < turns; turn++) {
      const takeAlone = async () => {
        process.kill(pid, 'SIGSTOP');
        alone.push(await listen(url, turn));
        process.kill(pid, 'SIGCONT');
      };
      if (turn % 2 === 0) await takeAlone();
      await delay(500);
      beside.push(await listen(url, turn));
      if (turn % 2 === 1) await takeAlone();
    }
    console.log(`${variant.threads} threads, ${variant.priority}: ${alone.map(tell)} | ${beside.map(tell)}`);
    const name = `${variant.threads} ${variant.threads === 1 ? 'thread' : 'threads'}, ${variant.priority}`;
    return [
      row(`${name} | between tokens, median, ms`, alone, beside, ({ gaps }) => gaps, 0.5),
      row(' | 99th percentile, ms', alone, beside, ({ gaps }) => gaps, 0.99),
      row(' | to the first token, median, ms', alone, beside, ({ firsts }) => firsts, 0.5),
      `| | training, tokens/s | | ${rateOf(path).toFixed(0)} | |`,
    ];
  } finally {
    job.kill();
    await job.exited;
  }
}

function row(
  name: string,
  alone: readonly Window[],
  beside: readonly Window[],
  of: (window: Window) => readonly number[],
  share: number,
): string {
  const at = (windows: readonly Window[]) => quantile(windows.flatMap(of), share).toFixed(1);
  const ratios = alone.map((window, i) => quantile(of(beside[i] as Window), share) / quantile(of(window), share));
  return `| ${name} | ${at(alone)} | ${at(beside)} | ${median(ratios).toFixed(2)} |`;
}

function tell({ gaps }: Window): string {
  return `${gaps.length} gaps, median ${median(gaps).toFixed(1)}, p99 ${quantile(gaps, 0.99).toFixed(1)} ms`;
}

/** Streams for the time of a window. */
async function listen(url: string, turn: number): Promise<Window> {
  const window: Window = { gaps: [], firsts: [] };
  const end = performance.now() + seconds * 1000;
  for (let i = 0; performance.now() < end; i++) await ask(url, 1 + turn * 1000 + i, window, end);
  return window;
}

/** One stream, until `end`. Each reading counts once, however many chunks it brings. */
async function ask(url: string, index: number, { gaps, firsts }: Window, end: number): Promise<void> {
  const { messages } = countdownProblem('test', index).problem;
  const begun = performance.now();
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'hadal-nano', messages, stream: true, max_tokens: 300, temperature: 1 }),
  });
  if (!response.ok || !response.body) throw new Error(`status ${response.status}: ${await response.text()}`);
  let last: number | undefined;
  for await (const piece of response.body) {
    const now = performance.now();
    // Chunks without text open and close a stream.
    if (!/"(reasoning_)?content":"[^"]/.test(Buffer.from(piece).toString())) continue;
    if (last === undefined) firsts.push(now - begun);
    else gaps.push(now - last);
    last = now;
    if (now > end) break;
  }
}

function writeJob(path: string, threads: number): void {
  mkdirSync(path, { recursive: true });
  const rows = Array.from({ length: 2000 }, (_, index) => {
    const { messages, solution } = countdownProblem('train', index).problem;
    const answers = solution.map((message) => ({ role: message.role, content: message.content }));
    return { messages: [...messages.map(({ role, content }) => ({ role, content })), ...answers] };
  });
  writeFileSync(join(path, 'train.jsonl'), rows.map((each) => `${JSON.stringify(each)}\n`).join(''));
  const order = {
    ...{ id: 'ftjob-bench', model: { name: 'hadal-nano', directory: model }, suffix: 'bench', seed: 7, threads },
    ...{ trainingFile: 'train.jsonl', checkpointSteps: 1_000_000 },
    method: { type: 'supervised', epochs: 50, batchSize: 32 },
  };
  writeFileSync(join(path, 'order.json'), JSON.stringify(order));
}

function metrics(path: string): { num_tokens: number; step_seconds: number }[] {
  const journal = readFileSync(join(path, 'journal.jsonl'), { encoding: 'utf8', flag: 'a+' });
  const entries = journal.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
  const failed = entries.find(({ type }) => type === 'failed');
  if (failed) throw new Error(`the job failed: ${failed.message}`);
  return entries.filter(({ type }) => type === 'metrics').map(({ data }) => data);
}

async function untilItTrains(path: string): Promise<void> {
  while (metrics(path).length < 2) await delay(200);
}

/** Of the median step: those that were stopped meanwhile took long. */
function rateOf(path: string): number {
  return median(metrics(path).map(({ num_tokens, step_seconds }) => num_tokens / step_seconds));
}

async function addressOf(child: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: child.stdout! })) {
    const found = /ready at (http\S+)/.exec(line)?.[1];
    if (found) return found;
  }
  throw new Error('the server ended before it was ready');
}
