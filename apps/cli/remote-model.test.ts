import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import type { AnswerSettings } from './answer-source.ts';
import { openRemoteModel } from './remote-model.ts';

const settings: AnswerSettings = {
  thinking: 'off',
  temperature: undefined,
  topP: undefined,
  maxTokens: 9,
  seed: undefined,
};
const question = [{ role: 'user', content: 'hi' }] as const;
const usage = { prompt_tokens: 5, completion_tokens: 4, completion_tokens_details: { reasoning_tokens: 1 } };

async function serve(listener: RequestListener): Promise<AsyncDisposable & { url: URL }> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Lists two models and answers every chat with `lines`, keeping what it was sent. */
function toyServer(lines: readonly string[], sent: { url?: string; body?: unknown; authorization?: string }[]) {
  return serve(async (request, response) => {
    if (request.url === '/v1/models') {
      response.end(JSON.stringify({ data: [{ id: 'large' }, { id: 'small' }] }));
      return;
    }
    const { authorization } = request.headers;
    sent.push({
      url: request.url ?? '',
      body: JSON.parse(await text(request)),
      ...(authorization && { authorization }),
    });
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const line of lines) response.write(`data: ${line}\n\n`);
    response.end();
  });
}

const chunk = (delta: object, rest: object = {}, top: object = {}) =>
  JSON.stringify({ choices: [{ delta, ...rest }], ...top });

test('chunks become events, and a question says only what was asked for', async () => {
  const sent: { url?: string; body?: unknown; authorization?: string }[] = [];
  const lines = [
    chunk({ role: 'assistant', content: null, reasoning_content: '' }),
    chunk({ reasoning_content: 'hm', content: null }),
    chunk({ content: 'né' }),
    chunk({ content: '' }, { finish_reason: 'length' }, { usage }),
    '[DONE]',
  ];
  await using server = await toyServer(lines, sent);
  const model = await openRemoteModel({ url: server.url, model: 'small', apiKey: 'key' });
  const events = await Array.fromAsync(model.answer(question, settings, new AbortController().signal));
  assert.equal(model.model, 'small');
  assert.deepEqual(events, [
    { type: 'start' },
    { type: 'reasoning', text: 'hm', logprobs: [] },
    { type: 'content', text: 'né', logprobs: [] },
    {
      type: 'finish',
      reason: 'length',
      usage: { prompt: 5, cacheHit: 0, completion: 4, reasoning: 1, acceptedPrediction: 0, rejectedPrediction: 0 },
    },
  ]);
  const body = {
    model: 'small',
    messages: [{ role: 'user', content: 'hi' }],
    stream: true,
    stream_options: { include_usage: true },
    thinking: { type: 'disabled' },
    max_tokens: 9,
  };
  assert.deepEqual(sent, [{ url: '/v1/chat/completions', body, authorization: 'Bearer key' }]);
});

test('an aborted answer finishes as aborted, wherever it was', async () => {
  await using server = await serve((request, response) => {
    if (request.url === '/v1/models') response.end(JSON.stringify({ data: [{ id: 'm' }] }));
    else response.write(`data: ${chunk({ content: 'A' })}\n\n`); // and then nothing more, ever
  });
  const model = await openRemoteModel({ url: server.url, model: undefined, apiKey: undefined });
  const controller = new AbortController();
  const types: string[] = [];
  for await (const event of model.answer(question, settings, controller.signal)) {
    types.push(event.type === 'finish' ? event.reason : event.type);
    if (event.type === 'content') controller.abort();
  }
  assert.deepEqual(types, ['start', 'content', 'aborted']);
});

test('an answer that breaks off without a finish is an error', async () => {
  await using server = await toyServer([chunk({ content: 'A' })], []);
  const model = await openRemoteModel({ url: server.url, model: undefined, apiKey: undefined });
  const events = Array.fromAsync(model.answer(question, settings, new AbortController().signal));
  await assert.rejects(events, /the answer broke off/);
});

test('whatever is wrong with the server is told in one line with its address', async () => {
  const nobody = new URL('http://127.0.0.1:1/');
  await assert.rejects(openRemoteModel({ url: nobody, model: undefined, apiKey: undefined }), {
    message: /^http:\/\/127\.0\.0\.1:1\/: no server answers there \(.+\); `hadal serve` starts one$/,
  });

  const answers: [number, string, RegExp][] = [
    [400, '{"error": {"message": "messages: expected at least one"}}', /: messages: expected at least one$/],
    [502, '<html>', /: the server answered with status 502$/],
    [200, '<html>', /: expected JSON, got "<html>"; is this a model server\?$/],
    [200, '{"data": [{"id": "a"}, {"id": "b"}]}', /: expected the model c, the server has a, b$/],
  ];
  for (const [status, body, message] of answers) {
    await using server = await serve((_request, response) => response.writeHead(status).end(body));
    await assert.rejects(openRemoteModel({ url: server.url, model: 'c', apiKey: undefined }), { message });
  }
});
