// The process of a job, and what can be seen of a process from outside.
//
// Owns how it is started: out of reach of the terminal's signals, behind everything else on this machine, its words in a file, and
// tied to this process by a pipe and a channel that end with it. Knows nothing of what it does.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { constants, setPriority } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import type { ToServer, ToTrainer } from '@hadal/protocol/job-channel';
import type { AskModels } from './model-asker.ts';
import type { JobExit, JobProcess } from './training-desk.ts';

const outputFile = 'output.log';
const lockFile = 'lock';
const lastWordsBytes = 2000;

export interface JobCommand {
  readonly program: string;
  readonly args: readonly string[];
  /** This process' own when absent. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Runs `command` for the job in `directory`. */
export function startJobProcess({ program, args, env }: JobCommand, directory: string, ask: AskModels): JobProcess {
  const output = join(directory, outputFile);
  const log = openSync(output, 'a');
  const child = spawn(program, args, {
    // In a group of its own: Ctrl-C is for the server, which tells it to stop.
    ...{ detached: true, stdio: ['pipe', log, log, 'ipc'], ...(env && { env: { ...env } }) },
  });
  closeSync(log);
  const { promise: exited, resolve } = Promise.withResolvers<JobExit>();
  const exit = (code: number | null, signal: string | null, words = lastWordsIn(output)) =>
    resolve({ code, signal, lastWords: words });
  child.once('exit', (code, signal) => exit(code, signal));
  child.once('error', (error) => exit(null, null, error.message));
  child.stdin?.on('error', () => {});
  const gone = new AbortController();
  void exited.then(() => gone.abort());
  child.on('message', (message) => void answerQuestion(message as ToServer, child, ask, gone.signal));
  if (child.pid !== undefined) {
    try {
      setPriority(child.pid, constants.priority.PRIORITY_BELOW_NORMAL);
      // Linux may weigh sessions against each other before it looks at priorities within one, and the child has its own.
      const session = `/proc/${child.pid}/autogroup`;
      if (existsSync(session)) writeFileSync(session, String(constants.priority.PRIORITY_BELOW_NORMAL));
    } catch {
      // Gone already, or not permitted: it then runs like everybody.
    }
  }
  return { pid: child.pid, exited, stop: () => void child.kill('SIGTERM'), kill: () => void child.kill('SIGKILL') };
}

/** One that cannot be answered is told so; one who is gone, nothing. */
async function answerQuestion(
  { type, id, question }: ToServer,
  child: ChildProcess,
  ask: AskModels,
  signal: AbortSignal,
): Promise<void> {
  if (type !== 'ask') return;
  // Such as a store that is away for a while.
  const failure = { type: 'failure', message: 'the server had an error while it answered', mayPass: true } as const;
  const reply = await ask(question, signal).catch(() => failure);
  const message: ToTrainer = { type: 'reply', id, reply };
  if (child.connected) child.send(message, () => {});
}

function lastWordsIn(path: string): string {
  try {
    const bytes = readFileSync(path);
    return bytes
      .subarray(Math.max(0, bytes.length - lastWordsBytes))
      .toString('utf8')
      .trim();
  } catch {
    return '';
  }
}

/**
 * What a process and those that it has started hold in memory; undefined where that cannot be seen. `own`: without the files that it
 * reads from memory, which the system has for everybody.
 */
export async function residentBytes(pid: number, which: 'all' | 'own' = 'all'): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const parts = which === 'all' ? /^VmRSS:\s+(\d+) kB$/gm : /^Rss(?:Anon|Shmem):\s+(\d+) kB$/gm;
  const found = [...status.matchAll(parts)].map(([, kibibytes]) => Number(kibibytes) * 1024);
  if (found.length === 0) return undefined;
  const others = await Promise.all((await childrenOf(pid)).map((child) => residentBytes(child, which)));
  return [...found, ...others].reduce<number>((sum, bytes) => sum + (bytes ?? 0), 0);
}

/** Each was started by one of its threads. */
async function childrenOf(pid: number): Promise<number[]> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  const lists = threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/children`, 'utf8').catch(() => ''));
  return (await Promise.all(lists)).flatMap((list) => list.split(' ').filter(Boolean).map(Number));
}

/** Waits until no process of an earlier server works in `directory` any more; one that stays longer than `graceMs` is killed. */
export async function untilUnlocked(directory: string, graceMs: number): Promise<void> {
  const pid = await lockHolder(directory);
  if (pid === undefined) return;
  for (const end = Date.now() + graceMs; Date.now() < end; await delay(50))
    if (!(await isAlive(pid, directory))) return;
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    return;
  }
  while (await isAlive(pid, directory)) await delay(20);
}

async function lockHolder(directory: string): Promise<number | undefined> {
  try {
    const { pid } = JSON.parse(await readFile(join(directory, lockFile), 'utf8')) as { pid?: unknown };
    return typeof pid === 'number' && Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** Whether it still is the process that works there: numbers of processes are used again. */
async function isAlive(pid: number, directory: string): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  const [command, status] = await Promise.all(
    ['cmdline', 'status'].map((name) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => undefined)),
  );
  // Where nothing can be seen of it, as on macOS, it is taken for the one.
  if (command === undefined) return status !== undefined || process.platform !== 'linux';
  return command.includes(directory) && !/^State:\s+Z/m.test(status ?? '');
}
