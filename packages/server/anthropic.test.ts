import assert from 'node:assert/strict';
import { test } from 'node:test';
import Anthropic, { BadRequestError, RateLimitError } from '@anthropic-ai/sdk';
import { dsml, thinkEnd } from '@hadal/formats/special-tokens';
import { serveToy, type ToyServer } from './testing/serve-toy.ts';

/** The official client, unmodified. */
function clientOf(toy: ToyServer, base = '/anthropic'): Anthropic {
  return new Anthropic({ baseURL: toy.server.url + base, apiKey: 'any', maxRetries: 0 });
}

const hello = { model: 'toy', max_tokens: 200, messages: [{ role: 'user' as const, content: 'Hello' }] };
const weather = {
  name: 'weather',
  description: 'Weather in a city',
  input_schema: { type: 'object' as const, properties: { city: { type: 'string' } }, required: ['city'] },
};
const callText = (city: string) =>
  `\n\n<${dsml}tool_calls>\n<${dsml}invoke name="weather">\n<${dsml}parameter name="city" string="true">${city}</${dsml}parameter>\n` +
  `</${dsml}invoke>\n</${dsml}tool_calls>`;
const promptOf = (toy: ToyServer, index = -1) =>
  toy.engine.tokenizer.decode(toy.engine.requests.at(index)?.prompt ?? []);

test('a message comes whole, with thinking, text and usage', async () => {
  await using toy = await serveToy({ script: () => [`so${thinkEnd}9.8 is greater`] });
  for (const base of ['/anthropic', '']) {
    const message = await clientOf(toy, base).messages.create({ ...hello, system: 'Be brief.' });
    assert.equal(message.type, 'message');
    assert.match(message.id, /^msg_[0-9a-f]{32}$/);
    assert.equal(message.model, 'toy');
    assert.deepEqual(message.content, [
      { type: 'thinking', thinking: 'so', signature: '' },
      { type: 'text', text: '9.8 is greater' },
    ]);
    assert.deepEqual([message.stop_reason, message.stop_sequence], ['end_turn', null]);
    const { input_tokens, cache_read_input_tokens, output_tokens } = message.usage;
    assert.equal(input_tokens, toy.engine.requests.at(-1)?.prompt.length);
    assert.equal(cache_read_input_tokens, 0);
    assert.equal(output_tokens, 'so9.8 is greater'.length + 2);
    assert.equal(message.usage.output_tokens_details?.thinking_tokens, 'so'.length);
  }
  assert.match(promptOf(toy), /^<｜begin▁of▁sentence｜>Be brief\.<｜User｜>Hello<｜Assistant｜><think>$/);
});

test('a stream is what the SDK puts together to the same message', async () => {
  await using toy = await serveToy({ script: () => ['let me', ` see${thinkEnd}Here`, ' it is.', callText('Rome')] });
  const asked = { ...hello, tools: [weather] };
  const names: string[] = [];
  const stream = clientOf(toy).messages.stream(asked);
  stream.on('streamEvent', ({ type }) => names.push(type));
  const streamed = await stream.finalMessage();
  const whole = await clientOf(toy).messages.create(asked);
  const withoutIds = (message: Anthropic.Message) =>
    message.content.map((block) => (block.type === 'tool_use' ? { ...block, id: '' } : block));
  assert.deepEqual(withoutIds(streamed), withoutIds(whole));
  assert.deepEqual(
    whole.content.map(({ type }) => type),
    ['thinking', 'text', 'tool_use'],
  );
  const call = whole.content[2];
  assert.ok(call?.type === 'tool_use');
  assert.deepEqual([call.name, call.input], ['weather', { city: 'Rome' }]);
  assert.equal(streamed.stop_reason, 'tool_use');
  assert.equal(streamed.usage.output_tokens, whole.usage.output_tokens);
  assert.equal(names[0], 'message_start');
  assert.deepEqual(names.slice(-2), ['message_delta', 'message_stop']);
  assert.equal(names.filter((name) => name === 'content_block_start').length, 3);
  assert.equal(names.filter((name) => name === 'content_block_stop').length, 3);
});

