// The official Anthropic package: messages, thinking, tools in a loop, structured outputs, counting.

import assert from 'node:assert/strict';
import Anthropic, { BadRequestError } from '@anthropic-ai/sdk';
import { betaZodTool } from '@anthropic-ai/sdk/helpers/beta/zod';
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod';
import { z } from 'zod';
import { acting, answering, model, question, report, scene } from './scene.mjs';

const client = new Anthropic({ baseURL: `${answering}/anthropic`, apiKey: 'none', maxRetries: 0 });
const actor = new Anthropic({ baseURL: `${acting}/anthropic`, apiKey: 'none', maxRetries: 0 });
const asked = { model, max_tokens: 1000, messages: [{ role: 'user', content: question }] };
const withoutIds = (content) => content.map((block) => ({ ...block, id: undefined }));

await scene('answers with thinking, whole and streamed alike', async () => {
  const thinking = { type: 'adaptive' };
  const message = await client.messages.create({ ...asked, thinking });
  assert.deepEqual(
    message.content.map(({ type }) => type),
    ['thinking', 'text'],
  );
  assert.match(message.content[1].text, /9\.8 is greater/);
  assert.equal(message.stop_reason, 'end_turn');
  const stream = client.messages.stream({ ...asked, thinking });
  let text = '';
  stream.on('text', (delta) => {
    text += delta;
  });
  assert.deepEqual(withoutIds((await stream.finalMessage()).content), withoutIds(message.content));
  assert.equal(text, message.content[1].text);
});

await scene("answers to Anthropic's names, without thinking when told so", async () => {
  const message = await client.messages.create({ ...asked, model: 'claude-opus-5-5', thinking: { type: 'disabled' } });
  assert.deepEqual(
    message.content.map(({ type }) => type),
    ['text'],
  );
});

await scene('goes on with a conversation', async () => {
  const messages = [...asked.messages];
  const first = await client.messages.create(asked);
  messages.push({ role: 'assistant', content: first.content }, { role: 'user', content: 'compute 34 * 7' });
  const second = await client.messages.create({ ...asked, messages });
  assert.match(second.content.at(-1).text, /238/);
});

await scene('parses what a schema holds it to', async () => {
  const format = zodOutputFormat(z.object({ item: z.string(), count: z.number().int() }));
  const messages = [{ role: 'user', content: 'Extract item and count as JSON: please send me 12 lamps.' }];
  const message = await client.messages.parse({ ...asked, messages, output_config: { format } });
  assert.equal(typeof message.parsed_output.count, 'number');
});

await scene('runs tools in its own loop, streamed and not', async () => {
  const weather = betaZodTool({
    name: 'weather',
    description: 'Weather in a city',
    inputSchema: z.object({ city: z.string() }),
    run: ({ city }) => report(city),
  });
  const messages = [{ role: 'user', content: 'Weather in Paris and Oslo?' }];
  const runner = actor.beta.messages.toolRunner({ ...asked, messages, tools: [weather] });
  assert.match((await runner.runUntilDone()).content.at(-1).text, /sunny, rainy/);
  const streamed = actor.beta.messages.toolRunner({ ...asked, messages, tools: [weather], stream: true });
  let last;
  for await (const stream of streamed) last = await stream.finalMessage();
  assert.match(last.content.at(-1).text, /sunny, rainy/);
});

await scene('counts tokens', async () => {
  const { input_tokens } = await client.messages.countTokens({ model, messages: asked.messages });
  const { usage } = await client.messages.create({ ...asked, max_tokens: 1 });
  assert.equal(input_tokens, usage.input_tokens + usage.cache_read_input_tokens);
});

await scene('throws what the server refuses', async () => {
  await assert.rejects(client.messages.create({ ...asked, max_tokens: 0 }), (error) => {
    assert.ok(error instanceof BadRequestError);
    assert.equal(error.type, 'invalid_request_error');
    assert.match(error.message, /max_tokens/);
    return true;
  });
});
