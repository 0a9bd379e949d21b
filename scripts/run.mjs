// The npm scripts: `node scripts/run.mjs start | test | check | bench | build | dev [arguments]`.
//
// Owns which program each name stands for. Knows nothing about installing or building (prepare.mjs) nor about what the
// programs do. Every one of them works alone on a fresh clone.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { launch } from './launch.mjs';
import { PrepareError, prepare, root } from './prepare.mjs';
import { serverEnvironment, serverFlags } from './server-process.mjs';

const cli = 'apps/cli/hadal.ts';
const clients = join('test', 'clients');

/** @type {Record<string, (node: string, args: string[]) => Promise<number>>} */
const targets = {
  start: (node, args) => launch(node, [...serverFlags, cli, 'serve', ...args], serverEnvironment),
  dev: (node, args) => launch(node, ['--watch', '--watch-preserve-output', cli, 'serve', ...args]),
  build: async () => 0, // Preparing, which comes before every target, is the build.
  check,
  test,
  bench,
};

/** Format, lint, import order, types. */
async function check(/** @type {string} */ node) {
  const colors = process.stdout.isTTY ? [] : ['--colors=off'];
  const biome = await launch(node, ['node_modules/@biomejs/biome/bin/biome', 'ci', '--log-level=warn', ...colors]);
  const types = await launch(node, ['node_modules/typescript/bin/tsc', '--noEmit']);
  return biome || types;
}

/** The check, then every test file, or those whose path contains one of the arguments. */
async function test(/** @type {string} */ node, /** @type {string[]} */ args) {
  const files = ['apps', 'packages', 'scripts', 'test']
    .flatMap((folder) => filesUnder(folder, '.test.ts'))
    .filter((file) => args.length === 0 || args.some((part) => file.includes(part)));
  if (files.length === 0) throw new PrepareError(`no test file's path contains ${args.join(' or ')}`);
  const checked = args.length === 0 ? await check(node) : 0;
  // Installing them may take longer than a test may. If it fails, the test says so.
  if (files.some((file) => file.startsWith(clients))) await launch(node, [join(clients, 'run.ts'), '--install']);
  const options = ['--test-concurrency=2', '--test-timeout=300000', '--test-reporter=./scripts/reporter.mjs'];
  const tested = await launch(node, ['--test', ...options, ...files]);
  return checked || tested;
}

/** Every question in bench/, or the named ones, one after another: two at once would measure each other. */
async function bench(/** @type {string} */ node, /** @type {string[]} */ args) {
  const known = readdirSync('bench').filter((file) => /^[a-z].*(?<!\.test)\.ts$/.test(file));
  const questions = known.map((file) => file.slice(0, -'.ts'.length));
  const unknown = args.find((name) => !questions.includes(name));
  if (unknown !== undefined) throw new PrepareError(`${unknown}: expected one of ${questions.join(', ')}`);
  let failed = 0;
  for (const name of args.length > 0 ? args : questions) {
    failed = (await launch(node, [join('bench', `${name}.ts`)])) || failed;
  }
  return failed;
}

/** @returns {string[]} */
function filesUnder(/** @type {string} */ folder, /** @type {string} */ ending) {
  if (!existsSync(folder)) return [];
  /** @type {string[]} */
  const found = [];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.name.startsWith('.') || entry.name === 'node_modules') continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) found.push(...filesUnder(path, ending));
    else if (entry.name.endsWith(ending)) found.push(path);
  }
  return found.sort();
}

const [name = '', ...args] = process.argv.slice(2);
try {
  const target = Object.hasOwn(targets, name) ? targets[name] : undefined;
  if (target === undefined) throw new PrepareError(`expected one of ${Object.keys(targets).join(', ')}, got '${name}'`);
  process.chdir(root);
  process.exitCode = await target(await prepare(), args);
} catch (error) {
  if (!(error instanceof PrepareError)) throw error;
  process.stderr.write(`hadal: ${error.message}\n`);
  process.exitCode = 1;
}
