import assert from 'node:assert/strict';
import { Agent, request as httpRequest } from 'node:http';
import { test } from 'node:test';
import { APIConnectionError, APIError } from 'openai';
import { ListenError } from './listen-error.ts';
import { startServer } from './server.ts';
import { serveToy } from './testing/serve-toy.ts';
import { calm, clientOf, hello, post, until } from './testing/toy-requests.ts';

test('a port that is taken is said in one line that names the way out', async () => {
  await using toy = await serveToy({ script: () => ['ok'] });
  const port = Number(new URL(toy.server.url).port);
  await assert.rejects(serveToy({ script: () => ['ok'], port }), (error) => {
    assert.ok(error instanceof ListenError);
    assert.equal(
      error.message,
      `port ${port} on 127.0.0.1 is already in use; choose another with PORT, for example PORT=${port + 1}`,
    );
    return true;
  });
});

test('two models of one name are a mistake of whoever starts the server', async () => {
  const provider = { model: { id: 'twin' } } as never;
  const options = { host: '127.0.0.1', port: 0, logger: undefined as never, store: undefined as never };
  await assert.rejects(startServer({ ...options, providers: [provider, provider] }), /got two for twin/);
  await assert.rejects(startServer({ ...options, providers: [] }), /expected at least one/);
});

test('closing lets answers end, takes no new ones and does not wait for idle connections', async () => {
  const gate = Promise.withResolvers<void>();
  await using toy = await serveToy({
    async *script() {
      yield 'first ';
      await gate.promise;
      yield 'last';
    },
  });
  const client = clientOf(toy);
  await client.models.list();
  const stream = await client.chat.completions.create({ ...hello, ...calm, stream: true });
  const chunks = stream[Symbol.asyncIterator]();
  await chunks.next();
  const closed = toy.server.close(60_000);
  await assert.rejects(clientOf(toy).models.list(), (error) => {
    assert.ok(error instanceof APIConnectionError || (error instanceof APIError && error.status === 503));
    return true;
  });
  gate.resolve();
  let text = '';
  for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) {
    text += next.value.choices[0]?.delta.content ?? '';
  }
  assert.equal(text, 'first last');
  await closed;
});

test('closing aborts answers that outlast the grace, and their streams still end properly', async () => {
  await using toy = await serveToy({
    async *script() {
      yield 'never';
      await new Promise(() => {});
    },
  });
  const response = await post(toy.server.url, { ...hello, ...calm, stream: true });
  const text = response.text();
  await until(() => toy.engine.stats.generatedTokens === 5);
  await toy.server.close(50);
  assert.match(await text, /"finish_reason":"aborted".*"completion_tokens":5,.*\n\ndata: \[DONE\]\n\n$/);
  assert.equal(toy.engine.stats.running, 0);
});

test('a request for which nothing is done in time ends, and so does its connection', async () => {
  async function* script() {
    await new Promise<void>(() => {});
    yield '';
  }
  await using toy = await serveToy({ script, startTimeoutMs: 60, keepAliveMs: 20 });
  for (const stream of [false, true]) {
    const agent = new Agent({ keepAlive: true });
    const text = await new Promise<string>((resolve, reject) => {
      const headers = { 'content-type': 'application/json' };
      const asked = httpRequest(`${toy.server.url}/chat/completions`, { method: 'POST', headers, agent });
      asked.on('error', reject).on('response', async (response) => {
        const ended = new Promise((done) => response.socket.once('close', done));
        const body = (await response.setEncoding('utf8').toArray()).join('');
        await ended;
        resolve(body);
      });
      asked.end(JSON.stringify({ ...hello, stream }));
    });
    agent.destroy();
    assert.match(text, stream ? /\n\n: keep-alive\n\n/ : /^\n+\{/);
    assert.match(text, /"finish_reason":"insufficient_system_resource"/);
    assert.equal(text.endsWith('data: [DONE]\n\n'), stream);
  }
  assert.equal(toy.engine.stats.running, 0);
});
