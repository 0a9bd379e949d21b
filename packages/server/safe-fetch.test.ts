import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { isPublicAddress, SafeFetchError, type SafeFetchOptions, safeFetch } from './safe-fetch.ts';

const bounds = { maxBytes: 1000, timeoutMs: 5_000 };
/** Stands for an address of the internet: the machine's second loopback address, which no name of the system has. */
const outside = '127.0.0.2';
const inside = '127.0.0.1';

async function listen(host: string, listener: RequestListener) {
  const server: Server = createServer(listener);
  server.listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** Names by their addresses, one after another; only `outside` may be connected to. */
function names(table: Readonly<Record<string, readonly (readonly string[])[]>>): Partial<SafeFetchOptions> & {
  readonly asked: string[];
} {
  const asked: string[] = [];
  const counts = new Map<string, number>();
  return {
    asked,
    isAllowed: (address) => address === outside,
    async resolve(hostname) {
      asked.push(hostname);
      const count = counts.get(hostname) ?? 0;
      counts.set(hostname, count + 1);
      const answers = table[hostname] ?? [];
      return (answers[Math.min(count, answers.length - 1)] ?? []).map((address) => ({ address, family: 4 }));
    },
  };
}

const refused = (pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof SafeFetchError, String(error));
  assert.match(error.message, pattern);
  return true;
};

test('only addresses of the public internet are public', () => {
  const publicOnes = ['1.1.1.1', '8.8.8.8', '93.184.216.34', '2606:4700::1111', '::ffff:8.8.8.8', '64:ff9b::808:808'];
  for (const address of publicOnes) assert.ok(isPublicAddress(address), address);
  for (const address of [
    ...['127.0.0.1', '127.1.2.3', '0.0.0.0', '0.1.2.3', '10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1'],
    ...['169.254.169.254', '100.64.0.1', '100.127.255.254', '192.0.0.1', '192.0.2.1', '198.18.0.1', '198.51.100.1'],
    ...['203.0.113.1', '224.0.0.1', '239.255.255.255', '240.0.0.1', '255.255.255.255', '192.88.99.1'],
    ...['::', '::1', '::ffff:127.0.0.1', '::ffff:10.0.0.1', '::ffff:a9fe:a9fe', '::127.0.0.1', '::ffff:0:127.0.0.1'],
    ...['fe80::1', 'fec0::1', 'fc00::1', 'fd12:3456::1', 'ff02::1', '2001:db8::1', '2001::1', '100::1', 'fe80::1%eth0'],
    ...['64:ff9b::7f00:1', '64:ff9b:1::1', '2002:7f00:1::', '2002:c0a8:101::', 'localhost', ''],
  ]) {
    assert.ok(!isPublicAddress(address), address);
  }
});

test('whatever form an address is written in, this machine and its network cannot be reached', async () => {
  let count = 0;
  await using server = await listen(inside, (_request, response) => {
    count++;
    response.end('secret');
  });
  const { port } = server;
  for (const host of [
    ...['127.0.0.1', '2130706433', '0x7f000001', '0x7f.1', '0177.0.0.1', '127.1', '0', '127.0.0.1.', '0300.0250.1.1'],
    ...['[::1]', '[::]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[0:0:0:0:0:ffff:7f00:0001]', '[64:ff9b::7f00:1]'],
    ...['localhost', 'LOCALHOST', '１２７.0.0.1', '169.254.169.254'],
  ]) {
    await assert.rejects(safeFetch(`http://${host}:${port}/`, bounds), refused(/is not on the public internet/), host);
  }
  assert.equal(count, 0);
});

test('what is no page of the web is refused', async () => {
  for (const url of ['file:///etc/passwd', 'ftp://example.org/', 'data:text/plain,a', 'gopher://example.org']) {
    await assert.rejects(safeFetch(url, bounds), refused(/expected a URL of http or https, got/), url);
  }
  await assert.rejects(safeFetch('http://', bounds), refused(/cannot be understood/));
  await assert.rejects(safeFetch('http://user:key@example.org/', bounds), refused(/without a user name/));
});

