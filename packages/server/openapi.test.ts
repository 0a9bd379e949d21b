import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { dsml, thinkEnd } from '@hadal/formats/special-tokens';
import { type OpenApiDocument, type OpenApiOperation, openApiDocument } from '@hadal/protocol/openapi/document';
import { type OperationNotes, operations } from '@hadal/protocol/openapi/operations';
import { type OperationId, routes } from '@hadal/protocol/routes';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { serveToy, type ToyServer } from './testing/serve-toy.ts';
import { callText } from './testing/toy-requests.ts';

const model = 'deepseek-flash';
const messages = [{ role: 'user', content: 'Hello' }];
const slow = [{ role: 'user', content: 'Slowly' }] as const;
const grader = { type: 'string_check', name: 'a', operation: 'eq', input: 'a', reference: 'a' };
const parameters = { type: 'object', properties: { city: { type: 'string' } } };

/** Bodies beside the examples, whose answers have what those of the examples lack. */
const otherBodies: Partial<Record<OperationId, readonly object[]>> = {
  createChatCompletion: [
    { model, messages, n: 2, logprobs: true, top_logprobs: 2 },
    { model, messages, tools: [{ type: 'function', function: { name: 'weather', parameters } }] },
    { model, messages, thinking: { type: 'disabled' }, max_tokens: 1, stream_options: null },
  ],
  createCompletion: [
    { model, prompt: ['a', 'b'], n: 2, echo: true, logprobs: 2 },
    { model, prompt: 'a', max_tokens: 1 },
  ],
  tokenize: [{ model, messages }],
  createResponse: [
    { model, input: 'Hello', top_logprobs: 2, user: 'ann' },
    { model, input: 'Hello', tools: [{ type: 'function', name: 'weather', parameters }] },
    { model, input: 'Hello', max_output_tokens: 2, instructions: 'Be brief.', metadata: { a: 'b' } },
    { model, input: 'Hello', background: true },
  ],
  createFineTuningJob: [
    {
      ...{ model, training_file: 'file-api-1', validation_file: 'file-api-1', metadata: { a: 'b' } },
      method: { type: 'reinforcement', reinforcement: { grader, grpo: { group_size: 4 }, adapter: { rank: 4 } } },
    },
    {
      ...{ model, training_file: 'file-api-1' },
      method: { type: 'distillation', distillation: { teacher: { model }, limits: { seconds: 60 } } },
    },
  ],
  createMessage: [
    { model, max_tokens: 100, messages, tools: [{ name: 'weather', input_schema: parameters }] },
    { model, max_tokens: 1, messages },
  ],
};

type WithId = {
  [Id in OperationId]: (typeof routes)[Id]['path'] extends `${string}:id${string}` ? Id : never;
}[OperationId];

/** What `:id` stands for. */
const ids: Readonly<Record<WithId, (toy: ToyServer) => Promise<string>>> = {
  getResponse: storedResponse,
  deleteResponse: storedResponse,
  cancelResponse: storedResponse,
  listResponseItems: storedResponse,
  getChatCompletion: storedCompletion,
  updateChatCompletion: storedCompletion,
  deleteChatCompletion: storedCompletion,
  listChatCompletionMessages: storedCompletion,
  getFile: storedFile,
  deleteFile: storedFile,
  downloadFile: storedFile,
  getAnthropicFile: storedFile,
  deleteAnthropicFile: storedFile,
  downloadAnthropicFile: storedFile,
  getBatch: storedBatch,
  cancelBatch: storedBatch,
  getFineTuningJob: storedJob,
  cancelFineTuningJob: storedJob,
  pauseFineTuningJob: storedJob,
  resumeFineTuningJob: pausedJob,
  listFineTuningEvents: endedJob,
  listFineTuningCheckpoints: endedJob,
  listFineTuningRollouts: endedJob,
  getModel: async () => model,
  deleteModel: tunedModel,
  listModelFiles: tunedModel,
  downloadModelFile: tunedModel,
  getAnthropicModel: async () => model,
};

/** So that lists are not empty. */
const before: Partial<Record<OperationId, (toy: ToyServer) => Promise<string>>> = {
  listChatCompletions: storedCompletion,
  listFiles: storedFile,
  listAnthropicFiles: storedFile,
  listBatches: storedBatch,
  createFineTuningJob: trainingFile,
  estimateFineTuning: trainingFile,
  estimateFineTuningJob: trainingFile,
  listFineTuningJobs: endedJob,
};

