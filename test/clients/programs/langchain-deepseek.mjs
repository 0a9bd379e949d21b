// LangChain with its DeepSeek package: reasoning, streams, tools by hand and in an agent, structured output.

import assert from 'node:assert/strict';
import { HumanMessage, ToolMessage } from '@langchain/core/messages';
import { ChatDeepSeek } from '@langchain/deepseek';
import { createAgent, tool } from 'langchain';
import { z } from 'zod';
import { acting, answering, model, question, report, scene } from './scene.mjs';

const chatOf = (url, options = {}) =>
  new ChatDeepSeek({ model, apiKey: 'none', configuration: { baseURL: url }, maxRetries: 0, ...options });
const chat = chatOf(answering);
const actor = chatOf(acting);

await scene('answers with reasoning, whole and streamed alike', async () => {
  const whole = await chat.invoke([{ role: 'user', content: question }]);
  assert.match(whole.content, /9\.8 is greater/);
  assert.ok(whole.additional_kwargs.reasoning_content.length > 0);
  assert.ok(whole.usage_metadata.output_tokens > 0);
  let [text, reasoning] = ['', ''];
  for await (const chunk of await chat.stream(question)) {
    text += chunk.content;
    reasoning += chunk.additional_kwargs.reasoning_content ?? '';
  }
  assert.equal(text, whole.content);
  assert.equal(reasoning, whole.additional_kwargs.reasoning_content);
});

const weather = tool(async ({ city }) => report(city), {
  name: 'weather',
  description: 'Weather in a city',
  schema: z.object({ city: z.string() }),
});

await scene('takes the results of tools', async () => {
  const bound = actor.bindTools([weather]);
  const messages = [new HumanMessage('Weather in Paris and Oslo?')];
  const asked = await bound.invoke(messages);
  assert.deepEqual(
    asked.tool_calls.map(({ name, args }) => [name, args.city]),
    [
      ['weather', 'Paris'],
      ['weather', 'Oslo'],
    ],
  );
  const results = asked.tool_calls.map(
    ({ id, args }) => new ToolMessage({ content: report(args.city), tool_call_id: id }),
  );
  assert.match((await bound.invoke([...messages, asked, ...results])).content, /sunny, rainy/);
});

await scene('runs an agent', async () => {
  const agent = createAgent({ model: actor, tools: [weather] });
  const asked = { messages: [{ role: 'user', content: 'Weather in Paris and Oslo?' }] };
  assert.match((await agent.invoke(asked)).messages.at(-1).content, /sunny, rainy/);
  let last = '';
  for await (const { messages } of await agent.stream(asked, { streamMode: 'values' })) last = messages.at(-1).content;
  assert.match(last, /sunny, rainy/);
});

await scene('gives an answer structure, by a mode and by a tool', async () => {
  const schema = z.object({ item: z.string(), count: z.number() });
  for (const method of ['jsonMode', 'functionCalling']) {
    const calm = chatOf(acting, { modelKwargs: { thinking: { type: 'disabled' } } });
    const structured = calm.withStructuredOutput(schema, { name: 'order', method });
    const parsed = await structured.invoke('Extract item and count as JSON: please send me 12 lamps.');
    assert.deepEqual(parsed, { item: 'lamps', count: 12 });
  }
});

await scene('throws what the server refuses', async () => {
  await assert.rejects(chatOf(answering, { model: 'gpt-7' }).invoke(question), /supported API model names/);
});
