import assert from 'node:assert/strict';
import { Agent, request as httpRequest } from 'node:http';
import { after, type TestContext, test } from 'node:test';
import { thinkEnd } from '@hadal/formats/special-tokens';
import { r1Template, v2Template, v31Template } from '@hadal/formats/testing/chat-templates';
import { errorsOf, openApiDocument } from '@hadal/protocol/openapi/document';
import { type OperationNotes, operations } from '@hadal/protocol/openapi/operations';
import { type RequestErrorCode, requestErrors } from '@hadal/protocol/request-error';
import { dialectAt, type OperationId, type Route, routes } from '@hadal/protocol/routes';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import {
  Draws,
  mutatedBody,
  mutatedForm,
  mutatedText,
  oddHeaders,
  oddQuery,
  oddSegment,
} from './testing/request-mutations.ts';
import { serveToy, type ToyServer } from './testing/serve-toy.ts';

// Ten thousand requests that are nearly right, over all routes under all their bases. Whatever is wrong with one, its answer
// comes soon, is a caller's mistake of the catalogue that the description has for that route, in the envelope of the path, and
// names a field or a reason. What the description calls wrong is never accepted.

const parallel = 8;
/** Longer than any of them may take, on a machine that does other things too. */
const boundMs = 20_000;

const model = 'deepseek-flash';
const messages = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: [{ type: 'text', text: 'Weather?' }] },
  { role: 'assistant', reasoning_content: 'hm', content: null, tool_calls: [call('c1'), call('c2')] },
  { role: 'tool', tool_call_id: 'c2', content: 'sun' },
  { role: 'tool', tool_call_id: 'c1', content: [{ type: 'text', text: 'rain' }] },
];
const parameters = { type: 'object', properties: { city: { type: 'string', pattern: '^a+$' } }, required: ['city'] };
const sampling = {
  ...{
    stop: ['END', 'x'],
    stream: true,
    stream_options: { include_usage: true },
    temperature: 0.5,
    top_p: 0.9,
    top_k: 5,
  },
  ...{
    min_p: 0.1,
    frequency_penalty: 1,
    presence_penalty: -1,
    logit_bias: { 5: 10 },
    service_tier: 'flex',
    n: 2,
    seed: 7,
  },
  ...{ speculative: { method: 'ngram', num_draft_tokens: 3 }, user_id: 'ann', user: 'bob' },
};

/** Right ones beside the examples, in which most fields occur. */
const bodies: Partial<Record<OperationId, readonly object[]>> = {
  createChatCompletion: [
    {
      ...{ model, messages, ...sampling, thinking: { type: 'enabled' }, reasoning_effort: 'low', max_tokens: 50 },
      tools: [{ type: 'function', function: { name: 'weather', description: 'Weather', parameters, strict: true } }],
      ...{ tool_choice: 'auto', logprobs: true, top_logprobs: 2, prediction: { type: 'content', content: 'sun' } },
    },
    {
      ...{ model: 'deepseek-reasoner', messages: messages.slice(0, 2), max_completion_tokens: 20, stream: false },
      response_format: { type: 'json_schema', json_schema: { name: 'a', schema: parameters, strict: true } },
    },
    { model, messages: messages.slice(0, 2), structured_outputs: { regex: '(yes|no)[0-9]{1,3}' } },
    { model, messages: [...messages.slice(0, 2), { role: 'assistant', content: 'So', prefix: true }] },
  ],
  createCompletion: [
    { model, prompt: ['a', 'b'], ...sampling, echo: true, max_tokens: 5, logprobs: 2 },
    { model, prompt: [[72, 105], [72]], max_tokens: 5 },
    { model, prompt: 'a', suffix: 'b', max_tokens: 5 },
  ],
  tokenize: [{ model, messages, return_token_strs: true }],
  createBatch: [
    { input_file_id: 'file-api-0', endpoint: '/v1/chat/completions', completion_window: '1h', metadata: { a: 'b' } },
  ],
  updateChatCompletion: [{ metadata: null }],
  createResponse: [
    {
      ...{ model, instructions: 'Be brief.', max_output_tokens: 20, stream: true, store: true, metadata: { a: 'b' } },
      input: [
        { role: 'user', content: [{ type: 'input_text', text: 'Weather?' }] },
        { type: 'reasoning', id: 'rs_1', summary: [], content: [{ type: 'reasoning_text', text: 'hm' }] },
        { type: 'function_call', call_id: 'c1', name: 'weather', arguments: '{}' },
        { type: 'function_call_output', call_id: 'c1', output: 'sun' },
      ],
      tools: [{ type: 'function', name: 'weather', description: 'Weather', parameters, strict: true }],
      ...{ tool_choice: 'required', text: { format: { type: 'json_object' } }, reasoning: { effort: 'low' } },
      ...{ include: ['message.output_text.logprobs'], top_logprobs: 2, service_tier: 'flex', user: 'ann' },
    },
    { model, input: 'Hello', background: true },
  ],
  createMessage: [
    {
      ...{ model: 'claude-opus-4-8', max_tokens: 20, system: [{ type: 'text', text: 'Be brief.' }], stream: true },
      messages: [
        { role: 'user', content: 'Weather?' },
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 'hm', signature: '' },
            { type: 'tool_use', id: 't1', name: 'weather', input: { city: 'Rome' } },
          ],
        },
        {
          role: 'user',
          content: [{ type: 'tool_result', tool_use_id: 't1', content: [{ type: 'text', text: 'sun' }] }],
        },
      ],
      tools: [{ name: 'weather', description: 'Weather', input_schema: parameters, strict: true }],
      ...{ tool_choice: { type: 'auto' }, thinking: { type: 'enabled', budget_tokens: 10 }, top_k: 5, top_p: 0.9 },
      ...{ output_config: { effort: 'low' }, stop_sequences: ['END'], metadata: { user_id: 'ann' }, temperature: 1 },
    },
  ],
};

