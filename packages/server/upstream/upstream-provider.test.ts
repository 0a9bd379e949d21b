import assert from 'node:assert/strict';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type ChatEvent, type FinishReason, noUsage } from '@hadal/protocol/chat-event';
import { RequestError } from '@hadal/protocol/request-error';
import {
  beginStream,
  chatRequest,
  providerAt,
  sendEvent,
  startFakeUpstream,
  streamAnswer,
  words,
} from '../testing/fake-upstream.ts';
import { until } from '../testing/toy-requests.ts';

const never = new AbortController().signal;
/** No server listens there. */
const nowhere = 'http://127.0.0.1:9/v1';

interface Said {
  readonly types: readonly string[];
  readonly content: string;
  readonly reason: FinishReason | undefined;
  readonly finish: Extract<ChatEvent, { type: 'finish' }> | undefined;
}

async function said(events: AsyncIterable<ChatEvent>): Promise<Said> {
  const all = await Array.fromAsync(events);
  const finish = all.find((event) => event.type === 'finish');
  return {
    types: all.map(({ type }) => type),
    content: all.map((event) => (event.type === 'content' ? event.text : '')).join(''),
    ...{ reason: finish?.reason, finish },
  };
}

const failsWith = (code: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof RequestError, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, message);
  return true;
};

test('an answer is told with its usage, and the request carries the model, the key and the stream', async () => {
  await using fake = await startFakeUpstream((response) => streamAnswer(response, words('Hel', 'lo')));
  await using provider = providerAt([fake.url], { model: 'org/M' });
  const { types, content, finish } = await said(provider.chat(chatRequest(), never));
  assert.deepEqual(types, ['start', 'content', 'content', 'finish']);
  assert.equal(content, 'Hello');
  assert.deepEqual(finish, { type: 'finish', reason: 'stop', usage: { ...noUsage, prompt: 5, completion: 3 } });
  assert.equal(fake.requests[0]?.body.model, 'org/M');
  assert.equal(fake.requests[0]?.body.stream, true);
});

test('an upstream that does not stream is understood all the same', async () => {
  await using fake = await startFakeUpstream((response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    const message = { role: 'assistant', content: 'Hello', reasoning_content: 'hm' };
    response.write(JSON.stringify({ choices: [{ message, finish_reason: 'stop' }], usage: { prompt_tokens: 4 } }));
  });
  await using provider = providerAt([fake.url]);
  const { types, finish } = await said(provider.chat(chatRequest(), never));
  assert.deepEqual(types, ['start', 'reasoning', 'content', 'finish']);
  assert.equal(finish?.usage.prompt, 4);
});

test('the mistake of a caller comes back in the words of the upstream, before anything is accepted, and is not repeated', async () => {
  for (const body of [
    { error: { message: 'max_tokens is too large', code: 400 } },
    { object: 'error', message: 'max_tokens is too large' },
    { detail: [{ loc: ['body'], msg: 'max_tokens is too large' }] },
  ]) {
    await using fake = await startFakeUpstream((response) => {
      response.writeHead(422).write(JSON.stringify(body));
    });
    await using provider = providerAt([fake.url, fake.url]);
    const answer = provider.chat(chatRequest(), never);
    await assert.rejects(answer.next(), failsWith('upstream-refused', /request: max_tokens is too large$/));
    assert.equal(fake.requests.length, 1);
  }
});

test('what is wrong with the service itself is told without its words', async () => {
  await using fake = await startFakeUpstream((response) => {
    response.writeHead(401).write(JSON.stringify({ error: { message: 'Your key sk-secret is wrong' } }));
  });
  await using provider = providerAt([fake.url]);
  await assert.rejects(said(provider.chat(chatRequest(), never)), (error: Error) => {
    assert.doesNotMatch(error.message, /secret/);
    return failsWith('upstream-failed', /failed: status 401$/)(error);
  });
});

test('another server answers where one cannot be reached, is overloaded or gives up before its first word', async () => {
  await using good = await startFakeUpstream((response) => streamAnswer(response, words('ok')));
  for (const bad of [
    async () => ({ url: nowhere, async [Symbol.asyncDispose]() {} }),
    () => startFakeUpstream((response) => void response.writeHead(503)),
    () => startFakeUpstream((response) => void response.writeHead(429, { 'retry-after': '3' })),
    () => startFakeUpstream((response) => void response.destroy()),
    () =>
      startFakeUpstream((response) => {
        beginStream(response);
        sendEvent(response, { choices: [{ delta: { role: 'assistant', content: '' } }] });
      }),
  ]) {
    await using first = await bad();
    await using provider = providerAt([first.url, good.url]);
    const before = good.requests.length;
    assert.equal((await said(provider.chat(chatRequest(), never))).content, 'ok');
    assert.equal(good.requests.length, before + 1);
  }
});

