// Tries clients from the command line: `node test/clients/run.ts [names] [--url URL]`, all of them where none is named.
//
// With `--url`, such as http://127.0.0.1:10935, they talk to a server that runs already, with tools and all; otherwise to two of
// their own. `--install` only installs them.

import process from 'node:process';
import { parseArgs } from 'node:util';
import { PrepareError } from '../../scripts/prepare.mjs';
import { type Addresses, type Client, clients, play } from './clients.ts';
import { ensure, needs } from './install.ts';
import { startServers } from './servers.ts';

const table: Readonly<Record<string, Client>> = clients;

async function tryClients(names: readonly string[], addresses: Addresses): Promise<number> {
  let failed = 0;
  for (const name of names) {
    const client = table[name] as Client;
    const state = ensure(client.needs);
    process.stdout.write(`${name}\n`);
    if (state !== 'ready') {
      process.stdout.write(`  skipped: ${state.missing}\n`);
      continue;
    }
    const { code, output } = await play(client, addresses);
    process.stdout.write(output.replaceAll(/^(?=.)/gm, '  '));
    if (code !== 0) failed = 1;
  }
  return failed;
}

async function main(): Promise<number> {
  const options = { url: { type: 'string' }, install: { type: 'boolean' } } as const;
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const unknown = positionals.find((name) => !Object.hasOwn(table, name));
  if (unknown !== undefined) {
    throw new PrepareError(`${unknown}: expected one of ${Object.keys(table).join(', ')}`);
  }
  if (values.install) {
    const states = needs.map(ensure);
    for (const state of states) if (state !== 'ready') process.stderr.write(`${state.missing}\n`);
    return 0;
  }
  const names = positionals.length > 0 ? positionals : Object.keys(table);
  if (values.url !== undefined) {
    const url = values.url.replace(/\/+$/, '');
    return await tryClients(names, { answering: url, acting: url });
  }
  await using servers = await startServers();
  return await tryClients(names, servers);
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof PrepareError)) throw error;
  process.stderr.write(`hadal: ${error.message}\n`);
  process.exitCode = 1;
}
