import assert from 'node:assert/strict';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { startFakeUpstream } from '@hadal/server/testing/fake-upstream';
import { seeUpstreamServer } from './upstream-server.ts';

const server = (url: string) => ({ url, keyEnv: undefined, concurrency: 1 });

test('a server that takes the connection and says nothing is not waited for', async () => {
  const silent = createServer();
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/v1`;
  const { answer } = await seeUpstreamServer({ model: 'm', flavour: undefined }, server(url), {}, 50);
  assert.deepEqual(answer, { type: 'silent', reason: 'no answer within 0.05 s' });
  silent.close();
});

test('a path without models is seen as one, and health is asked for where the flavour has it', async () => {
  await using fake = await startFakeUpstream(() => {});
  fake.health = 404;
  for (const [flavour, expected] of [
    ['openai', { type: 'unlisted' }],
    ['vllm', { type: 'refused', status: 404, place: 'health' }],
  ] as const) {
    const { answer } = await seeUpstreamServer({ model: 'm', flavour }, server(fake.url), {});
    assert.deepEqual('ms' in answer ? { type: answer.type } : answer, expected);
  }
});
