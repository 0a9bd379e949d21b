import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serveToy, type ToyServer } from './testing/serve-toy.ts';
import { hello, post } from './testing/toy-requests.ts';

const asked = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' };

async function preflight({ server }: ToyServer, origin: string): Promise<Response> {
  return await fetch(`${server.url}/v1/chat/completions`, { method: 'OPTIONS', headers: { origin, ...asked } });
}

const allowed = (response: Response) => response.headers.get('access-control-allow-origin');

test('pages of other origins cannot call, unless it is said that they may', async () => {
  await using toy = await serveToy({ script: () => ['a'] });
  const origin = 'https://app.example';
  const before = await preflight(toy, origin);
  assert.deepEqual([before.status, allowed(before)], [404, null]);
  assert.equal(allowed(await post(toy.server.url, hello, { origin })), null);
});

test('pages of the origins that are named may call, see errors and request ids, and no others may', async () => {
  const cors = ['https://app.example', 'http://localhost:5173'];
  await using toy = await serveToy({ script: () => ['a'], cors });
  for (const origin of cors) {
    const before = await preflight(toy, origin);
    assert.deepEqual([before.status, allowed(before)], [204, origin]);
    assert.equal(before.headers.get('access-control-allow-headers'), 'authorization');
    assert.match(before.headers.get('access-control-allow-methods') ?? '', /POST/);
    for (const body of [hello, { ...hello, stream: true }, { ...hello, temperature: 9 }, '{']) {
      const response = await post(toy.server.url, body, { origin });
      assert.equal(allowed(response), origin);
      assert.equal(response.headers.get('access-control-expose-headers'), 'x-request-id');
      assert.match(response.headers.get('vary') ?? '', /origin/i);
      await response.text();
    }
  }
  for (const origin of ['https://app.example.org', 'https://evil.example', 'http://app.example', 'null']) {
    assert.equal(allowed(await preflight(toy, origin)), null, origin);
    assert.equal(allowed(await post(toy.server.url, hello, { origin })), null, origin);
  }
  const nowhere = await fetch(`${toy.server.url}/nowhere`, { headers: { origin: cors[0] ?? '' } });
  assert.deepEqual([nowhere.status, allowed(nowhere)], [404, cors[0]]);
});

test('an asterisk lets all pages call, without cookies', async () => {
  await using toy = await serveToy({ script: () => ['a'], cors: ['*'] });
  const before = await preflight(toy, 'https://any.example');
  assert.deepEqual([allowed(before), before.headers.get('access-control-allow-credentials')], ['*', null]);
});