test('an upstream that fails in the middle is never asked again', async () => {
  await using fake = await startFakeUpstream(async (response) => {
    beginStream(response);
    sendEvent(response, { choices: [{ delta: { content: 'Hel' } }] });
    await delay(20);
    response.destroy();
  });
  await using provider = providerAt([fake.url, fake.url, fake.url]);
  await assert.rejects(
    said(provider.chat(chatRequest(), never)),
    failsWith('upstream-failed', /^The server behind m failed: the answer broke off$/),
  );
  assert.equal(fake.requests.length, 1);
});

test('an error in the middle of a stream is one, and an answer without an ending is none', async () => {
  for (const [end, problem] of [
    [{ error: { message: 'CUDA error', code: 500 } }, /status 500/],
    [undefined, /broke off/],
    [{ choices: [{ delta: {}, finish_reason: 'who knows' }] }, /cannot be read/],
    ['{"choices": [{"delta": {"content"', /cannot be read/],
    [{ choices: [{ delta: { content: 5 } }] }, /cannot be read/],
  ] as const) {
    await using fake = await startFakeUpstream((response) => {
      beginStream(response);
      sendEvent(response, { choices: [{ delta: { content: 'Hel' } }] });
      if (end !== undefined) sendEvent(response, end);
      sendEvent(response, '[DONE]');
    });
    await using provider = providerAt([fake.url]);
    await assert.rejects(said(provider.chat(chatRequest(), never)), failsWith('upstream-failed', problem));
  }
});

test('each phase has its time', async () => {
  const stuck = (...events: object[]) =>
    startFakeUpstream(async (response) => {
      beginStream(response);
      for (const event of events) sendEvent(response, event);
      // A sign of life is none of an answer.
      const alive = setInterval(() => response.write(': keep-alive\n\n'), 20);
      await new Promise((resolve) => response.once('close', resolve));
      clearInterval(alive);
    });
  const timeouts = { firstTokenMs: 150, betweenTokensMs: 100 };
  await using silent = await stuck({ choices: [{ delta: { role: 'assistant' } }] });
  await using first = providerAt([silent.url, silent.url], { timeouts });
  await assert.rejects(
    said(first.chat(chatRequest(), never)),
    failsWith('upstream-failed', /failed: no answer within 0.15 s/),
  );
  assert.equal(silent.requests.length, 1);
  await using stopping = await stuck({ choices: [{ delta: { content: 'a' } }] });
  await using second = providerAt([stopping.url], { timeouts });
  await assert.rejects(
    said(second.chat(chatRequest(), never)),
    failsWith('upstream-failed', /the answer did not go on within 0.1 s/),
  );
  await using endless = await startFakeUpstream(async (response) => {
    beginStream(response);
    while (!response.destroyed) {
      sendEvent(response, { choices: [{ delta: { content: 'a' } }] });
      await delay(10);
    }
  });
  await using third = providerAt([endless.url], { timeouts: { ...timeouts, totalMs: 200 } });
  await assert.rejects(
    said(third.chat(chatRequest(), never)),
    failsWith('upstream-failed', /the answer was not whole within 0.2 s/),
  );
});

test('a caller who reads slowly is not the lateness of the upstream', async () => {
  await using fake = await startFakeUpstream((response) => streamAnswer(response, words('a', 'b', 'c')));
  await using provider = providerAt([fake.url], { timeouts: { betweenTokensMs: 60 } });
  let content = '';
  for await (const event of provider.chat(chatRequest(), never)) {
    if (event.type !== 'content') continue;
    content += event.text;
    await delay(150);
  }
  assert.equal(content, 'abc');
});

test('a caller hears that the request is accepted, though the upstream says nothing before its first word', async () => {
  await using fake = await startFakeUpstream(async (response) => {
    await delay(200);
    streamAnswer(response, words('ok'));
  });
  await using provider = providerAt([fake.url], {}, { patienceMs: 20 });
  const answer = provider.chat(chatRequest(), never);
  const begun = performance.now();
  assert.equal((await answer.next()).value?.type, 'start');
  assert.ok(performance.now() - begun < 190);
  assert.equal((await said(answer)).content, 'ok');
});

