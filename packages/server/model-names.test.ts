import assert from 'node:assert/strict';
import { test } from 'node:test';
import { thinkEnd } from '@hadal/formats/special-tokens';
import { serveToy } from './testing/serve-toy.ts';
import { clientOf, hello, post } from './testing/toy-requests.ts';

test('a model can be asked for by its name, and by each of its other names', async () => {
  await using toy = await serveToy({
    script: (prompt) => [prompt.endsWith('<think>') ? `hm${thinkEnd}ok` : 'ok'],
    names: true,
  });
  const client = clientOf(toy);
  const ids = (await client.models.list()).data.map(({ id }) => id);
  assert.deepEqual(ids, [
    'toy',
    'deepseek-flash',
    'deepseek-v4-pro',
    'deepseek-v4-flash',
    'deepseek-chat',
    'deepseek-reasoner',
  ]);
  assert.equal((await client.models.retrieve('deepseek-chat')).id, 'deepseek-chat');
  await assert.rejects(client.models.retrieve('gpt-7'), /supported API model names are toy, deepseek-flash/);
  for (const [model, isThinking] of [
    ['deepseek-chat', false],
    ['deepseek-reasoner', true],
    ['toy', true],
  ] as const) {
    const answer = await client.chat.completions.create({ ...hello, model });
    assert.equal(answer.model, model);
    assert.equal('reasoning_content' in (answer.choices[0]?.message ?? {}), isThinking, model);
  }
});

test("R1's rules hold for R1's name", async () => {
  const script = (prompt: string) => [prompt.endsWith('<think>') ? `reasoning${thinkEnd}answer` : 'ok'];
  await using toy = await serveToy({ script, names: true });
  const asked = { ...hello, model: 'deepseek-reasoner' };
  const response = await post(toy.server.url, {
    ...{ ...asked, max_tokens: 3, temperature: 0, top_p: 0.1, frequency_penalty: 1, presence_penalty: 1 },
    thinking: { type: 'disabled' },
  });
  assert.equal(response.status, 200);
  const request = toy.engine.requests.at(-1);
  assert.deepEqual(
    [request?.temperature, request?.topP, request?.frequencyPenalty, request?.presencePenalty],
    [1, 1, 0, 0],
  );
  const endToken = toy.engine.tokenizer.tokenId(thinkEnd);
  assert.deepEqual(request?.answerLimit, { endToken, maxTokens: 3 });
  assert.equal(request?.reasoningLimit?.maxTokens, 32_768);
  assert.ok((request?.maxTokens ?? 0) > 1000);
  const replayed = [...hello.messages, { role: 'assistant', content: 'a', reasoning_content: 'b' }, ...hello.messages];
  for (const [wrong, message] of [
    [{ messages: replayed }, /messages\[1\]\.reasoning_content: deepseek-reasoner does not take reasoning back/],
    [{ logprobs: true }, /logprobs: not supported by deepseek-reasoner/],
    [{ top_logprobs: 3 }, /top_logprobs: /],
  ] as const) {
    const refused = await post(toy.server.url, { ...asked, ...wrong });
    assert.equal(refused.status, 400);
    assert.match(await refused.text(), message);
  }
});
