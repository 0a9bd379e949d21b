// The official OpenAI package for Node: chat completions, tools in a loop, structured outputs, completions, responses.

import assert from 'node:assert/strict';
import OpenAI, { BadRequestError } from 'openai';
import { zodResponseFormat, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { acting, answering, model, question, report, scene } from './scene.mjs';

const client = new OpenAI({ baseURL: `${answering}/v1`, apiKey: 'none', maxRetries: 0 });
const actor = new OpenAI({ baseURL: `${acting}/v1`, apiKey: 'none', maxRetries: 0 });
const messages = [{ role: 'user', content: question }];
const weather = {
  name: 'weather',
  description: 'Weather in a city',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};

await scene('lists models', async () => {
  const ids = [];
  for await (const { id } of client.models.list()) ids.push(id);
  assert.ok(ids.includes(model), ids.join());
  assert.equal((await client.models.retrieve(model)).id, model);
});

await scene('answers with reasoning, whole and streamed alike', async () => {
  const completion = await client.chat.completions.create({ model, messages });
  const { content, reasoning_content } = completion.choices[0].message;
  assert.match(content, /9\.8 is greater/);
  assert.ok(reasoning_content.length > 0);
  assert.ok(completion.usage.completion_tokens_details.reasoning_tokens > 0);
  const streamed = { content: '', reasoning_content: '' };
  for await (const { choices } of await client.chat.completions.create({ model, messages, stream: true })) {
    streamed.content += choices[0].delta.content ?? '';
    streamed.reasoning_content += choices[0].delta.reasoning_content ?? '';
  }
  assert.deepEqual(streamed, { content, reasoning_content });
});

await scene('does not think when told not to', async () => {
  const completion = await client.chat.completions.create({ model, messages, thinking: { type: 'disabled' } });
  assert.match(completion.choices[0].message.content, /9\.8/);
  assert.equal(completion.choices[0].message.reasoning_content, undefined);
});

const Order = z.object({ item: z.string(), count: z.number().int() });
const asked = 'Extract item and count as JSON: please send me 12 lamps.';

await scene('parses what a schema holds it to', async () => {
  const { choices } = await client.chat.completions.parse({
    model,
    messages: [{ role: 'user', content: asked }],
    response_format: zodResponseFormat(Order, 'order'),
    max_tokens: 300,
  });
  assert.equal(typeof choices[0].message.parsed.count, 'number');
  const response = await client.responses.parse({
    model,
    input: asked,
    text: { format: zodTextFormat(Order, 'order') },
    max_output_tokens: 300,
  });
  assert.equal(typeof response.output_parsed.count, 'number');
});

await scene('runs tools in its own loop, streamed and not', async () => {
  const tool = { ...weather, parse: JSON.parse, function: ({ city }) => report(city) };
  const asked = { model, messages: [{ role: 'user', content: 'Weather in Paris and Oslo?' }] };
  const tools = [{ type: 'function', function: tool }];
  const whole = await actor.chat.completions.runTools({ ...asked, tools }).finalContent();
  const streamed = await actor.chat.completions.runTools({ ...asked, tools, stream: true }).finalContent();
  for (const text of [whole, streamed]) assert.match(text, /sunny, rainy/);
});

await scene('completes text, and fills in its middle', async () => {
  const beta = new OpenAI({ baseURL: `${answering}/beta`, apiKey: 'none', maxRetries: 0 });
  const completion = await beta.completions.create({ model, prompt: 'def f(', suffix: 'return a', max_tokens: 16 });
  assert.equal(completion.object, 'text_completion');
  assert.equal(typeof completion.choices[0].text, 'string');
});

await scene('makes responses, and streams them as the helper puts them together', async () => {
  const response = await client.responses.create({ model, input: question });
  assert.match(response.output_text, /9\.8 is greater/);
  const stream = client.responses.stream({ model, input: question });
  let text = '';
  stream.on('response.output_text.delta', ({ delta }) => {
    text += delta;
  });
  assert.equal((await stream.finalResponse()).output_text, response.output_text);
  assert.equal(text, response.output_text);
});

await scene('answers the calls of a response by its id', async () => {
  const asked = { model, tools: [{ type: 'function', ...weather, strict: false }] };
  const first = await actor.responses.create({ ...asked, input: 'Weather in Paris and Oslo?' });
  const calls = first.output.filter(({ type }) => type === 'function_call');
  assert.equal(calls.length, 2);
  const input = calls.map(({ call_id, arguments: json }) => ({
    ...{ type: 'function_call_output', call_id, output: report(JSON.parse(json).city) },
  }));
  const last = await actor.responses.create({ ...asked, previous_response_id: first.id, input });
  assert.match(last.output_text, /sunny, rainy/);
});

await scene('throws what the server refuses', async () => {
  await assert.rejects(client.chat.completions.create({ model: 'gpt-7', messages }), (error) => {
    assert.ok(error instanceof BadRequestError);
    assert.match(error.message, /supported API model names/);
    assert.ok(error.requestID);
    return true;
  });
});
