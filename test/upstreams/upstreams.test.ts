import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { providerAt } from '@hadal/server/testing/fake-upstream';
import { type Fault, startFaultProxy } from '@hadal/server/testing/fault-proxy';
import { serveToy } from '@hadal/server/testing/serve-toy';
import { post } from '@hadal/server/testing/toy-requests';
import OpenAI from 'openai';
import { install, isInstalled } from './install.ts';
import { type RunningServer, startRealServer } from './real-server.ts';

// Hadal in front of servers that other people have made, with a wire that fails between them.

const hello = {
  model: 'm',
  messages: [{ role: 'user' as const, content: 'two words' }],
  temperature: 0,
  max_tokens: 8,
};

async function frontOf(urls: readonly string[], model: string) {
  const provider = providerAt(urls, { model, flavour: undefined, contextWindow: undefined });
  const toy = await serveToy({ script: () => [], providers: [provider] });
  return {
    ...{ toy, provider, url: toy.server.url },
    client: new OpenAI({ baseURL: `${toy.server.url}/v1`, apiKey: 'any', maxRetries: 0 }),
    async [Symbol.asyncDispose]() {
      await toy[Symbol.asyncDispose]();
      await provider[Symbol.asyncDispose]();
    },
  };
}

/** What holds of every server. */
async function tryServer({ url, model }: RunningServer): Promise<void> {
  await using front = await frontOf([url], model);
  const whole = await front.client.chat.completions.create(hello);
  const { message, finish_reason: reason } = whole.choices[0] as OpenAI.ChatCompletion.Choice;
  assert.ok(['length', 'stop'].includes(reason));
  assert.ok((whole.usage?.prompt_tokens ?? 0) > 5, 'a prompt was counted');
  assert.ok((whole.usage?.completion_tokens ?? 0) > 0, 'and an answer');
  let streamed = '';
  for await (const chunk of await front.client.chat.completions.create({ ...hello, stream: true })) {
    streamed += chunk.choices[0]?.delta.content ?? '';
  }
  assert.equal(streamed, message.content);
  for (const mark of ['<｜', '｜>', '<|im_start|>']) assert.ok(!streamed.includes(mark), streamed);
  const text = await front.client.completions.create({
    model: 'm',
    prompt: 'two words',
    temperature: 0,
    max_tokens: 4,
  });
  assert.ok((text.usage?.completion_tokens ?? 0) > 0);
  const anthropic = await post(front.url, hello, {}, '/anthropic/v1/messages');
  assert.equal(anthropic.status, 200);
  await tryWire(url, model, streamed);
  assert.ok(front.provider.status().every(({ running, breaker }) => running === 0 && breaker === 'closed'));
}

