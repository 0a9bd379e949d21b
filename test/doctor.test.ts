// `hadal doctor`, the real command on this machine.

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { startFakeUpstream } from '@hadal/server/testing/fake-upstream';
import { hadal, startHadal } from './hadal.ts';
import { writeTinyCheckpoint } from './tiny-checkpoint.ts';

const directory = mkdtempSync(join(tmpdir(), 'hadal-'));
after(() => rmSync(directory, { recursive: true }));
const checkpoint = join(directory, 'tiny');
writeTinyCheckpoint(checkpoint);

interface Finding {
  readonly check: string;
  readonly status: string;
  readonly message: string;
  readonly remedy?: string;
}

async function findings(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const home = mkdtempSync(join(directory, 'home-'));
  const { code, stdout, stderr } = await hadal(['doctor', '--json', ...args], { env: { HADAL_HOME: home, ...env } });
  assert.equal(stderr, '');
  const { status, findings } = JSON.parse(stdout) as { status: string; findings: Finding[] };
  return { code, status, findings, of: (check: string) => findings.filter((one) => one.check === check) };
}

/** A port that somebody has. */
async function taken() {
  const server = createServer((socket) => socket.end('220 not HTTP\r\n'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as { port: number }).port, [Symbol.dispose]: () => void server.close() };
}

test('a machine on which tests run is found able to serve, everything is looked at, and nothing is left behind', async () => {
  const {
    code,
    status,
    findings: all,
    of,
  } = await findings(['--port', '0', '--model', checkpoint, '--disk-cache', '0']);
  assert.ok(status !== 'problem' && code === 0, JSON.stringify(all));
  const checks = ['node', 'compiler', 'processor', 'memory', 'model', 'configuration', 'disk', 'open files'];
  assert.deepEqual(
    all.map(({ check }) => check),
    [...checks, 'port (server)'],
  );
  assert.match(of('processor')[0]?.message ?? '', /kernels for \w+$/);
  assert.match(of('model')[0]?.message ?? '', /tiny needs [\d.]+ MB for 512 tokens of context/);
  assert.deepEqual(
    readdirSync(directory).flatMap((name) => (name.startsWith('home-') ? readdirSync(join(directory, name)) : [])),
    [],
  );
});

test('whatever would not work is told, all of it at once, each with what to do, and the exit status says so', async () => {
  using other = await taken();
  const file = join(directory, 'wrong.yaml');
  writeFileSync(file, 'server: { port: none }\nmodels: { a: { thinking: sometimes } }\n');
  const nowhere = join(directory, 'nowhere');
  const port = String(other.port);
  const {
    code,
    status,
    findings: all,
    of,
  } = await findings(['--config', file, '--port', port, '--model', nowhere], {
    CXX: 'no-such-compiler',
  });
  assert.deepEqual([code, status], [1, 'problem']);
  assert.deepEqual(
    of('configuration').map(({ message }) => message.replace(/: (expected|is).*/, '')),
    [`${file}:1: server.port`, `${file}:2: models.a.thinking`],
  );
  assert.match(of('port (server)')[0]?.message ?? '', /cannot be had \(EADDRINUSE\)/);
  assert.equal(of('compiler')[0]?.status, 'warning', 'kernels are built');
  assert.match(of('model')[0]?.message ?? '', /nowhere/);
  for (const { status, remedy } of all) assert.equal(remedy !== undefined, status !== 'ok');
});

test('addresses in the configuration are tried: that of metrics, and where traces are sent', async () => {
  using other = await taken();
  const file = join(directory, 'addresses.yaml');
  const metrics = `{ host: 127.0.0.1, port: ${other.port} }`;
  const gone = await taken();
  gone[Symbol.dispose]();
  writeFileSync(file, `server: { metrics: ${metrics}, traces: { endpoint: "http://127.0.0.1:${gone.port}" } }\n`);
  const { of } = await findings(['--config', file, '--port', '0', '--model', checkpoint]);
  assert.equal(of('port (metrics)')[0]?.status, 'problem');
  assert.match(of('traces')[0]?.message ?? '', /does not answer \(ECONNREFUSED\)/);
});

test('the servers of upstreams are asked with their keys, and each has a line', async () => {
  await using well = await startFakeUpstream(() => {}, 'vllm');
  await using loading = await startFakeUpstream(() => {});
  loading.health = 503;
  const gone = await taken();
  gone[Symbol.dispose]();
  const file = join(directory, 'upstreams.yaml');
  const at = (url: string, more = '') => `{ url: "${url}"${more} }`;
  writeFileSync(
    file,
    `upstreams:
  good: { model: m, servers: [${at(well.url, ', key_env: FAR_KEY')}, ${at(`http://127.0.0.1:${gone.port}/v1`)}] }
  misnamed: { tokenizer: ${checkpoint}, servers: [${at(well.url)}] }
  loading: { model: m, servers: [${at(loading.url)}] }
  keyless: { model: m, tokenizer: nowhere, servers: [${at(well.url, ', key_env: HADAL_TEST_NO_KEY')}] }
`,
  );
  const args = ['--config', file, '--port', '0', '--model', checkpoint];
  const { code, of } = await findings(args, { FAR_KEY: 'sk-far' });
  assert.equal(code, 1);
  const lines = (id: string) => of(`upstream ${id}`).map(({ status, message }) => `${status}: ${message}`);
  const expected: Readonly<Record<string, readonly RegExp[]>> = {
    good: [/^ok: http:\S+\/v1 answers 200 within \d+ ms and has m$/, /^warning: .* does not answer \(ECONNREFUSED\)$/],
    misnamed: [/^problem: .* answers 200 within \d+ ms and does not list misnamed, but m$/, /^ok: .*tiny counts what/],
    loading: [/^problem: .* answers 503 when asked for its models$/],
    keyless: [/^problem: .* HADAL_TEST_NO_KEY is empty$/, /^problem: tokenizer: nowhere: expected a checkpoint/],
  };
  for (const [id, patterns] of Object.entries(expected)) {
    const found = lines(id);
    assert.equal(found.length, patterns.length, id);
    for (const [i, pattern] of patterns.entries()) assert.match(found[i] ?? '', pattern);
  }
  // Twice each: for its models, and as one of vLLM's for its health.
  assert.deepEqual(well.looks.map(({ authorization = 'none' }) => authorization).sort(), [
    ...['Bearer sk-far', 'Bearer sk-far', 'none', 'none'],
  ]);
  assert.equal(well.requests.length, 0, 'no model was asked for a word');
});

test('a server of ours that has the port is known, and a person reads lines', async () => {
  await using server = startHadal([
    'serve',
    '--port',
    '0',
    '--threads',
    '1',
    '--disk-cache',
    '0',
    '--model',
    checkpoint,
  ]);
  const [, port = ''] = await server.untilOutput(/is ready at http:\S+:(\d+)\n/);
  const { code, stdout } = await hadal(['doctor', '--port', port, '--model', checkpoint, '--disk-cache', '0']);
  assert.equal(code, 0);
  assert.match(stdout, /^ok {7}node: Node 24\.\d+\.\d+, the pinned one$/m);
  assert.match(
    stdout,
    /^warning {2}port \(server\): a Hadal server has port \d+ on 127\.0\.0\.1 already\n {9}nothing, /m,
  );
  server.terminate();
  await server.ended;
});
