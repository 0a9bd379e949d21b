// A server that is killed, in a process of its own: `node metered-server.ts STORE`.
//
// Owns a toy model behind HTTP whose answers cost something, over a store that outlives it. Tells its parent its address.

import process from 'node:process';
import type { BatchDetails } from '@hadal/protocol/batches';
import { openStore } from '@hadal/store/store';
import { noPrices } from '../prices.ts';
import { serveToy } from './serve-toy.ts';

const [path = ''] = process.argv.slice(2);
const store = await openStore<BatchDetails>({ path });
const models = new Map([['toy', { cacheHit: 1_000_000, cacheMiss: 1_000_000, output: 1_000_000, windows: [] }]]);
const { server } = await serveToy({ store, prices: { ...noPrices, models }, script: () => ['a few ', 'words'] });
process.on('disconnect', () => process.exit());
process.send?.(server.url);
