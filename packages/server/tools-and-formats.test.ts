import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  dsml,
  endOfSentence,
  thinkEnd,
  toolCallBegin,
  toolCallEnd,
  toolCallsBegin,
  toolCallsEnd,
  toolSeparator,
} from '@hadal/formats/special-tokens';
import { r1Template, v2Template } from '@hadal/formats/testing/chat-templates';
import type OpenAI from 'openai';
import { BadRequestError } from 'openai';
import { serveToy } from './testing/serve-toy.ts';
import { callText, calm, clientOf, hello, post, weather } from './testing/toy-requests.ts';

test('a checkpoint with a chat template is asked by it and understood in its own form of calls', async () => {
  const script = (prompt: string) =>
    prompt.endsWith('<think>\n')
      ? ['hm\n</think>\n\nLet me see.', `${toolCallsBegin}${toolCallBegin}function${toolSeparator}weather\n`]
          .concat(['```json\n{"city": "Rome"}\n', `\`\`\`${toolCallEnd}${toolCallsEnd}`])
          .values()
      : ['at once'].values();
  await using toy = await serveToy({ script, chatTemplate: r1Template() });
  const { completions } = clientOf(toy).chat;
  const completion = await completions.create({ ...hello, tools: [weather] });
  const { message, finish_reason } = completion.choices[0] ?? {};
  assert.equal((message as { reasoning_content?: string }).reasoning_content, 'hm');
  assert.equal(message?.content, 'Let me see.');
  assert.equal(finish_reason, 'tool_calls');
  const [call] = message?.tool_calls ?? [];
  assert.deepEqual(call?.type === 'function' && call.function, { name: 'weather', arguments: '{"city": "Rome"}' });
  assert.equal((await completions.create({ ...hello, ...calm })).choices[0]?.message.content, 'at once');
  const [asked, calmly] = toy.engine.requests.map(({ prompt }) => toy.engine.tokenizer.decode(prompt));
  assert.ok(asked?.startsWith('<｜begin▁of▁sentence｜>## Tools\n') && asked.includes('### weather'));
  assert.ok(calmly?.endsWith('<｜Assistant｜><think>\n\n</think>\n\n'));
});

test('tools are refused where the checkpoint was not taught to call any', async () => {
  await using toy = await serveToy({ script: () => ['no'], chatTemplate: v2Template });
  const { completions } = clientOf(toy).chat;
  assert.equal((await completions.create(hello)).choices[0]?.message.content, 'no');
  await assert.rejects(completions.create({ ...hello, tools: [weather] }), (error) => {
    assert.ok(error instanceof BadRequestError);
    assert.match(error.message, /tools: this model was not taught to call tools/);
    return true;
  });
  const call = { id: '1', type: 'function' as const, function: { name: 'weather', arguments: '{}' } };
  const called: OpenAI.ChatCompletionMessageParam[] = [
    ...hello.messages,
    { role: 'assistant', tool_calls: [call] },
    { role: 'tool', tool_call_id: '1', content: 'sun' },
  ];
  const history = completions.create({ ...hello, messages: called });
  await assert.rejects(history, /400 messages: this model was not taught to call tools, and there are calls/);
});

test('a conversation that the chat template does not take is the mistake of whoever sends it', async () => {
  const refusal = "{% if messages[0].role == 'system' %}{{ raise_exception('No system messages.') }}{% endif %}";
  await using toy = await serveToy({ script: () => ['ok'], chatTemplate: refusal + v2Template });
  const answer = await post(toy.server.url, {
    ...hello,
    messages: [{ role: 'system', content: 'a' }, ...hello.messages],
  });
  assert.equal(answer.status, 400);
  const { error } = (await answer.json()) as { error: { message: string } };
  const reason = 'the chat template of this model does not take this conversation: No system messages.';
  assert.equal(error.message, `messages: ${reason}`);
});