test('results of tools, thinking and calls go back as they came', async () => {
  await using toy = await serveToy({ script: () => [`ok${thinkEnd}Sunny.`] });
  await clientOf(toy).messages.create({
    ...hello,
    tools: [weather],
    messages: [
      { role: 'user', content: 'Weather in Rome?' },
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'I must look', signature: '' },
          { type: 'text', text: 'Let me see.' },
          { type: 'tool_use', id: 'call_1', name: 'weather', input: { city: 'Rome' } },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 'call_1', content: [{ type: 'text', text: 'sunny' }] },
          { type: 'text', text: 'In one word.' },
        ],
      },
    ],
  });
  const prompt = promptOf(toy);
  assert.ok(prompt.includes(`I must look${thinkEnd}Let me see.${callText('Rome')}`), prompt);
  assert.ok(prompt.includes('<tool_result>sunny</tool_result>\n\nIn one word.'), prompt);
});

test('stop sequences say which of them it was, and limits say so too', async () => {
  await using toy = await serveToy({ script: () => ['one two three'] });
  const calm = { ...hello, thinking: { type: 'disabled' as const } };
  const short = await clientOf(toy).messages.create({ ...calm, max_tokens: 3 });
  assert.deepEqual([short.stop_reason, short.content], ['max_tokens', [{ type: 'text', text: 'one' }]]);
  await clientOf(toy).messages.create({ ...calm, stop_sequences: ['two'] });
  assert.deepEqual(toy.engine.requests.at(-1)?.stop, ['two']);
});

test("names of Anthropic's stand for DeepSeek's, and no name is an error", async () => {
  await using toy = await serveToy({ script: () => ['ok'], names: true });
  const answers = ['claude-opus-4-8', 'claude-sonnet-5', 'gpt-7', 'deepseek-chat'].map(async (model) => {
    const message = await clientOf(toy).messages.create({ ...hello, model });
    return message.model;
  });
  assert.deepEqual(await Promise.all(answers), [
    'deepseek-v4-pro',
    'deepseek-flash',
    'deepseek-flash',
    'deepseek-chat',
  ]);
  const prompts = toy.engine.requests.map((_, i) => promptOf(toy, i).endsWith('<think>'));
  assert.deepEqual(prompts, [true, true, true, false]);
});

test('tokens are counted without an answer', async () => {
  await using toy = await serveToy({ script: () => ['ok'] });
  const { input_tokens } = await clientOf(toy).messages.countTokens({ model: 'toy', messages: hello.messages });
  assert.equal(toy.engine.requests.length, 0);
  await clientOf(toy).messages.create(hello);
  assert.equal(input_tokens, toy.engine.requests[0]?.prompt.length);
});

test("mistakes come in Anthropic's envelope", async () => {
  await using toy = await serveToy({ script: () => ['ok'], capacity: 1 });
  const { messages } = clientOf(toy);
  const wrong = { ...hello, max_tokens: 0 };
  await assert.rejects(messages.create(wrong), (error) => {
    assert.ok(error instanceof BadRequestError);
    const problem = 'max_tokens: expected integer of at least 1, got 0';
    assert.deepEqual(error.error, { type: 'error', error: { type: 'invalid_request_error', message: problem } });
    return true;
  });
  const image = { type: 'image' as const, source: { type: 'url' as const, url: 'https://example.org/a.png' } };
  const pictured = { ...hello, messages: [{ role: 'user' as const, content: [image] }] };
  await assert.rejects(messages.create(pictured), /messages\[0\]\.content\[0\]: This model does not support image/);
  const orphan = { type: 'tool_result' as const, tool_use_id: 'nobody', content: '' };
  const orphaned = { ...hello, messages: [{ role: 'user' as const, content: [orphan] }] };
  await assert.rejects(
    messages.create(orphaned),
    /messages\[0\]\.content\[0\]\.tool_use_id: expected the id of an unanswered call/,
  );
  await messages.create(hello);
  await assert.rejects(messages.create(hello), (error) => error instanceof RateLimitError);
});

test('a failure in a stream is an event that the SDK throws', async () => {
  await using toy = await serveToy({
    script: async function* () {
      yield 'be';
      throw new Error('the engine broke');
    },
  });
  const stream = clientOf(toy).messages.stream(hello);
  await assert.rejects(stream.finalMessage(), /server had an error/);
});

