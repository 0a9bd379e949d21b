// The OpenAI Agents SDK, over responses and over chat completions: tools, agents that hand over, structured results, sessions.

import assert from 'node:assert/strict';
import { Agent, MemorySession, OpenAIProvider, Runner, setTracingDisabled, tool } from '@openai/agents';
import { z } from 'zod';
import { acting, answering, model, question, report, scene } from './scene.mjs';

setTracingDisabled(true);

const weather = tool({
  name: 'weather',
  description: 'Weather in a city',
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => report(city),
});

for (const useResponses of [true, false]) {
  const api = useResponses ? 'responses' : 'chat completions';
  const runnerOf = (url) =>
    new Runner({ modelProvider: new OpenAIProvider({ baseURL: `${url}/v1`, apiKey: 'none', useResponses }) });
  const runner = runnerOf(answering);
  const actor = runnerOf(acting);

  await scene(`answers, whole and streamed alike, over ${api}`, async () => {
    const agent = new Agent({ name: 'Assistant', model });
    const whole = await runner.run(agent, question);
    assert.match(whole.finalOutput, /9\.8 is greater/);
    const streamed = await runner.run(agent, question, { stream: true });
    let text = '';
    for await (const delta of streamed.toTextStream()) text += delta;
    await streamed.completed;
    assert.equal(text, whole.finalOutput);
  });

  await scene(`calls tools, whole and streamed, over ${api}`, async () => {
    const agent = new Agent({ name: 'Forecaster', instructions: 'Use your tools.', model, tools: [weather] });
    const whole = await actor.run(agent, 'Weather in Paris and Oslo?');
    assert.match(whole.finalOutput, /sunny, rainy/);
    const streamed = await actor.run(agent, 'Weather in Paris and Oslo?', { stream: true });
    await streamed.completed;
    assert.match(streamed.finalOutput, /sunny, rainy/);
  });

  await scene(`hands over to another agent over ${api}`, async () => {
    const forecaster = new Agent({ name: 'Forecaster', model });
    const agent = Agent.create({ name: 'Triage', model, handoffs: [forecaster] });
    const { lastAgent, finalOutput } = await actor.run(agent, 'Weather in Paris?');
    assert.equal(lastAgent.name, 'Forecaster');
    assert.match(finalOutput, /The tools said/);
  });

  await scene(`holds its result to a schema over ${api}`, async () => {
    const outputType = z.object({ item: z.string(), count: z.number() });
    const agent = new Agent({ name: 'Extractor', model, outputType, modelSettings: { maxTokens: 400 } });
    const { finalOutput } = await runner.run(agent, 'Extract item and count as JSON: please send me 12 lamps.');
    assert.equal(typeof finalOutput.count, 'number');
  });

  await scene(`goes on with a session over ${api}`, async () => {
    const agent = new Agent({ name: 'Assistant', model });
    const session = new MemorySession();
    await runner.run(agent, question, { session });
    const { finalOutput } = await runner.run(agent, 'compute 34 * 7', { session });
    assert.match(finalOutput, /238/);
  });
}