test('tools make a round trip: schemas in, calls out, results in, answer out', async () => {
  const script = (prompt: string) =>
    prompt.includes('<tool_result>sunny</tool_result>')
      ? [`good${thinkEnd}It is sunny in Paris.`]
      : [`I must look${thinkEnd}${callText('weather', 'Paris')}`];
  await using toy = await serveToy({ script });
  const client = clientOf(toy);
  const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Weather in Paris?' }];

  const asked = await client.chat.completions.create({ model: 'toy', messages, tools: [weather] });
  const [choice] = asked.choices;
  assert.equal(choice?.finish_reason, 'tool_calls');
  assert.equal(choice.message.content, '');
  const [call] = choice.message.tool_calls ?? [];
  assert.ok(call?.type === 'function');
  assert.match(call.id, /^call_00_[0-9a-f]{24}$/);
  assert.deepEqual(call.function, { name: 'weather', arguments: '{"city": "Paris"}' });

  messages.push(choice.message, { role: 'tool', tool_call_id: call.id, content: 'sunny' });
  const answered = await client.chat.completions.create({ model: 'toy', messages, tools: [weather] });
  assert.equal(answered.choices[0]?.message.content, 'It is sunny in Paris.');
  assert.equal(answered.choices[0]?.finish_reason, 'stop');
  const prompt = toy.engine.tokenizer.decode(toy.engine.requests[1]?.prompt ?? []);
  assert.ok(prompt.includes('{"name": "weather", "description": "Weather in a city", "parameters": {"type": "object"'));
  assert.ok(
    prompt.includes(`<think>I must look${thinkEnd}${callText('weather', 'Paris')}`),
    'what was generated comes back',
  );
});

test('streamed tool calls add up to what the client runs', async () => {
  const script = (prompt: string) =>
    prompt.includes('<tool_result>rain</tool_result>')
      ? ['Take an umbrella.']
      : ['One moment.', ...callText('weather', 'Oslo').split('')];
  await using toy = await serveToy({ script });
  const cities: string[] = [];
  const runner = clientOf(toy).chat.completions.runTools({
    ...hello,
    ...calm,
    stream: true,
    tools: [
      {
        type: 'function',
        function: {
          ...weather.function,
          parse: JSON.parse,
          function: ({ city }: { city: string }) => {
            cities.push(city);
            return 'rain';
          },
        },
      },
    ],
  });
  assert.equal(await runner.finalContent(), 'Take an umbrella.');
  assert.deepEqual(cities, ['Oslo']);
});

test('tool_choice none keeps the tools from the model', async () => {
  await using toy = await serveToy({ script: () => ['no tool'] });
  const without = { ...hello, ...calm, tools: [weather], tool_choice: 'none' as const };
  const { choices } = await clientOf(toy).chat.completions.create(without);
  assert.equal(choices[0]?.message.content, 'no tool');
  assert.ok(!toy.engine.tokenizer.decode(toy.engine.requests[0]?.prompt ?? []).includes('weather'));
});

