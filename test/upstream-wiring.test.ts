// The real program in front of a fake server, as a configuration file says it.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { beginStream, sendEvent, startFakeUpstream, streamAnswer, words } from '@hadal/server/testing/fake-upstream';
import { hadal, startHadal } from './hadal.ts';

const directory = mkdtempSync(join(tmpdir(), 'hadal-'));
after(() => rmSync(directory, { recursive: true }));

function configuration(text: string): string {
  const file = join(directory, 'hadal.yaml');
  writeFileSync(file, `server: { local_model: false }\n${text}`);
  return file;
}

async function front(text: string, env: Readonly<Record<string, string>> = {}) {
  const file = configuration(text);
  const home = mkdtempSync(join(directory, 'home-'));
  const running = startHadal(['serve', '--port', '0', '--config', file], { env: { HADAL_HOME: home, ...env } });
  const [, url = ''] = await running.untilOutput(/is ready at (http:\S+)\n/);
  return { running, url };
}

function ask(
  url: string,
  body: { readonly model?: string },
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  return fetch(`${url}/chat/completions`, {
    ...{ method: 'POST', headers: { 'content-type': 'application/json', ...headers } },
    body: JSON.stringify({ model: 'far', messages: [{ role: 'user', content: 'Hello' }], ...body }),
  });
}

test('where traces are configured, the server behind goes on with the trace of the caller', async () => {
  await using fake = await startFakeUpstream((response) => streamAnswer(response, words('ok')));
  // Nobody takes the traces, which is nobody's concern here.
  const { running, url } = await front(`upstreams: { far: { servers: [{ url: "${fake.url}" }] } }`, {
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
  });
  await using _ = running;
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
  const response = await ask(url, {}, { traceparent: `00-${traceId}-00f067aa0ba902b7-01` });
  assert.equal(response.status, 200);
  const [parent = ''] = fake.requests.map(({ headers }) => headers.traceparent as string);
  assert.match(parent, new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`));
  assert.ok(!parent.includes('00f067aa0ba902b7'), 'a span of its own');
});

test('what an upstream does not say is charged by its own tokenizer, or else by that of the model that ships', async () => {
  await using fake = await startFakeUpstream((response) => {
    beginStream(response);
    const content = 'The greater of the two is the one that is not the smaller one.';
    sendEvent(response, { choices: [{ delta: { content }, finish_reason: 'stop' }] });
    sendEvent(response, '[DONE]');
  });
  const servers = `servers: [{ url: "${fake.url}" }]`;
  const price = '{ cache_hit: 1000000, cache_miss: 1000000, output: 2000000 }';
  const own = join(import.meta.dirname, '../models/hadal-nano');
  const { running, url } = await front(`
upstreams: { far: { ${servers} }, named: { ${servers}, tokenizer: "${own}" } }
prices: { currency: USD, models: { far: ${price}, named: ${price} } }
`);
  await using _ = running;
  for (const model of ['far', 'named']) assert.equal((await ask(url, { model })).status, 200);
  const { data } = (await (await fetch(`${url}/user/usage?by=model`)).json()) as { data: Record<string, never>[] };
  const of = (model: string) => data.find((sum) => sum.model === model) ?? {};
  const [far, named] = [of('far'), of('named')];
  for (const sum of [far, named]) {
    assert.ok(Number(sum.prompt_cache_miss_tokens) > 1 && Number(sum.completion_tokens) > 5, JSON.stringify(data));
    assert.equal(Number(sum.cost), Number(sum.prompt_cache_miss_tokens) + 2 * Number(sum.completion_tokens));
  }
  const ratio = Number(named.completion_tokens) / Number(far.completion_tokens);
  assert.ok(Math.abs(ratio - 2) < 0.2, 'ours is finer than what is served elsewhere, and taken for half as many');
});

test('a tokenizer that is not there is told at the start', async () => {
  const file = configuration('upstreams: { far: { servers: [{ url: "http://127.0.0.1:9" }], tokenizer: nowhere } }');
  const { code, stderr } = await hadal(['serve', '--port', '0', '--config', file]);
  assert.equal(code, 1);
  assert.match(stderr, /upstreams\.far\.tokenizer: nowhere: expected a checkpoint, found no config\.json there/);
});
