#!/usr/bin/env node
// `hadal`, as npx finds it: makes the checkout ready and hands over to hadal.ts under the pinned Node.
//
// Plain JavaScript, because it runs under whatever Node the machine has.

import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { launch } from '../../scripts/launch.mjs';
import { PrepareError, prepare } from '../../scripts/prepare.mjs';
import { serverEnvironment, serverFlags } from '../../scripts/server-process.mjs';

try {
  const program = fileURLToPath(new URL('hadal.ts', import.meta.url));
  const args = process.argv.slice(2);
  // The doctor says what is wrong with a machine on which kernels cannot be built.
  const node = await prepare(args[0] === 'doctor' ? 'as far as it goes' : 'whole');
  process.exitCode =
    args[0] === 'serve'
      ? await launch(node, [...serverFlags, program, ...args], serverEnvironment)
      : await launch(node, [program, ...args]);
} catch (error) {
  if (!(error instanceof PrepareError)) throw error;
  process.stderr.write(`hadal: ${error.message}\n`);
  process.exitCode = 1;
}