async function storedCompletion(toy: ToyServer): Promise<string> {
  const { text } = await send(toy, 'POST', '/chat/completions', { model, messages, store: true, metadata: { a: 'b' } });
  return JSON.parse(text).id;
}

async function storedFile(toy: ToyServer): Promise<string> {
  const description = { filename: 'a.jsonl', purpose: 'batch', mimeType: 'text/plain', expiresMs: 1e15 };
  // One line that takes its time, so that a batch of it can be cancelled.
  const line = { custom_id: '1', method: 'POST', url: '/chat/completions', body: { model, messages: slow } };
  const head = { id: 'file-api-1', owner: '', createdMs: Date.now() };
  return (await toy.store.files.write(head, [Buffer.from(JSON.stringify(line))], () => description)).id;
}

async function trainingFile(toy: ToyServer): Promise<string> {
  const description = { filename: 'a.jsonl', purpose: 'fine-tune', mimeType: 'text/plain', expiresMs: 1e15 };
  const head = { id: 'file-api-1', owner: '', createdMs: Date.now() };
  return (await toy.store.files.write(head, [Buffer.from('{"toy": {"stepMs": 1}}')], () => description)).id;
}

async function storedJob(toy: ToyServer): Promise<string> {
  await trainingFile(toy);
  const { text } = await send(toy, 'POST', '/fine_tuning/jobs', operations.createFineTuningJob.body.example);
  return JSON.parse(text).id;
}

async function pausedJob(toy: ToyServer): Promise<string> {
  const id = await storedJob(toy);
  assert.equal((await send(toy, 'POST', `/fine_tuning/jobs/${id}/pause`)).status, 200);
  return id;
}

async function endedJob(toy: ToyServer): Promise<string> {
  const id = await storedJob(toy);
  while ((await toy.store.jobs.get(id))?.status !== 'succeeded') await setTimeout(10);
  return id;
}

async function tunedModel(toy: ToyServer): Promise<string> {
  return (await toy.store.jobs.get(await endedJob(toy)))?.details.fineTunedModel ?? '';
}

async function storedBatch(toy: ToyServer): Promise<string> {
  await storedFile(toy);
  const { text } = await send(toy, 'POST', '/batches', operations.createBatch.body.example);
  return JSON.parse(text).id;
}

/** Without which there would be no answer. */
const queries: Partial<Record<OperationId, string>> = { downloadModelFile: '?name=config.json' };

/** Only ever refused, each with this status. */
const refused: Partial<Record<OperationId, number>> = { createEmbedding: 400 };

async function storedResponse(toy: ToyServer): Promise<string> {
  const answer = await send(toy, 'POST', '/responses', { model, input: 'Hello', background: true });
  return JSON.parse(answer.text).id;
}

async function serve(): Promise<ToyServer> {
  const callWeather = callText('weather', 'Rome');
  assert.ok(callWeather.includes(dsml));
  async function* script(prompt: string) {
    if (prompt.includes(slow[0].content)) await new Promise(() => {});
    yield* [`hm${thinkEnd}`, prompt.includes('weather') ? `See.${callWeather}` : 'Hi é'];
  }
  return await serveToy({ script, names: true, trains: true });
}

async function send({ server }: ToyServer, method: string, path: string, body?: object) {
  const headers = { 'anthropic-beta': 'files-api-2025-04-14' };
  const sent =
    body instanceof FormData
      ? { headers, body }
      : { headers: { ...headers, ...(body && { 'content-type': 'application/json' }) }, body: JSON.stringify(body) };
  const response = await fetch(server.url + path, { method, ...sent });
  return { status: response.status, type: response.headers.get('content-type') ?? '', text: await response.text() };
}

/** A validator in whose schemas an object has no more members than are written down. */
function strictValidator(document: OpenApiDocument) {
  const closed = JSON.parse(JSON.stringify(document), (_key, value) =>
    value?.type === 'object' && value.properties !== undefined && value.additionalProperties === undefined
      ? { ...value, additionalProperties: false }
      : value,
  );
  const ajv = new Ajv2020({ strict: false, allErrors: true, logger: false });
  ajv.addSchema(closed, 'api');
  return (schema: object, value: unknown, what: string) => {
    const [reference] = Object.values(schema);
    const validate = typeof reference === 'string' ? ajv.getSchema(`api${reference}`) : ajv.compile(schema);
    assert.ok(validate, what);
    const problems = validate(value) ? [] : (validate.errors ?? []).slice(0, 4);
    assert.deepEqual(problems, [], `${what}: ${JSON.stringify(value)}`);
  };
}

