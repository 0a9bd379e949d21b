// What does Hadal cost in front of a fast upstream, beside LiteLLM's proxy and Portkey's gateway?
//
// One fake upstream that answers at once, and in front of it `hadal serve` (with its usage rows, in SQLite), LiteLLM's proxy and
// Portkey's gateway, each as it comes. In turns: requests a second at 32 connections, latency beside the upstream alone at one
// connection. Then 100,000 requests through each, or as many as it takes in three minutes, and the resident memory of all processes
// of each, at first and at the end. Then 1,000 streams of Hadal that say nothing, held for ten seconds.
//
//     python3 -m venv PEERS && PEERS/bin/pip install 'litellm[proxy]'
//     npm install --prefix PEERS @portkey-ai/gateway
//     node bench/gateway.ts PEERS
//
// Measures those that are there; without the directory, Hadal alone. Prints medians of the turns.

import { type ChildProcess, fork, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { serverEnvironment, serverFlags } from '../scripts/server-process.mjs';

const turns = 3;
const turnMs = 6000;
const connections = 32;
const longRun = 100_000;
const longRunMs = 180_000;
const idleStreams = 1000;

const [peers = ''] = process.argv.slice(2);
const liteLlm = join(peers, 'bin/litellm');
const portkey = join(peers, 'node_modules/@portkey-ai/gateway/build/start-server.js');
const root = join(import.meta.dirname, '..');
const directory = mkdtempSync(join(tmpdir(), 'hadal-gateway-'));
const children: ChildProcess[] = [];

interface Gateway {
  readonly name: string;
  readonly url: string;
  /** Sent with every request: a key where it is asked for, and where to pass the request on to where that is not configured. */
  readonly headers: Readonly<Record<string, string>>;
  readonly process: ChildProcess;
}

try {
  console.log(
    `${cpus()[0]?.model ?? 'unknown processor'}, ${availableParallelism()} cores, ${new Date().toISOString()}`,
  );
  const upstream = fork(join(import.meta.dirname, 'gateway/fake-upstream.ts'), [], { execPath: process.execPath });
  children.push(upstream);
  const [address] = (await once(upstream, 'message')) as [string];
  const gateways: Gateway[] = [
    await startHadal(address),
    ...(existsSync(liteLlm) ? [await startLiteLlm(address)] : []),
    ...(existsSync(portkey) ? [await startPortkey(address)] : []),
  ];
  const direct = { name: 'upstream alone', url: `${address}/v1`, headers: {}, process: upstream };
  const atStart = new Map(gateways.map(({ name, process: child }) => [name, megabytes(child.pid)]));
  const rates = new Map<string, number[]>();
  const latencies = new Map<string, number[]>();
  for (const gateway of gateways) await load(gateway, 4, 1500);
  for (let turn = 0; turn < turns; turn++) {
    for (const gateway of [direct, ...gateways]) {
      const { name } = gateway;
      const { count, elapsedMs } = await load(gateway, connections, turnMs);
      rates.set(name, [...(rates.get(name) ?? []), (count / elapsedMs) * 1000]);
      const alone = await load(gateway, 1, turnMs / 3);
      latencies.set(name, [...(latencies.get(name) ?? []), ...alone.latenciesMs]);
    }
  }
  const base = latencies.get(direct.name) ?? [];
  for (const { name } of [direct, ...gateways]) {
    const own = latencies.get(name) ?? [];
    const added = [0.5, 0.99].map((share) => (quantile(own, share) - quantile(base, share)).toFixed(2));
    const rate = Math.round(quantile(rates.get(name) ?? [], 0.5));
    console.log(`${name}: ${rate} requests/s; ${added[0]} ms added at the median, ${added[1]} at 99 %`);
  }
  for (const gateway of gateways) {
    const resident: number[] = [];
    const began = performance.now();
    let done = 0;
    while (done < longRun && performance.now() - began < longRunMs) {
      done += (await load(gateway, connections, turnMs)).count;
      resident.push(megabytes(gateway.process.pid));
    }
    const [first] = resident;
    const later = `${first} MB soon, ${resident.at(-1)} at the end, ${Math.max(...resident)} at most`;
    console.log(`${gateway.name} over ${done} requests: ${atStart.get(gateway.name)} MB before the first, ${later}`);
  }
  console.log(`upstream alone: ${megabytes(upstream.pid)} MB`);
  const [hadal] = gateways as [Gateway];
  const before = megabytes(hadal.process.pid);
  const held = await holdStreams(hadal, idleStreams);
  console.log(
    `${held} of ${idleStreams} idle streams held for ten seconds, ${megabytes(hadal.process.pid) - before} MB more`,
  );
} finally {
  for (const child of children) child.kill('SIGTERM');
  await delay(500);
  rmSync(directory, { recursive: true, force: true });
}

async function startHadal(upstream: string): Promise<Gateway> {
  const home = join(directory, 'home');
  mkdirSync(home);
  const lines = ['server: { local_model: false }', 'upstreams:', '  fake:', '    flavour: openai'];
  const servers = `    servers: [{ url: "${upstream}/v1", concurrency: 4096 }]`;
  writeFileSync(join(home, 'hadal.yaml'), [...lines, servers, ''].join('\n'));
  const program = join(root, 'apps/cli/hadal.ts');
  const env = { ...process.env, HADAL_HOME: home };
  const made = spawnSync(process.execPath, [program, 'keys', 'create', 'bench'], { env, encoding: 'utf8' });
  const key = made.stdout.trim();
  const args = [...serverFlags, program, 'serve', '--port', '0', '--disk-cache', '0'];
  const started = { ...serverEnvironment, ...env };
  const child = spawn(process.execPath, args, { env: started, stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  for await (const text of child.stdout) {
    const [, url] = /is ready at (http:\S+)/.exec(String(text)) ?? [];
    if (url !== undefined) return { name: 'Hadal', url: `${url}/v1`, headers: bearer(key), process: child };
  }
  throw new Error('hadal: expected it to be ready, it ended');
}

async function startLiteLlm(upstream: string): Promise<Gateway> {
  const port = freePort(0);
  const config = join(directory, 'litellm.yaml');
  const model = {
    model_name: 'fake',
    litellm_params: { model: 'openai/fake', api_base: `${upstream}/v1`, api_key: 'none' },
  };
  writeFileSync(config, JSON.stringify({ model_list: [model] }));
  const args = ['--config', config, '--port', String(port), '--host', '127.0.0.1'];
  const key = 'sk-bench';
  const env = { ...process.env, LITELLM_MASTER_KEY: key };
  const child = spawn(liteLlm, args, { env, stdio: ['ignore', 'ignore', 'ignore'] });
  return await ready({ name: 'LiteLLM', url: `http://127.0.0.1:${port}/v1`, headers: bearer(key), process: child });
}

/** It looks at no key and keeps no account; where to pass a request on to, the request says. */
async function startPortkey(upstream: string): Promise<Gateway> {
  const port = freePort(1);
  const child = spawn(process.execPath, [portkey, `--port=${port}`, '--headless'], { stdio: 'ignore' });
  const headers = { ...bearer('none'), 'x-portkey-provider': 'openai', 'x-portkey-custom-host': `${upstream}/v1` };
  return await ready({ name: 'Portkey', url: `http://127.0.0.1:${port}/v1`, headers, process: child });
}

/** As soon as it answers. */
async function ready(gateway: Gateway): Promise<Gateway> {
  children.push(gateway.process);
  for (let i = 0; i < 240; i++) {
    await delay(500);
    if ((await ask(gateway, new Agent(), {}).catch(() => 0)) === 200) return gateway;
  }
  throw new Error(`${gateway.name}: expected it to answer within two minutes`);
}

function freePort(index: number): number {
  return 20_000 + ((2 * process.pid + index) % 20_000);
}

function bearer(key: string): Record<string, string> {
  return { authorization: `Bearer ${key}` };
}

async function load(gateway: Omit<Gateway, 'process'>, parallel: number, forMs: number) {
  const agent = new Agent({ keepAlive: true, maxSockets: parallel });
  const began = performance.now();
  const latenciesMs: number[] = [];
  const work = async () => {
    while (performance.now() - began < forMs) {
      const asked = performance.now();
      const status = await ask(gateway, agent, {});
      if (status !== 200) throw new Error(`${gateway.name}: expected 200, got ${status}`);
      latenciesMs.push(performance.now() - asked);
    }
  };
  await Promise.all(Array.from({ length: parallel }, work));
  agent.destroy();
  return { count: latenciesMs.length, elapsedMs: performance.now() - began, latenciesMs };
}

async function ask(to: Omit<Gateway, 'process'>, agent: Agent, more: object): Promise<number> {
  const response = await send(to, agent, 'Hello', more);
  response.resume();
  await once(response, 'end');
  return response.statusCode ?? 0;
}

function send(
  { url, headers: own }: Omit<Gateway, 'process'>,
  agent: Agent,
  content: string,
  more: object,
): Promise<IncomingMessage> {
  const body = JSON.stringify({ model: 'fake', messages: [{ role: 'user', content }], ...more });
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    ...own,
  };
  return new Promise((resolve, reject) => {
    httpRequest(`${url}/chat/completions`, { method: 'POST', headers, agent }, resolve).on('error', reject).end(body);
  });
}

/** How many are still open after ten seconds. */
async function holdStreams(to: Gateway, count: number): Promise<number> {
  const agent = new Agent({ keepAlive: false, maxSockets: count });
  let open = 0;
  await Promise.all(
    Array.from({ length: count }, async () => {
      const response = await send(to, agent, 'wait', { stream: true });
      open++;
      response.resume().once('close', () => open--);
    }),
  );
  await delay(10_000);
  const held = open;
  agent.destroy();
  return held;
}

/** Resident, of a process and all that it started. */
function megabytes(pid: number | undefined): number {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc').filter((one) => /^\d+$/.test(one))) {
    const [, parent] = /\) \S (\d+)/.exec(read(`/proc/${name}/stat`)) ?? [];
    if (parent !== undefined) parents.set(Number(name), Number(parent));
  }
  const isOf = (id: number | undefined): boolean => id !== undefined && (id === pid || isOf(parents.get(id)));
  const kilobytes = [...parents.keys()]
    .filter(isOf)
    .map((id) => Number(/VmRSS:\s+(\d+)/.exec(read(`/proc/${id}/status`))?.[1] ?? 0));
  return Math.round(kilobytes.reduce((sum, size) => sum + size, 0) / 1000);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}
