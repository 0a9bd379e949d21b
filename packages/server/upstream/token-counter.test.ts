import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { chatRequest } from '../testing/fake-upstream.ts';
import { openTokenCounter } from './token-counter.ts';

const checkpoint = openCheckpointDirectory(join(import.meta.dirname, '../../../models/hadal-nano'));
const tokenizer = checkpoint.tokenizer();
const counter = openTokenCounter(checkpoint);

test('a short text is counted exactly, and in coarser tokens where that is said', async () => {
  assert.equal(await counter.text(''), 0);
  assert.equal(await counter.text('a'), 1);
  const text = 'Which of the two is greater, and why?';
  assert.equal(await counter.text(text), tokenizer.encode(text).length);
  const half = openTokenCounter(checkpoint, 2);
  assert.equal(await half.text(text), Math.round(tokenizer.encode(text).length / 2));
  assert.equal(await half.text('a'), 1);
});

test('of a long text a part stands for the whole, and the thread is free in between', async () => {
  const line = (i: number) => `${i}: the quick brown fox jumps over the lazy dog, ${'and again '.repeat(i % 7)}.\n`;
  const text = Array.from({ length: 6000 }, (_, i) => line(i)).join('');
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  const begun = performance.now();
  const counted = await counter.text(text);
  const countMs = performance.now() - begun;
  clearInterval(timer);
  const whole = tokenizer.encode(text).length;
  assert.ok(Math.abs(counted / whole - 1) < 0.03, `${counted} of ${whole}`);
  assert.ok(turns > 10, `${turns} turns in ${countMs} ms`);
});

test('a conversation is counted with its marks and tools, and one that the template refuses all the same', async () => {
  const plain = await counter.chat(chatRequest());
  assert.ok(plain > (await counter.text('Hello')));
  const parameters = { type: 'object', properties: { city: { type: 'string' } } };
  const tool = { name: 'weather', description: 'Weather in a city', parameters, isStrict: false };
  assert.ok((await counter.chat(chatRequest({ tools: [tool], toolChoice: { type: 'auto' } }))) > plain + 20);
  const refused = openTokenCounter({
    ...checkpoint,
    config: () => ({ path: 'config.json', value: { model_type: 'llama' } }),
    chatTemplate: () => ({
      ...{ where: 'here', toolSource: undefined, bosToken: '', eosToken: '', addsBos: false },
      source:
        "{% for m in messages %}{% if m.content == 'Hello' %}{{ raise_exception('no') }}{% endif %}{{ m.content }}{% endfor %}",
    }),
  });
  assert.ok((await refused.chat(chatRequest())) >= (await counter.text('Hello')));
});