function call(id: string) {
  return { id, type: 'function', function: { name: 'weather', arguments: '{"city": "Rome"}' } };
}

interface Asked {
  readonly id: OperationId | undefined;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** `refused`: whatever reads it must find the mistake; `either`: rules that no schema has decide. */
  readonly expected: 'refused' | 'either';
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
}

const json = { 'content-type': 'application/json' };
const agent = new Agent({ keepAlive: true, maxSockets: parallel });
let toy: ToyServer;
/** What there is to be named in paths. */
const stored: string[] = [];

after(() => agent.destroy());

async function serve(chatTemplate: string | undefined): Promise<ToyServer> {
  let ids = 0;
  // So that a seed stands for the same request in every run.
  const newId = () => `00000000-0000-4000-8000-${String(ids++).padStart(12, '0')}`;
  const template = chatTemplate === undefined ? {} : { chatTemplate };
  toy = await serveToy({ names: true, newId, ...template, script: () => [`hm${thinkEnd}`, 'a short answer'] });
  stored.length = 0;
  const line = JSON.stringify({
    custom_id: '1',
    method: 'POST',
    url: '/v1/chat/completions',
    body: { model, messages },
  });
  for (let i = 0; i < 20; i++) {
    const body = Buffer.from(JSON.stringify({ model, input: 'Hello', background: i % 2 === 0 }));
    const { text } = await send({ id: 'createResponse', method: 'POST', path: '/responses', headers: json, body });
    stored.push(JSON.parse(text).id);
    const file = { filename: 'a', purpose: 'batch', mimeType: 'a/b', expiresMs: undefined };
    const head = { id: `file-api-${i}`, owner: '', createdMs: i };
    stored.push((await toy.store.files.write(head, [Buffer.from(line)], () => file)).id);
  }
  return toy;
}

const targets = Object.entries(routes).flatMap(([id, route]) =>
  route.bases.map((base) => ({ id: id as OperationId, route: route as Route, base })),
);

