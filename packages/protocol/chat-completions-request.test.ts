import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseChatCompletionsRequest } from './chat-completions-request.ts';
import type { ModelCard } from './models.ts';
import { RequestError, type RequestErrorCode } from './request-error.ts';

const card: ModelCard = {
  id: 'toy',
  name: 'Toy',
  ownedBy: 'hadal',
  contextWindow: 2048,
  maxOutputTokens: 2048,
  maxReasoningTokens: 1024,
  profile: 'current',
  thinking: 'high',
  sampling: { temperature: 0.6, topP: 0.95 },
};
const roomy: ModelCard = { ...card, id: 'roomy', contextWindow: 1048576, maxOutputTokens: 393216 };

const user = { role: 'user', content: 'hi' };
const weather = { type: 'function', function: { name: 'weather' } };
const call = { id: 'c1', type: 'function', function: { name: 'weather', arguments: '{}' } };

function parse(fields: object) {
  return parseChatCompletionsRequest({ model: 'toy', messages: [user], ...fields }, [card, roomy]);
}

function refusal(body: unknown): RequestError {
  try {
    parseChatCompletionsRequest(body, [card, roomy]);
  } catch (error) {
    assert.ok(error instanceof RequestError, `expected a RequestError, got ${error}`);
    return error;
  }
  assert.fail(`expected a refusal of ${JSON.stringify(body)}`);
}

test('a body with model and messages alone gets every default', () => {
  assert.deepEqual(parse({}), {
    choices: 1,
    delivery: { type: 'whole' },
    isStored: false,
    record: { metadata: {}, messages: [user], tools: [] },
    chat: {
      model: 'toy',
      messages: [user],
      thinking: 'high',
      maxTokens: { type: 'default', tokens: 2048 },
      temperature: 0.6,
      topP: 0.95,
      ...{ topK: 0, minP: 0, frequencyPenalty: 0, presencePenalty: 0, logitBias: [] },
      seed: undefined,
      stop: [],
      maxReasoning: undefined,
      responseFormat: { type: 'text' },
      tools: [],
      toolChoice: { type: 'none' },
      topLogprobs: undefined,
      ...{ speculation: { method: 'default' }, prediction: '', priority: 'interactive' },
      contextWindow: 2048,
      userId: '',
      places: { messages: 'messages', format: 'response_format', tools: [], schema: 'parameters' },
    },
  });
});

test('null stands for the default in every optional field', () => {
  const fields = [
    'thinking',
    'reasoning_effort',
    'max_tokens',
    'max_completion_tokens',
    'response_format',
    'stop',
    'stream',
    'stream_options',
    'temperature',
    'top_p',
    'top_k',
    'min_p',
    'frequency_penalty',
    'presence_penalty',
    'logit_bias',
    'speculative',
    'prediction',
    'service_tier',
    'tools',
    'tool_choice',
    'logprobs',
    'top_logprobs',
    'n',
    'seed',
    'user_id',
    'user',
  ];
  assert.deepEqual(parse(Object.fromEntries(fields.map((name) => [name, null]))), parse({}));
});

