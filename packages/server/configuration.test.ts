import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ConfigurationError, defaultConfiguration, parseConfiguration, settingsForStart } from './configuration.ts';
import { deepseekNames } from './model-names.ts';
import { serveToy } from './testing/serve-toy.ts';
import { clientOf, hello, post } from './testing/toy-requests.ts';

const parse = (text: string) => parseConfiguration(text, 'hadal.yaml');

test('a file that says nothing is the default', () => {
  for (const text of ['', '# nothing\n', 'server:\nmodels:\n', '{}'])
    assert.deepEqual(parse(text), defaultConfiguration);
});

test('the table in the documentation is the one that ships', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/configuration.md'), 'utf8');
  const [, whole = ''] = /```yaml\n(.*?)```/s.exec(page) ?? [];
  const { models, prices, retention, ...server } = parse(whole);
  assert.deepEqual([prices, retention], [defaultConfiguration.prices, defaultConfiguration.retention]);
  const shipped = deepseekNames.map((name) => ({ ...name, model: 'hadal-nano' }));
  assert.deepEqual(
    models,
    shipped.map((name) => (name.profile === 'r1' ? { ...name, maxReasoningTokens: 32_768 } : name)),
  );
  assert.deepEqual(server, {
    ...{ host: '127.0.0.1', port: 10_935, keepAliveMs: 10_000, startTimeoutMs: 600_000, missingReasoning: 'recover' },
    ...{ metricsAt: 'on', traces: 'off', cors: [], stallTimeoutMs: 300_000 },
    ...{ localModel: true, upstreams: [], webhooks: [], training: { concurrent: 1, openCheckpoints: 2, limits: {} } },
  });
});

test('webhooks are told what they ask for, by URLs that are reached from outside', () => {
  const [plain, own] = parse(
    'webhooks:\n- { url: "https://a.example", secret: s }\n- { url: "http://b", secret: t, events: [fine_tuning.job.failed], private: true }',
  ).webhooks;
  assert.deepEqual(plain, { url: 'https://a.example', secret: 's', events: undefined, isPrivate: false });
  assert.deepEqual([own?.events, own?.isPrivate], [['fine_tuning.job.failed'], true]);
  assert.throws(() => parse('webhooks: [{ url: "ftp://a", secret: s }]'), /webhooks\[0\]\.url: expected a URL of http/);
  const { training } = parse('training: { job_limits: { memory_bytes: 8000000000, seconds: 3600 } }');
  assert.deepEqual(training, { limits: { maxMemoryBytes: 8e9, maxSeconds: 3600 } });
  assert.throws(() => parse('training: { job_limits: { hours: 1 } }'), /training\.job_limits\.hours/);
  assert.throws(() => parse('training: { concurrent_jobs: 0 }'), /concurrent_jobs: expected integer from 1 to 1000/);
});

test('metrics are on, off, or at an address of their own', () => {
  const metricsAt = (value: string) => parse(`server: { metrics: ${value} }`).metricsAt;
  assert.deepEqual([metricsAt('on'), metricsAt('off')], ['on', 'off']);
  assert.deepEqual(metricsAt('{ host: 127.0.0.1, port: 9090 }'), { host: '127.0.0.1', port: 9090 });
  assert.throws(() => metricsAt('{ host: 127.0.0.1, port: 90900 }'), /hadal\.yaml:1: server\.metrics/);
  assert.throws(() => metricsAt('9090'), /hadal\.yaml:1: server\.metrics/);
});

test('traces are off, or sent to an endpoint', () => {
  const traces = (value: string) => parse(`server: { traces: ${value} }`).traces;
  assert.equal(traces('off'), 'off');
  const whole = { endpoint: 'http://127.0.0.1:4318', headers: { authorization: 'Bearer a' }, ratio: 0.1 };
  assert.deepEqual(traces(JSON.stringify(whole)), whole);
  for (const wrong of ['{ ratio: 1 }', '{ endpoint: nowhere }', '{ endpoint: "http://a", ratio: 2 }', 'yes']) {
    assert.throws(() => traces(wrong), /hadal\.yaml:1: server\.traces/, wrong);
  }
});

test('origins are written as browsers send them', () => {
  const cors = (value: string) => parse(`server: { cors: ${value} }`).cors;
  assert.deepEqual(cors('[https://a.example, http://localhost:5173]'), ['https://a.example', 'http://localhost:5173']);
  assert.deepEqual(cors('["*"]'), ['*']);
  for (const wrong of ['a.example', 'https://a.example/', 'https://A.example', 'https://a.example/path', 'null']) {
    assert.throws(() => cors(`["${wrong}"]`), /hadal\.yaml:1: server\.cors.*expected an origin such as/, wrong);
  }
});

test('what is said otherwise and needs a start is named as in the file', () => {
  const before = parse('server: { port: 1, metrics: { host: a, port: 2 } }');
  assert.deepEqual(settingsForStart(before, parse('server: { port: 1, metrics: { host: a, port: 2 } }')), []);
  const after = parse('server: { port: 2, metrics: { host: a, port: 3 }, keep_alive_seconds: 1 }\nmodels: { a: {} }');
  assert.deepEqual(settingsForStart(before, after), ['server.port', 'server.metrics']);
});

test('names are added, changed and taken away', () => {
  const { models } = parse(`
models:
  tutor: { name: Tutor, thinking: off, context_window: 2000, max_output_tokens: 500, temperature: 0.2 }
  deepseek-chat: { max_output_tokens: 100 }
  deepseek-reasoner: null
`);
  assert.deepEqual(models, [
    ...deepseekNames.filter(({ id }) => id !== 'deepseek-chat' && id !== 'deepseek-reasoner'),
    {
      ...{ id: 'tutor', name: 'Tutor', thinking: 'off', contextWindow: 2000, maxOutputTokens: 500, temperature: 0.2 },
    },
    { ...deepseekNames.find(({ id }) => id === 'deepseek-chat'), maxOutputTokens: 100 },
  ]);
});

