// How much memory this process may still take.
//
// Owns the reading of what the system says: memory that is free or can be freed at once, and the limits of the control groups
// that the process is in, files of the page cache not counted as taken. Knows nothing of what the memory is for.

import { existsSync, readFileSync } from 'node:fs';
import { freemem } from 'node:os';
import { dirname, join } from 'node:path';

/** Bytes. Where the system does not tell (macOS), what is free. */
export function availableMemory(read: (path: string) => string | undefined = readIfThere): number {
  const free = numberOf(read('/proc/meminfo'), 'MemAvailable');
  if (free === undefined) return freemem();
  return Math.max(0, Math.min(free, ...groupRooms(read)));
}

/** What each control group of the process, and each above it, leaves; of version 2, and of the memory controller of version 1. */
function groupRooms(read: (path: string) => string | undefined): number[] {
  const lines = read('/proc/self/cgroup')?.split('\n') ?? [];
  return lines.flatMap((line) => {
    const [, controllers, path] = line.split(':');
    if (path === undefined) return [];
    if (controllers === '') {
      return ancestors(path).map((group) => {
        const at = join('/sys/fs/cgroup', group);
        return room(read(join(at, 'memory.max')), read(join(at, 'memory.current')), read(join(at, 'memory.stat')));
      });
    }
    if (!controllers?.split(',').includes('memory')) return [];
    return ancestors(path).map((group) => {
      const at = join('/sys/fs/cgroup/memory', group);
      const used = read(join(at, 'memory.usage_in_bytes'));
      return room(read(join(at, 'memory.limit_in_bytes')), used, read(join(at, 'memory.stat')));
    });
  });
}

/** A group without a limit leaves everything; `max` is no number. */
function room(limit: string | undefined, used: string | undefined, stat: string | undefined): number {
  const [most, taken] = [Number.parseInt(limit ?? '', 10), Number.parseInt(used ?? '', 10)];
  if (Number.isNaN(most) || Number.isNaN(taken)) return Number.POSITIVE_INFINITY;
  // Version 1 counts a group's own under the plain name and its descendants' under the other.
  const cached = numberOf(stat, 'total_inactive_file') ?? numberOf(stat, 'inactive_file') ?? 0;
  return most - taken + cached;
}

/** `/a/b`, `/a`, `/`. */
function ancestors(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [path] : [path, ...ancestors(parent)];
}

/** The number after `key` in lines of `key value` or `key: value kB`; in bytes where it says kB. */
function numberOf(text: string | undefined, key: string): number | undefined {
  for (const line of text?.split('\n') ?? []) {
    const [name, value, unit] = line.split(/:?\s+/);
    if (name === key) return Number(value) * (unit === 'kB' ? 1024 : 1);
  }
  return undefined;
}

function readIfThere(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}