test('an abort reaches the upstream, and the answer ends as one that was aborted', async () => {
  await using fake = await startFakeUpstream(async (response) => {
    beginStream(response);
    sendEvent(response, { choices: [{ delta: { content: 'a' } }], usage: { prompt_tokens: 7, completion_tokens: 1 } });
    await new Promise((resolve) => response.once('close', resolve));
  });
  await using provider = providerAt([fake.url]);
  const controller = new AbortController();
  const answer = provider.chat(chatRequest(), controller.signal);
  assert.equal((await answer.next()).value?.type, 'start');
  assert.equal((await answer.next()).value?.type, 'content');
  controller.abort();
  const { finish } = await said(answer);
  // What vLLM has said with each chunk is known even so.
  assert.deepEqual(finish, { type: 'finish', reason: 'aborted', usage: { ...noUsage, prompt: 7, completion: 1 } });
  await until(() => fake.running === 0);
  assert.deepEqual(provider.status()[0], { breaker: 'closed', isHealthy: true, running: 0, url: fake.url });
  const early = await said(provider.chat(chatRequest(), AbortSignal.abort()));
  assert.deepEqual(early.finish, { type: 'finish', reason: 'aborted', usage: noUsage });
});

test('a stream that is left frees what it held', async () => {
  await using fake = await startFakeUpstream(async (response) => {
    beginStream(response);
    while (!response.destroyed) {
      sendEvent(response, { choices: [{ delta: { content: 'a' } }] });
      await delay(5);
    }
  });
  await using provider = providerAt([fake.url]);
  for await (const event of provider.chat(chatRequest(), never)) if (event.type === 'content') break;
  await until(() => fake.running === 0);
  assert.equal(provider.status()[0]?.running, 0);
});

test('an answer is whole when its last word is there, even if what it took is never said', async () => {
  await using fake = await startFakeUpstream(async (response) => {
    beginStream(response);
    sendEvent(response, { choices: [{ delta: { content: 'all' }, finish_reason: 'stop' }] });
    await delay(20);
    response.destroy();
  });
  await using provider = providerAt([fake.url]);
  const { content, finish } = await said(provider.chat(chatRequest(), never));
  assert.equal(content, 'all');
  assert.deepEqual([finish?.reason, finish?.usage.isEstimate], ['stop', true]);
});

