// The real program in front of a fake server, as a configuration file says it.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { startFakeUpstream, streamAnswer, words } from '@hadal/server/testing/fake-upstream';
import { startHadal } from './hadal.ts';

const directory = mkdtempSync(join(tmpdir(), 'hadal-'));
after(() => rmSync(directory, { recursive: true }));

/** A Hadal in front of `upstream`, which is `far` there. */
async function front(upstream: { readonly url: string }, more = '', env: Readonly<Record<string, string>> = {}) {
  const file = join(directory, 'hadal.yaml');
  const server = `{ url: "${upstream.url}" }`;
  writeFileSync(file, `server: { local_model: false }\nupstreams: { far: { servers: [${server}] } }\n${more}`);
  const running = startHadal(['serve', '--port', '0', '--config', file], { env });
  const [, url = ''] = await running.untilOutput(/is ready at (http:\S+)\n/);
  return { running, url };
}

function ask(url: string, body: object, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
  return fetch(`${url}/chat/completions`, {
    ...{ method: 'POST', headers: { 'content-type': 'application/json', ...headers } },
    body: JSON.stringify({ model: 'far', messages: [{ role: 'user', content: 'Hello' }], ...body }),
  });
}

test('where traces are configured, the server behind goes on with the trace of the caller', async () => {
  await using fake = await startFakeUpstream((response) => streamAnswer(response, words('ok')));
  // Nobody takes the traces, which is nobody's concern here.
  const { running, url } = await front(fake, '', { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' });
  await using _ = running;
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
  const response = await ask(url, {}, { traceparent: `00-${traceId}-00f067aa0ba902b7-01` });
  assert.equal(response.status, 200);
  const [parent = ''] = fake.requests.map(({ headers }) => headers.traceparent as string);
  assert.match(parent, new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`));
  assert.ok(!parent.includes('00f067aa0ba902b7'), 'a span of its own');
});
