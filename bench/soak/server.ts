// The server that the soak asks, in a process of its own.
//
// Owns an engine on one checkpoint behind HTTP, and tells its parent, when asked, what it holds.

import process from 'node:process';
import { openEngine } from '@hadal/engine/engine';
import { openCheckpoint } from '@hadal/formats/checkpoint';
import type { BatchDetails } from '@hadal/protocol/batches';
import { openEmbeddedProvider } from '@hadal/server/embedded-provider';
import { createLogger } from '@hadal/server/logger';
import { startServer } from '@hadal/server/server';
import { openStore } from '@hadal/store/store';

const [path = ''] = process.argv.slice(2);
const checkpoint = await openCheckpoint(path);
const engine = await openEngine({ checkpoint });
const provider = await openEmbeddedProvider({ engine, checkpoint });
const store = await openStore<BatchDetails>({ path: ':memory:' });
const logger = createLogger('error');
const server = await startServer({ port: 0, host: '127.0.0.1', providers: [provider], store, logger });

process.on('message', async () => {
  process.send?.({ load: await engine.load(), residentBytes: process.memoryUsage().rss });
});
process.on('disconnect', () => process.exit());
process.send?.({ url: server.url });
