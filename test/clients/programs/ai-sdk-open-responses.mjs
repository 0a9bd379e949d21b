// The AI SDK with its provider of open responses: text, reasoning, tools in a loop, objects.

import assert from 'node:assert/strict';
import { createOpenResponses } from '@ai-sdk/open-responses';
import { APICallError, generateText, isStepCount, Output, streamText, tool } from 'ai';
import { z } from 'zod';
import { acting, answering, model, question, report, scene } from './scene.mjs';

const responses = createOpenResponses({ name: 'hadal', url: `${answering}/v1/responses` });
const actor = createOpenResponses({ name: 'hadal', url: `${acting}/v1/responses` });

await scene('answers with reasoning, whole and streamed alike', async () => {
  const whole = await generateText({ model: responses(model), prompt: question });
  assert.match(whole.text, /9\.8 is greater/);
  assert.ok(whole.reasoningText.length > 0);
  assert.ok(whole.usage.inputTokens > 0 && whole.usage.outputTokens > 0);
  const streamed = streamText({ model: responses(model), prompt: question });
  let text = '';
  for await (const delta of streamed.textStream) text += delta;
  assert.equal(text, whole.text);
  assert.equal(await streamed.reasoningText, whole.reasoningText);
});

const tools = {
  weather: tool({
    description: 'Weather in a city',
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => report(city),
  }),
};

await scene('runs tools in its own loop, streamed and not', async () => {
  const asked = { model: actor(model), prompt: 'Weather in Paris and Oslo?', tools, stopWhen: isStepCount(4) };
  const whole = await generateText(asked);
  assert.match(whole.text, /sunny, rainy/);
  assert.equal(whole.steps.length, 2);
  const streamed = streamText(asked);
  await streamed.consumeStream();
  assert.match(await streamed.text, /sunny, rainy/);
});

await scene('makes an object', async () => {
  const { output } = await generateText({
    model: responses(model),
    prompt: 'Extract item and count as JSON: please send me 12 lamps.',
    output: Output.object({ schema: z.object({ item: z.string(), count: z.number() }) }),
    maxOutputTokens: 400,
  });
  assert.equal(typeof output.count, 'number');
});

await scene('throws what the server refuses', async () => {
  const refused = generateText({ model: responses('gpt-7'), prompt: question, maxRetries: 0 });
  await assert.rejects(refused, (error) => {
    assert.ok(APICallError.isInstance(error));
    assert.equal(error.statusCode, 400);
    // Its message is the server's only where `param` is a string, and OpenAI's and DeepSeek's is null.
    assert.match(error.responseBody, /supported API model names/);
    return true;
  });
});
