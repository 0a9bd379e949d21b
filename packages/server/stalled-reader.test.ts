import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { serveToy, type ToyServer } from './testing/serve-toy.ts';
import { calm, hello, until } from './testing/toy-requests.ts';

/** Asks for a stream over a connection that the test reads from as it likes. */
async function ask({ server }: ToyServer, maxTokens = 1_000_000): Promise<Socket> {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  const body = JSON.stringify({ ...hello, ...calm, stream: true, max_tokens: maxTokens });
  const head = ['POST /chat/completions HTTP/1.1', 'Host: a', 'Content-Type: application/json'];
  socket.write([...head, `Content-Length: ${body.length}`, '', body].join('\r\n'));
  socket.on('error', () => {});
  await once(socket, 'readable');
  return socket;
}

async function* endless() {
  for (;;) yield 'words and more words '.repeat(20);
}

test('a stream whose reader has stopped reading is ended, and its place is free again', async () => {
  await using toy = await serveToy({ script: endless, contextLength: 1e9, stallTimeoutMs: 300 });
  const socket = await ask(toy);
  assert.equal(toy.engine.stats.running, 1);
  for (let i = 0; toy.engine.stats.running > 0; i++) {
    assert.ok(i < 100, 'ended within ten seconds');
    await delay(100);
  }
  await until(() => toy.log.some(({ msg }) => msg === 'request'));
  const lines = toy.log.filter(({ msg }) => msg === 'the reader has stopped reading' || msg === 'request');
  assert.deepEqual(
    lines.map(({ msg, isComplete }) => ({ msg, isComplete })),
    [
      { msg: 'the reader has stopped reading', isComplete: undefined },
      { msg: 'request', isComplete: false },
    ],
  );
  assert.equal(lines[0]?.requestId, lines[1]?.requestId);
  socket.destroy();
});

test('one who reads slowly is not cut off', async () => {
  await using toy = await serveToy({ script: endless, contextLength: 1e9, stallTimeoutMs: 1_000 });
  const socket = await ask(toy);
  let bytes = 0;
  socket.on('data', ({ length }: Buffer) => {
    bytes += length;
  });
  for (let i = 0; i < 4; i++) {
    socket.pause();
    await delay(400);
    socket.resume();
    await delay(20);
  }
  assert.ok(bytes > 0);
  assert.equal(toy.engine.stats.running, 1, 'longer in all than a reader may stop');
  socket.destroy();
});

test('one for whom there is nothing to read yet is not cut off', async () => {
  const go = Promise.withResolvers<void>();
  await using toy = await serveToy({
    async *script() {
      await go.promise;
      yield 'at last';
    },
    stallTimeoutMs: 50,
  });
  const socket = await ask(toy, 1000);
  await delay(400);
  go.resolve();
  let text = '';
  while (!text.includes('[DONE]')) {
    text += socket.read()?.toString() ?? '';
    await delay(10);
  }
  assert.match(text, /"finish_reason":"stop"/);
  socket.destroy();
});
