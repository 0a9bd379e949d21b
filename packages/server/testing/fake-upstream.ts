// A server that speaks OpenAI's API and says what a test tells it to.
//
// Owns its socket, what it was asked, and the chunks of an ordinary answer. Never used outside tests.

import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { openCheckpointDirectory } from '@hadal/formats/checkpoint';
import type { ChatRequest } from '@hadal/protocol/chat-request';
import { pino } from 'pino';
import { openTokenCounter } from '../upstream/token-counter.ts';
import { upstreamOf } from '../upstream/upstream-configuration.ts';
import {
  openUpstreamProvider,
  type Upstream,
  type UpstreamProvider,
  type UpstreamProviderOptions,
} from '../upstream/upstream-provider.ts';

export interface FakeRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  // biome-ignore lint/suspicious/noExplicitAny: whatever was sent, for a test to look into
  readonly body: any;
}

export interface FakeUpstream extends AsyncDisposable {
  /** With `/v1`. */
  readonly url: string;
  readonly port: number;
  /** All that was asked for text, oldest first. */
  readonly requests: FakeRequest[];
  /** The headers of each that only looked: at health, or the list of models. */
  readonly looks: IncomingHttpHeaders[];
  /** What `GET /health` and `GET /v1/models` answer; tests change it. */
  health: number;
  /** Answers that are being written. */
  running: number;
}

/** `answer` writes to the response, which is ended for it. `ownedBy`: in the list of models. */
export async function startFakeUpstream(
  answer: (response: ServerResponse, request: FakeRequest) => void | Promise<void>,
  ownedBy = 'someone',
): Promise<FakeUpstream> {
  const requests: FakeRequest[] = [];
  const looks: IncomingHttpHeaders[] = [];
  const server = createServer(async (request, response) => {
    const path = request.url ?? '';
    if (request.method === 'GET') {
      looks.push(request.headers);
      response.writeHead(fake.health, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ data: [{ id: 'm', owned_by: ownedBy }] }));
      return;
    }
    const asked = { path, headers: request.headers, body: await json(request) };
    requests.push(asked);
    fake.running++;
    response.once('close', () => {
      fake.running--;
    });
    await answer(response, asked);
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const fake: FakeUpstream = {
    ...{ url: `http://127.0.0.1:${port}/v1`, port, requests, looks, health: 200, running: 0 },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return fake;
}

export const usage = { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 };

/** Begins an event stream. */
export function beginStream(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.flushHeaders();
}

export function sendEvent(response: ServerResponse, data: object | string): void {
  response.write(`data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`);
}

/** A whole answer: each delta in a chunk of its own, the ending, the usage and the mark. */
export function streamAnswer(response: ServerResponse, deltas: readonly object[], reason = 'stop'): void {
  beginStream(response);
  for (const delta of deltas) sendEvent(response, { choices: [{ index: 0, delta }] });
  sendEvent(response, { choices: [{ index: 0, delta: {}, finish_reason: reason }] });
  sendEvent(response, { choices: [], usage });
  sendEvent(response, '[DONE]');
}

export const words = (...texts: readonly string[]) => texts.map((content) => ({ content }));

/** By the tokenizer of the model that ships. */
export const ownCounter = openTokenCounter(
  openCheckpointDirectory(join(import.meta.dirname, '../../../models/hadal-nano')),
);

type Settings = Partial<Omit<Upstream, 'servers' | 'timeouts'>> & {
  readonly timeouts?: Partial<Upstream['timeouts']>;
  readonly concurrency?: number;
};

/** A provider of the model `m` on servers at `urls`, impatient enough for tests. Its log is thrown away. */
export function providerAt(
  urls: readonly string[],
  { timeouts, concurrency = 64, ...settings }: Settings = {},
  options: Partial<UpstreamProviderOptions> = {},
): UpstreamProvider {
  const usual = upstreamOf('m', { servers: [{ url: 'http://nowhere' }] });
  return openUpstreamProvider(
    {
      ...{ ...usual, flavour: 'vllm', contextWindow: 4096, ...settings, timeouts: { ...usual.timeouts, ...timeouts } },
      servers: urls.map((url) => ({ url, apiKey: undefined, concurrency })),
    },
    { logger: pino({ level: 'silent' }), counter: ownCounter, ...options },
  );
}

/** A request for a chat, with nothing said that need not be. */
export function chatRequest(changes: Partial<ChatRequest> = {}): ChatRequest {
  return {
    ...{ model: 'm', messages: [{ role: 'user', content: 'Hello' }], thinking: 'high', maxReasoning: undefined },
    maxTokens: { type: 'default', tokens: 1000 },
    ...{ temperature: 1, topP: 1, topK: 0, minP: 0, frequencyPenalty: 0, presencePenalty: 0, logitBias: [] },
    ...{ seed: undefined, stop: [], speculation: { method: 'default' }, priority: 'interactive', userId: '' },
    ...{ contextWindow: 4096, responseFormat: { type: 'text' }, tools: [], toolChoice: { type: 'none' } },
    ...{ topLogprobs: undefined, prediction: '' },
    places: { messages: 'messages', format: 'response_format', tools: [], schema: 'parameters' },
    ...changes,
  };
}