test('how tokens are chosen and guessed is read as it is meant', () => {
  const chosen = parse({
    top_k: 40,
    min_p: 0.05,
    frequency_penalty: 1.5,
    presence_penalty: -2,
    logit_bias: { 7: -100 },
  });
  const { topK, minP, frequencyPenalty, presencePenalty, logitBias } = chosen.chat;
  assert.deepEqual([topK, minP, frequencyPenalty, presencePenalty, logitBias], [40, 0.05, 1.5, -2, [[7, -100]]]);
  assert.equal(parse({ top_k: -1 }).chat.topK, 0);
  const guessed = (fields: object) => parse(fields).chat.speculation;
  assert.deepEqual(guessed({ speculative: { method: 'none' } }), { method: 'none' });
  assert.deepEqual(guessed({ speculative: { method: 'mtp', num_draft_tokens: 16 } }), {
    method: 'mtp',
    draftTokens: 16,
  });
  assert.deepEqual(guessed({ speculative: { method: 'draft' } }), { method: 'draft', draftTokens: 'adaptive' });
  const prediction = { type: 'content', content: [{ type: 'text', text: 'as before' }] };
  assert.deepEqual(guessed({ prediction }), { method: 'ngram', draftTokens: 'adaptive' });
  assert.deepEqual(guessed({ prediction, speculative: { method: 'none' } }), { method: 'none' });
  assert.equal(parse({ prediction }).chat.prediction, 'as before');
  assert.equal(parse({ service_tier: 'flex' }).chat.priority, 'batch');
  assert.equal(parse({ service_tier: 'auto' }).chat.priority, 'interactive');
  for (const [fields, expected] of [
    [{ top_k: -2 }, /top_k: expected integer of at least -1/],
    [{ min_p: 1.5 }, /min_p: expected number from 0 to 1/],
    [{ logit_bias: { 7: 101 } }, /logit_bias.*expected number from -100 to 100/],
    [{ logit_bias: { a: 1 } }, /logit_bias.a: Invalid key/],
    [
      { speculative: { method: 'mtp', num_draft_tokens: -1 } },
      /speculative.num_draft_tokens: expected integer from 1 to 16/,
    ],
    [{ speculative: { method: 'magic' } }, /speculative.method/],
    [{ speculative: { method: 'none', num_draft_tokens: 2 } }, /speculative.num_draft_tokens: cannot be set together/],
  ] as const) {
    assert.match(refusal({ model: 'toy', messages: [user], ...fields }).message, expected);
  }
});

test('thinking is on by default, and effort names map as DeepSeek maps them', () => {
  const cases: [object, string][] = [
    [{ thinking: { type: 'enabled' } }, 'high'],
    [{ thinking: { type: 'disabled' } }, 'off'],
    [{ thinking: { type: 'disabled' }, reasoning_effort: 'max' }, 'off'],
    [{ reasoning_effort: 'none' }, 'off'],
    [{ reasoning_effort: 'minimal' }, 'low'],
    [{ reasoning_effort: 'low' }, 'low'],
    [{ reasoning_effort: 'medium' }, 'high'],
    [{ reasoning_effort: 'high' }, 'high'],
    [{ reasoning_effort: 'xhigh' }, 'high'],
    [{ reasoning_effort: 'max' }, 'max'],
    [{ reasoning_effort: 'ultra' }, 'max'],
  ];
  for (const [fields, expected] of cases) assert.equal(parse(fields).chat.thinking, expected, JSON.stringify(fields));
});

test('the default length follows the mode and never exceeds what the model can write', () => {
  const tokens = (fields: object) => parse(fields).chat.maxTokens;
  assert.deepEqual(tokens({ model: 'roomy' }), { type: 'default', tokens: 65536 });
  assert.deepEqual(tokens({ model: 'roomy', reasoning_effort: 'max' }), { type: 'default', tokens: 131072 });
  assert.deepEqual(tokens({ model: 'roomy', reasoning_effort: 'none' }), { type: 'default', tokens: 8192 });
  assert.deepEqual(tokens({ max_tokens: 7 }), { type: 'asked', tokens: 7 });
  assert.deepEqual(tokens({ max_completion_tokens: 7 }), { type: 'asked', tokens: 7 });
});

test('what the caller asks of sampling is honoured while thinking too', () => {
  const { chat } = parse({ temperature: 0, top_p: 0.2, seed: -3, stop: ['a', 'b'], logprobs: true, top_logprobs: 4 });
  assert.deepEqual(
    [chat.thinking, chat.temperature, chat.topP, chat.seed, chat.stop, chat.topLogprobs],
    ['high', 0, 0.2, -3, ['a', 'b'], 4],
  );
  assert.deepEqual(parse({ stop: 'x' }).chat.stop, ['x']);
  assert.equal(parse({ logprobs: true }).chat.topLogprobs, 0);
});

test('penalties that make no sense and unknown fields are accepted without effect', () => {
  const fields = { frequency_penalty: 7, presence_penalty: 'wrong', banana: [] };
  assert.deepEqual(parse(fields), parse({}));
});

