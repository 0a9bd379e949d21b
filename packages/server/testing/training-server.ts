// A server that is killed while it trains, in a process of its own: `node training-server.ts STORE DIRECTORY`.
//
// Owns a toy model and a toy trainer behind HTTP, over a store and a directory that outlive it. Tells its parent its address.

import process from 'node:process';
import type { BatchDetails } from '@hadal/protocol/batches';
import { openStore } from '@hadal/store/store';
import { serveToy } from './serve-toy.ts';
import { openToyDesk } from './toy-desk.ts';

const [path = '', directory = ''] = process.argv.slice(2);
const store = await openStore<BatchDetails>({ path });
const training = { desk: openToyDesk(), directory, pollMs: 50, restartDelaysMs: [1, 1, 1], stopMs: 5000 };
const { server } = await serveToy({ store, training, script: () => ['ok'] });
process.on('disconnect', () => process.exit());
process.send?.(server.url);