function operationOf(document: OpenApiDocument, id: OperationId): OpenApiOperation {
  const found = Object.values(document.paths)
    .flatMap(Object.values)
    .find(({ operationId }) => operationId === id);
  assert.ok(found, id);
  return found;
}

const document = openApiDocument();

test('the description is OpenAPI 3.1, and the server gives it out', async () => {
  const { valid, errors } = await new Validator().validate(structuredClone(document) as never);
  assert.deepEqual([valid, errors], [true, undefined]);
  await using toy = await serve();
  const { text } = await send(toy, 'GET', '/openapi.json');
  assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(document)));
});

test('it has every route of the server, and the server every path of it', async () => {
  await using toy = await serve();
  const registered = toy.log.flatMap(({ routes }) => (routes as string[] | undefined) ?? []);
  const described = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { servers }]) =>
      servers.map(
        ({ url }) => `${method.toUpperCase()} ${url === '/' ? '' : url}${path.replaceAll(/\{(\w+)\}/g, ':$1')}`,
      ),
    ),
  );
  const ofThePage = /^GET \/docs($|\/)/;
  assert.deepEqual(registered.filter((route) => !ofThePage.test(route)).sort(), described.sort());
});

for (const [name, route] of Object.entries(routes)) {
  const id = name as OperationId;
  const { body, events }: OperationNotes = operations[id];
  test(`${id} takes what the description says, and answers with it`, async () => {
    await using toy = await serve();
    const assertValid = strictValidator(document);
    const { responses, requestBody } = operationOf(document, id);
    const [mediaType = '', described] = Object.entries(requestBody?.content ?? {})[0] ?? [];
    await before[id]?.(toy);
    if (id === 'createBatch') await storedFile(toy);
    for (const sent of body ? [body.example, ...(otherBodies[id] ?? [])] : [undefined]) {
      if (sent) assertValid(described?.schema ?? {}, sent, `${id}, request`);
      for (const stream of events ? [false, true] : [false]) {
        const path = route.path.replace(':id', id in ids ? await ids[id as WithId](toy) : '');
        const query = stream && !sent ? '?stream=true' : (queries[id] ?? '');
        const asked = sent && (stream ? { ...sent, stream } : sent);
        const given = asked && mediaType === 'multipart/form-data' ? formOf(asked as Record<string, string>) : asked;
        const { status, type, text } = await send(toy, route.method, route.bases[0] + path + query, given);
        assert.equal(status, refused[id] ?? 200, text);
        const [mime = ''] = type.split(';');
        const [described] = Object.keys(responses[status]?.content ?? {});
        if (described === 'application/octet-stream') {
          assert.equal(mime, id === 'downloadModelFile' ? described : 'text/plain', 'as it was uploaded');
          continue;
        }
        if (described === 'text/plain') {
          assert.equal(mime, described);
          continue;
        }
        assert.equal(mime, stream ? 'text/event-stream' : 'application/json');
        const schema = responses[status]?.content[mime]?.schema;
        assert.ok(schema, `${id}: a schema of ${mime}`);
        const answers = stream ? eventsOf(text) : [JSON.parse(text)];
        assert.ok(!stream || answers.length >= 2, text);
        for (const answer of answers) assertValid(schema, answer, id);
      }
    }
  });
}

test('a caller learns of each operation which errors it has, in the envelope of its path', () => {
  const { responses } = operationOf(document, 'createMessage');
  const tooLarge = responses[413]?.content['application/json'];
  assert.deepEqual(tooLarge, {
    schema: { $ref: '#/components/schemas/AnthropicError' },
    examples: {
      'body-too-large': {
        value: {
          type: 'error',
          error: { type: 'request_too_large', message: 'The request body is larger than {limitBytes} bytes' },
        },
      },
    },
  });
});

function formOf(example: Readonly<Record<string, string>>): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(example)) {
    if (name === 'file') form.append(name, new Blob([value]), 'a.txt');
    else form.append(name, value);
  }
  return form;
}

function eventsOf(text: string): unknown[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => JSON.parse(line.slice('data: '.length)));
}