test('messages lose their wire names and parts become text', () => {
  const messages = [
    { role: 'developer', content: [{ type: 'text', text: 'be brief' }] },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'one' },
        { type: 'text', text: 'two' },
      ],
      name: 'ann',
    },
    { role: 'assistant', content: null, reasoning_content: 'think', tool_calls: [call] },
    { role: 'tool', tool_call_id: 'c1', content: 'sunny' },
    { role: 'assistant', content: 'It is sunny.' },
    user,
  ];
  assert.deepEqual(parse({ messages }).chat.messages, [
    { role: 'system', content: 'be brief' },
    { role: 'user', content: 'one\n\ntwo' },
    {
      role: 'assistant',
      content: '',
      reasoning: 'think',
      toolCalls: [{ id: 'c1', name: 'weather', arguments: '{}' }],
    },
    { role: 'tool', toolCallId: 'c1', content: 'sunny' },
    { role: 'assistant', content: 'It is sunny.', reasoning: '', toolCalls: [] },
    user,
  ]);
});

test('tools are taken over, and tool_choice is auto with tools unless said otherwise', () => {
  const parameters = JSON.parse('{"type": "object", "__proto__": {"type": "null"}}');
  const tools = [
    { type: 'function', function: { name: 'a-1_B', description: 'd', parameters, strict: true } },
    weather,
  ];
  const { chat } = parse({ tools });
  assert.deepEqual(chat.toolChoice, { type: 'auto' });
  assert.deepEqual(chat.tools, [
    { name: 'a-1_B', description: 'd', parameters, isStrict: true },
    { name: 'weather', description: undefined, parameters: undefined, isStrict: false },
  ]);
  assert.equal(JSON.stringify(chat.tools[0]?.parameters), JSON.stringify(parameters));

  const choice = (tool_choice: unknown) => parse({ tools, tool_choice }).chat.toolChoice;
  assert.deepEqual(choice('none'), { type: 'none' });
  assert.deepEqual(choice('required'), { type: 'required' });
  assert.deepEqual(choice({ type: 'function', function: { name: 'weather' } }), { type: 'function', name: 'weather' });
});

test('an answer can be held to JSON, a schema, a pattern or a choice', () => {
  const format = (body: object) => parse(body).chat.responseFormat;
  const schema = { type: 'object' };
  assert.deepEqual(format({ response_format: { type: 'json_object' } }), { type: 'json-object' });
  const json_schema = { name: 'n', schema, strict: true };
  const strict = { type: 'json-schema', schema, isStrict: true };
  assert.deepEqual(format({ response_format: { type: 'json_schema', json_schema } }), strict);
  assert.deepEqual(format({ structured_outputs: { json: schema } }), { ...strict, isStrict: false });
  assert.deepEqual(format({ structured_outputs: { regex: 'a+' } }), { type: 'regex', pattern: 'a+' });
  const choice = { response_format: { type: 'text' }, structured_outputs: { choice: ['a', 'b'] } };
  assert.deepEqual(format(choice), { type: 'choice', options: ['a', 'b'] });
  assert.equal(parse({ n: 3 }).choices, 3);
  assert.equal(parse({}).choices, 1);
});

test('delivery is whole unless stream is true', () => {
  assert.deepEqual(parse({ stream: true }).delivery, { type: 'stream', includeUsage: false });
  assert.deepEqual(parse({ stream: true, stream_options: { include_usage: true } }).delivery, {
    type: 'stream',
    includeUsage: true,
  });
});