test('a name is looked up once, and the connection goes to the address that was checked', async () => {
  await using server = await listen(outside, ({ headers }, response) => response.end(`for ${headers.host}`));
  const { port } = server;
  // A second look would find another address: DNS rebinding.
  const rebinding = names({ 'example.test': [[outside], [inside]] });
  const { status, body, url } = await safeFetch(`http://example.test:${port}/a`, { ...bounds, ...rebinding });
  assert.deepEqual([status, body.toString()], [200, `for example.test:${port}`]);
  assert.equal(url, `http://example.test:${port}/a`);
  assert.deepEqual(rebinding.asked, ['example.test']);
  const mixed = names({ 'example.test': [[outside, inside]] });
  const asked = safeFetch(`http://example.test:${port}/`, { ...bounds, ...mixed });
  await assert.rejects(asked, refused(/is not on the public internet/), 'one address of several is enough');
  await assert.rejects(safeFetch('http://gone.test/', { ...bounds, ...names({}) }), refused(/has no address/));
});

test('every redirect is checked like the first URL, and there are five of them at most', async () => {
  let reached = 0;
  await using secret = await listen(inside, (_request, response) => {
    reached++;
    response.end('secret');
  });
  await using server = await listen(outside, ({ url = '' }, response) => {
    const [, left = '', to] = /^\/(\d+)(.*)$/.exec(url) ?? [];
    if (left === '0') response.end('there');
    else response.writeHead(302, { location: to ? decodeURIComponent(to.slice(1)) : `/${Number(left) - 1}` }).end();
  });
  const table = names({ 'a.test': [[outside]], 'rebound.test': [[outside], [inside]], 'inside.test': [[inside]] });
  const start = `http://a.test:${server.port}`;
  const options = { ...bounds, ...table };
  assert.equal((await safeFetch(`${start}/5`, options)).body.toString(), 'there');
  await assert.rejects(safeFetch(`${start}/6`, options), refused(/more than 5 redirects/));
  for (const target of [
    `http://127.0.0.1:${secret.port}/`,
    `http://2130706433:${secret.port}/`,
    `http://[::ffff:127.0.0.1]:${secret.port}/`,
    `//inside.test:${secret.port}/`,
  ]) {
    const asked = safeFetch(`${start}/1/${encodeURIComponent(target)}`, options);
    await assert.rejects(asked, refused(/is not on the public internet/), target);
  }
  // The same name again, whose address has changed since.
  const again = encodeURIComponent(`http://rebound.test:${secret.port}/`);
  const asked = safeFetch(`http://rebound.test:${server.port}/1/${again}`, options);
  await assert.rejects(asked, refused(/is not on the public internet/));
  await assert.rejects(
    safeFetch(`${start}/1/${encodeURIComponent('file:///etc/passwd')}`, options),
    refused(/got file/),
  );
  const posted = safeFetch(`${start}/1`, { ...options, method: 'POST', body: 'x' });
  await assert.rejects(posted, refused(/redirects POST, which is not followed/));
  assert.equal(reached, 0);
});

test('size and time are bounded, whatever the other side says of them', async () => {
  await using server = await listen(outside, ({ url }, response) => {
    if (url === '/announced') response.writeHead(200, { 'content-length': 2000 }).write('a');
    else if (url === '/endless') setInterval(() => response.write('a'.repeat(100)), 1).unref();
    else if (url === '/exact') response.end('a'.repeat(1000));
    else if (url === '/slow') response.write('a');
  });
  const at = (path: string, timeoutMs = 5_000) =>
    safeFetch(`http://a.test:${server.port}${path}`, { ...bounds, timeoutMs, ...names({ 'a.test': [[outside]] }) });
  assert.equal((await at('/exact')).body.length, 1000);
  await assert.rejects(at('/announced'), refused(/larger than 1000 bytes/));
  await assert.rejects(at('/endless'), refused(/larger than 1000 bytes/));
  for (const path of ['/slow', '/silent']) {
    await assert.rejects(at(path, 100), refused(/no answer within 0.1 seconds/), path);
  }
  const resolve = () => new Promise<never>(() => {});
  await assert.rejects(safeFetch('http://a.test/', { ...bounds, timeoutMs: 50, resolve }), refused(/no answer within/));
  const controller = new AbortController();
  const left = safeFetch('http://a.test/', { ...bounds, resolve, signal: controller.signal });
  controller.abort(new Error('left'));
  await assert.rejects(left, /^Error: left$/);
});

test('what nobody answers says why and nothing else', async () => {
  const server = await listen(outside, () => {});
  await server[Symbol.asyncDispose]();
  const asked = safeFetch(`http://a.test:${server.port}/x?key=1`, { ...bounds, ...names({ 'a.test': [[outside]] }) });
  await assert.rejects(asked, refused(/^http:\/\/a\.test:\d+: cannot be fetched \(ECONNREFUSED\)$/));
});
