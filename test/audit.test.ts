// The audit of dependencies, against registries that say one thing or another.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';

const root = join(import.meta.dirname, '..');

/** What the audit says, and its exit status, where the registry answers questions for weaknesses with `listener`. */
async function audit(listener: RequestListener) {
  const registry = createServer(async (request, response) => {
    if (request.url?.endsWith('/advisories/bulk')) return listener(request, response);
    response.writeHead(404, { 'content-type': 'application/json' }).end('{}');
  });
  registry.listen(0, '127.0.0.1');
  await once(registry, 'listening');
  const { port } = registry.address() as AddressInfo;
  // npm remembers what it was told of a weakness.
  const cache = mkdtempSync(join(tmpdir(), 'hadal-npm-'));
  const env = { ...process.env, npm_config_registry: `http://127.0.0.1:${port}`, npm_config_cache: cache };
  const child = spawn(process.execPath, [join(root, 'scripts/audit.mjs')], { cwd: root, env });
  const [said, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
  rmSync(cache, { recursive: true });
  registry.closeAllConnections();
  await registry[Symbol.asyncDispose]();
  return { code, said };
}

/** `severity` in a package that ships. */
function advisories(severity: string): RequestListener {
  const known = { id: 1, url: 'https://advisories.example/1', title: 'bad', severity, vulnerable_versions: '<99.0.0' };
  return (_request, response) => response.end(JSON.stringify({ fastify: [{ ...known, cwe: [], cvss: { score: 1 } }] }));
}

test('a weakness of high severity in a package that ships fails the audit, and is named', async () => {
  const { code, said } = await audit(advisories('high'));
  assert.match(said, /^audit: fastify: high: https:\/\/advisories\.example\/1$/m);
  assert.equal(code, 1);
});

test('a lesser one does not fail it, nor does a registry that knows of none', async () => {
  for (const listener of [advisories('moderate'), ((_request, response) => response.end('{}')) as RequestListener]) {
    assert.deepEqual(await audit(listener), { code: 0, said: 'audit: 0 of high or critical severity\n' });
  }
});

test('a registry that cannot be asked does not fail it, and it says so', async () => {
  const { code, said } = await audit((_request, response) => response.writeHead(405).end());
  assert.match(said, /^audit: skipped, the registry gives no answer \(405 Method Not Allowed/);
  assert.equal(code, 0);
});
