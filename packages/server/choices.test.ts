import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serveToy } from './testing/serve-toy.ts';
import { calm, clientOf, hello, post, until } from './testing/toy-requests.ts';

test('n answers come side by side, each with a seed of its own, and the prompt is counted once', async () => {
  const script = (_: string, { seed }: { seed: number | undefined }) => [`a${seed}`, 'b'];
  await using toy = await serveToy({ script });
  const { completions } = clientOf(toy).chat;
  const asked = { ...hello, ...calm, n: 3, seed: 5 };
  const whole = await completions.create(asked);
  const contents = whole.choices.map(({ message }) => message.content);
  assert.equal(contents[0], 'a5b');
  assert.equal(new Set(contents).size, 3);
  assert.deepEqual(
    whole.choices.map(({ index }) => index),
    [0, 1, 2],
  );
  const [single] = (await completions.create({ ...hello, ...calm, seed: 5 })).choices;
  assert.equal(single?.message.content, contents[0]);
  const streamed = ['', '', ''];
  const usages = [];
  let last = {};
  for await (const { choices, usage } of await completions.create({ ...asked, stream: true })) {
    const { index, delta } = choices[0] as (typeof choices)[0];
    streamed[index] += delta.content ?? '';
    if (usage) usages.push(usage);
    last = usage ?? {};
  }
  assert.deepEqual(streamed, contents);
  assert.equal(usages.length, 1);
  assert.equal(last, usages[0], 'on the last chunk');
  assert.equal(usages[0]?.prompt_tokens, toy.engine.requests[0]?.prompt.length);
  assert.equal(usages[0]?.completion_tokens, whole.usage?.completion_tokens);
});

test('of n answers that do not all find room, none is begun', async () => {
  await using toy = await serveToy({ script: () => ['ok'], capacity: 2 });
  const refused = await post(toy.server.url, { ...hello, n: 3 });
  assert.equal(refused.status, 429);
  await until(() => toy.engine.stats.running === 0);
});
