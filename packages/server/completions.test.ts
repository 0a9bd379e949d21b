import assert from 'node:assert/strict';
import { test } from 'node:test';
import { beginOfSentence } from '@hadal/formats/special-tokens';
import { serveToy } from './testing/serve-toy.ts';
import { clientOf } from './testing/toy-requests.ts';

test('a gap is filled between prompt and suffix, in the order that models were taught', async () => {
  await using toy = await serveToy({ script: () => ['middle'] });
  const asked = { model: 'toy', prompt: 'before ', suffix: ' after', max_tokens: 100 };
  for (const base of ['', '/beta', '/v1']) {
    const { choices, object, usage } = await clientOf(toy, base).completions.create(asked);
    assert.equal(object, 'text_completion');
    assert.deepEqual(choices, [{ index: 0, text: 'middle', logprobs: null, finish_reason: 'stop' }]);
    assert.equal(usage?.completion_tokens, 'middle'.length + 1);
  }
  const prompt = toy.engine.tokenizer.decode(toy.engine.requests[0]?.prompt ?? []);
  assert.equal(prompt, `${beginOfSentence}<｜fim▁begin｜>before <｜fim▁hole｜> after<｜fim▁end｜>`);
});

test('a prompt goes on, streamed and whole, several of them and several times each', async () => {
  const script = (prompt: string, { seed }: { seed: number | undefined }) => [`${prompt.at(-1)}`, `${seed}`];
  await using toy = await serveToy({ script });
  const { completions } = clientOf(toy);
  const asked = { model: 'toy', prompt: ['ab', 'cd'], n: 2, seed: 7, max_tokens: 2 };
  const whole = await completions.create(asked);
  assert.deepEqual(
    whole.choices.map(({ index, text, finish_reason }) => [index, text, finish_reason]),
    [
      [0, 'b7', 'length'],
      [1, 'b2', 'length'],
      [2, 'd7', 'length'],
      [3, 'd2', 'length'],
    ],
  );
  // The begin token and two characters, of each prompt once.
  assert.equal(whole.usage?.prompt_tokens, 6);
  assert.equal(whole.usage?.completion_tokens, 8);
  const texts: string[] = [];
  let usages = 0;
  for await (const { choices, usage } of await completions.create({ ...asked, stream: true })) {
    const { index, text } = choices[0] as (typeof choices)[0];
    texts[index] = (texts[index] ?? '') + text;
    if (usage) usages++;
  }
  assert.deepEqual(
    texts,
    whole.choices.map(({ text }) => text),
  );
  assert.equal(usages, 1);
});

test('echo gives the prompt back, with its log-probabilities where they are asked for', async () => {
  await using toy = await serveToy({ script: () => ['xy'] });
  const { completions } = clientOf(toy);
  const asked = { model: 'toy', prompt: 'ab', echo: true, max_tokens: 2 };
  assert.equal((await completions.create(asked)).choices[0]?.text, 'abxy');
  const { text, logprobs } = (await completions.create({ ...asked, logprobs: 1 })).choices[0] ?? {};
  assert.equal(text, 'abxy');
  assert.deepEqual(logprobs, {
    tokens: ['a', 'b', 'x', 'y'],
    token_logprobs: [-0.5, -0.5, -0.25, -0.25],
    top_logprobs: [{ a: -0.5 }, { b: -0.5 }, { x: 0 }, { y: 0 }].map((top) => ({ ...top })),
    text_offset: [0, 1, 2, 3],
  });
  // In tokens: nothing is put before them, so nothing says how likely the first one was; and nothing beyond may be wanted.
  const prompt = toy.engine.tokenizer.encode('ab');
  const scored = await completions.create({ ...asked, prompt, logprobs: 0, max_tokens: 0 });
  assert.equal(scored.choices[0]?.text, 'ab');
  assert.deepEqual(scored.choices[0]?.logprobs?.token_logprobs, [null, -0.5]);
  assert.equal(scored.usage?.completion_tokens, 0);
});

test('what cannot be completed is refused with the reason', async () => {
  await using toy = await serveToy({ script: () => ['ok'], contextLength: 32 });
  const asked = { model: 'toy', prompt: 'a' };
  for (const [wrong, message] of [
    [{ suffix: 'b', echo: true }, /echo: cannot be set together with suffix/],
    [{ max_tokens: 0 }, /max_tokens: expected integer of at least 1, got 0/],
    [{ prompt: [1, 99999] }, /prompt: expected token ids below \d+, got 99999/],
    [{ prompt: [] }, /prompt: expected [^"]*, got/],
    [{ prompt: 'a'.repeat(40) }, /maximum context length is 32 tokens[^"]*40 in the messages/],
    [{ max_tokens: 40 }, /maximum context length is 32 tokens/],
    [{ logprobs: 21 }, /logprobs: expected integer from 0 to 20, got 21/],
    [{ model: 'other' }, /The supported API model names are toy, but you passed other/],
  ] as const) {
    const response = await fetch(`${toy.server.url}/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...asked, ...wrong }),
    });
    assert.equal(response.status, 400, JSON.stringify(wrong));
    assert.match(await response.text(), message);
  }
});
