// The real program, run as a person runs it.
//
// Owns the spawning of `hadal` and what came out of it. Knows no command. Every process it starts ends with its test.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running extends AsyncDisposable {
  /** Standard output so far, once it matches. Rejects when the program ends first. */
  untilOutput(pattern: RegExp): Promise<RegExpExecArray>;
  write(text: string): void;
  /** Stops reading what it prints, as `head` does. */
  closeOutput(): void;
  /** As the terminal does for Ctrl-C: to the launcher and the program alike. */
  interrupt(): void;
  /** As `kill` does: to the launcher alone. */
  terminate(): void;
  /** As `kill -HUP` does: to the launcher alone. */
  hangUp(): void;
  /** As `kill -9` does, to all of it: nothing is cleaned up. */
  kill(): void;
  readonly ended: Promise<Ended>;
}

export interface RunOptions {
  /** What is piped in; nothing where absent. */
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
}

const home = mkdtempSync(join(tmpdir(), 'hadal-home-'));
process.once('exit', () => rmSync(home, { recursive: true, force: true }));
const launcher = join(import.meta.dirname, '../apps/cli/bin.mjs');
const program = join(import.meta.dirname, '../apps/cli/hadal.ts');

/** Runs `hadal args...` to its end. Without the launcher, which would check the build every time. */
export async function hadal(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  await using running = start(program, args, { input: '', ...options }, 'ours');
  return await running.ended;
}

/** Starts `hadal args...` as npx does, through the launcher. Without `input`, it reads what `write` sends. */
export function startHadal(args: readonly string[], options: RunOptions = {}): Running {
  return start(launcher, args, options, 'its own');
}

/** A shell starts every program in a process group of its own, to which Ctrl-C goes. */
function start(
  script: string,
  args: readonly string[],
  { input, env }: RunOptions,
  group: 'its own' | 'ours',
): Running {
  const child = spawn(process.execPath, [script, ...args], {
    detached: group === 'its own',
    // What a person keeps at home is none of a test's business, nor the other way round.
    env: { ...process.env, NO_COLOR: '1', HADAL_HOME: home, DATABASE_URL: '', ...env },
  });
  const pid = child.pid as number;
  if (input !== undefined) child.stdin.end(input);
  let output = '';
  const listeners = new Set<() => void>();
  child.stdout.on('data', (data: Buffer) => {
    output += data.toString();
    for (const listener of listeners) listener();
  });
  const errors = text(child.stderr);
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', async (code) => {
      resolve({ code, stdout: output, stderr: await errors });
      for (const listener of listeners) listener();
    });
  });

  async function untilOutput(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(output);
      if (match) return match;
      if (child.exitCode !== null) throw new Error(`expected ${pattern}, got ${output}${await errors}`);
      await new Promise<void>((resolve) => {
        const listener = () => {
          listeners.delete(listener);
          resolve();
        };
        listeners.add(listener);
      });
    }
  }

  return {
    untilOutput,
    ended,
    closeOutput: () => child.stdout.destroy(),
    write: (line) => child.stdin.write(line),
    interrupt: () => process.kill(-pid, 'SIGINT'),
    terminate: () => child.kill('SIGTERM'),
    hangUp: () => child.kill('SIGHUP'),
    kill: () => process.kill(-pid, 'SIGKILL'),
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) process.kill(group === 'ours' ? pid : -pid, 'SIGKILL');
      await ended;
    },
  };
}
