import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { thinkEnd } from '@hadal/formats/special-tokens';
import { serveToy, type ToyServer } from './testing/serve-toy.ts';
import { hello, until } from './testing/toy-requests.ts';

// Bytes on a socket that no client of HTTP would send: each is answered or let go soon, and is no failure of the server.

let toy: ToyServer;
before(async () => {
  toy = await serveToy({ script: () => [`hm${thinkEnd}`, 'ok'], requestTimeoutMs: 1_000 });
});
after(async () => await toy[Symbol.asyncDispose]());

const body = JSON.stringify(hello);
const post = (headers: string, rest: string | Buffer) =>
  Buffer.concat([
    Buffer.from(`POST /chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n${headers}\r\n\r\n`),
    Buffer.from(rest),
  ]);
const get = (target: string, rest = 'Host: a\r\n\r\n') => `GET ${target} HTTP/1.1\r\n${rest}`;
const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
const chunked = 'Transfer-Encoding: chunked';

/** What is sent, and the status that it gets; 0 for none. */
const cases: Readonly<Record<string, readonly [sent: string | Buffer, status: number]>> = {
  'a whole request': [post(`Content-Length: ${body.length}`, body), 200],
  'a whole request in chunks': [post(chunked, `${chunk(body.slice(0, 9))}${chunk(body.slice(9))}0\r\n\r\n`), 200],
  'a body shorter than its length': [post('Content-Length: 500', body), 400],
  'a body longer than its length': [post('Content-Length: 5', body), 400],
  'a chunk cut short': [post(chunked, chunk(body).slice(0, 20)), 400],
  'no last chunk': [post(chunked, chunk(body)), 400],
  'a chunk without a size': [post(chunked, `zz\r\n${body}\r\n0\r\n\r\n`), 400],
  'a chunk of a size beyond numbers': [post(chunked, `${'f'.repeat(40)}\r\n${body}\r\n0\r\n\r\n`), 400],
  'a length and chunks': [post(`Content-Length: 5\r\n${chunked}`, '0\r\n\r\n'), 400],
  'two lengths': [post('Content-Length: 2\r\nContent-Length: 3', '{} '), 400],
  'a negative length': [post('Content-Length: -5', '{}'), 400],
  'a length beyond numbers': [post(`Content-Length: ${'9'.repeat(30)}`, '{}'), 400],
  'an encoding that nobody knows': [post('Transfer-Encoding: rot13', '{}'), 400],
  'a body in chunks beyond the limit': [post(chunked, `${chunk('['.repeat(2 ** 20)).repeat(50)}0\r\n\r\n`), 413],
  'a length beyond the limit': [post(`Content-Length: ${2 ** 30}`, ' '.repeat(2 ** 20)), 413],
  'a prompt of 40 megabytes': [largePost('a'.repeat(40 * 2 ** 20)), 400],
  'headers cut short': ['GET /healthz HTTP/1.1\r\nHost: a\r\n', 400],
  'no host': [get('/healthz', '\r\n'), 400],
  'a header of 100 kB': [get('/healthz', `Host: a\r\nX: ${'a'.repeat(100_000)}\r\n\r\n`), 400],
  'thousands of headers': [get('/healthz', `Host: a\r\n${'a: b\r\n'.repeat(3000)}\r\n`), 400],
  'a header with NUL': [get('/healthz', 'Host: a\r\nX: \0\r\n\r\n'), 400],
  'a header with a space in its name': [get('/healthz', 'Host: a\r\nX Y: a\r\n\r\n'), 400],
  'a folded header': [get('/healthz', 'Host: a\r\nX: a\r\n b\r\n\r\n'), 400],
  'a path of 100 kB': [get(`/${'a'.repeat(100_000)}`), 400],
  'a path in bytes that are no ASCII': [Buffer.from(get('/models/\xff\xfe'), 'latin1'), 400],
  'a path without a slash': [get('healthz'), 400],
  'no path': [get('?a=b'), 400],
  'a path that is a whole URL': [get('http://example.org/nowhere'), 404],
  'two slashes': [get('//healthz'), 404],
  'a version to come': ['GET /healthz HTTP/3.0\r\nHost: a\r\n\r\n', 400],
  'an old version': ['GET /healthz HTTP/1.0\r\n\r\n', 200],
  'lines without carriage return': ['GET /healthz HTTP/1.1\nHost: a\n\n', 400],
  'a method that asks for everything': ['OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n', 404],
  'a method that nobody serves': ['TRACE /healthz HTTP/1.1\r\nHost: a\r\n\r\n', 404],
  'a tunnel': ['CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n', 0],
  'the beginning of TLS': [Buffer.from('16030102000100', 'hex'), 400],
  'the beginning of HTTP/2': ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  'empty lines': ['\r\n'.repeat(10), 0],
  nothing: ['', 0],
};

