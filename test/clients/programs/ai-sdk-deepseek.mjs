// The AI SDK with its DeepSeek provider: text, reasoning, tools in a loop, objects.

import assert from 'node:assert/strict';
import { createDeepSeek } from '@ai-sdk/deepseek';
import { APICallError, generateText, isStepCount, Output, streamText, tool } from 'ai';
import { z } from 'zod';
import { acting, answering, model, question, report, scene } from './scene.mjs';

// It says with every object that a schema goes into the prompt.
globalThis.AI_SDK_LOG_WARNINGS = false;
const deepseek = createDeepSeek({ baseURL: answering, apiKey: 'none' });
const actor = createDeepSeek({ baseURL: acting, apiKey: 'none' });

await scene('answers with reasoning, whole and streamed alike', async () => {
  const whole = await generateText({ model: deepseek(model), prompt: question });
  assert.match(whole.text, /9\.8 is greater/);
  assert.ok(whole.reasoningText.length > 0);
  assert.equal(whole.finishReason, 'stop');
  assert.ok(whole.usage.inputTokens > 0 && whole.usage.outputTokens > 0);
  const streamed = streamText({ model: deepseek(model), prompt: question });
  let text = '';
  for await (const delta of streamed.textStream) text += delta;
  assert.equal(text, whole.text);
  assert.equal(await streamed.reasoningText, whole.reasoningText);
});

await scene('does not think when told not to', async () => {
  const providerOptions = { deepseek: { thinking: { type: 'disabled' } } };
  const { text, reasoningText } = await generateText({ model: deepseek(model), prompt: question, providerOptions });
  assert.match(text, /9\.8/);
  assert.equal(reasoningText, undefined);
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
    model: actor(model),
    prompt: 'Extract item and count as JSON: please send me 12 lamps.',
    output: Output.object({ schema: z.object({ item: z.string(), count: z.number() }) }),
  });
  assert.deepEqual(output, { item: 'lamps', count: 12 });
});

await scene('throws what the server refuses', async () => {
  const refused = generateText({ model: deepseek('gpt-7'), prompt: question, maxRetries: 0 });
  await assert.rejects(refused, (error) => {
    assert.ok(APICallError.isInstance(error));
    assert.equal(error.statusCode, 400);
    assert.match(error.message, /supported API model names/);
    return true;
  });
});