function requestFor(seed: number): Asked {
  const draws = new Draws(seed);
  const { id, route, base } = targets[seed % targets.length] as (typeof targets)[number];
  const notes: OperationNotes = operations[id];
  const isOdd = draws.isOneIn(4);
  const name = () => (isOdd ? oddSegment(draws) : draws.of([...stored, model, 'nobody']));
  const path =
    base + route.path.replace(':id', name) + (draws.isOneIn(isOdd || !notes.body ? 2 : 20) ? oddQuery(draws) : '');
  const method = draws.isOneIn(50)
    ? draws.of(['GET', 'POST', 'DELETE', 'PUT', 'PATCH', 'OPTIONS', 'HEAD'])
    : route.method;
  if (draws.isOneIn(100)) {
    const headers = { ...json, 'content-length': String(2 ** (26 + draws.below(20))) };
    return {
      id,
      method: route.method,
      path: base + route.path,
      headers,
      body: Buffer.from('{'),
      expected: notes.body ? 'refused' : 'either',
    };
  }
  const headers = draws.isOneIn(15) ? oddHeaders(draws) : json;
  if (!notes.body) {
    const body = Buffer.from(draws.of(['', '', '', '{}', '{', 'null']));
    return {
      id: method === route.method ? id : undefined,
      method,
      path,
      headers: body.length > 0 ? headers : {},
      body,
      expected: 'either',
    };
  }
  if (route.takes === 'form') {
    const boundary = 'xyz';
    const type = draws.isOneIn(10)
      ? oddHeaders(draws)
      : { 'content-type': `multipart/form-data; boundary=${boundary}` };
    const form = mutatedForm(draws, notes.body.example, boundary);
    const beta = draws.isOneIn(10) ? {} : { 'anthropic-beta': 'files-api-2025-04-14' };
    return {
      ...{ id: method === route.method ? id : undefined, method, path },
      headers: { ...type, ...beta },
      ...{ body: draws.isOneIn(4) ? mutatedText(draws, form) : Buffer.from(form), expected: 'either' },
    };
  }
  const sent = draws.of([notes.body.example, ...(bodies[id] ?? [])]);
  const value = draws.isOneIn(10) ? sent : mutatedBody(draws, sent);
  const text = JSON.stringify(value) ?? '';
  const body = draws.isOneIn(6) ? mutatedText(draws, text) : Buffer.from(text);
  const isPlain = headers === json && method === route.method;
  const expected = isPlain && isWrong(id, body) ? 'refused' : 'either';
  return { id: isPlain ? id : undefined, method, path, headers, body, expected };
}

/** By the description of the API alone. */
function isWrong(id: OperationId, body: Buffer): boolean {
  const validate = validators.get(id);
  if (validate === undefined) return false;
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
    // Members of this name are left out unread, whatever they are.
    return !validate(JSON.parse(text, (key, value) => (key === '__proto__' ? undefined : value)));
  } catch {
    return true;
  }
}

const validators = bodyValidators();

function bodyValidators(): ReadonlyMap<string, ValidateFunction> {
  const document = JSON.parse(JSON.stringify(openApiDocument()), (key, value) =>
    // Described, but never an error, whatever they are.
    key === 'frequency_penalty' || key === 'presence_penalty' ? {} : value,
  );
  const ajv = new Ajv2020({ strict: false, logger: false });
  ajv.addSchema(document, 'api');
  const found = new Map<string, ValidateFunction>();
  for (const [path, methods] of Object.entries<Record<string, { operationId: string; requestBody?: object }>>(
    document.paths,
  )) {
    for (const [method, { operationId, requestBody }] of Object.entries(methods)) {
      if (!requestBody) continue;
      const place = path.replaceAll('~', '~0').replaceAll('/', '~1');
      const media = encodeURI(`/paths/${place}/${method}/requestBody/content/application~1json/schema`);
      const validate = ajv.getSchema(`api#${media}`);
      if (validate) found.set(operationId, validate);
    }
  }
  return found;
}

async function send({ method, path, headers, body }: Omit<Asked, 'expected'>): Promise<Answer> {
  const signal = AbortSignal.timeout(boundMs);
  const { hostname, port } = new URL(toy.server.url);
  return await new Promise((resolve, reject) => {
    // More is announced than comes: the answer must not wait for it.
    const isOversized = 'content-length' in headers;
    const given =
      isOversized || 'transfer-encoding' in headers ? headers : { ...headers, 'content-length': body.length };
    const target = { hostname, port, path, method, headers: given, agent: isOversized ? false : agent, signal };
    const request = httpRequest(target, async (response) => {
      try {
        const text = (await response.setEncoding('utf8').toArray()).join('');
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
      } catch (error) {
        reject(error);
      }
      if (isOversized) request.destroy();
    });
    request.on('error', reject);
    if (isOversized) request.write(body);
    else request.end(body);
  });
}

/** Those with most words of their own first: "{field}: {problem}" fits many. */
const templates = Object.entries(requestErrors)
  .map(([code, { message }]) => ({
    code: code as RequestErrorCode,
    pattern: new RegExp(`^${RegExp.escape(message).replaceAll(/\\\{(\w+)\\\}/g, '(?<$1>[^]*)')}$`),
    ownLength: message.replaceAll(/\{\w+\}/g, '').length,
  }))
  .sort((a, b) => b.ownLength - a.ownLength);

