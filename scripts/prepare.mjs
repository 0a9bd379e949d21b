// Makes a checkout runnable: packages installed, the pinned Node present, the addon built.
//
// Owns nothing after it returns the path of the pinned Node. Plain JavaScript without dependencies, because it runs
// before anything is installed and under whatever Node the machine has. Invariant: when nothing is missing it only
// reads files and starts one short process, so every command can afford to call it.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

const oldestNode = 20;

/** A failure whose message is all a person needs; whoever started us prints it without a stack trace. */
export class PrepareError extends Error {}

/** There is no way to where packages come from. */
export class OfflineError extends PrepareError {}

/**
 * Installs and builds what is missing or stale, says so on stderr, and returns the path of the pinned Node.
 * @param {'whole' | 'as far as it goes'} extent whether kernels that cannot be built are a failure
 */
export async function prepare(extent = 'whole') {
  requireNode();
  ensurePackages('.', 'Installing packages (once)...');
  const node = pinnedNode();
  if (!existsSync(node)) installNode(node);
  try {
    await buildAddon(node);
  } catch (error) {
    if (extent === 'whole' || !(error instanceof PrepareError)) throw error;
    say(error.message);
  }
  return node;
}

function requireNode() {
  const major = Number.parseInt(process.versions.node, 10);
  if (major < oldestNode) {
    throw new PrepareError(`Node.js ${oldestNode} or later is needed, this is ${process.version}: https://nodejs.org`);
  }
  if (process.platform === 'win32') {
    throw new PrepareError('Linux or macOS is needed; on Windows, run it inside WSL.');
  }
}

/**
 * Installs what the lock file of `folder` (from the root) lists, unless it is there; says `announcement` first.
 * @param {string} folder
 * @param {string} announcement
 * @param {string[]} command
 */
export function ensurePackages(folder, announcement, command = ['ci']) {
  if (hasPackages(folder)) return;
  say(announcement);
  installPackages(folder, command);
}

/**
 * Compares what is installed with the lock file by content: time stamps say nothing after a clone or a checkout.
 * Optional packages are the binaries of other platforms, and may be absent.
 */
function hasPackages(/** @type {string} */ folder) {
  const installed = readJson(join(folder, 'node_modules/.package-lock.json'))?.packages;
  if (installed === undefined) return false;
  for (const [path, wanted] of Object.entries(readJson(join(folder, 'package-lock.json')).packages)) {
    if (!path.startsWith('node_modules/')) continue;
    const found = installed[path];
    if (found === undefined ? !wanted.optional : found.integrity !== wanted.integrity) return false;
  }
  return true;
}

function installPackages(/** @type {string} */ folder, /** @type {string[]} */ command) {
  const { status, stderr } = npm(
    [
      ...command,
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
      '--fetch-retry-mintimeout=1000',
      '--fetch-retry-maxtimeout=4000',
    ],
    join(root, folder),
  );
  if (status !== 0) throw installFailure(`npm ${command[0]}`, stderr);
}

function pinnedNode() {
  return join(root, 'node_modules', 'node', 'bin', 'node');
}

/** The `node` package fetches its binary in an install script, which npm may have been told to skip. */
function installNode(/** @type {string} */ node) {
  const folder = join(root, 'node_modules', 'node');
  const { version } = /** @type {{ version: string }} */ (readJson('node_modules/node/package.json'));
  say(`Installing Node ${version} (once)...`);
  const { status, stderr } = run(process.execPath, ['installArchSpecificPackage.js'], folder);
  if (status !== 0 || !existsSync(node)) throw installFailure(`installing Node ${version}`, stderr);
  const { stdout } = spawnSync(node, ['--version'], { encoding: 'utf8' });
  if (stdout?.trim() !== `v${version}`) {
    throw new PrepareError(`${node}: expected Node v${version}, but it does not start (is this a musl system?)`);
  }
}

/** The build script decides what is stale: it knows what the addon is made of. */
async function buildAddon(/** @type {string} */ node) {
  const script = join(root, 'packages', 'kernels', 'build.ts');
  const child = spawn(node, [script], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  const closed = once(child, 'close');
  const errors = text(child.stderr);
  for await (const line of createInterface(child.stdout)) showProgress(line);
  const [status] = await closed;
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  if (status !== 0) throw new PrepareError((await errors).trim());
}

/** On a terminal, what was compiled is written over by what is compiled next; anything else stays. */
function showProgress(/** @type {string} */ line) {
  const passes = /^(compiled|linked) /.test(line);
  process.stderr.write(process.stderr.isTTY ? `\r\u001b[K${line}${passes ? '' : '\n'}` : `${line}\n`);
}

function installFailure(/** @type {string} */ what, /** @type {string} */ stderr) {
  const offline = /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED)\b/.exec(stderr);
  if (offline) {
    return new OfflineError(
      `${what}: the package registry cannot be reached (${offline[0]}). The first run needs the network; later ones do not.`,
    );
  }
  return new PrepareError(`${what} failed:\n${stderr.trim()}`);
}

function npm(/** @type {string[]} */ args, /** @type {string} */ cwd) {
  // Under `npm start` this names the very npm that started us; otherwise the one on the PATH.
  const cli = process.env.npm_execpath;
  if (cli !== undefined && basename(cli) === 'npm-cli.js') return run(process.execPath, [cli, ...args], cwd);
  return run('npm', args, cwd);
}

/** Runs quietly: standard output is dropped, standard error kept for the message if it fails. */
function run(/** @type {string} */ command, /** @type {string[]} */ args, /** @type {string} */ cwd) {
  const { status, stderr, error } = spawnSync(command, args, {
    cwd,
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  });
  return { status, stderr: error === undefined ? stderr : `${command}: ${error.message}` };
}

function readJson(/** @type {string} */ path) {
  try {
    return JSON.parse(readFileSync(join(root, path), 'utf8'));
  } catch {
    return undefined; // Absent or cut short by an interrupted install: either way, not installed.
  }
}

function say(/** @type {string} */ line) {
  process.stderr.write(`${line}\n`);
}
