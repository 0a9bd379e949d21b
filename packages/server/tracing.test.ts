import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { test } from 'node:test';
import { thinkEnd } from '@hadal/formats/special-tokens';
import { pino } from 'pino';
import { providerAt, startFakeUpstream, streamAnswer, words } from './testing/fake-upstream.ts';
import { serveToy } from './testing/serve-toy.ts';
import { clientOf, hello, post, until } from './testing/toy-requests.ts';
import { openTracing } from './tracing.ts';

interface WireSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly attributes: readonly { readonly key: string; readonly value: object }[];
  readonly status: { readonly code?: number };
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
}

/** A collector that keeps what it is sent. */
async function collect(status = 200) {
  const received: { readonly path: string | undefined; readonly key: unknown; readonly text: string }[] = [];
  const server = createServer(async (request, response) => {
    const text = JSON.stringify(await json(request));
    received.push({ path: request.url, key: request.headers['x-key'], text });
    response.writeHead(status, { 'content-type': 'application/json' }).end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `http://127.0.0.1:${port}`,
    received,
    spans: (): WireSpan[] =>
      received.flatMap(({ text }) =>
        JSON.parse(text).resourceSpans.flatMap(({ scopeSpans }: { scopeSpans: { spans: WireSpan[] }[] }) =>
          scopeSpans.flatMap(({ spans }) => spans),
        ),
      ),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await server[Symbol.asyncDispose]();
    },
  };
}

function attributesOf({ attributes }: WireSpan): Record<string, unknown> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => {
      const [one] = Object.values(value);
      return [key, one?.values ? one.values.flatMap(Object.values) : one];
    }),
  );
}

const quiet = pino({ level: 'silent' });
const caller = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7' };
const traceparent = `00-${caller.traceId}-${caller.spanId}-01`;

test("a request is a span of its caller's trace, and each of its answers one in it, without a word of them", async () => {
  await using collector = await collect();
  const tracing = openTracing({ endpoint: collector.endpoint, headers: { 'x-key': 'k' }, logger: quiet });
  await using toy = await serveToy({
    script: () => ['private thought', thinkEnd, 'private answer'],
    tracing,
    names: true,
  });
  const asked = { model: 'deepseek-chat', n: 2, seed: 7, temperature: 0.5, max_tokens: 50, stop: 'private stop' };
  const body = { ...asked, messages: [{ role: 'user', content: 'private question' }], user: 'private user' };
  const response = await post(toy.server.url, { ...body, stream: true }, { traceparent, authorization: 'private key' });
  await response.text();
  await until(() => toy.log.some(({ msg }) => msg === 'request'));
  await tracing[Symbol.asyncDispose]();

  assert.deepEqual(new Set(collector.received.map(({ path, key }) => `${path} ${key}`)), new Set(['/v1/traces k']));
  const spans = collector.spans();
  assert.equal(spans.length, 3);
  const request = spans.find(({ kind }) => kind === 2);
  assert.ok(request);
  assert.deepEqual([request.traceId, request.parentSpanId], [caller.traceId, caller.spanId]);
  assert.equal(request.name, 'POST /chat/completions');
  const id = response.headers.get('x-request-id');
  assert.deepEqual(attributesOf(request), {
    'http.request.method': 'POST',
    'http.route': '/chat/completions',
    'hadal.request.id': id,
    'http.response.status_code': 200,
  });
  assert.equal(toy.log.find(({ msg }) => msg === 'request')?.traceId, caller.traceId);

  const answers = spans.filter((span) => span !== request);
  const [first] = toy.engine.requests;
  for (const answer of answers) {
    assert.deepEqual([answer.traceId, answer.parentSpanId], [caller.traceId, request.spanId]);
    assert.equal(answer.name, 'chat deepseek-chat');
    assert.ok(BigInt(answer.startTimeUnixNano) >= BigInt(request.startTimeUnixNano));
    const attributes = attributesOf(answer);
    assert.equal(typeof attributes['gen_ai.response.time_to_first_chunk'], 'number');
    assert.deepEqual(
      { ...attributes, 'gen_ai.response.time_to_first_chunk': 0, 'gen_ai.request.seed': 0, 'hadal.queue_seconds': 0 },
      {
        'gen_ai.operation.name': 'chat',
        'gen_ai.provider.name': 'hadal',
        'gen_ai.request.model': 'deepseek-chat',
        'gen_ai.response.model': 'toy',
        'gen_ai.request.temperature': 0.5,
        'gen_ai.request.top_p': 1,
        'gen_ai.request.max_tokens': 50,
        'gen_ai.request.seed': 0,
        'gen_ai.response.finish_reasons': ['stop'],
        'gen_ai.usage.input_tokens': first?.prompt.length,
        'gen_ai.usage.cache_read.input_tokens': 0,
        'gen_ai.usage.output_tokens': 31,
        'gen_ai.usage.reasoning.output_tokens': 0,
        'gen_ai.response.time_to_first_chunk': 0,
        'hadal.queue_seconds': 0,
      },
    );
  }
  for (const { text } of collector.received) assert.doesNotMatch(text, /private/);
});

