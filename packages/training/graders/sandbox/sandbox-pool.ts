// The sandboxes of a server or of a job.
//
// Owns how many processes there are, who waits for one, and that one which has ended is replaced. A process is started when the first
// program in its language comes, not before: Python takes a second or two and some 150 MB.

import { spawn } from 'node:child_process';
import type { SandboxLanguage, SandboxRequest } from './messages.ts';
import { Sandbox, type SandboxLimits, type SandboxOutcome } from './sandbox.ts';

export type { SandboxLanguage, SandboxRequest } from './messages.ts';
export type { SandboxOutcome } from './sandbox.ts';

export interface SandboxPoolOptions {
  /** Of computing, for one program. Default: 2000. */
  readonly timeoutMs?: number;
  /** For one program. Default: 256 MiB for Python, 64 MiB for JavaScript. */
  readonly memoryBytes?: Readonly<Partial<Record<SandboxLanguage, number>>>;
  /** Of each language, at most. Default: 1. */
  readonly processes?: number;
}

const usualMemoryBytes: Readonly<Record<SandboxLanguage, number>> = { python: 256 << 20, javascript: 64 << 20 };

export class SandboxPool {
  readonly #timeoutMs: number;
  readonly #memoryBytes: Readonly<Record<SandboxLanguage, number>>;
  readonly #lines: Readonly<Record<SandboxLanguage, Line>>;
  readonly #closing = new AbortController();
  #isolation: Promise<readonly string[]> | undefined;

  constructor({ timeoutMs = 2000, memoryBytes = {}, processes = 1 }: SandboxPoolOptions = {}) {
    this.#timeoutMs = timeoutMs;
    this.#memoryBytes = { ...usualMemoryBytes, ...memoryBytes };
    this.#lines = { python: new Line(processes), javascript: new Line(processes) };
  }

  /** Runs the program when a process is free. Rejects when aborted, closed, or where no process can be started. */
  async run(language: SandboxLanguage, request: SandboxRequest, signal?: AbortSignal): Promise<SandboxOutcome> {
    const line = this.#lines[language];
    const either = signal ? AbortSignal.any([signal, this.#closing.signal]) : this.#closing.signal;
    return await line.take(async (idle) => {
      either.throwIfAborted();
      const sandbox = idle && !idle.hasEnded ? idle : await this.#start(language);
      try {
        return { sandbox, result: await sandbox.run(request, either) };
      } catch (error) {
        sandbox.kill();
        throw error;
      }
    });
  }

  async #start(language: SandboxLanguage): Promise<Sandbox> {
    this.#isolation ??= isolationOf();
    const limits: SandboxLimits = { timeoutMs: this.#timeoutMs, memoryBytes: this.#memoryBytes[language] };
    return await Sandbox.start(language, limits, await this.#isolation);
  }

  /** Ends all processes; whoever waits is told by a rejection. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error('the sandboxes are closed'));
    await Promise.all(Object.values(this.#lines).map((line) => line.close()));
  }
}

type Turn<T> = (idle: Sandbox | undefined) => Promise<{ readonly sandbox: Sandbox; readonly result: T }>;

/** Who waits for a process of one language. */
class Line {
  #places: number;
  readonly #idle: Sandbox[] = [];
  readonly #waiting: (() => void)[] = [];
  #isClosed = false;
  readonly #running = new Set<Promise<unknown>>();

  constructor(places: number) {
    this.#places = places;
  }

  async take<T>(turn: Turn<T>): Promise<T> {
    if (this.#places > 0) this.#places--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    const running = turn(this.#idle.pop());
    this.#running.add(running);
    try {
      const { sandbox, result } = await running;
      if (this.#isClosed) sandbox.kill();
      else if (!sandbox.hasEnded) this.#idle.push(sandbox);
      return result;
    } finally {
      this.#running.delete(running);
      const next = this.#waiting.shift();
      if (next) next();
      else this.#places++;
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled(this.#running);
    await Promise.all(this.#idle.map((sandbox) => sandbox[Symbol.asyncDispose]()));
  }
}

const ownNetwork = ['unshare', '--user', '--map-root-user', '--net'];
/** Without it, a program that cannot be interrupted would outlive a server that is killed. */
const diesWithParent = ['setpriv', '--pdeathsig', 'KILL'];

/** A network of its own with nothing in it, where the system lets us have one: Linux, where user namespaces are allowed. */
async function isolationOf(): Promise<readonly string[]> {
  if (process.platform !== 'linux') return [];
  for (const command of [[...ownNetwork, ...diesWithParent], ownNetwork, diesWithParent]) {
    if (await succeeds([...command, 'true'])) return command;
  }
  return [];
}

async function succeeds([program = '', ...rest]: readonly string[]): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  spawn(program, rest, { stdio: 'ignore' })
    .on('error', () => resolve(false))
    .on('exit', (code) => resolve(code === 0));
  return await promise;
}
