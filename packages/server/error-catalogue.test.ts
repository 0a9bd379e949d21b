import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { r1Template } from '@hadal/formats/testing/chat-templates';
import type { BatchDetails } from '@hadal/protocol/batches';
import { errorEnvelope } from '@hadal/protocol/error-envelope';
import {
  type ErrorDetails,
  type RequestError,
  type RequestErrorCode,
  requestError,
  requestErrors,
} from '@hadal/protocol/request-error';
import type { Dialect } from '@hadal/protocol/routes';
import { type KeyScope, unboundedScope } from '@hadal/store/keys';
import { openStore } from '@hadal/store/store';
import { toyJob } from '@hadal/store/testing/toy-job';
import { beginStream, providerAt, sendEvent, startFakeUpstream } from './testing/fake-upstream.ts';
import { serveToy, type ToyServer } from './testing/serve-toy.ts';
import { openToyTraining } from './testing/toy-desk.ts';
import { hello, until, weather } from './testing/toy-requests.ts';

// Code, documentation and behaviour of errors, held together: docs/errors.md has the rows of the catalogue, and each of
// them is provoked here over HTTP. A row without a case does not compile.

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

interface Case<C extends RequestErrorCode> {
  readonly dialect: Dialect;
  readonly details: ErrorDetails<C>;
  readonly options?: Partial<Parameters<typeof serveToy>[0]>;
  provoke(toy: ToyServer): Promise<Answer>;
}

const json = { 'content-type': 'application/json' };

async function answerOf(response: Response): Promise<Answer> {
  return { status: response.status, body: await response.json() };
}

function rawAnswer(text: string): Answer {
  const [head = '', body = ''] = text.split('\r\n\r\n');
  return { status: Number(head.split(' ')[1]), body: JSON.parse(body) };
}

const posted =
  (path: string, body: object | string, headers: Record<string, string> = json) =>
  async ({ server }: ToyServer) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    return await answerOf(await fetch(server.url + path, { method: 'POST', headers, body: text }));
  };
const got =
  (path: string) =>
  async ({ server }: ToyServer) =>
    await answerOf(await fetch(server.url + path));

/** The headers of a caller with a new key. */
async function keyOf({ store }: ToyServer, scope: Partial<KeyScope>): Promise<Record<string, string>> {
  const key = { id: 'key_1', organization: '', member: undefined, role: 'member', name: 'a' } as const;
  const rest = { createdMs: 0, expiresMs: undefined, keepsText: false };
  await store.keys.add({ ...key, ...rest, scope: { ...unboundedScope, ...scope } }, 'sk-right');
  return { ...json, authorization: 'Bearer sk-right' };
}

const uploaded =
  (content: string) =>
  async ({ server }: ToyServer) => {
    const body = new FormData();
    body.append('file', new Blob([content]), 'a.txt');
    body.append('purpose', 'user_data');
    return await answerOf(await fetch(`${server.url}/files`, { method: 'POST', body }));
  };

/** Asks a server whose model `m` runs at an upstream that answers so. */
const relayed = (answer: Parameters<typeof startFakeUpstream>[0]) => async (): Promise<Answer> => {
  await using upstream = await startFakeUpstream(answer);
  await using provider = providerAt([upstream.url]);
  await using toy = await serveToy({ script: () => [], providers: [provider] });
  return await posted('/chat/completions', { ...hello, model: 'm' })(toy);
};

const schema = { type: 'object', properties: { a: { type: 'frob' } } };