function largePost(content: string): Buffer {
  const large = JSON.stringify({ model: 'toy', messages: [{ role: 'user', content }] });
  return post(`Content-Length: ${large.length}`, large);
}

function open() {
  return connect({ port: Number(new URL(toy.server.url).port), host: '127.0.0.1', allowHalfOpen: true });
}

/** All that comes until the other side ends. */
async function answerTo(sent: string | Buffer): Promise<string> {
  const socket = open().setEncoding('utf8');
  let text = '';
  socket.on('data', (piece) => {
    text += piece;
  });
  const over = Promise.withResolvers<void>();
  // The answer to a body that is refused may come before all of it is sent.
  for (const name of ['end', 'close', 'error']) socket.once(name, () => over.resolve());
  socket.end(sent);
  await Promise.race([over.promise, delay(10_000, undefined, { ref: false })]);
  socket.destroy();
  return text;
}

for (const [name, [sent, status]] of Object.entries(cases)) {
  test(`${name}: ${status === 0 ? 'no answer' : status}`, async () => {
    const begun = performance.now();
    const text = await answerTo(sent);
    assert.ok(performance.now() - begun < 9_000, 'an end');
    const [head = '', answer = ''] = text.split('\r\n\r\n');
    assert.equal(Number(head.split(' ')[1] ?? 0), status, text.slice(0, 300));
    // Node itself refuses a request that names no host.
    if (status < 400 || name === 'no host') return;
    const { error } = JSON.parse(answer);
    assert.equal(error.type, 'invalid_request_error');
    assert.ok(error.message.length > 10);
  });
}

test('a body that comes slowly is read, and one that never ends is not waited for', async () => {
  const whole = post(`Content-Length: ${body.length}`, body).toString();
  const slowly = async (text: string, pauseMs: number) => {
    const socket = open().setEncoding('utf8');
    const answer = socket.toArray();
    socket.on('error', () => {});
    for (let i = 0; i < text.length && !socket.readableEnded; i += 20) {
      socket.write(text.slice(i, i + 20));
      await delay(pauseMs);
    }
    socket.end();
    return (await answer).join('');
  };
  assert.match(await slowly(whole, 10), /^HTTP\/1\.1 200 /);
  assert.match(
    await slowly(whole.replace(/Content-Length: \d+/, 'Content-Length: 9999') + ' '.repeat(2000), 50),
    /^HTTP\/1\.1 408 /,
  );
});

test('a caller who resets the connection anywhere is no failure in the log, and others are answered', async () => {
  for (const [sent] of Object.values(cases)) {
    if (sent.length > 2 ** 20) continue;
    for (const share of [0.3, 0.9, 1]) {
      const socket = open();
      socket.on('error', () => {});
      socket.write(sent.slice(0, Math.ceil(sent.length * share)), () => setTimeout(() => socket.resetAndDestroy(), 2));
    }
  }
  await delay(300);
  await until(() => toy.engine.stats.running === 0);
  assert.equal((await fetch(`${toy.server.url}/healthz`)).status, 200);
  const failed = toy.log.filter(({ level, errorCode }) => Number(level) >= 50 || errorCode === 'internal');
  assert.deepEqual(failed.slice(0, 2), []);
});
