import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { plainRequest } from '@hadal/engine/engine';
import { thinkEnd } from '@hadal/formats/special-tokens';
import type OpenAI from 'openai';
import { APIError, BadRequestError } from 'openai';
import { serveToy } from './testing/serve-toy.ts';
import { calm, clientOf, hello, post, until } from './testing/toy-requests.ts';

test('a thinking answer comes whole, with reasoning, usage and the same id in body and header', async () => {
  await using toy = await serveToy({ script: () => [`so${thinkEnd}9.8 is greater`] });
  const { data, response } = await clientOf(toy).chat.completions.create(hello).withResponse();
  const prompt = '<｜begin▁of▁sentence｜><｜User｜>Hello<｜Assistant｜><think>';
  const promptTokens = toy.engine.tokenizer.encode(prompt);
  assert.deepEqual(toy.engine.requests[0]?.prompt, promptTokens);
  assert.deepEqual(
    { ...data, created: 0, system_fingerprint: '' },
    {
      id: response.headers.get('x-request-id'),
      object: 'chat.completion',
      created: 0,
      model: 'toy',
      system_fingerprint: '',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: '9.8 is greater', refusal: null, reasoning_content: 'so' },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: {
        prompt_tokens: promptTokens.length,
        completion_tokens: 18,
        total_tokens: promptTokens.length + 18,
        prompt_tokens_details: { cached_tokens: 0 },
        completion_tokens_details: {
          reasoning_tokens: 2,
          accepted_prediction_tokens: 0,
          rejected_prediction_tokens: 0,
        },
        prompt_cache_hit_tokens: 0,
        prompt_cache_miss_tokens: promptTokens.length,
      },
    },
  );
  assert.match(data.system_fingerprint ?? '', /^fp_[0-9a-f]{10}$/);
  assert.ok(Math.abs(data.created - Date.now() / 1000) < 10);
  assert.match(data.id, /^[0-9a-f-]{36}$/);
});

test('the official client reads a stream under every base path', async () => {
  await using toy = await serveToy({ script: () => ['let ', 'me', thinkEnd, 'an', 'swer'] });
  for (const base of ['', '/v1', '/beta']) {
    let reasoning = '';
    let content = '';
    let finishReason: string | null = null;
    for await (const { choices } of await clientOf(toy, base).chat.completions.create({ ...hello, stream: true })) {
      const delta = choices[0]?.delta as { content?: string | null; reasoning_content?: string | null };
      reasoning += delta.reasoning_content ?? '';
      content += delta.content ?? '';
      finishReason = choices[0]?.finish_reason ?? finishReason;
    }
    assert.deepEqual([reasoning, content, finishReason], ['let me', 'answer', 'stop']);
  }
});

test("the client's stream helper puts a whole completion together", async () => {
  await using toy = await serveToy({ script: () => ['hi ', 'there'] });
  const runner = clientOf(toy).chat.completions.stream({ ...hello, ...calm, stream_options: { include_usage: true } });
  const completion = await runner.finalChatCompletion();
  assert.equal(completion.choices[0]?.message.content, 'hi there');
  assert.equal(completion.choices[0]?.message.role, 'assistant');
  assert.equal(completion.choices[0]?.finish_reason, 'stop');
  assert.equal(completion.usage?.completion_tokens, 9);
});

test('on the wire, a stream is DeepSeek chunks, usage on the last, then [DONE]', async () => {
  await using toy = await serveToy({ script: () => ['a', thinkEnd, 'b'] });
  const response = await post(toy.server.url, { ...hello, stream: true });
  assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
  const lines = (await response.text()).split('\n\n');
  assert.deepEqual(lines.splice(-2), ['data: [DONE]', '']);
  const chunks = lines.map((line) => JSON.parse(line.replace(/^data: /, '')));
  const heads = new Set(chunks.map(({ choices: _, usage: __, ...head }) => JSON.stringify(head)));
  assert.equal(heads.size, 1, 'id, object, created, model and system_fingerprint are the same on all chunks');
  assert.deepEqual(
    chunks.map(({ choices, usage }) => ({ ...choices[0], usage })),
    [
      { delta: { role: 'assistant', content: '', reasoning_content: '' } },
      { delta: { content: null, reasoning_content: 'a' } },
      { delta: { content: 'b', reasoning_content: null } },
      {
        delta: { content: '', reasoning_content: null, role: null },
        finish_reason: 'stop',
        usage: chunks.at(-1).usage,
      },
    ].map((chunk) => ({ index: 0, logprobs: null, finish_reason: null, usage: undefined, ...chunk })),
  );
  assert.equal(chunks.at(-1).usage.completion_tokens, 4);

  const asked = await post(toy.server.url, { ...hello, stream: true, stream_options: { include_usage: true } });
  assert.equal((await asked.text()).match(/"usage":null/g)?.length, 3);
});

