import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { thinkEnd } from '@hadal/formats/special-tokens';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { ListenError } from './listen-error.ts';
import { Metrics } from './metrics.ts';
import { serveToy, type ToyServer } from './testing/serve-toy.ts';
import { clientOf, hello, post, until } from './testing/toy-requests.ts';

/** Samples by name and labels, as they stand on the page. */
async function samples(url: string): Promise<Map<string, number>> {
  const text = await (await fetch(url)).text();
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

const pageOf = ({ server }: ToyServer) => samples(`${server.url}/metrics`);

test('answers, tokens and times are counted under our names and under those of vLLM', async () => {
  await using toy = await serveToy({ script: () => ['hm', thinkEnd, 'a', 'b'], names: true });
  const client = clientOf(toy);
  const whole = await client.chat.completions.create(hello);
  const named = await client.chat.completions.create({ ...hello, model: 'deepseek-chat', stream: true });
  for await (const _ of named);
  await client.completions.create({ model: 'toy', prompt: 'x' });
  await client.responses.create({ model: 'toy', input: 'Hello' });
  await post(toy.server.url, { ...hello, model: 'unknown' });
  await fetch(`${toy.server.url}/nowhere`);

  const page = await pageOf(toy);
  const of = (name: string, labels = 'model_name="toy"') => page.get(`${name}{${labels}}`);
  assert.equal(of('hadal_requests_total', 'operation="createChatCompletion",status="200"'), 2);
  assert.equal(of('hadal_requests_total', 'operation="createChatCompletion",status="400"'), 1);
  assert.equal(of('hadal_requests_total', 'operation="unknown",status="404"'), 1);
  assert.equal(of('hadal_request_seconds_count', 'operation="createResponse"'), 1);
  for (const prefix of ['hadal_answers_total', 'vllm:request_success_total']) {
    assert.equal(of(prefix, 'model_name="toy",finished_reason="stop"'), 4, prefix);
  }
  const generated = toy.engine.stats.generatedTokens;
  const prompted = toy.engine.requests.reduce((sum, { prompt }) => sum + prompt.length, 0);
  assert.ok(generated > 0 && prompted > (whole.usage?.prompt_tokens ?? 0));
  for (const prefix of ['hadal_', 'vllm:']) {
    assert.equal(of(`${prefix}generation_tokens_total`), generated);
    assert.equal(of(`${prefix}prompt_tokens_total`), prompted);
    assert.equal(of(`${prefix}time_to_first_token_seconds_count`), 4);
  }
  assert.equal(of('hadal_inter_token_latency_seconds_count'), of('vllm:time_per_output_token_seconds_count'));
  assert.ok((of('hadal_inter_token_latency_seconds_count') ?? 0) >= 4);
  for (const name of ['e2e_request_latency', 'request_queue_time', 'request_decode_time', 'request_inference_time']) {
    assert.equal(of(`vllm:${name}_seconds_count`), 4, name);
  }
  assert.deepEqual([of('vllm:num_requests_running'), of('vllm:kv_cache_usage_perc')], [0, 0]);
  assert.equal(
    [...page.keys()].find((line) => line.includes('deepseek-chat')),
    undefined,
    'a name is measured as the model behind it',
  );
});

test('what is under way is seen, and one who leaves is an abort', async () => {
  const more = Promise.withResolvers<void>();
  await using toy = await serveToy({
    async *script() {
      yield 'a';
      await more.promise;
      yield 'b';
    },
  });
  const leaving = new AbortController();
  const stream = await fetch(`${toy.server.url}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...hello, stream: true }),
    signal: leaving.signal,
  });
  await stream.body?.getReader().read();
  assert.equal((await pageOf(toy)).get('hadal_requests_running{model_name="toy"}'), 1);
  leaving.abort();
  await until(() => toy.engine.stats.running === 0);
  const page = await pageOf(toy);
  assert.equal(page.get('hadal_requests_running{model_name="toy"}'), 0);
  assert.equal(page.get('hadal_answers_total{model_name="toy",finished_reason="abort"}'), 1);
  more.resolve();
});

test('cached and guessed tokens, failures, lines of batches and the store have their counters', async () => {
  const metrics = new Metrics(new Registry());
  const request = { maxTokens: { type: 'default', tokens: 1 } } as never;
  const watch = metrics.watch({ kind: 'chat', name: 'm', model: 'm', request });
  const usage = { prompt: 10, cacheHit: 8, completion: 5, reasoning: 0, acceptedPrediction: 3, rejectedPrediction: 1 };
  watch.event({ type: 'finish', reason: 'tool_calls', usage: { ...usage, isEstimate: true } });
  watch.end(undefined);
  metrics.watch({ kind: 'chat', name: 'm', model: 'm', request }).end(new Error('bug'));
  metrics.noteBatchLine('failed');
  metrics.noteStoreError();
  const { text } = await metrics.page([]);
  for (const line of [
    'vllm:prefix_cache_queries_total{model_name="m"} 10',
    'vllm:prefix_cache_hits_total{model_name="m"} 8',
    'vllm:spec_decode_num_draft_tokens_total{model_name="m"} 4',
    'hadal_speculative_accepted_tokens_total{model_name="m"} 3',
    'hadal_answers_total{model_name="m",finished_reason="tool_calls"} 1',
    'hadal_estimated_answers_total{model_name="m"} 1',
    'hadal_answers_total{model_name="m",finished_reason="error"} 1',
    'hadal_batch_lines_total{outcome="failed"} 1',
    'hadal_store_errors_total 1',
  ]) {
    assert.ok(text.split('\n').includes(line), `${line}\nin\n${text}`);
  }
});

test('lines of batches are counted as they are answered', async () => {
  await using toy = await serveToy({ script: () => ['a'] });
  const client = clientOf(toy);
  const line = (id: string, body: object) =>
    JSON.stringify({ custom_id: id, method: 'POST', url: '/v1/chat/completions', body });
  const lines = [line('right', hello), line('wrong', { ...hello, temperature: 7 })].join('\n');
  const { id } = await client.files.create({ file: new File([lines], 'lines.jsonl'), purpose: 'batch' });
  const asked = { input_file_id: id, endpoint: '/v1/chat/completions', completion_window: '24h' } as const;
  let batch = await client.batches.create(asked);
  while (batch.status !== 'completed') batch = await client.batches.retrieve(batch.id);
  const page = await pageOf(toy);
  assert.equal(page.get('hadal_batch_lines_total{outcome="completed"}'), 1);
  assert.equal(page.get('hadal_batch_lines_total{outcome="failed"}'), 1);
  assert.equal(page.get('hadal_answers_total{model_name="toy",finished_reason="stop"}'), 1);
});

test('metrics have an address of their own, or none, where that is said', async () => {
  await using off = await serveToy({ script: () => ['a'], metricsAt: 'off' });
  assert.equal(off.server.metricsUrl, undefined);
  assert.equal((await fetch(`${off.server.url}/metrics`)).status, 404);
  const apart = await serveToy({ script: () => ['a'], metricsAt: { host: '127.0.0.1', port: 0 } });
  const { url, metricsUrl = '' } = apart.server;
  assert.equal((await fetch(`${url}/metrics`)).status, 404);
  assert.equal((await fetch(metricsUrl)).headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  assert.equal((await samples(metricsUrl)).get('hadal_requests_waiting{model_name="toy"}'), 0);
  assert.equal((await fetch(metricsUrl.replace('/metrics', '/chat/completions'))).status, 404);
  const port = Number(new URL(metricsUrl).port);
  await assert.rejects(serveToy({ script: () => ['a'], metricsAt: { host: '127.0.0.1', port } }), (error) => {
    assert.ok(error instanceof ListenError);
    assert.match(error.message, /port \d+ on 127.0.0.1 is already in use; choose another with server.metrics.port/);
    return true;
  });
  await apart[Symbol.asyncDispose]();
  await assert.rejects(fetch(metricsUrl), 'it ends with the server');
});

test("the dashboard asks for what there is, and vLLM's names are written as vLLM's are", async () => {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const { text } = await new Metrics(registry).page([]);
  const families = new Map(
    [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => [name, type]),
  );
  const known = new Set(
    [...families].flatMap(([name, type]) =>
      type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
    ),
  );
  const dashboard = readFileSync(join(import.meta.dirname, '../../deploy/grafana/hadal.json'), 'utf8');
  const { panels, templating } = JSON.parse(dashboard);
  const queries: string[] = [
    ...panels.flatMap(({ targets = [] }) => targets.map(({ expr }: { expr: string }) => expr)),
    ...templating.list.flatMap(({ query }: { query: { query?: string } }) => query.query ?? []),
  ];
  const asked = queries.flatMap((query) => query.match(/\b(?:hadal|vllm|process|nodejs)[_:]\w+/g) ?? []);
  assert.ok(queries.length > 20 && asked.length >= queries.length);
  assert.deepEqual(
    asked.filter((name) => !known.has(name)),
    [],
  );
  const own = [...families.keys()].filter((name) => name.startsWith('vllm:'));
  assert.ok(own.length >= 20);
  for (const name of own) assert.equal(name.endsWith('_total'), families.get(name) === 'counter', name);
});
