import assert from 'node:assert/strict';
import { test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { thinkEnd } from '@hadal/formats/special-tokens';
import { providerAt } from '../testing/fake-upstream.ts';
import { serveToy, type ToyServer } from '../testing/serve-toy.ts';
import { callText, calm, clientOf, hello, post, weather } from '../testing/toy-requests.ts';

// A Hadal in front of a Hadal: whatever a client asks of the one behind, it can ask of the one in front.

type Script = Parameters<typeof serveToy>[0]['script'];

/** `model`: of the server behind, which the one in front calls so too. */
async function chain(script: Script, use: (front: ToyServer, behind: ToyServer) => Promise<void>): Promise<void> {
  await using behind = await serveToy({ script });
  await using provider = providerAt([`${behind.server.url}/v1`, `${behind.server.url}/v1`], {
    ...{ id: 'toy', model: 'toy', flavour: undefined, contextWindow: undefined },
  });
  await using front = await serveToy({ script: () => ['never asked'], providers: [provider] });
  await use(front, behind);
  assert.equal(front.engine.requests.length, 0);
  assert.equal(provider.flavour(), 'hadal');
}

/** Without what has a name or a time of its own. */
function bare(body: unknown): unknown {
  return JSON.parse(JSON.stringify(body), (key, value) =>
    /^(id|created|created_at|completed_at|system_fingerprint|item_id|call_id)$/.test(key) ? undefined : value,
  );
}

const thinking: Script = (prompt) =>
  prompt.includes('tool_outputs') || prompt.includes('function_results') || prompt.includes('sunny')
    ? [`I see${thinkEnd}`, 'It is sunny.']
    : prompt.endsWith('<think>')
      ? ['let ', 'me ', thinkEnd, 'Grüße ', '🎉']
      : ['Grüße ', '🎉'];

test('the same requests have the same answers through another Hadal, in every dialect', async () => {
  await chain(thinking, async (front, behind) => {
    const asks: [path: string, body: object][] = [
      ['/chat/completions', hello],
      ['/chat/completions', { ...hello, ...calm }],
      ['/chat/completions', { ...hello, max_tokens: 2 }],
      ['/chat/completions', { ...hello, logprobs: true, top_logprobs: 2 }],
      ['/chat/completions', { ...hello, n: 2 }],
      ['/chat/completions', { ...hello, stop: '🎉', ...calm }],
      ['/completions', { model: 'toy', prompt: 'Once', max_tokens: 5 }],
      ['/completions', { model: 'toy', prompt: 'Once', suffix: 'end', max_tokens: 5 }],
      ['/completions', { model: 'toy', prompt: ['a', 'b'], max_tokens: 3, logprobs: 1, echo: true }],
      ['/v1/responses', { model: 'toy', input: 'Hello', store: false }],
      ['/anthropic/v1/messages', { ...hello, max_tokens: 50 }],
      ['/tokenize', { model: 'toy', prompt: 'Hello' }],
      ['/tokenize', { model: 'toy', messages: hello.messages }],
      ['/detokenize', { model: 'toy', tokens: [100, 101] }],
    ];
    for (const [path, body] of asks) {
      const [there, here] = await Promise.all(
        [behind, front].map(async ({ server }) => {
          const response = await post(server.url, body, {}, path);
          return { status: response.status, body: bare(await response.json()) as { max_model_len?: number } };
        }),
      );
      assert.equal(there?.status, 200, JSON.stringify(there));
      // How long its context is, the one in front was told by its configuration.
      delete there?.body.max_model_len;
      delete here?.body.max_model_len;
      assert.deepEqual(here, there, path);
    }
  });
});

test('calls of tools go through and come back with their results', async () => {
  const script: Script = (prompt) =>
    prompt.includes('sunny') ? [`I see${thinkEnd}`, 'It is sunny.'] : [`hm${thinkEnd}`, callText('weather', 'Ulm')];
  await chain(script, async (front, behind) => {
    const client = clientOf(front);
    const first = await client.chat.completions.create({ ...hello, tools: [weather] });
    const message = first.choices[0]?.message;
    assert.equal(first.choices[0]?.finish_reason, 'tool_calls');
    const [called] = message?.tool_calls ?? [];
    assert.ok(called?.type === 'function');
    assert.deepEqual(JSON.parse(called.function.arguments), { city: 'Ulm' });
    const second = await client.chat.completions.create({
      ...{ ...hello, tools: [weather] },
      messages: [
        ...hello.messages,
        message as NonNullable<typeof message>,
        { role: 'tool', tool_call_id: called.id, content: 'sunny' },
      ],
    });
    assert.equal(second.choices[0]?.message.content, 'It is sunny.');
    // The turn went back as it was written, for the one behind knows it by its id.
    assert.ok(behind.engine.tokenizer.decode(behind.engine.requests.at(-1)?.prompt ?? []).includes('hm'));
  });
});

test('official clients stream through it', async () => {
  await chain(thinking, async (front) => {
    let content = '';
    let reasoning = '';
    const stream = await clientOf(front).chat.completions.create({ ...hello, stream: true });
    for await (const { choices } of stream) {
      content += choices[0]?.delta.content ?? '';
      reasoning += (choices[0]?.delta as { reasoning_content?: string } | undefined)?.reasoning_content ?? '';
    }
    assert.deepEqual([reasoning, content], ['let me ', 'Grüße 🎉']);
    const anthropic = new Anthropic({ baseURL: `${front.server.url}/anthropic`, apiKey: 'any', maxRetries: 0 });
    const message = await anthropic.messages.stream({ ...hello, max_tokens: 100 }).finalMessage();
    assert.equal(message.content.at(-1)?.type, 'text');
    const counted = await anthropic.messages.countTokens({ ...hello });
    assert.ok(counted.input_tokens > 5);
    let text = '';
    for await (const event of await clientOf(front).responses.create({ model: 'toy', input: 'Hello', stream: true })) {
      if (event.type === 'response.output_text.delta') text += event.delta;
    }
    assert.equal(text, 'Grüße 🎉');
  });
});

test('a mistake that only the one behind can see is told in its words', async () => {
  await chain(thinking, async (front) => {
    const schema = { type: 'object', properties: { a: { type: 'frob' } } };
    const response = await post(front.server.url, {
      ...hello,
      response_format: { type: 'json_schema', json_schema: { name: 'a', schema } },
    });
    assert.equal(response.status, 400);
    assert.match(await response.text(), /refuses the request: response_format.*cannot be enforced at \/properties\/a/);
  });
});
