import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { type ChatEvent, noUsage, type Usage } from '@hadal/protocol/chat-event';
import type { CompletionEvent } from '@hadal/protocol/completions-response';
import { pino } from 'pino';
import { noPrices } from '../prices.ts';
import {
  beginStream,
  chatRequest,
  ownCounter,
  providerAt,
  sendEvent,
  startFakeUpstream,
  streamAnswer,
  words,
} from '../testing/fake-upstream.ts';
import { serveToy, type ToyServer } from '../testing/serve-toy.ts';
import { hello, post, until } from '../testing/toy-requests.ts';
import type { TokenCounter } from './token-counter.ts';
import { unknownUsage } from './upstream-chunk.ts';
import { withChatUsage, withCompletionUsage } from './usage-estimate.ts';

/** One millionth for each token read, ten for each that is written. */
const prices = {
  ...noPrices,
  models: new Map([['toy', { cacheHit: 1_000_000, cacheMiss: 1_000_000, output: 10_000_000, windows: [] }]]),
};
const said = ['The greater of the two ', 'is the one that is not the smaller one.'];

/** A Hadal in front of an upstream that answers so, `openai` unless it is said. */
async function inFront(
  answer: (response: ServerResponse) => void | Promise<void>,
  use: (toy: ToyServer, requests: readonly { readonly body: { stream_options?: object } }[]) => Promise<void>,
): Promise<string[]> {
  const warnings: string[] = [];
  const logger = pino({ level: 'warn' }, { write: (line) => void warnings.push(JSON.parse(line).msg) });
  await using fake = await startFakeUpstream(answer);
  await using provider = providerAt([fake.url], { id: 'toy', flavour: 'openai' }, { logger });
  await using toy = await serveToy({ script: () => ['never asked'], providers: [provider], prices });
  await use(toy, fake.requests);
  return warnings;
}