test('what the system says in the midst of a conversation is read where it stands, also at the end', async () => {
  await using toy = await serveToy({ script: () => ['ok'] });
  const said = (role: 'user' | 'assistant' | 'system', content: string) => ({ role, content }) as never;
  const messages = [said('system', 'Head.'), said('user', 'Hi'), said('system', 'Now.')];
  await clientOf(toy).messages.create({ ...hello, system: 'Rules.', thinking: { type: 'disabled' }, messages });
  assert.match(promptOf(toy), /sentence｜>Rules\.Head\.<｜User｜>Hi\n\nNow\.<｜Assistant｜><\/think>$/);
  const later = [...messages, said('assistant', 'ok'), said('system', 'Later.')];
  await clientOf(toy).messages.create({ ...hello, thinking: { type: 'disabled' }, messages: later });
  assert.match(
    promptOf(toy),
    /Hi\n\nNow\.<｜Assistant｜><\/think>ok<｜end▁of▁sentence｜><｜User｜>Later\.<｜Assistant｜>/,
  );
});

test('a tool whose loading is deferred is shown once a result has named it', async () => {
  await using toy = await serveToy({ script: () => ['ok'] });
  const input_schema = { type: 'object' as const };
  const tools = [
    { name: 'find', input_schema },
    { name: 'dive', input_schema, defer_loading: true },
    { name: 'rise', input_schema, defer_loading: true },
  ];
  const shown = () => ['find', 'dive', 'rise'].filter((name) => promptOf(toy).includes(`{"name": "${name}"`));
  const { messages } = clientOf(toy);
  await messages.create({ ...hello, tools, messages: [{ role: 'user', content: 'Hi' }] });
  assert.deepEqual(shown(), ['find']);
  await messages.create({
    ...{ ...hello, tools },
    messages: [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: [{ type: 'tool_use', id: 'a', name: 'find', input: {} }] },
      {
        role: 'user',
        content: [{ type: 'tool_result', tool_use_id: 'a', content: [{ type: 'tool_reference', tool_name: 'dive' }] }],
      },
    ],
  });
  assert.deepEqual(shown(), ['find', 'dive']);
  assert.match(promptOf(toy), /<tool_result>dive<\/tool_result>/);
});

test("Anthropic's own loop over tools goes on without a thread, which is refused in words that it knows", async () => {
  const script = (prompt: string) =>
    prompt.includes('<tool_result>sunny</tool_result>')
      ? [`seen${thinkEnd}Sunny.`]
      : [`hm${thinkEnd}${callText('Rome')}`];
  await using toy = await serveToy({ script });
  const { beta } = clientOf(toy);
  const run = async ({ city }: { city: string }) => (city === 'Rome' ? 'sunny' : 'unknown');
  const tool = { ...weather, type: 'custom' as const, run, parse: (input: unknown) => input as { city: string } };
  const message = await beta.messages.toolRunner({ ...hello, tools: [tool as never] }).runUntilDone();
  assert.deepEqual(message.content.at(-1), { type: 'text', text: 'Sunny.' });
  await assert.rejects(beta.messages.create({ ...hello, thread: { type: 'create' } }), (error) => {
    assert.ok(error instanceof BadRequestError);
    assert.match(error.message, /thread: conversations are not held here/);
    return true;
  });
});

test("words of the assistant's that come last are what the answer begins with", async () => {
  await using toy = await serveToy({ script: () => ['{"a": 1}'] });
  const { messages } = clientOf(toy);
  const prefilled = [...hello.messages, { role: 'assistant' as const, content: 'Here: ' }];
  const answer = await messages.create({ ...hello, messages: prefilled, thinking: { type: 'disabled' } });
  assert.deepEqual(answer.content, [{ type: 'text', text: '{"a": 1}' }]);
  assert.match(promptOf(toy), /<\/think>Here: $/);
});

test('max_tokens gives way to the context, as clients must name a number', async () => {
  await using toy = await serveToy({ script: () => ['x'.repeat(500)], contextLength: 100 });
  const answer = await clientOf(toy).messages.create({ ...hello, max_tokens: 20_000, thinking: { type: 'disabled' } });
  assert.equal(answer.stop_reason, 'max_tokens');
  assert.equal(answer.usage.output_tokens, 100 - (toy.engine.requests[0]?.prompt.length ?? 0));
});