/** Its answer, cut, reset and garbled here and there. */
async function tryWire(url: string, model: string, expected: string): Promise<void> {
  const port = Number(new URL(url).port);
  const lengths = { whole: 0, error: 0 };
  for (const type of ['cut', 'reset', 'garble'] as const) {
    for (const at of [0, 120, 300, 500, 900, 1500]) {
      const fault: Fault = { type, at };
      await using proxy = await startFaultProxy(port, [fault]);
      await using provider = providerAt([proxy.url], { model, flavour: 'openai', attempts: 1 });
      await using toy = await serveToy({ script: () => [], providers: [provider] });
      const response = await post(toy.server.url, { ...hello, stream: true });
      const body = await response.text();
      const events = body.split('\n\n').filter((line) => line.startsWith('data: {'));
      const chunks = events.map((line) => JSON.parse(line.slice(6)));
      const said = chunks.map((chunk) => chunk.choices?.[0]?.delta?.content ?? '').join('');
      const isWhole = body.endsWith('data: [DONE]\n\n');
      lengths[isWhole ? 'whole' : 'error']++;
      if (isWhole) assert.equal(said, expected);
      else assert.match(body, /"error":\{"message":"(The|No) server behind m /);
      assert.ok(expected.startsWith(said));
    }
  }
  assert.ok(lengths.error > 0, JSON.stringify(lengths));
}

async function answered(url: string, path: string, body: object): Promise<Record<string, unknown>> {
  const response = await post(url, body, {}, path);
  assert.equal(response.status, 200);
  return (await response.json()) as Record<string, unknown>;
}

async function withServer(
  t: TestContext,
  state: ReturnType<typeof install>,
  name: Parameters<typeof startRealServer>[0],
  use: (server: RunningServer) => Promise<void>,
): Promise<void> {
  if (state !== 'ready') return t.skip(state.missing);
  await using server = await startRealServer(name);
  await use(server);
}

test("llama.cpp's server answers as any of our models", async (t) => {
  await withServer(t, install('llama-server'), 'llama-server', async (server) => {
    await tryServer(server);
    await using front = await frontOf([server.url, server.url], server.model);
    const { client } = front;
    // What it alone can do.
    const choice = await client.chat.completions.create({
      ...hello,
      structured_outputs: { choice: ['yes', 'no'] },
    } as OpenAI.ChatCompletionCreateParamsNonStreaming);
    assert.ok(['yes', 'no'].includes(choice.choices[0]?.message.content ?? ''));
    assert.equal(front.provider.flavour(), 'llama-server');
    const schema = {
      type: 'object',
      properties: { a: { enum: [1, 2] } },
      required: ['a'],
      additionalProperties: false,
    };
    const formed = await client.chat.completions.create({
      ...{ ...hello, max_tokens: 60 },
      response_format: { type: 'json_schema', json_schema: { name: 'a', schema } },
    });
    assert.ok([1, 2].includes(JSON.parse(formed.choices[0]?.message.content ?? '').a));
    const scored = await client.chat.completions.create({ ...hello, logprobs: true, top_logprobs: 2 });
    const logprobs = scored.choices[0]?.logprobs?.content ?? [];
    assert.ok(logprobs.length > 0 && logprobs.every(({ top_logprobs }) => top_logprobs.length === 2));
    const completed = await client.completions.create({ model: 'm', prompt: 'two words', max_tokens: 3, logprobs: 1 });
    // It leaves out a token that is only the beginning of a character.
    assert.ok((completed.choices[0]?.logprobs?.token_logprobs?.length ?? 0) >= 1);
    const { tokens } = await answered(front.url, '/tokenize', { model: 'm', prompt: 'two words' });
    assert.equal((await answered(front.url, '/detokenize', { model: 'm', tokens })).prompt, 'two words');
    const counted = await answered(front.url, '/anthropic/v1/messages/count_tokens', hello);
    const { usage } = await client.chat.completions.create(hello);
    assert.equal(counted.input_tokens, usage?.prompt_tokens);
    const long = { ...hello, messages: [{ role: 'user', content: 'a'.repeat(5000) }] };
    const refused = await post(front.url, long);
    assert.equal(refused.status, 400);
    assert.match(await refused.text(), /refuses the request: .*exceeds the available context size/);
    const called = await client.chat.completions.create({
      ...{ ...hello, max_tokens: 200 },
      tools: [{ type: 'function', function: { name: 'f', parameters: schema } }],
      tool_choice: 'required',
    });
    for (const call of called.choices[0]?.message.tool_calls ?? []) {
      if (call.type === 'function') assert.ok([1, 2].includes(JSON.parse(call.function.arguments).a));
    }
  });
});

test('transformers serve answers as any of our models', async (t) => {
  const missing = 'some 6 GB: node test/upstreams/run.ts installs it';
  await withServer(t, isInstalled('transformers') ? 'ready' : { missing }, 'transformers', async (server) => {
    await tryServer(server);
    await using provider = providerAt([server.url], { model: server.model, flavour: 'transformers' });
    await using toy = await serveToy({ script: () => [], providers: [provider] });
    const refused = await post(toy.server.url, { ...hello, logprobs: true });
    assert.equal(refused.status, 400);
    assert.match(await refused.text(), /logprobs: the server behind this model does not take log-probabilities/);
    const stopped = await post(toy.server.url, { ...hello, stop: ['a', 'e'] });
    assert.equal(stopped.status, 200);
  });
});