test('the first mistake is reported, with its field, what was expected and what came', () => {
  const wrongShape = 'Failed to deserialize the JSON body into the target type: ';
  const cases: [object, RequestErrorCode, string][] = [
    [{ model: undefined }, 'wrong-shape', `${wrongShape}model: expected string, but it is missing`],
    [{ model: 5 }, 'wrong-shape', `${wrongShape}model: expected string, got number`],
    [{ messages: undefined }, 'wrong-shape', `${wrongShape}messages: expected array, but it is missing`],
    [{ messages: 'hi' }, 'wrong-shape', `${wrongShape}messages: expected array, got string`],
    [{ messages: [] }, 'invalid-field', 'messages: expected at least one message, got 0'],
    [{ messages: ['hi'] }, 'wrong-shape', `${wrongShape}messages[0]: expected object, got string`],
    [
      { messages: [{ role: 'function', content: '' }] },
      'wrong-shape',
      `${wrongShape}messages[0].role: expected one of "system", "developer", "user", "assistant", "tool", got "function"`,
    ],
    [
      { messages: [{ role: 'user', content: 3 }] },
      'wrong-shape',
      `${wrongShape}messages[0].content: expected string or array of parts, got number`,
    ],
    [
      { messages: [{ role: 'user', content: null }] },
      'wrong-shape',
      `${wrongShape}messages[0].content: expected string or array of parts, got null`,
    ],
    [
      { messages: [{ role: 'user' }] },
      'wrong-shape',
      `${wrongShape}messages[0].content: expected string or array of parts, but it is missing`,
    ],
    [
      { messages: [{ role: 'user', content: [{ type: 'text', text: 3 }] }] },
      'wrong-shape',
      `${wrongShape}messages[0].content[0].text: expected string, got number`,
    ],
    [
      { messages: [{ role: 'user', content: [{ type: 'audio' }] }] },
      'wrong-shape',
      `${wrongShape}messages[0].content[0].type: expected one of "text", "image_url", "file", got "audio"`,
    ],
    [{ temperature: 'hot' }, 'wrong-shape', `${wrongShape}temperature: expected number from 0 to 2, got string`],
    [{ temperature: 2.5 }, 'invalid-field', 'temperature: expected number from 0 to 2, got 2.5'],
    [{ top_p: 0 }, 'invalid-field', 'top_p: expected number above 0 and at most 1, got 0'],
    [{ max_tokens: 0 }, 'invalid-field', 'max_tokens: expected integer of at least 1, got 0'],
    [{ max_tokens: 1.5 }, 'wrong-shape', `${wrongShape}max_tokens: expected integer of at least 1, got 1.5`],
    [
      { model: 'roomy', max_tokens: 400000 },
      'invalid-field',
      'max_tokens: expected integer from 1 to 393216, got 400000',
    ],
    [
      { max_tokens: 1, max_completion_tokens: 1 },
      'invalid-field',
      'max_completion_tokens: cannot be set together with max_tokens, its older name',
    ],
    [{ stop: [''] }, 'invalid-field', 'stop[0]: expected a text that is not empty, got ""'],
    [{ stop: 5 }, 'wrong-shape', `${wrongShape}stop: expected string or array of strings, got number`],
    [{ stop: Array(17).fill('x') }, 'invalid-field', 'stop: expected at most 16 texts, got 17'],
    [{ stream: 'yes' }, 'wrong-shape', `${wrongShape}stream: expected boolean, got string`],
    [{ stream_options: {} }, 'invalid-field', 'stream_options: only allowed when stream is true'],
    [{ top_logprobs: 3 }, 'invalid-field', 'top_logprobs: only allowed when logprobs is true'],
    [{ logprobs: true, top_logprobs: 21 }, 'invalid-field', 'top_logprobs: expected integer from 0 to 20, got 21'],
    [{ n: 0 }, 'invalid-field', 'n: expected integer from 1 to 128, got 0'],
    [{ thinking: true }, 'wrong-shape', `${wrongShape}thinking: expected object, got boolean`],
    [
      { thinking: { type: 'auto' } },
      'wrong-shape',
      `${wrongShape}thinking.type: expected one of "enabled", "disabled", got "auto"`,
    ],
    [
      { response_format: { type: 'json_schema' } },
      'wrong-shape',
      `${wrongShape}response_format.json_schema: expected object, but it is missing`,
    ],
    [
      { response_format: { type: 'json_object' }, structured_outputs: { regex: 'a+', choice: ['b'] } },
      'invalid-field',
      'structured_outputs: expected one way to constrain the answer, got response_format json_object and regex and choice',
    ],
    [{ structured_outputs: {} }, 'invalid-field', 'structured_outputs: expected json, regex or choice'],
    [
      { tools: [{ type: 'function', function: { name: 'a b' } }] },
      'invalid-field',
      'tools[0].function.name: expected 1 to 128 letters, digits, _ or -, got "a b"',
    ],
    [
      { tools: [{ type: 'function', function: { name: 'a'.repeat(129) } }] },
      'invalid-field',
      `tools[0].function.name: expected 1 to 128 letters, digits, _ or -, got "${'a'.repeat(59)}...`,
    ],
    [
      { tools: [{ type: 'function', function: { name: 'a', parameters: [] } }] },
      'wrong-shape',
      `${wrongShape}tools[0].function.parameters: expected object, got array`,
    ],
    [
      { tools: [weather, weather] },
      'invalid-field',
      'tools[1].function.name: expected a unique name, but tools[0] is "weather" too',
    ],
    [
      { tools: [{ type: 'web_search' }] },
      'wrong-shape',
      `${wrongShape}tools[0].type: expected "function", got "web_search"`,
    ],
    [
      { tool_choice: 'any' },
      'wrong-shape',
      `${wrongShape}tool_choice: expected one of "none", "auto", "required", got "any"`,
    ],
    [
      { tool_choice: 3 },
      'wrong-shape',
      `${wrongShape}tool_choice: expected "none", "auto", "required" or {"type": "function", "function": {"name": ...}}, got number`,
    ],
    [
      { tool_choice: 'required', reasoning_effort: 'none' },
      'invalid-field',
      'tool_choice: expected tools to choose from, got none',
    ],
    [
      {
        tools: [weather],
        tool_choice: { type: 'function', function: { name: 'time' } },
        thinking: { type: 'disabled' },
      },
      'invalid-field',
      'tool_choice.function.name: expected the name of a tool, got "time"',
    ],
    [{ model: 'gpt-4' }, 'unknown-model', 'The supported API model names are toy, roomy, but you passed gpt-4.'],
    [
      { messages: [user, { role: 'assistant', content: null }, user] },
      'empty-assistant-message',
      'messages[1]: content or tool_calls must be set',
    ],
    [
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://x/y.png' } }] }] },
      'image-unsupported',
      'messages[0].content[0]: This model does not support image',
    ],
    [
      { messages: [user, { role: 'assistant', content: 'x', prefix: true }, user] },
      'invalid-field',
      'messages[1].prefix: only allowed in the last message',
    ],
    [
      { messages: [user, { role: 'assistant', content: 'x' }] },
      'invalid-field',
      'messages[1].role: expected the last message to be from user or tool, got assistant',
    ],
    [
      { messages: [user, { role: 'tool', tool_call_id: 'c1', content: 'x' }] },
      'invalid-field',
      'messages[1].tool_call_id: expected the id of an unanswered call in the assistant message before, got "c1"',
    ],
    [
      { messages: [user, { role: 'assistant', tool_calls: [call] }, user] },
      'invalid-field',
      "messages[1].tool_calls: expected tool messages for each 'tool_call_id' to follow, but there are none for c1",
    ],
    [{ user_id: 'a b' }, 'invalid-field', 'user_id: expected at most 512 letters, digits, _ or -, got "a b"'],
  ];
  for (const [fields, code, message] of cases) {
    const error = refusal({ model: 'toy', messages: [user], ...fields });
    assert.equal(error.code, code, JSON.stringify(fields));
    assert.equal(error.status, 400);
    assert.equal(error.message, message);
  }
});

test('a body that is no object is refused by name', () => {
  for (const [body, found] of [
    [[], 'array'],
    [null, 'null'],
    ['x', 'string'],
    [5, 'number'],
  ]) {
    assert.match(refusal(body).message, new RegExp(`body: expected object, got ${found}$`));
  }
});

test('any JSON at all is parsed or refused, and nothing else happens', () => {
  const names = ['model', 'messages', 'tools', 'tool_choice', 'stop', 'temperature', 'stream', 'thinking', 'n', 'role'];
  const value = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom<unknown>('toy', [user], [weather], [call], { type: 'function' }),
  );
  const body = fc.dictionary(fc.oneof(fc.constantFrom(...names), fc.string()), value);
  fc.assert(
    fc.property(body, (fields) => {
      try {
        parseChatCompletionsRequest({ model: 'toy', messages: [user], ...fields }, [card]);
      } catch (error) {
        assert.ok(error instanceof RequestError, `expected a RequestError, got ${error}`);
        assert.doesNotMatch(error.message, /undefined|\[object/);
      }
    }),
    { numRuns: 500 },
  );
});