/** What an error says, checked against catalogue, envelope and what the description has for its route. */
function checkError(
  { id, path, headers: sent }: Pick<Asked, 'id' | 'path' | 'headers'>,
  { status, headers, text }: Answer,
): void {
  assert.ok(status >= 400 && status < 500, `a caller's mistake, got ${status}`);
  assert.match(String(headers['x-request-id']), /^[0-9a-f-]{36}$/);
  // By this header clients of Anthropic's are told apart, on paths that are OpenAI's too.
  const isMoved = 'anthropic-version' in sent && /^\/v1\/(files|models)(\/|\?|$)/.test(path);
  const dialect = isMoved
    ? 'anthropic'
    : id === undefined
      ? dialectAt(path.split('?', 1)[0] ?? path)
      : routes[id].dialect;
  const { error, ...rest } = JSON.parse(text);
  const members = dialect === 'anthropic' ? ['type', 'message'] : ['message', 'type', 'param', 'code'];
  assert.deepEqual(
    [Object.keys(error).sort(), rest],
    [members.sort(), dialect === 'anthropic' ? { type: 'error' } : {}],
  );
  const rows = templates.flatMap(({ code, pattern }) => {
    const match = pattern.exec(error.message);
    return match && requestErrors[code].status === status ? [{ code, details: match.groups ?? {} }] : [];
  });
  assert.ok(rows.length > 0, `a message of the catalogue for ${status}`);
  for (const [name, detail] of Object.entries(rows[0]?.details ?? {})) {
    assert.ok(detail !== '' || name === 'place' || name === 'passed' || name === 'id', `${name} is said`);
  }
  if (dialect === 'openai' && 'parameter' in requestErrors[rows[0]?.code ?? 'internal'])
    assert.notEqual(error.param, null);
  if (dialect === 'deepseek') assert.equal(error.param, null);
  if (id === undefined || isMoved || rows.some(({ code }) => code === 'unknown-route')) return;
  const known = errorsOf(routes[id], operations[id]);
  assert.ok(
    rows.some(({ code }) => known.has(code)),
    `${rows[0]?.code} is described for ${id}`,
  );
}

test('of ten thousand malformed requests each is answered soon, never as a failure of the server', async (t) => {
  await using _ = await serve(undefined);
  await flood(t, 10_000);
});

for (const [name, template] of Object.entries({ R1: r1Template(), V2: v2Template, 'V3.1': v31Template })) {
  test(`so it is with a thousand for a model with ${name}'s chat template`, async (t) => {
    await using _ = await serve(template);
    await flood(t, 1_000);
  });
}

async function flood(t: TestContext, count: number): Promise<void> {
  const statuses: Record<number, number> = {};
  const failures: string[] = [];
  let next = 0;
  let slowestMs = 0;
  const work = async () => {
    while (next < count && failures.length < 10) {
      const seed = next++;
      const asked = requestFor(seed);
      const begun = performance.now();
      try {
        const answer = await send(asked);
        slowestMs = Math.max(slowestMs, performance.now() - begun);
        statuses[answer.status] = (statuses[answer.status] ?? 0) + 1;
        if (asked.method === 'HEAD') assert.ok(answer.status < 500);
        else if (answer.status >= 300) checkError(asked, answer);
        else {
          assert.equal(asked.expected, 'either', 'what the description calls wrong is refused');
          assert.ok(!/^event: error|^data: \{"error"|"status":"failed"/m.test(answer.text), answer.text.slice(-500));
        }
      } catch (error) {
        const { method, path, headers, body } = asked;
        const sent = `${method} ${path.slice(0, 200)} ${JSON.stringify(headers)} ${body.toString('latin1').slice(0, 1500)}`;
        failures.push(`seed ${seed}: ${sent}: ${error instanceof Error ? error.message : error}`);
      }
    }
  };
  await Promise.all(Array.from({ length: parallel }, work));
  assert.deepEqual(failures, []);
  t.diagnostic(`${JSON.stringify(statuses)}, slowest ${Math.round(slowestMs)} ms`);
  assert.ok((statuses[200] ?? 0) > count / 20, 'some of them are right');
  assert.ok((statuses[400] ?? 0) > count / 4, 'many of them are wrong');
  if (count >= 10_000) assert.ok((statuses[413] ?? 0) > 0, 'some are too large');
  await checkAlive();
}

async function checkAlive(): Promise<void> {
  const body = Buffer.from(JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }] }));
  const answer = await send({
    id: 'createChatCompletion',
    method: 'POST',
    path: '/chat/completions',
    headers: json,
    body,
  });
  assert.match(JSON.parse(answer.text).choices[0].message.content, /a short answer$/);
  const failed = toy.log.filter(({ level, errorCode }) => Number(level) >= 50 || errorCode === 'internal');
  assert.deepEqual(failed.slice(0, 3), []);
}
