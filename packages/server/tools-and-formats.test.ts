import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DsmlTags, dsmlTags } from '@hadal/formats/chat/dsml';
import {
  endOfSentence,
  imagePlaceholder,
  thinkEnd,
  toolCallBegin,
  toolCallEnd,
  toolCallsBegin,
  toolCallsEnd,
  toolSeparator,
} from '@hadal/formats/special-tokens';
import { r1Template, v2Template, v31Template } from '@hadal/formats/testing/chat-templates';
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

/** Calls that no encoder would write so: two spaces in an array, one line break before the block, JSON where a string could be. */
const oddDsml = ({ blockBegin, blockEnd, callBegin, callEnd, parameterBegin, parameterEnd }: DsmlTags) =>
  `One moment. \n${blockBegin}\n${callBegin}weather">\n${parameterBegin}days" string="false">[1,  2]${parameterEnd}\n` +
  `${parameterBegin}city" string="false">"Rome"${parameterEnd}\n${callEnd}\n${blockEnd}`;
const oddMarks = (head: string, tail: string) =>
  `One moment. \n${toolCallsBegin}\n${toolCallBegin}${head}{"days":[1,  2],"city":"Rome"}${tail}${toolCallEnd}${toolCallsEnd}`;

for (const [name, model, odd] of [
  ['V3.2', { modelType: 'deepseek_v32' }, oddDsml(dsmlTags('function_calls'))],
  ['V4', { modelType: 'deepseek_v4' }, oddDsml(dsmlTags('tool_calls'))],
  ['V4.1', { modelType: 'deepseek_v41' }, oddDsml(dsmlTags(' calls'))],
  ['R1', { chatTemplate: r1Template() }, oddMarks(`function${toolSeparator}weather\n\`\`\`json\n\n`, '\n```')],
  ['V3.1', { chatTemplate: v31Template }, oddMarks(`weather${toolSeparator}`, ' ')],
] as const) {
  test(`${name}: a turn with calls goes back into the prompt byte for byte, however it was written, unless the client changed it`, async () => {
    // V3.1 calls tools without thinking, and shows no thoughts of the past. A thought may be left open.
    for (const thought of name === 'V3.1' ? [''] : ['', `I must look${thinkEnd}`, 'I must look\n']) {
      const mode = thought === '' ? calm : {};
      const turn = thought + odd;
      const isAnswered = /result>sunny|sunny<｜tool▁output▁end/;
      await using toy = await serveToy({
        script: (prompt) => (isAnswered.test(prompt) ? ['Sunny.'] : [turn]),
        ...model,
      });
      const { completions } = clientOf(toy).chat;
      const first = await completions.create({ ...hello, ...mode, tools: [weather] });
      const { content = null, tool_calls = [] } = first.choices[0]?.message ?? {};
      const [call] = tool_calls;
      assert.deepEqual(call?.type === 'function' && JSON.parse(call.function.arguments), {
        days: [1, 2],
        city: 'Rome',
      });
      const result = { role: 'tool' as const, tool_call_id: call?.id ?? '', content: 'sunny' };
      const promptAfter = async (changed: string | null) => {
        const said = { role: 'assistant' as const, content: changed, tool_calls };
        await completions.create({ ...hello, ...mode, tools: [weather], messages: [...hello.messages, said, result] });
        return toy.engine.tokenizer.decode(toy.engine.requests.at(-1)?.prompt ?? []);
      };
      const before = toy.engine.tokenizer.decode(toy.engine.requests[0]?.prompt ?? []);
      const after = await promptAfter(content);
      assert.ok(after.startsWith(`${before}${turn}${endOfSentence}`), after);
      assert.ok(!(await promptAfter('Wait.')).includes(odd));
    }
  });
}

test('a call that nobody offered a tool for is told as content, in every form, and shows no markup', async () => {
  const json = '{"city": "Rome"}';
  for (const [model, text] of [
    [{ modelType: 'deepseek_v32' }, callText('weather', 'Rome')],
    [{ modelType: 'deepseek_v4' }, callText('weather', 'Rome')],
    [{ modelType: 'deepseek_v41' }, callText('weather', 'Rome')],
    [
      { chatTemplate: v31Template },
      `${toolCallsBegin}${toolCallBegin}weather${toolSeparator}${json}${toolCallEnd}${toolCallsEnd}`,
    ],
  ] as const) {
    for (const offer of [{}, { tools: [weather], tool_choice: 'none' as const }]) {
      await using toy = await serveToy({ script: () => [`Let me look.${text}`], ...model });
      const { choices } = await clientOf(toy).chat.completions.create({ ...hello, ...calm, ...offer });
      assert.equal(choices[0]?.message.content, `Let me look.\nweather(${json})`);
      assert.equal(choices[0]?.message.tool_calls, undefined);
      assert.equal(choices[0]?.finish_reason, 'stop');
    }
  }
});

test("V4.1's tags reach the engine, and its token for images is no text of a user's", async () => {
  await using toy = await serveToy({ script: () => ['ok'], modelType: 'deepseek_v41' });
  await post(toy.server.url, { ...hello, ...calm, tools: [weather], tool_choice: 'required' });
  const [asked] = toy.engine.requests;
  assert.ok(asked?.constraint?.type === 'tool-calls');
  assert.equal(asked.constraint.callsTag, ' calls');
  const refused = await post(toy.server.url, {
    ...hello,
    messages: [{ role: 'user', content: `a ${imagePlaceholder}` }],
  });
  assert.equal(refused.status, 400);
  assert.match(await refused.text(), /messages: <｜deepseek_image｜> is a reserved token/);
});