const cases: { readonly [C in RequestErrorCode]: Case<C> } = {
  'malformed-json': {
    ...{ dialect: 'deepseek', details: [{ problem: 'the body is empty' }] },
    provoke: posted('/chat/completions', ''),
  },
  'wrong-shape': {
    ...{ dialect: 'openai', details: [{ field: 'input', problem: 'expected string or array of items, got number' }] },
    provoke: posted('/v1/responses', { model: 'toy', input: 3 }),
  },
  'invalid-field': {
    ...{ dialect: 'anthropic', details: [{ field: 'max_tokens', problem: 'expected integer of at least 1, got 0' }] },
    provoke: posted('/anthropic/v1/messages', { ...hello, max_tokens: 0 }),
  },
  'unknown-model': {
    ...{ dialect: 'openai', details: [{ supported: ['toy'], passed: 'gpt-9' }] },
    provoke: posted('/responses', { model: 'gpt-9', input: 'Hello' }),
  },
  'wrong-key': {
    ...{ dialect: 'deepseek', details: [{ lastFour: 'abcd' }] },
    async provoke(toy) {
      await keyOf(toy, {});
      return await posted('/chat/completions', hello, { ...json, authorization: 'Bearer sk-wrong-abcd' })(toy);
    },
  },
  'insufficient-balance': {
    ...{ dialect: 'deepseek', details: [] },
    async provoke(toy) {
      await toy.store.ledger.pay('', 'USD', 'granted', 0);
      return await posted('/chat/completions', hello, await keyOf(toy, {}))(toy);
    },
  },
  'budget-spent': {
    ...{ dialect: 'deepseek', details: [] },
    provoke: async (toy) => await posted('/chat/completions', hello, await keyOf(toy, { budget: 0 }))(toy),
  },
  'not-permitted': {
    ...{ dialect: 'deepseek', details: [{ problem: 'this key is not for the model toy' }] },
    provoke: async (toy) => await posted('/chat/completions', hello, await keyOf(toy, { models: ['b'] }))(toy),
  },
  'rate-limited': {
    ...{ dialect: 'deepseek', details: [{ limit: '1 requests a minute', seconds: 60 }], options: { now: () => 1 } },
    async provoke(toy) {
      const headers = await keyOf(toy, { requestsPerMinute: 1 });
      assert.equal((await posted('/chat/completions', hello, headers)(toy)).status, 200);
      return await posted('/chat/completions', hello, headers)(toy);
    },
  },
  'context-exceeded': {
    ...{ dialect: 'deepseek', details: [{ limit: 32, requested: 42, prompt: 2, completion: 40 }] },
    options: { contextLength: 32 },
    provoke: posted('/completions', { model: 'toy', prompt: 'a', max_tokens: 40 }),
  },
  'forced-tool-while-thinking': {
    ...{ dialect: 'deepseek', details: [], options: { chatTemplate: r1Template() } },
    provoke: posted('/chat/completions', { ...hello, tools: [weather], tool_choice: 'required' }),
  },
  'reasoning-missing': {
    ...{ dialect: 'deepseek', details: [{ field: 'messages' }], options: { missingReasoning: 'refuse' } },
    provoke: posted('/chat/completions', {
      ...{ model: 'toy', tools: [weather] },
      messages: [
        ...hello.messages,
        { role: 'assistant', tool_calls: [{ id: '1', function: { name: 'weather', arguments: '{}' } }] },
        { role: 'tool', tool_call_id: '1', content: 'sun' },
      ],
    }),
  },
  'unenforceable-format': {
    dialect: 'deepseek',
    details: [
      {
        field: 'response_format.json_schema.schema',
        place: ' at /properties/a/type',
        problem: 'type: expected null, boolean, integer, number, string, array or object, got "frob"',
      },
    ],
    provoke: posted('/chat/completions', {
      ...hello,
      response_format: { type: 'json_schema', json_schema: { name: 'a', schema } },
    }),
  },
  'embeddings-unsupported': {
    ...{ dialect: 'openai', details: [{ model: 'toy' }] },
    provoke: posted('/v1/embeddings', { model: 'toy', input: 'a' }),
  },
  'threads-unsupported': {
    ...{ dialect: 'anthropic', details: [] },
    provoke: posted('/v1/messages', { ...hello, max_tokens: 9, thread: {} }),
  },
  'file-too-large': {
    ...{ dialect: 'openai', details: [{ limitBytes: 3 }] },
    options: { fileLimits: { fileBytes: 3, files: 9, totalBytes: 9 } },
    provoke: uploaded('four'),
  },
  'storage-full': {
    ...{ dialect: 'openai', details: [{ maxFiles: 9, maxBytes: 5 }] },
    options: { fileLimits: { fileBytes: 9, files: 9, totalBytes: 5 } },
    async provoke(toy) {
      assert.equal((await uploaded('abc')(toy)).status, 200);
      return await uploaded('abc')(toy);
    },
  },
  'training-unavailable': {
    ...{ dialect: 'openai', details: [{ problem: 'it has no trainer' }] },
    provoke: posted('/v1/fine_tuning/jobs', { model: 'toy', training_file: 'file-0' }),
  },
  'undeletable-model': {
    ...{ dialect: 'openai', details: [{ model: 'toy', problem: 'no job of this server has made it' }] },
    provoke: async ({ server }) => await answerOf(await fetch(`${server.url}/v1/models/toy`, { method: 'DELETE' })),
  },
  'checkpoint-unavailable': {
    ...{ dialect: 'deepseek', details: [{ model: 'ft:toy::1:ckpt-step-1', problem: 'its files are damaged' }] },
    // Restored from a backup, say, over a directory in which something else lies.
    async provoke() {
      await using trainer = await openToyTraining();
      const desk = { ...trainer.desk, openCheckpoint: () => Promise.reject(new Error('its files are damaged')) };
      await using store = await openStore<BatchDetails>({ path: ':memory:' });
      const checkpoint = { id: 'ftckpt_1', createdMs: 1, step: 1, directory: trainer.training.directory };
      await store.jobs.add(toyJob('ftjob-1', { owner: '', status: 'failed' }), []);
      await store.jobs.update('ftjob-1', ['failed'], ({ status, details }) => ({
        ...{ status, details },
        checkpoints: [{ ...checkpoint, model: 'ft:toy::1:ckpt-step-1', isAdapter: false, metrics: {} }],
      }));
      await using toy = await serveToy({ script: () => [], store, training: { ...trainer.training, desk } });
      return await posted('/chat/completions', { ...hello, model: 'ft:toy::1:ckpt-step-1' })(toy);
    },
  },
  'image-unsupported': {
    ...{ dialect: 'deepseek', details: [{ field: 'messages[0].content[0]' }] },
    provoke: posted('/beta/chat/completions', {
      ...{ model: 'toy', messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'a' } }] }] },
    }),
  },
  'empty-assistant-message': {
    ...{ dialect: 'deepseek', details: [{ field: 'messages[0]' }] },
    provoke: posted('/chat/completions', { model: 'toy', messages: [{ role: 'assistant' }, ...hello.messages] }),
  },
  'malformed-http': {
    ...{ dialect: 'deepseek', details: [{ problem: 'Parse Error: Invalid method encountered' }] },
    async provoke({ server }) {
      const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
      socket.end('GARBAGE\r\n\r\n');
      return rawAnswer((await socket.setEncoding('utf8').toArray()).join(''));
    },
  },
  'request-timeout': {
    ...{ dialect: 'deepseek', details: [], options: { requestTimeoutMs: 100 } },
    async provoke({ server }) {
      const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
      socket.write(
        'POST /chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nContent-Type: application/json\r\n\r\n{',
      );
      return rawAnswer((await socket.setEncoding('utf8').toArray()).join(''));
    },
  },
  'unknown-route': {
    ...{ dialect: 'anthropic', details: [{ method: 'GET', path: '/anthropic/nowhere' }] },
    provoke: got('/anthropic/nowhere?key=secret'),
  },
  'unknown-object': {
    ...{ dialect: 'openai', details: [{ field: 'previous_response_id', kind: 'Response', id: 'resp_0' }] },
    provoke: posted('/responses', { model: 'toy', input: 'Hello', previous_response_id: 'resp_0' }),
  },
  'body-too-large': {
    ...{ dialect: 'deepseek', details: [{ limitBytes: 48 * 1024 * 1024 }] },
    provoke: async ({ server }) =>
      await new Promise<Answer>((resolve, reject) => {
        const headers = { ...json, 'content-length': 2 ** 30 };
        httpRequest(`${server.url}/chat/completions`, { method: 'POST', headers }, async (response) => {
          const text = (await response.setEncoding('utf8').toArray()).join('');
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) });
        })
          .on('error', reject)
          .flushHeaders();
      }),
  },
  'unsupported-media-type': {
    ...{ dialect: 'deepseek', details: [{ expected: 'application/json', passed: 'text/plain' }] },
    provoke: posted('/chat/completions', '{}', { 'content-type': 'text/plain' }),
  },
  'queue-full': {
    ...{ dialect: 'deepseek', details: [{ waiting: 0 }], options: { capacity: 0 } },
    provoke: posted('/chat/completions', hello),
  },
  internal: {
    ...{ dialect: 'deepseek', details: [] },
    options: {
      script() {
        throw new Error('a bug');
      },
    },
    provoke: posted('/chat/completions', hello),
  },
  'shutting-down': {
    ...{ dialect: 'deepseek', details: [] },
    // Half of the request is there when the server is told to close.
    async provoke({ server, log }) {
      const socket = connect(Number(new URL(server.url).port), '127.0.0.1').setEncoding('utf8');
      const answer = socket.toArray();
      const other = connect(Number(new URL(server.url).port), '127.0.0.1');
      socket.write('GET /models HTTP/1.1\r\nHost: a\r\n');
      other.end('GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n');
      await until(() => log.some(({ path }) => path === '/healthz'));
      const closed = server.close();
      socket.write('\r\n');
      await closed;
      return rawAnswer((await answer).join(''));
    },
  },
  'upstream-refused': {
    ...{ dialect: 'deepseek', details: [{ problem: 'too many stop strings' }] },
    provoke: relayed(
      (response) => void response.writeHead(400).write('{"error": {"message": "too many stop strings"}}'),
    ),
  },
  'upstream-failed': {
    ...{ dialect: 'deepseek', details: [{ model: 'm', problem: 'the answer broke off' }] },
    provoke: relayed((response) => {
      beginStream(response);
      sendEvent(response, { choices: [{ delta: { content: 'a' } }] });
    }),
  },
  'upstream-unavailable': {
    ...{ dialect: 'deepseek', details: [{ model: 'm' }] },
    provoke: relayed((response) => void response.writeHead(503)),
  },
};