test('thinking can be turned off, and sampling comes from the caller, else from the checkpoint', async () => {
  const generationConfig = { do_sample: true, temperature: 0.7, top_k: 20, top_p: 0.9, eos_token_id: 1 };
  await using toy = await serveToy({ script: () => ['ok'], generationConfig });
  const { completions } = clientOf(toy).chat;
  await completions.create({ ...hello, ...calm });
  await completions.create({ ...hello, temperature: 0, top_p: 0.5, seed: 7, stop: 'x', max_tokens: 9 });
  const [first, second] = toy.engine.requests;
  assert.ok(first && second);
  assert.match(toy.engine.tokenizer.decode(first.prompt), /<｜Assistant｜><\/think>$/);
  assert.deepEqual(
    { ...first, prompt: [] },
    {
      ...plainRequest,
      startDeadlineMs: 600_000,
      ...{ prompt: [], maxTokens: 4096 - first.prompt.length, stopTokens: [1] },
      ...{ temperature: 0.7, topK: 20, topP: 0.9 },
    },
  );
  assert.match(toy.engine.tokenizer.decode(second.prompt), /<｜Assistant｜><think>$/);
  assert.deepEqual(
    [second.temperature, second.topP, second.seed, second.stop, second.maxTokens],
    [0, 0.5, 7, ['x'], 9],
  );
});

test('what the caller wants of sampling, guesses, fairness and reasoning reaches the engine', async () => {
  await using toy = await serveToy({ script: () => ['hm</think>ok'] });
  const { completions } = clientOf(toy).chat;
  const extra = { top_k: 5, min_p: 0.1, speculative: { method: 'ngram', num_draft_tokens: 4 }, user_id: 'ann' };
  const chosen = { frequency_penalty: 0.5, presence_penalty: -0.5, logit_bias: { 7: -100 }, max_tokens: 100 };
  const prediction = { type: 'content', content: 'as before' } as const;
  const body = { ...hello, ...chosen, ...extra, prediction, service_tier: 'flex', reasoning_effort: 'low' } as const;
  await completions.create(body);
  const [asked] = toy.engine.requests;
  assert.ok(asked);
  const { encode, tokenId } = toy.engine.tokenizer;
  const { topK, minP, frequencyPenalty, presencePenalty, logitBias } = asked;
  assert.deepEqual([topK, minP, frequencyPenalty, presencePenalty, logitBias], [5, 0.1, 0.5, -0.5, [[7, -100]]]);
  assert.deepEqual(asked.speculation, { method: 'ngram', draftTokens: 4 });
  assert.deepEqual(asked.prediction, encode('as before'));
  assert.deepEqual([asked.namespace, asked.priority], ['ann', 'batch']);
  assert.deepEqual(asked.reasoningLimit, { endToken: tokenId('</think>'), maxTokens: 25 });
  for (const [wrong, message] of [
    [{ speculative: { method: 'mtp' } }, /speculative.method: this model has ngram, got/],
    [{ logit_bias: { 100000: 1 } }, /logit_bias: expected token ids below \d+, got 100000/],
  ] as const) {
    const refused = await post(toy.server.url, { ...hello, ...wrong });
    assert.equal(refused.status, 400);
    assert.match(await refused.text(), message);
  }
});