test('mistakes and failures are told by their codes, and only failures are errors of a request', async () => {
  await using collector = await collect();
  const tracing = openTracing({ endpoint: `${collector.endpoint}/v1/traces`, logger: quiet });
  async function* script() {
    yield* [];
    throw new Error('a private bug');
  }
  await using toy = await serveToy({ script, tracing, contextLength: 60 });
  await post(toy.server.url, { ...hello, messages: [{ role: 'user', content: 'private '.repeat(20) }] });
  await post(toy.server.url, hello);
  await fetch(`${toy.server.url}/private`);
  await until(() => toy.log.filter(({ msg }) => msg === 'request').length === 3);
  await tracing[Symbol.asyncDispose]();
  const told = collector.spans().map((span) => {
    const attributes = attributesOf(span);
    return [span.name, attributes['http.response.status_code'], attributes['error.type'], span.status.code ?? 0];
  });
  assert.deepEqual(told.sort(), [
    ['GET', 404, 'unknown-route', 0],
    ['POST /chat/completions', 400, 'context-exceeded', 0],
    ['POST /chat/completions', 500, 'internal', 2],
    ['chat toy', undefined, 'context-exceeded', 2],
    ['chat toy', undefined, 'internal', 2],
  ]);
  for (const { text } of collector.received) assert.doesNotMatch(text, /private/);
});

test('what an answer asks of another server goes on with its span', async () => {
  await using collector = await collect();
  const tracing = openTracing({ endpoint: collector.endpoint, logger: quiet });
  assert.deepEqual(tracing.headers(), {});
  const sent: Record<string, string>[] = [];
  await using toy = await serveToy({ script: () => ['a'], tracing });
  const upstream = {
    ...toy.provider,
    async *chat(...asked: Parameters<typeof toy.provider.chat>) {
      sent.push(tracing.headers());
      yield* toy.provider.chat(...asked);
    },
  };
  toy.server.replace({ providers: [upstream] });
  await post(toy.server.url, hello, { traceparent, tracestate: 'vendor=1' });
  // Not sampled by its caller: gone on with, and not sent.
  const unsampled = traceparent.replace(/01$/, '00');
  await post(toy.server.url, hello, { traceparent: unsampled });
  await clientOf(toy).responses.create({ model: 'toy', input: 'Hello' });
  await until(() => toy.log.filter(({ msg }) => msg === 'request').length === 3);
  await tracing[Symbol.asyncDispose]();
  const spans = collector.spans();
  const chats = spans.filter(({ name }) => name === 'chat toy');
  assert.equal(chats.length, 2);
  const [first] = chats;
  assert.deepEqual(sent[0], { traceparent: `00-${caller.traceId}-${first?.spanId}-01`, tracestate: 'vendor=1' });
  assert.match(sent[1]?.traceparent ?? '', new RegExp(`^00-${caller.traceId}-[0-9a-f]{16}-00$`));
  const response = spans.find(({ name }) => name === 'POST /responses');
  assert.equal(chats[1]?.parentSpanId, response?.spanId);
  assert.notEqual(response?.traceId, caller.traceId);
});

test('an upstream is told the trace of the answer that it is asked for, at every attempt, and none by health checks', async () => {
  await using collector = await collect();
  const tracing = openTracing({ endpoint: collector.endpoint, logger: quiet });
  await using busy = await startFakeUpstream((response, { path }) => {
    response.writeHead(path === '/tokenize' ? 200 : 503).write('{"tokens": [1]}');
  });
  await using good = await startFakeUpstream((response, { path }) => {
    if (path === '/tokenize') response.writeHead(200).write('{"tokens": [1]}');
    else streamAnswer(response, words('ok'));
  });
  await using provider = providerAt(
    [busy.url, good.url],
    { id: 'toy', healthIntervalMs: 10 },
    { traceHeaders: () => tracing.headers() },
  );
  await using toy = await serveToy({ script: () => ['never asked'], tracing, providers: [provider] });
  const headers = { traceparent, tracestate: 'vendor=1' };
  await (await post(toy.server.url, { ...hello, n: 2, stream: true }, headers)).text();
  await post(toy.server.url, { model: 'toy', prompt: 'a' }, headers, '/tokenize');
  await until(() => toy.log.filter(({ msg }) => msg === 'request').length === 2);
  await tracing[Symbol.asyncDispose]();
  const asked = [...busy.requests, ...good.requests];
  assert.deepEqual(
    [busy, good].map(({ requests }) => requests.some(({ path }) => path !== '/tokenize')),
    [true, true],
  );
  const sent = asked.map(({ headers }) => headers.traceparent as string);
  for (const parent of sent) assert.match(parent, new RegExp(`^00-${caller.traceId}-[0-9a-f]{16}-01$`));
  const spans = collector.spans();
  const spanIds = (pattern: RegExp) => spans.filter(({ name }) => pattern.test(name)).map(({ spanId }) => spanId);
  assert.deepEqual(
    new Set(sent.map((parent) => parent.slice(36, 52))),
    new Set([...spanIds(/^chat toy$/), ...spanIds(/tokenize$/)]),
  );
  for (const { headers } of asked) assert.equal(headers.tracestate, 'vendor=1');
  await until(() => good.looks.length > 0);
  for (const headers of good.looks) assert.equal(headers.traceparent, undefined);
});

test('a collector that takes nothing is told of in the log and costs no request', async () => {
  await using collector = await collect(400);
  const lines: Record<string, unknown>[] = [];
  const logger = pino({ level: 'warn' }, { write: (line) => void lines.push(JSON.parse(line)) });
  const tracing = openTracing({ endpoint: collector.endpoint, logger });
  await using toy = await serveToy({ script: () => ['a'], tracing });
  assert.equal((await post(toy.server.url, hello)).status, 200);
  await until(() => toy.log.some(({ msg }) => msg === 'request'));
  await tracing[Symbol.asyncDispose]();
  assert.deepEqual(
    lines.map(({ msg }) => msg),
    ['traces could not be sent'],
  );
});