test('all mistakes are told at once, each with its line', () => {
  const text = `server:
  port: 70000
  hots: 1.2.3.4
models:
  a:
    thinking: sometimes
    top_p: 0
  b: 7
`;
  assert.throws(
    () => parse(text),
    (error) => {
      assert.ok(error instanceof ConfigurationError);
      assert.deepEqual(error.message.split('\n'), [
        'hadal.yaml:2: server.port: expected integer from 0 to 65535, got 70000',
        'hadal.yaml:3: server.hots: is not known',
        'hadal.yaml:6: models.a.thinking: expected one of "off", "high", got "sometimes"',
        'hadal.yaml:7: models.a.top_p: expected number above 0 and at most 1, got 0',
        'hadal.yaml:8: models.b: expected object, got number',
      ]);
      return true;
    },
  );
  assert.throws(() => parse('a: [1\nb: 2'), /^ConfigurationError: hadal\.yaml:2: /);
  assert.throws(() => parse('[1]'), /hadal\.yaml:1: .*expected object, got array/);
});

test('upstreams have what the file says of them, and the rest is usual', () => {
  const { upstreams, localModel } = parse(`
server: { local_model: false }
upstreams:
  v3:
    model: deepseek-ai/DeepSeek-V3
    flavour: vllm
    tokenizer: tokenizers/v3
    timeouts: { connect_seconds: 1 }
    servers: [{ url: "http://vllm-0:8000/v1", key_env: VLLM_KEY, concurrency: 8 }, { url: "https://vllm-1/v1" }]
`);
  assert.equal(localModel, false);
  assert.deepEqual(upstreams, [
    {
      ...{ id: 'v3', model: 'deepseek-ai/DeepSeek-V3', flavour: 'vllm', contextWindow: undefined },
      ...{ maxOutputTokens: undefined, thinking: 'high', temperature: 1, topP: 1 },
      ...{ beginsInThought: false, fillMiddle: undefined, healthIntervalMs: 10_000, attempts: 3, maxWaiting: 1000 },
      timeouts: {
        ...{ connectMs: 1000, firstTokenMs: 600_000, betweenTokensMs: 60_000, totalMs: undefined, queueMs: 600_000 },
      },
      breaker: { failures: 3, openMs: 10_000 },
      tokenizer: 'tokenizers/v3',
      servers: [
        { url: 'http://vllm-0:8000/v1', keyEnv: 'VLLM_KEY', concurrency: 8 },
        { url: 'https://vllm-1/v1', keyEnv: undefined, concurrency: 64 },
      ],
    },
  ]);
  const mistakes = `server:
  local_model: false
upstreams:
  a: { servers: [] }
  b:
    flavour: ollama
    servers: [{ url: "vllm-0:8000" }, { url: "http://a", concurrency: 0, key_env: "MY KEY" }]
`;
  assert.throws(
    () => parse(mistakes),
    (error: Error) => {
      assert.deepEqual(error.message.split('\n'), [
        'hadal.yaml:4: upstreams.a.servers: expected at least one server, got 0',
        'hadal.yaml:6: upstreams.b.flavour: expected one of "vllm", "sglang", "llama-server", "transformers", "deepseek", "hadal", "openai", got "ollama"',
        'hadal.yaml:7: upstreams.b.servers[0].url: expected URL that begins with http:// or https://, got "vllm-0:8000"',
        'hadal.yaml:7: upstreams.b.servers[1].key_env: expected name of a variable, got "MY KEY"',
        'hadal.yaml:7: upstreams.b.servers[1].concurrency: expected integer of at least 1, got 0',
      ]);
      return true;
    },
  );
  assert.throws(
    () => parse('server:\n  local_model: false\n'),
    /hadal\.yaml:2: server\.local_model: expected an upstream where no model is loaded/,
  );
});

test('what a name allows is enforced, and shown', async () => {
  const names = [{ id: 'small', thinking: 'off', contextWindow: 40, maxOutputTokens: 10, temperature: 0.5 }] as const;
  await using toy = await serveToy({ script: () => ['a'.repeat(100)], names });
  const client = clientOf(toy);
  const card = (await client.models.retrieve('small')) as unknown as Record<string, unknown>;
  assert.deepEqual([card.context_window, card.max_output_tokens], [40, 10]);
  const answer = await client.chat.completions.create({ ...hello, model: 'small' });
  assert.deepEqual([answer.usage?.completion_tokens, answer.choices[0]?.finish_reason], [10, 'length']);
  assert.equal(toy.engine.requests[0]?.temperature, 0.5);
  for (const [path, body] of [
    ['/chat/completions', { ...hello, max_tokens: 11 }],
    ['/completions', { prompt: 'a', max_tokens: 11 }],
    ['/responses', { input: 'a', max_output_tokens: 11 }],
  ] as const) {
    const response = await post(toy.server.url, { ...body, model: 'small' }, {}, path);
    assert.equal(response.status, 400);
    assert.match(await response.text(), /max_(output_)?tokens: expected integer from 1 to 10, got 11/);
  }
  const long = { ...hello, messages: [{ role: 'user', content: 'a'.repeat(50) }], model: 'small' };
  assert.match(await (await post(toy.server.url, long)).text(), /maximum context length is 40 tokens/);
});
