// What a machine looks like to a server that would run on it.
//
// Owns how each thing is looked at: tried where that says more than reading (a directory is written to, a port is listened on, an
// address is called). Judges nothing; whatever goes wrong here is something that was seen.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import type { DiskSeen, Tried } from './findings.ts';

/** First line of what it says of itself. */
export function compilerVersion(command: string): string | undefined {
  const { status, stdout } = spawnSync(command, ['--version'], { encoding: 'utf8' });
  return status === 0 ? stdout.split('\n', 1)[0] : undefined;
}

/** Of a directory that may not have been made yet: then it is the nearest one above it that counts. */
export function seeDisk(path: string, cacheBytes: number): DiskSeen {
  let there = path;
  while (!existsSync(there) && dirname(there) !== there) there = dirname(there);
  const writable = attempt(() => {
    const probe = join(there, `.hadal-doctor-${process.pid}`);
    writeFileSync(probe, '');
    rmSync(probe);
  });
  const { bavail, bsize } = statfsSync(there);
  return { path, writable, freeBytes: bavail * bsize, cacheBytes };
}

/** Whether this process may listen there. */
export function tryListening(host: string, port: number): Promise<Tried> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) =>
      resolve({ type: 'failed', reason: error.code ?? error.message }),
    );
    server.listen({ host, port }, () => server.close(() => resolve({ type: 'done' })));
  });
}

/** Whether anything answers HTTP there, whatever it says. */
export async function tryCalling(url: string, timeoutMs = 3_000): Promise<Tried> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
    await response.body?.cancel();
    return { type: 'done' };
  } catch (error) {
    const { cause, name, message } = error as Error;
    const { code } = (cause ?? {}) as NodeJS.ErrnoException;
    return {
      type: 'failed',
      reason: name === 'TimeoutError' ? `nothing within ${timeoutMs / 1000} s` : (code ?? message),
    };
  }
}

/** Whether it is a server of ours that has a port. */
export async function isOurs(host: string, port: number): Promise<boolean> {
  const reachable = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  try {
    const url = `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}/openapi.json`;
    const response = await fetch(url, { signal: AbortSignal.timeout(3_000) });
    const { info } = (await response.json()) as { info?: { title?: string } };
    return info?.title === 'Hadal';
  } catch {
    return false;
  }
}

/** Open files that a process may have; undefined where the system does not tell. */
export function openFilesLimit(limits = readIfThere('/proc/self/limits')): number | undefined {
  const [, soft] = /^Max open files\s+(\S+)/m.exec(limits ?? '') ?? [];
  if (soft === undefined) return undefined;
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
}

/** Throws nothing. */
export function attempt(work: () => void): Tried {
  try {
    work();
    return { type: 'done' };
  } catch (error) {
    return { type: 'failed', reason: error instanceof Error ? error.message : String(error) };
  }
}

function readIfThere(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}