test('a full queue is a 429 that says how many wait', async () => {
  await using toy = await serveToy({ script: () => ['ok'], capacity: 1 });
  assert.equal((await post(toy.server.url, hello)).status, 200);
  const refused = await post(toy.server.url, hello);
  assert.equal(refused.status, 429);
  assert.match(await refused.text(), /"message":"Rate limit reached: 1 requests are waiting already/);
});

test('a checkpoint that does not sample is greedy by default', async () => {
  await using toy = await serveToy({ script: () => ['ok'], generationConfig: { do_sample: false } });
  await clientOf(toy).chat.completions.create(hello);
  assert.equal(toy.engine.requests[0]?.temperature, 0);
});

test('an answer that reaches max_tokens finishes with length', async () => {
  await using toy = await serveToy({ script: () => ['abcdefgh'] });
  const completion = await clientOf(toy).chat.completions.create({ ...hello, ...calm, max_tokens: 3 });
  assert.equal(completion.choices[0]?.finish_reason, 'length');
  assert.equal(completion.choices[0]?.message.content, 'abc');
  assert.equal(completion.usage?.completion_tokens, 3);
});

test('an answer goes on from the beginning that the caller gives it', async () => {
  await using toy = await serveToy({
    script: (prompt) => [prompt.endsWith('Paris') ? ', of course' : ` see${thinkEnd}Rome`],
  });
  const ask = async (message: object, more: object = {}) => {
    const response = await post(toy.server.url, {
      ...{ model: 'toy', messages: [...hello.messages, { role: 'assistant', prefix: true, ...message }], ...more },
    });
    return { status: response.status, body: (await response.json()) as never as Answered };
  };
  interface Answered {
    readonly choices: readonly {
      readonly message: { readonly content: string; readonly reasoning_content?: string };
    }[];
    readonly error: { readonly message: string };
  }
  for (const more of [{}, calm]) {
    const { body } = await ask({ content: 'It is Paris' }, more);
    assert.equal(body.choices[0]?.message.content, ', of course');
    const prompt = toy.engine.tokenizer.decode(toy.engine.requests.at(-1)?.prompt ?? []);
    assert.ok(prompt.endsWith(`${thinkEnd}It is Paris`), prompt);
  }
  const thinking = await ask({ content: '', reasoning_content: 'Let me' });
  assert.deepEqual(
    [thinking.body.choices[0]?.message.reasoning_content, thinking.body.choices[0]?.message.content],
    [' see', 'Rome'],
  );
  const wrong = await ask({ content: '{' }, { response_format: { type: 'json_object' } });
  assert.equal(wrong.status, 400);
  assert.match(wrong.body.error.message, /^response_format: cannot be set together with prefix/);
});

test('a caller who leaves is no failure in the log, whatever the answer was to be', async () => {
  const waiting = Promise.withResolvers<void>();
  async function* script() {
    yield 'be';
    await waiting.promise;
  }
  await using toy = await serveToy({ script, keepAliveMs: 15 });
  for (const [body, afterMs] of [
    [hello, 5],
    [hello, 40],
    [{ ...hello, stream: true }, 30],
    [{ ...hello, n: 2 }, 5],
  ] as const) {
    const leave = new AbortController();
    const { length: before } = toy.engine.requests;
    const answer = fetch(`${toy.server.url}/chat/completions`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' }, signal: leave.signal },
      body: JSON.stringify(body),
    });
    // Not before the request has arrived.
    await until(() => toy.engine.requests.length > before);
    setTimeout(() => leave.abort(), afterMs);
    await assert.rejects(answer.then((response) => response.text()));
  }
  await until(() => toy.engine.stats.running === 0);
  await until(() => toy.log.filter(({ msg }) => msg === 'request').length === 4);
  assert.deepEqual(
    toy.log.filter(({ level }) => Number(level) >= 50),
    [],
  );
});