test('where calls have no grammar, a forced tool is opened for the model, and what cannot be enforced is refused', async () => {
  const script = (prompt: string) =>
    prompt.endsWith(`${toolSeparator}weather\n\`\`\`json\n`)
      ? [`{"city": "Rome"}\n\`\`\`${toolCallEnd}${toolCallsEnd}`]
      : ['no tool'];
  await using toy = await serveToy({ script, chatTemplate: r1Template() });
  const { completions } = clientOf(toy).chat;
  const named = { type: 'function' as const, function: { name: 'weather' } };
  const forced = await completions.create({ ...hello, ...calm, tools: [weather], tool_choice: named });
  const [call] = forced.choices[0]?.message.tool_calls ?? [];
  assert.ok(call?.type === 'function');
  assert.deepEqual(call.function, { name: 'weather', arguments: '{"city": "Rome"}' });
  const strict = { ...weather, function: { ...weather.function, strict: true } };
  const json = { response_format: { type: 'json_object' } };
  for (const [wrong, message] of [
    [{ tools: [weather], tool_choice: named }, /Thinking mode does not support this tool_choice/],
    [{ tools: [strict] }, /tools\[0\]\.function\.strict: the form of this model's tool calls cannot be enforced/],
    [{ tools: [weather], ...json }, /response_format: the form of this model's tool calls cannot be enforced/],
  ] as const) {
    const refused = await post(toy.server.url, { ...hello, ...wrong });
    assert.equal(refused.status, 400);
    assert.match(await refused.text(), message);
  }
});

test('what an answer must look like reaches the engine, after the reasoning where there is some', async () => {
  await using toy = await serveToy({ script: () => ['ok'] });
  const asked = async (body: object) => {
    assert.equal((await post(toy.server.url, { ...hello, ...body })).status, 200);
    return toy.engine.requests.at(-1)?.constraint;
  };
  const json = { response_format: { type: 'json_object' } };
  assert.equal(await asked(calm), undefined);
  assert.equal(await asked({ ...calm, tools: [weather] }), undefined);
  assert.deepEqual(await asked({ ...calm, ...json }), { type: 'json-object' });
  assert.deepEqual(await asked(json), { type: 'after-reasoning', answer: { type: 'json-object' } });
  const { name, parameters } = weather.function;
  const block = { type: 'tool-calls', callsTag: 'tool_calls', calls: 'several' };
  const tools = [{ name, parameters, isStrict: false }];
  const required = { tools: [weather], tool_choice: 'required' };
  const forced = { ...block, tools, choice: { type: 'required' } };
  assert.deepEqual(await asked({ ...calm, ...required }), forced);
  assert.deepEqual(await asked(required), { type: 'after-reasoning', answer: forced });
  const named = { type: 'function', function: { name } };
  const byName = { ...block, tools, choice: { type: 'named', name } };
  assert.deepEqual(await asked({ ...calm, tools: [weather], tool_choice: named }), byName);
  const beside = { ...block, tools, choice: { type: 'auto', content: { type: 'json-object' } } };
  assert.deepEqual(await asked({ ...calm, ...json, tools: [weather] }), beside);
  const strict = [{ ...weather, function: { ...weather.function, strict: true } }];
  const held = { ...block, tools: [{ name, parameters, isStrict: true }], choice: { type: 'auto', content: 'free' } };
  assert.deepEqual(await asked({ ...calm, tools: strict }), held);
});

test('a schema is shown to the model', async () => {
  await using toy = await serveToy({ script: () => ['{}'] });
  const json_schema = { name: 'n', schema: { type: 'object', properties: { depth: {} } } };
  await post(toy.server.url, { ...hello, response_format: { type: 'json_schema', json_schema } });
  const prompt = toy.engine.tokenizer.decode(toy.engine.requests[0]?.prompt ?? []);
  assert.match(prompt, /## Response Format:\n\nYou MUST strictly adhere .*\n\{"type": "object", "properties"/);
});

test('reasoning that a client forgets to send back is found by the id of the call, or asked for', async () => {
  const script = (prompt: string) =>
    prompt.includes('<tool_result>')
      ? [`seen${thinkEnd}Sunny.`]
      : [`I must look${thinkEnd}${callText('weather', 'Rome')}`];
  for (const missingReasoning of ['recover', 'refuse'] as const) {
    await using toy = await serveToy({ script, missingReasoning });
    const { completions } = clientOf(toy).chat;
    const first = await completions.create({ ...hello, tools: [weather] });
    const { content, tool_calls = [] } = first.choices[0]?.message ?? {};
    const result = { role: 'tool' as const, tool_call_id: tool_calls[0]?.id ?? '', content: 'sunny' };
    const turn = { role: 'assistant' as const, content: content ?? null, tool_calls };
    const second = completions.create({ ...hello, tools: [weather], messages: [...hello.messages, turn, result] });
    if (missingReasoning === 'refuse') {
      await assert.rejects(second, /The `reasoning_content` in the thinking mode must be passed back to the API\./);
    } else {
      assert.equal((await second).choices[0]?.message.content, 'Sunny.');
      const prompt = toy.engine.tokenizer.decode(toy.engine.requests.at(-1)?.prompt ?? []);
      assert.ok(prompt.includes(`<think>I must look${thinkEnd}${callText('weather', 'Rome')}`), prompt);
    }
  }
});

test('a turn with calls goes back into the prompt byte for byte, however it was written, unless the client changed it', async () => {
  // Two spaces in the array, one line break before the block, and a parameter in JSON that could be a string.
  const odd =
    `I must look${thinkEnd}One moment. \n<${dsml}tool_calls>\n<${dsml}invoke name="weather">\n` +
    `<${dsml}parameter name="days" string="false">[1,  2]</${dsml}parameter>\n<${dsml}parameter name="city" string="false">"Rome"</${dsml}parameter>\n` +
    `</${dsml}invoke>\n</${dsml}tool_calls>`;
  await using toy = await serveToy({
    script: (prompt) => [prompt.includes('<tool_result>') ? `seen${thinkEnd}Sunny.` : odd],
  });
  const { completions } = clientOf(toy).chat;
  const first = await completions.create({ ...hello, tools: [weather] });
  const { content = null, tool_calls = [] } = first.choices[0]?.message ?? {};
  const result = { role: 'tool' as const, tool_call_id: tool_calls[0]?.id ?? '', content: 'sunny' };
  const promptAfter = async (changed: string | null) => {
    const turn = { role: 'assistant' as const, content: changed, tool_calls };
    await completions.create({ ...hello, tools: [weather], messages: [...hello.messages, turn, result] });
    return toy.engine.tokenizer.decode(toy.engine.requests.at(-1)?.prompt ?? []);
  };
  const before = toy.engine.tokenizer.decode(toy.engine.requests[0]?.prompt ?? []);
  assert.ok((await promptAfter(content)).startsWith(`${before}${odd}${endOfSentence}`));
  const changed = await promptAfter('Wait.');
  assert.ok(!changed.includes(odd) && changed.includes(`I must look${thinkEnd}Wait.\n\n<`), changed);
});
