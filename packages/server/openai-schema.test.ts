import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { dsml, thinkEnd } from '@hadal/formats/special-tokens';
import { Ajv } from 'ajv';
import formats from 'ajv-formats';
import OpenAI, { toFile } from 'openai';
import { serveToy, type ToyServer } from './testing/serve-toy.ts';

// OpenAI's own description of its responses, without its prose (from the OpenAPI document of October 2026).
const schemas = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../test/golden/openai/response-schemas.json'), 'utf8'),
  withoutOlderWays,
) as Record<string, object>;
const ajv = new Ajv({ strict: false, allErrors: true, discriminator: false, logger: false });
(formats as unknown as (ajv: Ajv) => void)(ajv);
ajv.addFormat('unixtime', { type: 'number', validate: (time: number) => Number.isInteger(time) && time > 1.6e9 });
ajv.addSchema({ $id: 'openai', components: { schemas } });

/**
 * OpenAPI's older ways, which JSON Schema does not know: to allow null (neither without a type nor beside an enum), and to leave a
 * bound out.
 */
function withoutOlderWays(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if ('exclusiveMinimum' in value && value.exclusiveMinimum === true && 'minimum' in value) {
    const { minimum, ...rest } = value;
    return { ...rest, exclusiveMinimum: minimum };
  }
  if (!('nullable' in value)) return value;
  const { nullable: _, ...rest } = value;
  return { anyOf: [rest, { type: 'null' }] };
}

function assertValid(name: string, value: unknown): void {
  const validate = ajv.getSchema(`openai#/components/schemas/${name}`);
  assert.ok(validate, name);
  const problems = validate(value) ? [] : (validate.errors ?? []).slice(0, 4);
  assert.deepEqual(problems, [], `${name}: ${JSON.stringify(value)}`);
}

const callText =
  `\n\n<${dsml}tool_calls>\n<${dsml}invoke name="weather">\n<${dsml}parameter name="city" string="true">Rome</${dsml}parameter>\n` +
  `</${dsml}invoke>\n</${dsml}tool_calls>`;
const parameters = { type: 'object', properties: { city: { type: 'string' } } };
const messages = [{ role: 'user', content: 'Hello' }];
const patchText = callText.replace('"weather"', '"apply_patch"').replace('"city"', '"input"');
const chats = {
  plain: { messages },
  'two answers with log-probabilities': { messages, n: 2, logprobs: true, top_logprobs: 2 },
  tools: { messages, tools: [{ type: 'function', function: { name: 'weather', parameters } }] },
  'cut off': { messages, max_tokens: 2 },
};

/** DeepSeek's last chunk says `role: null`, and its clients have learnt to live with it. */
function withoutNullRole(chunk: unknown): unknown {
  return JSON.parse(JSON.stringify(chunk), (key, value) => (key === 'role' && value === null ? undefined : value));
}

/** The schema of the events of one type. */
function eventSchema(type: string): string {
  const { anyOf } = schemas.ResponseStreamEvent as { anyOf: { $ref: string }[] };
  const names = anyOf.map(({ $ref }) => $ref.split('/').at(-1) as string);
  const name = names.find((one) => JSON.stringify(schemas[one]).includes(`"type":{"type":"string","enum":["${type}"]`));
  assert.ok(name, `an event that OpenAI has: ${type}`);
  return name;
}

async function serve(): Promise<ToyServer> {
  const answer = (prompt: string) => {
    if (prompt.includes('apply_patch')) return patchText;
    return prompt.includes('weather') ? `See.${callText}` : 'Hi é';
  };
  const script = (prompt: string) => [`hm${thinkEnd}`, answer(prompt)];
  return await serveToy({ script });
}

