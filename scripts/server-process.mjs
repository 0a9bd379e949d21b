// What the process of a server is told before it starts.
//
// Owns flags and variables that only a start can set. V8 would let garbage grow to several times what is alive, as memory that nobody
// else wants is the cheapest; beside an engine, or on a small machine, somebody wants it (bench/gateway.ts measures both). The image
// and the unit, which start a server without the launcher, repeat what stands here.

import { join } from 'node:path';
import { root } from './prepare.mjs';

/** A young generation of two halves of 16 MB; a collection of the old one whenever it is half as large again as what was alive. */
export const serverFlags = ['--max-semi-space-size=16', '--heap-growing-percent=50'];

/** Two pools of malloc for all threads, not one for each of them. */
export const serverMallocPools = '2';

/** Sources are stripped of their types and compiled once, not at every start: without the stripper in memory, too. */
export const serverEnvironment = {
  MALLOC_ARENA_MAX: serverMallocPools,
  NODE_COMPILE_CACHE: join(root, 'node_modules', '.cache', 'hadal'),
};