test('log-probabilities come with their bytes, for reasoning and content apart', async () => {
  await using toy = await serveToy({ script: () => [`a${thinkEnd}é`] });
  const completion = await clientOf(toy).chat.completions.create({ ...hello, logprobs: true, top_logprobs: 2 });
  const logprobs = completion.choices[0]?.logprobs as unknown as {
    reasoning_content?: { token: string; bytes: number[] }[];
  };
  assert.deepEqual(
    logprobs.reasoning_content?.map(({ token, bytes }) => [token, bytes]),
    [['a', [0x61]]],
  );
  assert.deepEqual(
    completion.choices[0]?.logprobs?.content?.map(({ bytes, top_logprobs }) => [bytes, top_logprobs.length]),
    [
      [[0xc3], 2],
      [[0xa9], 2],
    ],
  );
});

test('a caller who goes away stops the model at once', async () => {
  await using toy = await serveToy({
    async *script() {
      for (;;) {
        yield 'on and ';
        await delay(5);
      }
    },
  });
  const stream = await clientOf(toy).chat.completions.create({ ...hello, ...calm, stream: true });
  let chunks = 0;
  for await (const _ of stream) if (++chunks === 4) break;
  await until(() => toy.engine.stats.running === 0);
  assert.equal(toy.engine.stats.aborted, 1);

  const controller = new AbortController();
  const whole = clientOf(toy).chat.completions.create({ ...hello, ...calm }, { signal: controller.signal });
  await until(() => toy.engine.stats.running === 1);
  controller.abort();
  await assert.rejects(whole);
  await until(() => toy.engine.stats.running === 0);
});

