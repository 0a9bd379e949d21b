#!/usr/bin/env node
// `hadal`, as npx finds it: makes the checkout ready and hands over to hadal.ts under the pinned Node.
//
// Plain JavaScript, because it runs under whatever Node the machine has.

import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { launch } from '../../scripts/launch.mjs';
import { PrepareError, prepare } from '../../scripts/prepare.mjs';

try {
  const program = fileURLToPath(new URL('hadal.ts', import.meta.url));
  process.exitCode = await launch(await prepare(), [program, ...process.argv.slice(2)]);
} catch (error) {
  if (!(error instanceof PrepareError)) throw error;
  process.stderr.write(`hadal: ${error.message}\n`);
  process.exitCode = 1;
}
