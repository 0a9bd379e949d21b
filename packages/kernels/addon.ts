// The native addon: what it exports, and loading it.
//
// Owns the check that build/hadal.node was built from this checkout's operations.ts; knows nothing of what kernels do.

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Elements } from './memory.ts';
import { operations } from './operations.ts';

/** The native half of a device; opaque. */
export type NativeDevice = { readonly __nativeDevice: never };

export interface Addon {
  supportedIsas(): string[];
  signatures(): string[];
  open(isa: string, threads: number): NativeDevice;
  close(device: NativeDevice): void;
  /** `alone`: 1 to keep to the calling thread. */
  execute(device: NativeDevice, commands: Float64Array, length: number, alone: number): void;
  allocate(device: NativeDevice, bytes: number): number;
  mapFile(device: NativeDevice, path: string, begin: number, end: number): number;
  prefetch(device: NativeDevice, handle: number, offset: number, bytes: number): void;
  release(device: NativeDevice, handle: number): void;
  size(device: NativeDevice, handle: number): number;
  read(device: NativeDevice, handle: number, offset: number, into: Elements): void;
  write(device: NativeDevice, handle: number, offset: number, from: Elements): void;
  bytesInUse(device: NativeDevice): number;
  buffers(device: NativeDevice): number;
}

/** Loads build/hadal.node. Throws an Error of one line when it is missing or older than operations.ts. */
export function loadAddon(): Addon {
  const path = join(import.meta.dirname, 'build', 'hadal.node');
  const hint = 'run: npm run build';
  if (!existsSync(path)) throw new Error(`the native kernels are not built; ${hint}`);
  const addon: Addon = createRequire(import.meta.url)(path);
  const expected = Object.entries(operations).map(([name, signature]) => `${name} ${signature}`);
  const built = addon.signatures();
  const differing = Array.from({ length: Math.max(expected.length, built.length) }, (_, i) => i).find(
    (i) => expected[i] !== built[i],
  );
  if (differing !== undefined) {
    const found = built[differing] ?? 'nothing';
    throw new Error(
      `the native kernels are out of date (${expected[differing] ?? 'nothing'}: built ${found}); ${hint}`,
    );
  }
  return addon;
}
