// Installs what `upstreams.test.ts` does not by itself, and runs it: `node test/upstreams/run.ts`.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import { install } from './install.ts';

for (const name of ['llama-server', 'transformers'] as const) {
  process.stderr.write(`Installing ${name} (once)...\n`);
  const state = install(name);
  if (state !== 'ready') process.stderr.write(`${name}: ${state.missing}\n`);
}
const file = join(import.meta.dirname, 'upstreams.test.ts');
process.exitCode = spawnSync(process.execPath, ['--test', file], { stdio: 'inherit' }).status ?? 1;