/** The one row there is, as soon as it is there. */
async function row({ store }: ToyServer) {
  const everything = { fromMs: 0, toMs: 1e15, by: [] };
  for (let i = 0; i < 200; i++) {
    const [sum] = await store.ledger.usage(everything);
    if (sum) return sum;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error('expected a row of usage, found none');
}

function withoutUsage(response: ServerResponse): void {
  beginStream(response);
  for (const content of said) sendEvent(response, { choices: [{ delta: { content } }] });
  sendEvent(response, { choices: [{ delta: {}, finish_reason: 'stop' }] });
  sendEvent(response, '[DONE]');
}

const estimated = async (toy: ToyServer) =>
  Number(
    /^hadal_estimated_answers_total\{model_name="toy"\} (\d+)$/m.exec(
      await (await fetch(`${toy.server.url}/metrics`)).text(),
    )?.[1] ?? 0,
  );

test('what an upstream was asked to say and did not is counted and charged, streamed or whole, and marked', async () => {
  const [content, prompt] = await Promise.all([
    ownCounter.text(said.join('')),
    ownCounter.chat(chatRequest({ messages: hello.messages })),
  ]);
  assert.ok(content > 10 && prompt > 3);
  for (const stream of [true, false]) {
    const warnings = await inFront(withoutUsage, async (toy, requests) => {
      for (let i = 0; i < 2; i++) await (await post(toy.server.url, { ...hello, stream })).text();
      assert.deepEqual(requests[0]?.body.stream_options, { include_usage: true });
      const { requests: rows, cacheMiss, cacheHit, completion, cost } = await row(toy);
      assert.deepEqual([rows, cacheMiss, cacheHit, completion], [2, 2 * prompt, 0, 2 * content]);
      assert.equal(cost, 2 * (prompt + 10 * content));
      assert.equal(await estimated(toy), 2);
      await until(() => toy.log.filter(({ msg }) => msg === 'request').length >= 2);
      const line = toy.log.find(({ msg }) => msg === 'request');
      assert.deepEqual([line?.completionTokens, line?.isUsageEstimated], [content, true]);
    });
    assert.deepEqual(warnings, ['an upstream did not say what an answer took, which is estimated'], 'once');
  }
});

test('who leaves in the midst pays for what had come by then, and for the prompt', async () => {
  await inFront(
    async (response) => {
      beginStream(response);
      sendEvent(response, { choices: [{ delta: { content: said[0] } }] });
      await new Promise((resolve) => response.once('close', resolve));
    },
    async (toy) => {
      const leaving = new AbortController();
      const response = await fetch(`${toy.server.url}/chat/completions`, {
        ...{ method: 'POST', headers: { 'content-type': 'application/json' }, signal: leaving.signal },
        body: JSON.stringify({ ...hello, stream: true }),
      });
      let text = '';
      for await (const piece of response.body as ReadableStream<Uint8Array>) {
        text += new TextDecoder().decode(piece);
        if (text.includes('greater')) break;
      }
      leaving.abort();
      const { requests, cacheMiss, completion, cost } = await row(toy);
      assert.deepEqual([requests, completion], [1, await ownCounter.text(said[0] ?? '')]);
      assert.ok(cacheMiss > 0 && cost === cacheMiss + 10 * completion);
      assert.equal(await estimated(toy), 1);
    },
  );
});

test('a wire that breaks after the last word costs what was said, and one that breaks before it nothing', async () => {
  for (const isOver of [true, false]) {
    await inFront(
      async (response) => {
        beginStream(response);
        sendEvent(response, { choices: [{ delta: { content: said[0] }, ...(isOver && { finish_reason: 'stop' }) }] });
        await new Promise((resolve) => setTimeout(resolve, 20));
        response.destroy();
      },
      async (toy) => {
        const response = await post(toy.server.url, hello);
        assert.equal(response.status, isOver ? 200 : 502);
        if (isOver) assert.ok((await row(toy)).cost > 0);
        else assert.deepEqual(await toy.store.ledger.usage({ fromMs: 0, toMs: 1e15, by: [] }), []);
      },
    );
  }
});

test('who leaves before anybody has taken the request pays nothing', async () => {
  await using busy = await startFakeUpstream((response) => void response.writeHead(429, { 'retry-after': '30' }));
  const silent = createServer();
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const { port } = silent.address() as AddressInfo;
  // The second waits for a handshake that never comes.
  for (const url of [busy.url, `https://127.0.0.1:${port}/v1`]) {
    await using provider = providerAt([url]);
    const all = await Array.fromAsync(provider.chat(chatRequest(), AbortSignal.timeout(300)));
    assert.deepEqual(all.at(-1), { type: 'finish', reason: 'aborted', usage: noUsage });
  }
  silent.close();
  assert.equal(busy.requests.length, 1);
});

test('what was said is charged as it was said', async () => {
  const warnings = await inFront(
    (response) => streamAnswer(response, words(...said)),
    async (toy) => {
      await (await post(toy.server.url, hello)).text();
      const { cacheMiss, completion } = await row(toy);
      assert.deepEqual([cacheMiss, completion, await estimated(toy)], [5, 3, 0]);
    },
  );
  assert.deepEqual(warnings, []);
});

/** A token for each character. */
const letters: TokenCounter = { text: async ({ length }) => length, chat: async () => 100 };
const options = { counter: letters, onEstimate() {} };
const text = (type: 'reasoning' | 'content', words: string): ChatEvent => ({ type, text: words, logprobs: [] });

async function usageOf(said: readonly ChatEvent[], usage: Usage, changes: Parameters<typeof chatRequest>[0] = {}) {
  async function* events(): AsyncGenerator<ChatEvent, void, void> {
    yield { type: 'start' };
    yield* said;
    yield { type: 'finish', reason: 'stop', usage };
  }
  const all = await Array.fromAsync(withChatUsage(events(), chatRequest(changes), options));
  const finish = all.at(-1);
  assert.equal(all.length, said.length + 2);
  return finish?.type === 'finish' ? finish.usage : undefined;
}

test('reasoning, content and calls are counted, never to more than was allowed', async () => {
  const answer: ChatEvent[] = [
    text('reasoning', 'hmm'),
    text('content', 'so'),
    { type: 'tool-call', index: 0, id: 'a', name: 'find' },
    { type: 'tool-call-arguments', index: 0, text: '{}' },
  ];
  const expected = { ...noUsage, prompt: 100, completion: 11, reasoning: 3, isEstimate: true };
  assert.deepEqual(await usageOf(answer, unknownUsage), expected);
  const maxTokens = { type: 'asked', tokens: 2 } as const;
  assert.deepEqual(await usageOf(answer, unknownUsage, { maxTokens }), { ...expected, completion: 2, reasoning: 2 });
  assert.equal((await usageOf(answer, unknownUsage, { maxTokens, maxReasoning: 4 }))?.completion, 6);
});

test('what was said of the prompt stands where nothing was said of the text; what took nothing still does', async () => {
  const answer = [text('content', 'so')];
  const begun = { ...noUsage, prompt: 7, cacheHit: 4 };
  assert.deepEqual(await usageOf(answer, begun), { ...begun, completion: 2, isEstimate: true });
  assert.deepEqual(await usageOf([], begun), begun);
  assert.deepEqual(await usageOf([], noUsage), noUsage);
  assert.equal((await usageOf([], unknownUsage))?.prompt, 100, 'it was read');
});

test('of a completion the prompt is text or ids, and what is given back is not the answer', async () => {
  const usage = async (changes: { prompt: string | readonly number[]; suffix?: string; echo?: boolean }) => {
    const { messages, ...sampling } = chatRequest();
    async function* events(): AsyncGenerator<CompletionEvent, void, void> {
      yield { type: 'text', text: 'Once upon', logprobs: [] };
      yield { type: 'finish', reason: 'stop', usage: unknownUsage };
    }
    const request = { ...sampling, suffix: undefined, echo: false, ...changes };
    const last = (await Array.fromAsync(withCompletionUsage(events(), request, options))).at(-1);
    return last?.type === 'finish' ? [last.usage.prompt, last.usage.completion] : [];
  };
  assert.deepEqual(await usage({ prompt: 'Once' }), [4, 9]);
  assert.deepEqual(await usage({ prompt: [1, 2] }), [2, 9]);
  assert.deepEqual(await usage({ prompt: 'Once', suffix: 'end' }), [7, 9]);
  assert.deepEqual(await usage({ prompt: 'Once', echo: true }), [4, 5]);
});
