import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serveToy } from './testing/serve-toy.ts';
import { clientOf, hello } from './testing/toy-requests.ts';

test('text becomes tokens and tokens text, and a conversation is as long as usage says', async () => {
  await using toy = await serveToy({ script: () => ['ok'] });
  const ask = async (path: string, body: object) => {
    const response = await fetch(toy.server.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const answer = (await response.json()) as Record<string, unknown>;
    return { status: response.status, ...answer } as Record<string, unknown>;
  };
  const text = await ask('/tokenize', { prompt: 'aé', return_token_strs: true });
  const { tokenizer } = toy.engine;
  assert.deepEqual(text, {
    ...{ status: 200, count: 3, max_model_len: 4096, tokens: tokenizer.encode('aé') },
    token_strs: ['a', '\ufffd', '\ufffd'],
  });
  assert.deepEqual(await ask('/v1/detokenize', { tokens: text.tokens }), { status: 200, prompt: 'aé' });
  const { usage } = await clientOf(toy).chat.completions.create(hello);
  assert.equal((await ask('/tokenize', hello)).count, usage?.prompt_tokens);
  for (const [path, body, message] of [
    ['/tokenize', {}, /prompt: expected prompt or messages, got neither/],
    ['/tokenize', { ...hello, prompt: 'a' }, /prompt: cannot be set together with messages/],
    ['/tokenize', { model: 'other', prompt: 'a' }, /supported API model names are toy, but you passed other/],
    ['/detokenize', { tokens: [99999] }, /tokens: expected token ids below/],
    ['/detokenize', { tokens: 'a' }, /tokens: expected array of token ids, got string/],
    ['/embeddings', { model: 'toy', input: 'a' }, /model: toy generates text and has no embeddings/],
  ] as const) {
    const { status, error } = await ask(path, body);
    assert.equal(status, 400);
    assert.match((error as { message: string }).message, message);
  }
});