for (const [name, { dialect, details, options, provoke }] of Object.entries(cases)) {
  const code = name as RequestErrorCode;
  test(`${code} is answered with the status, envelope and text of its row`, async () => {
    await using toy = await serveToy({ script: () => ['ok'], ...options });
    const error = (requestError as (code: RequestErrorCode, ...details: unknown[]) => RequestError)(code, ...details);
    assert.deepEqual(await provoke(toy), {
      status: requestErrors[code].status,
      body: errorEnvelope(error, dialect),
    });
  });
}

test('a mistake is named where its caller wrote it, whatever the dialect makes of it', async () => {
  await using toy = await serveToy({ script: () => ['ok'] });
  const odd = { type: 'frob' };
  const call = { type: 'function_call', call_id: 'c1', name: 'a', arguments: '{}' };
  const use = { role: 'assistant', content: [{ type: 'tool_use', id: 'c1', name: 'a', input: {} }] };
  const named: [path: string, body: object, field: string][] = [
    ['/chat/completions', { structured_outputs: { json: odd } }, 'structured_outputs.json'],
    ['/chat/completions', { structured_outputs: { regex: '(' } }, 'structured_outputs.regex'],
    [
      '/v1/messages',
      { output_config: { format: { type: 'json_schema', schema: odd } } },
      'output_config.format.schema',
    ],
    [
      '/v1/messages',
      {
        tools: [
          { type: 'web_search', name: 'b' },
          { name: 'a', input_schema: odd, strict: true },
        ],
      },
      'tools[1].input_schema',
    ],
    ['/v1/messages', { system: 'Be brief.', messages: [...hello.messages, use] }, 'messages[1].content'],
    ['/responses', { text: { format: { type: 'json_schema', name: 'a', schema: odd } } }, 'text.format.schema'],
    [
      '/responses',
      { tools: [{ type: 'web_search' }, { type: 'function', name: 'a', parameters: odd, strict: true }] },
      'tools[1].parameters',
    ],
    ['/responses', { input: [...hello.messages, { type: 'reasoning' }, call] }, 'input[2].call_id'],
    [
      '/responses',
      { instructions: 'a', input: [{ ...call, type: 'function_call_output', output: '' }] },
      'input[0].call_id',
    ],
    ['/responses', { input: [...hello.messages, { role: 'assistant', content: 'a' }] }, 'input[1].role'],
  ];
  for (const [path, body, field] of named) {
    const answer = await posted(path, {
      ...hello,
      max_tokens: 9,
      ...(path === '/responses' && { input: 'a' }),
      ...body,
    })(toy);
    assert.equal(answer.status, 400);
    const { message, param } = (answer.body as { error: { message: string; param?: string | null } }).error;
    assert.ok(message.startsWith(`${field}: `), `${field}: ${message}`);
    if (path === '/responses') assert.equal(param, field);
  }
});

const page = readFileSync(join(import.meta.dirname, '../../docs/errors.md'), 'utf8');

test('docs/errors.md has the rows of the catalogue, word for word', () => {
  const rows = page.split('\n').filter((line) => line.startsWith('| `'));
  const expected = Object.entries(requestErrors).map(([name, row]) => {
    const parameter = 'parameter' in row ? ` ${row.parameter} ` : ' ';
    return `| \`${name}\` | ${row.status} | \`${row.type}\` | \`${row.code}\` |${parameter}| ${row.message} |`;
  });
  assert.deepEqual(rows, expected);
});

test('docs/errors.md says of each row when it happens, in the same order', () => {
  const [, advice = ''] = page.split('## When they happen');
  assert.deepEqual(
    [...advice.matchAll(/^- `([\w-]+)`:/gm)].map(([, name]) => name),
    Object.keys(requestErrors),
  );
});
