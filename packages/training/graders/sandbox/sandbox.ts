// One process in which programs of callers are run.
//
// Owns the process: what it may do (next to nothing), its pipe, and its end, which is certain: a request that is not answered in time,
// or answered with too much, ends it. Knows no language beyond where its files are. A sandbox that has ended stays ended.

import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import {
  maxReplyBytes,
  type SandboxLanguage,
  type SandboxReply,
  type SandboxRequest,
  type SandboxSettings,
} from './messages.ts';

export interface SandboxLimits {
  /** Of computing, for one program; it is killed at the latest after five times as long and five seconds. */
  readonly timeoutMs: number;
  /** For one program, beside what the interpreter itself takes. */
  readonly memoryBytes: number;
}

export type SandboxOutcome =
  | Exclude<SandboxReply, { type: 'ready' }>
  /** The process ended, and not because of time: by itself, or because it said more than it may. */
  | { readonly type: 'died'; readonly message: string };

interface LanguageRow {
  readonly program: string;
  /** Modules whose folders the process must be able to read. */
  readonly libraries: readonly string[];
  readonly interpreter: string;
  /** What the interpreter takes of WebAssembly's memory when nothing is run. */
  readonly ownBytes: number;
}

const languages: Readonly<Record<SandboxLanguage, LanguageRow>> = {
  python: {
    ...{ program: 'python-program.ts', libraries: ['pyodide/pyodide.mjs'], interpreter: 'pyodide/pyodide.mjs' },
    ownBytes: 64 << 20,
  },
  javascript: {
    program: 'javascript-program.ts',
    libraries: [...['@jitl/quickjs-wasmfile-release-sync', '@jitl/quickjs-ffi-types', 'quickjs-emscripten-core']],
    ...{ interpreter: '@jitl/quickjs-wasmfile-release-sync', ownBytes: 32 << 20 },
  },
};

const wasmPageBytes = 65536;
const startTimeoutMs = 120_000;

export class Sandbox {
  readonly #process: ChildProcess;
  readonly #limits: SandboxLimits;
  readonly #ended = Promise.withResolvers<SandboxOutcome>();
  #waiting: ((reply: SandboxReply) => void) | undefined;
  #received = '';
  #complaint = '';
  #hasEnded = false;

  private constructor(language: SandboxLanguage, limits: SandboxLimits, isolation: readonly string[]) {
    this.#limits = limits;
    const [command = process.execPath, ...rest] = [...isolation, process.execPath, ...argumentsOf(language, limits)];
    this.#process = spawn(command, rest, { stdio: ['pipe', 'pipe', 'pipe'], env: {}, cwd: '/' });
    this.#process.stdout?.setEncoding('utf8').on('data', (text: string) => this.#receive(text));
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#complaint = (this.#complaint + text).slice(-2000);
    });
    // A process that is gone is noticed by its end.
    this.#process.stdin?.on('error', () => {});
    this.#process.on('error', (error) => this.#end(error.message));
    this.#process.on('close', (code, signal) => this.#end(`ended with ${signal ?? code}: ${this.#complaint.trim()}`));
  }

  /** Rejects where the process cannot be started. `isolation`: a command that the process is started by, and its arguments. */
  static async start(
    language: SandboxLanguage,
    limits: SandboxLimits,
    isolation: readonly string[] = [],
  ): Promise<Sandbox> {
    const sandbox = new Sandbox(language, limits, isolation);
    const first = await sandbox.#reply(startTimeoutMs);
    if (first?.type === 'ready') return sandbox;
    sandbox.kill();
    const reason = first?.type === 'died' ? first.message : `no sign of life within ${startTimeoutMs / 1000} seconds`;
    throw new Error(`sandbox for ${language}: expected to start, ${reason}`);
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** One at a time. An aborted request ends the process. */
  async run(request: SandboxRequest, signal?: AbortSignal): Promise<SandboxOutcome> {
    signal?.throwIfAborted();
    const abort = (): void => this.kill();
    signal?.addEventListener('abort', abort);
    try {
      this.#process.stdin?.write(`${JSON.stringify(request)}\n`);
      const { timeoutMs } = this.#limits;
      const reply = await this.#reply(5 * timeoutMs + 5000);
      signal?.throwIfAborted();
      if (reply !== undefined && reply.type !== 'ready') return reply;
      this.kill();
      return { type: 'late', message: `did not end within ${timeoutMs / 1000} seconds and was killed` };
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  kill(): void {
    this.#hasEnded = true;
    this.#process.kill('SIGKILL');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.#ended.promise;
  }

  /** undefined: none came in time. */
  async #reply(timeoutMs: number): Promise<SandboxReply | SandboxOutcome | undefined> {
    const { promise, resolve } = Promise.withResolvers<SandboxReply | undefined>();
    this.#waiting = resolve;
    const timer = setTimeout(() => resolve(undefined), timeoutMs);
    try {
      return await Promise.race([promise, this.#ended.promise]);
    } finally {
      clearTimeout(timer);
      this.#waiting = undefined;
    }
  }

  #receive(text: string): void {
    this.#received += text;
    if (this.#received.length > maxReplyBytes) {
      this.#complaint = 'it said more than it may';
      this.kill();
      return;
    }
    const end = this.#received.indexOf('\n');
    if (end < 0) return;
    const line = this.#received.slice(0, end);
    this.#received = this.#received.slice(end + 1);
    this.#waiting?.(JSON.parse(line));
  }

  #end(message: string): void {
    this.#hasEnded = true;
    this.#ended.resolve({ type: 'died', message });
  }
}

/** Node's, for a process that may read its own program and its interpreter and nothing else. */
export function argumentsOf(language: SandboxLanguage, { timeoutMs, memoryBytes }: SandboxLimits): string[] {
  const { program, libraries, interpreter, ownBytes } = languages[language];
  const folder = new URL('./', import.meta.url);
  const readable = [folder, new URL('../../package.json', import.meta.url), ...libraries.map(packageFolder)];
  const settings: SandboxSettings = { timeoutMs, memoryBytes, interpreter: packageFolder(interpreter).href };
  return [
    ...['--permission', ...readable.map((url) => `--allow-fs-read=${fileURLToPath(url)}`)],
    ...['--disallow-code-generation-from-strings', '--no-addons', '--no-warnings', '--disable-proto=delete'],
    ...['--max-old-space-size=128', '--max-semi-space-size=8'],
    `--wasm-max-mem-pages=${Math.ceil((ownBytes + memoryBytes) / wasmPageBytes)}`,
    ...[fileURLToPath(new URL(program, folder)), JSON.stringify(settings)],
  ];
}

/** The folder of the package that a module is of. */
function packageFolder(module: string): URL {
  const url = import.meta.resolve(module);
  const name = module
    .split('/')
    .slice(0, module.startsWith('@') ? 2 : 1)
    .join('/');
  return new URL(url.slice(0, url.lastIndexOf(`/${name}/`) + name.length + 2));
}