test('a caller who does not read stops the model until he does', async () => {
  const big = 'x'.repeat(20_000);
  await using toy = await serveToy({
    contextLength: 10_000_000,
    *script() {
      for (;;) yield big;
    },
  });
  const body = JSON.stringify({ ...hello, ...calm, stream: true, max_tokens: 9_000_000 });
  const { port } = new URL(toy.server.url);
  const socket = connect(Number(port), '127.0.0.1');
  socket.pause();
  socket.write(
    `POST /chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  let before = -1;
  for (let i = 0; i < 100 && before !== toy.engine.stats.generatedTokens; i++) {
    before = toy.engine.stats.generatedTokens;
    await delay(100);
  }
  assert.ok(before > 0 && toy.engine.stats.running === 1);
  assert.equal(toy.engine.stats.generatedTokens, before, 'it waits');
  socket.destroy();
  await until(() => toy.engine.stats.running === 0);
});

test('a silent stream carries comments, and a silent whole answer blank lines, until there is more', async () => {
  await using toy = await serveToy({
    keepAliveMs: 20,
    async *script() {
      yield 'a';
      await delay(150);
      yield 'b';
    },
  });
  const stream = await (await post(toy.server.url, { ...hello, ...calm, stream: true })).text();
  assert.match(stream, /"content":"a".*\n\n(: keep-alive\n\n){2,}data: .*"content":"b"/);
  const whole = await (await post(toy.server.url, { ...hello, ...calm })).text();
  assert.match(whole, /^\n{2,}\{/);
  assert.equal(JSON.parse(whole).choices[0].message.content, 'ab');
  assert.equal((await clientOf(toy).chat.completions.create({ ...hello, ...calm })).choices[0]?.message.content, 'ab');
});

test('streams do not disturb each other', async () => {
  await using toy = await serveToy({
    async *script(prompt) {
      const name = /<｜User｜>(\w+)/.exec(prompt)?.[1] ?? '';
      for (let i = 0; i < 5; i++) {
        yield name;
        await delay(2);
      }
    },
  });
  const answers = await Promise.all(
    ['ann', 'bob', 'cy', 'dee'].map(async (content) => {
      const messages = [{ role: 'user' as const, content }];
      const stream = await clientOf(toy).chat.completions.create({ model: 'toy', ...calm, messages, stream: true });
      let text = '';
      for await (const { choices } of stream) text += choices[0]?.delta.content ?? '';
      return text;
    }),
  );
  assert.deepEqual(
    answers,
    ['ann', 'bob', 'cy', 'dee'].map((name) => name.repeat(5)),
  );
});

test('every mistake of a caller is a 400 in the envelope, with its field named', async () => {
  await using toy = await serveToy({ contextLength: 512, script: () => ['ok'] });
  const cases: [object, RegExp][] = [
    [{ messages: [] }, /messages: expected at least one message, got 0/],
    [
      { messages: [{ role: 'user', content: 3 }] },
      /messages\[0\]\.content: expected string or array of parts, got number/,
    ],
    [{ model: 'gpt-9' }, /The supported API model names are toy, but you passed gpt-9\./],
    [{ temperature: 'hot' }, /temperature: expected number from 0 to 2, got string/],
    [{ stream: false, stream_options: {} }, /stream_options: only allowed when stream is true/],
    [
      { messages: [{ role: 'user', content: 'long '.repeat(200) }] },
      /maximum context length is 512 tokens\. However, you requested \d+ tokens \(10\d\d in the messages, 1 in the completion\)/,
    ],
    [
      { max_tokens: 505 },
      /maximum context length is 512 tokens\. However, you requested 514 tokens \(9 in the messages, 505 in the completion\)/,
    ],
    [{ messages: [{ role: 'user', content: 'x'.repeat(5_000_000) }] }, /maximum context length is 512 tokens/],
  ];
  for (const stream of [false, true]) {
    for (const [fields, message] of cases) {
      const body = { ...hello, stream, ...fields } as OpenAI.ChatCompletionCreateParams;
      await assert.rejects(clientOf(toy).chat.completions.create(body), (error) => {
        assert.ok(error instanceof BadRequestError);
        assert.match(error.message, message);
        assert.equal(error.type, 'invalid_request_error');
        assert.equal(error.code, 'invalid_request_error');
        assert.equal(error.param, null);
        assert.match(error.requestID ?? '', /^[0-9a-f-]{36}$/);
        return true;
      });
    }
  }
  assert.equal(toy.engine.requests.length, 0);
});

test('what is not JSON, not announced as JSON, too large or nowhere is refused in the envelope', async () => {
  await using toy = await serveToy({ script: () => ['ok'] });
  const { url } = toy.server;
  const refusal = async (pending: Promise<Response>) => {
    const response = await pending;
    const { error, ...rest } = (await response.json()) as { error: { message: string } };
    assert.deepEqual([Object.keys(error), rest], [['message', 'type', 'param', 'code'], {}]);
    assert.match(response.headers.get('x-request-id') ?? '', /^[0-9a-f-]{36}$/);
    return `${response.status} ${error.message}`;
  };
  assert.match(await refusal(post(url, '{"model": "toy",}')), /^400 .* JSON: .* position 16/);
  assert.match(await refusal(post(url, '')), /^400 .* JSON: the body is empty$/);
  assert.match(await refusal(post(url, 'hello')), /^400 .* JSON: Unexpected token/);
  assert.match(await refusal(post(url, '['.repeat(200_000))), /^400 .* JSON: nested deeper than 128 levels/);
  assert.match(await refusal(post(url, 'null')), /^400 .*body: expected object, got null$/);
  assert.equal(
    await refusal(post(url, '{}', { 'content-type': 'text/plain' })),
    '415 Content-Type: expected application/json, got text/plain',
  );
  assert.match(await refusal(post(url, '{}', { 'content-type': 'multipart/' })), /^415 /);
  assert.match(await refusal(post(url, '--', { 'content-type': 'multipart/form-data; boundary=-' })), /^415 /);
  assert.equal(await refusal(fetch(`${url}/nowhere?key=secret`)), '404 Unknown route: GET /nowhere');
  assert.equal(await refusal(fetch(`${url}/v1/completions`)), '404 Unknown route: GET /v1/completions');
  assert.match(await refusal(fetch(`${url}/%zz`)), /^400 Malformed HTTP request: /);

  const tooLarge = await new Promise<number | undefined>((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': 2 ** 30 };
    httpRequest(`${url}/chat/completions`, { method: 'POST', headers }, (response) => resolve(response.statusCode))
      .on('error', reject)
      .flushHeaders();
  });
  assert.equal(tooLarge, 413);
});

test('what is not HTTP at all gets the envelope too', async () => {
  await using toy = await serveToy({ script: () => ['ok'] });
  const socket = connect(Number(new URL(toy.server.url).port), '127.0.0.1');
  socket.end('GARBAGE\r\n\r\n');
  const answer = (await socket.setEncoding('utf8').toArray()).join('');
  assert.match(answer, /^HTTP\/1\.1 400 .*\r\n\r\n\{"error":\{"message":"Malformed HTTP request: [^"]+"/s);
});

test('a bug is a 500 that tells nothing, and the log tells all', async () => {
  await using toy = await serveToy({
    script: () => {
      throw new Error('secret detail');
    },
  });
  await assert.rejects(clientOf(toy).chat.completions.create(hello), (error) => {
    assert.ok(error instanceof APIError);
    assert.equal(error.status, 500);
    assert.equal(error.type, 'server_error');
    assert.doesNotMatch(JSON.stringify(error), /secret|at .*\.ts/);
    return true;
  });
  assert.match(JSON.stringify(toy.log), /secret detail/);
});

test('a bug in the middle of a stream ends it with an error event and without [DONE]', async () => {
  await using toy = await serveToy({
    *script() {
      yield 'half';
      throw new Error('secret detail');
    },
  });
  const text = await (await post(toy.server.url, { ...hello, ...calm, stream: true })).text();
  const last = text.trimEnd().split('\n\n').at(-1) ?? '';
  assert.equal(JSON.parse(last.replace('data: ', '')).error.type, 'server_error');
  assert.doesNotMatch(text, /secret|\[DONE\]/);

  const stream = await clientOf(toy).chat.completions.create({ ...hello, ...calm, stream: true });
  await assert.rejects(async () => {
    for await (const _ of stream);
  }, APIError);
});

test('a bug after blank lines were sent cuts the connection, and the log tells why', async () => {
  await using toy = await serveToy({
    keepAliveMs: 10,
    async *script() {
      yield 'half';
      await delay(50);
      throw new Error('secret detail');
    },
  });
  const response = await post(toy.server.url, { ...hello, ...calm });
  assert.equal(response.status, 200);
  await assert.rejects(response.text());
  assert.match(JSON.stringify(toy.log), /secret detail/);
});

test('models are listed with what DeepSeek tells of them, and health is told', async () => {
  await using toy = await serveToy({ script: () => ['ok'] });
  const { data } = await clientOf(toy, '/v1').models.list();
  assert.deepEqual(data, [
    {
      id: 'toy',
      object: 'model',
      owned_by: 'hadal',
      name: 'toy',
      context_window: 4096,
      max_output_tokens: 4096,
      input_modalities: ['text'],
      output_modalities: ['text'],
      effort: { supported_levels: ['low', 'high', 'max'], default_level: 'high' },
      api_capabilities: { anthropic_messages: { system_prompt_update: 'leading-only' } },
    },
  ]);
  assert.deepEqual(await (await fetch(`${toy.server.url}/healthz`)).json(), { status: 'ok' });
});

test('each request leaves one line in the log, with its id and without its words', async () => {
  await using toy = await serveToy({ script: () => [`hush${thinkEnd}hush`] });
  const messages = [{ role: 'user' as const, content: 'my secret' }];
  const { response } = await clientOf(toy).chat.completions.create({ model: 'toy', messages }).withResponse();
  const lines = () => toy.log.filter(({ msg }) => msg === 'request');
  await until(() => lines().length === 1);
  const { level, time, pid, hostname, firstTokenMs, promptTokens, ...line } = lines()[0] ?? {};
  assert.deepEqual(line, {
    requestId: response.headers.get('x-request-id'),
    method: 'POST',
    path: '/chat/completions',
    status: 200,
    isComplete: true,
    model: 'toy',
    isStream: false,
    completionTokens: 10,
    finishReason: 'stop',
    msg: 'request',
  });
  await assert.rejects(clientOf(toy).chat.completions.create({ model: 'secret', messages }));
  await until(() => lines().length === 2);
  assert.deepEqual([lines()[1]?.status, lines()[1]?.errorCode], [400, 'unknown-model']);
  assert.doesNotMatch(JSON.stringify(toy.log), /secret|hush/);
});