test('a socket that the server has given up in the meantime is nobody’s failure', async () => {
  const event = (data: object | string) => `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`;
  const body = event({ choices: [{ delta: { content: 'ok' }, finish_reason: 'stop' }] }) + event('[DONE]');
  let connections = 0;
  // Answers one request on each connection, and closes it when a second comes, as a server does whose patience has just ended.
  const server = createServer((socket) => {
    connections++;
    let requests = 0;
    socket.on('error', () => {});
    socket.on('data', () => {
      if (requests++ > 0) socket.resetAndDestroy();
      else
        socket.write(
          `HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
        );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  await using provider = providerAt([url], { attempts: 1, breaker: { failures: 1, openMs: 1000 } });
  for (let i = 0; i < 4; i++) assert.equal((await said(provider.chat(chatRequest(), never))).content, 'ok');
  assert.ok(connections >= 3);
  assert.equal(provider.status()[0]?.breaker, 'closed');
  server.close();
});

test('a server has no more requests than it takes, and those that wait too long or in too long a line are told', async () => {
  let most = 0;
  await using fake = await startFakeUpstream(async (response) => {
    most = Math.max(most, fake.running);
    await delay(100);
    streamAnswer(response, words('ok'));
  });
  await using provider = providerAt([fake.url], { concurrency: 2, maxWaiting: 3 });
  const answers = await Promise.allSettled(Array.from({ length: 6 }, () => said(provider.chat(chatRequest(), never))));
  assert.equal(answers.filter(({ status }) => status === 'fulfilled').length, 5);
  const refused = answers.find((answer) => answer.status === 'rejected');
  assert.ok(failsWith('queue-full', /3 requests are waiting/)(refused?.reason));
  assert.equal(most, 2);
  await using hasty = providerAt([fake.url], { concurrency: 1, timeouts: { queueMs: 30 } });
  const [, late] = await Promise.all([1, 2].map(() => said(hasty.chat(chatRequest(), never))));
  assert.deepEqual(late?.finish, { type: 'finish', reason: 'insufficient_system_resource', usage: noUsage });
});

test('without a server the caller is told at once, and a server that comes back is used again', async () => {
  await using provider = providerAt([nowhere], { attempts: 1 });
  for (let i = 0; i < 3; i++) {
    await assert.rejects(
      said(provider.chat(chatRequest(), never)),
      failsWith('upstream-unavailable', /^No server behind m can answer now/),
    );
  }
  assert.equal(provider.status()[0]?.breaker, 'open');
  await using fake = await startFakeUpstream((response) => streamAnswer(response, words('ok')));
  fake.health = 503;
  await using other = providerAt([fake.url], { healthIntervalMs: 10 });
  await until(() => other.status()[0]?.isHealthy === false);
  await assert.rejects(said(other.chat(chatRequest(), never)), failsWith('upstream-unavailable', /m can answer/));
  assert.equal(fake.requests.length, 0);
  fake.health = 200;
  await until(() => other.status()[0]?.isHealthy === true);
  assert.equal((await said(other.chat(chatRequest(), never))).content, 'ok');
});

test('a conversation stays with the server that has its cache, and others go where there is room', async () => {
  const answer = (name: string) => startFakeUpstream((response) => streamAnswer(response, words(name)));
  await using a = await answer('a');
  await using b = await answer('b');
  await using provider = providerAt([a.url, b.url]);
  const system = { role: 'system', content: 'Be brief.' } as const;
  const homes = new Set<string>();
  for (let talk = 0; talk < 6; talk++) {
    const messages: NonNullable<Parameters<typeof chatRequest>[0]>['messages'] & object[] = [
      system,
      { role: 'user', content: `talk ${talk}` },
    ];
    const first = (await said(provider.chat(chatRequest({ messages }), never))).content;
    homes.add(first);
    for (let turn = 0; turn < 4; turn++) {
      messages.push({ role: 'assistant', content: first, reasoning: 'hm', toolCalls: [] });
      messages.push({ role: 'user', content: `turn ${turn}` });
      assert.equal((await said(provider.chat(chatRequest({ messages }), never))).content, first);
    }
  }
  assert.equal(homes.size, 2);
});

test('what a server is, is seen from its list of models', async () => {
  await using fake = await startFakeUpstream((response) => streamAnswer(response, words('ok')), 'llamacpp');
  await using provider = providerAt([fake.url], { flavour: undefined });
  await said(provider.chat(chatRequest(), never));
  assert.equal(provider.flavour(), 'llama-server');
});

test('tokens are counted where the server has them, and otherwise the caller is told that it has not', async () => {
  await using vllm = await startFakeUpstream((response, { path, body }) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.write(JSON.stringify(path === '/tokenize' ? { tokens: [1, 2] } : { prompt: body.tokens.join('-') }));
  });
  await using provider = providerAt([vllm.url]);
  assert.deepEqual(await provider.tokenize('hello'), [1, 2]);
  assert.deepEqual(await provider.tokenize(chatRequest()), [1, 2]);
  assert.equal(await provider.detokenize([3, 4]), '3-4');
  assert.deepEqual(
    vllm.requests.map(({ body }) => Object.keys(body)),
    [
      ['model', 'prompt', 'add_special_tokens'],
      ['model', 'messages', 'chat_template_kwargs'],
      ['model', 'tokens'],
    ],
  );
  await using llama = await startFakeUpstream((response, { path, body }) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    if (path === '/apply-template') response.write(JSON.stringify({ prompt: `<${body.messages[0].content}>` }));
    else response.write(JSON.stringify(path === '/tokenize' ? { tokens: [body.content.length] } : { content: 'text' }));
  });
  await using second = providerAt([llama.url], { flavour: 'llama-server' });
  assert.deepEqual(await second.tokenize(chatRequest()), [7]);
  assert.equal(await second.detokenize([1]), 'text');
  await using third = providerAt([llama.url], { flavour: 'openai' });
  await assert.rejects(
    async () => await third.tokenize('a'),
    failsWith('invalid-field', /does not say what its tokens/),
  );
});

test('a thousand streams at a time pass and leave nothing behind', async () => {
  await using fake = await startFakeUpstream(async (response) => {
    beginStream(response);
    for (let i = 0; i < 5; i++) {
      sendEvent(response, { choices: [{ delta: { content: `${i}` } }] });
      await delay(20);
    }
    sendEvent(response, { choices: [{ delta: {}, finish_reason: 'stop' }] });
    sendEvent(response, '[DONE]');
  });
  await using provider = providerAt([fake.url, fake.url], { concurrency: 500 });
  const answers = await Promise.all(Array.from({ length: 1000 }, () => said(provider.chat(chatRequest(), never))));
  assert.ok(answers.every(({ content, reason }) => content === '01234' && reason === 'stop'));
  assert.equal(fake.requests.length, 1000);
  assert.deepEqual([provider.waiting(), ...provider.status().map(({ running }) => running)], [0, 0, 0]);
  await until(() => fake.running === 0);
});