async function ask(toy: ToyServer, path: string, body: object): Promise<string> {
  const response = await fetch(`${toy.server.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'toy', ...body }),
  });
  return await response.text();
}

function eventsOf(text: string): unknown[] {
  const data = text.split('\n').flatMap((line) => (line.startsWith('data: {') ? [line.slice('data: '.length)] : []));
  return data.map((json) => JSON.parse(json));
}

for (const [name, body] of Object.entries(chats)) {
  test(`chat completions are what OpenAI says they are: ${name}`, async () => {
    await using toy = await serve();
    assertValid('CreateChatCompletionResponse', JSON.parse(await ask(toy, '/v1/chat/completions', body)));
    const chunks = eventsOf(
      await ask(toy, '/v1/chat/completions', { ...body, stream: true, stream_options: { include_usage: true } }),
    );
    assert.ok(chunks.length > 2);
    for (const chunk of chunks) assertValid('CreateChatCompletionStreamResponse', withoutNullRole(chunk));
  });
}

test('completions are what OpenAI says they are', async () => {
  await using toy = await serve();
  for (const body of [{ prompt: 'a' }, { prompt: ['a', 'b'], n: 2 }, { prompt: 'a', suffix: 'b' }]) {
    assertValid('CreateCompletionResponse', JSON.parse(await ask(toy, '/v1/completions', body)));
  }
});

test('responses and their events are what OpenAI says they are', async () => {
  await using toy = await serve();
  const tools = [{ type: 'function', name: 'weather', parameters, strict: false }];
  for (const body of [
    { input: 'Hello' },
    { input: 'Hello', top_logprobs: 2 },
    { input: 'Hello', tools },
    { input: 'Hello', tools: [{ type: 'custom', name: 'apply_patch' }] },
    { input: 'Hello', max_output_tokens: 2 },
    { input: 'Hello', background: true },
    { input: 'Hello', instructions: 'Be brief.', metadata: { a: 'b' }, reasoning: { effort: 'low' } },
  ]) {
    assertValid('Response', JSON.parse(await ask(toy, '/v1/responses', body)));
    const events = eventsOf(await ask(toy, '/v1/responses', { ...body, stream: true }));
    assert.ok(events.length > 3);
    // Each by itself: of a union of fifty, problems say nothing.
    for (const event of events) assertValid(eventSchema((event as { type: string }).type), event);
  }
});

test('files, batches and stored completions are what OpenAI says they are', async () => {
  await using toy = await serve();
  const get = async (path: string) => await (await fetch(`${toy.server.url}/v1${path}`)).json();
  const form = new FormData();
  const line = { custom_id: '1', method: 'POST', url: '/v1/chat/completions', body: { model: 'toy', messages } };
  form.append('file', new Blob([JSON.stringify(line)]), 'a.jsonl');
  form.append('purpose', 'batch');
  const file = (await (await fetch(`${toy.server.url}/v1/files`, { method: 'POST', body: form })).json()) as {
    id: string;
  };
  assertValid('OpenAIFile', file);
  assertValid('ListFilesResponse', await get('/files'));
  const asked = { input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h' };
  const batch = JSON.parse(await ask(toy, '/v1/batches', asked)) as { id: string };
  assertValid('Batch', batch);
  while (((await get(`/batches/${batch.id}`)) as { status: string }).status !== 'completed');
  assertValid('Batch', await get(`/batches/${batch.id}`));
  assertValid('ListBatchesResponse', await get('/batches'));
  const { id } = JSON.parse(await ask(toy, '/v1/chat/completions', { messages, store: true, metadata: { a: 'b' } }));
  assertValid('CreateChatCompletionResponse', await get(`/chat/completions/${id}`));
  assertValid('ChatCompletionList', await get('/chat/completions'));
  // Its schema knows the assistant alone, its own example begins with a user.
  const asAssistants = (key: string, value: unknown) => (key === 'role' ? 'assistant' : value);
  const listed = JSON.stringify(await get(`/chat/completions/${id}/messages`));
  assertValid('ChatCompletionMessageList', JSON.parse(listed, asAssistants));
  const remove = async (path: string) =>
    await (await fetch(`${toy.server.url}/v1${path}`, { method: 'DELETE' })).json();
  assertValid('ChatCompletionDeleted', await remove(`/chat/completions/${id}`));
  assertValid('DeleteFileResponse', await remove(`/files/${file.id}`));
  const response = JSON.parse(await ask(toy, '/v1/responses', { input: 'Hello' })) as { id: string };
  assertValid('ResponseItemList', await get(`/responses/${response.id}/input_items`));
});

test('errors are what OpenAI says they are', async () => {
  await using toy = await serve();
  assertValid('ErrorResponse', JSON.parse(await ask(toy, '/v1/chat/completions', {})));
  assertValid('ErrorResponse', JSON.parse(await ask(toy, '/v1/responses', { model: 'other' })));
});

test('fine-tuning jobs, their events and checkpoints are what OpenAI says they are', async () => {
  await using toy = await serveToy({ script: () => ['ok'], trains: true });
  const client = new OpenAI({ baseURL: `${toy.server.url}/v1`, apiKey: 'any' });
  const file = await toFile(Buffer.from(JSON.stringify({ toy: { steps: 4 } })));
  const { id: trainingFile } = await client.files.create({ file, purpose: 'fine-tune' });
  const grader = {
    type: 'string_check',
    name: 'a',
    input: '{{ sample.output_text }}',
    reference: 'b',
    operation: 'eq',
  };
  const methods = [
    undefined,
    { type: 'supervised', supervised: { hyperparameters: { n_epochs: 2 } } },
    { type: 'dpo', dpo: { hyperparameters: { beta: 0.2 } } },
    { type: 'reinforcement', reinforcement: { grader, hyperparameters: { eval_interval: 5 } } },
  ];
  const ids: string[] = [];
  for (const method of methods) {
    const asked = { model: 'toy', training_file: trainingFile, suffix: 'mine', seed: 1, metadata: { a: 'b' }, method };
    const created = await client.fineTuning.jobs.create(asked as never);
    assertValid('FineTuningJob', created);
    ids.push(created.id);
  }
  const fetched = async (path: string) => await (await fetch(`${toy.server.url}/v1/fine_tuning/jobs${path}`)).json();
  for (const id of ids) {
    while ((await client.fineTuning.jobs.retrieve(id)).status !== 'succeeded') await delay(20);
    assertValid('FineTuningJob', await fetched(`/${id}`));
    assertValid('ListFineTuningJobEventsResponse', await fetched(`/${id}/events`));
    assertValid('ListFineTuningJobCheckpointsResponse', await fetched(`/${id}/checkpoints`));
  }
  assertValid('ListPaginatedFineTuningJobsResponse', await fetched(''));
});
