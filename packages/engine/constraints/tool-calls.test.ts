import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deepseekV4 } from '@hadal/formats/chat/deepseek-v4';
import { deepseekV32 } from '@hadal/formats/chat/deepseek-v32';
import { deepseekV41 } from '@hadal/formats/chat/deepseek-v41';
import { parseAnswer } from '@hadal/formats/chat/dialect';
import { callsText } from '@hadal/formats/chat/dsml';
import { uniforms } from '@hadal/kernels/parity';
import { Ajv } from 'ajv';
import type { ConstraintSpec, ToolChoice } from './constraint.ts';
import { compiled, nanoLanguage, refusal, walk } from './testing/random-walk.ts';
import type { ToolSpec } from './tool-calls.ts';

const language = nanoLanguage();

const weather: ToolSpec = {
  name: 'get_weather',
  isStrict: true,
  parameters: {
    type: 'object',
    properties: {
      city: { type: 'string' },
      days: { type: 'integer', minimum: 1, maximum: 14 },
      unit: { enum: ['C', 'F', 3] },
      where: {
        anyOf: [
          { type: 'string', maxLength: 4 },
          { type: 'array', items: { type: 'number' }, maxItems: 2 },
        ],
      },
    },
    required: ['city', 'unit', 'where'],
    additionalProperties: false,
  },
};
const clock: ToolSpec = { name: 'clock', isStrict: true, parameters: undefined };
const free: ToolSpec = {
  name: 'free',
  isStrict: false,
  parameters: { type: 'object', properties: { a: { type: 'integer' } } },
};

function calls(tools: readonly ToolSpec[], choice: ToolChoice, count: 'one' | 'several' = 'several'): ConstraintSpec {
  return { type: 'tool-calls', callsTag: 'tool_calls', tools, choice, calls: count };
}

const parsed = (text: string) => parseAnswer(deepseekV4.openParser('content'), text);

test('whatever a model does, its calls are read back, satisfy their schemas, and are rendered to the same text', () => {
  const constraint = compiled(calls([weather, clock, free], { type: 'required' }), language);
  const validate = new Ajv({ strict: false }).compile(weather.parameters as object);
  const next = uniforms(2);
  let finished = 0;
  for (let i = 0; i < 60; i++) {
    const { text, isOver } = walk(constraint, language, next, 250, 20);
    if (!isOver) continue;
    finished++;
    const { content, toolCalls } = parsed(text);
    assert.equal(content, '', text);
    assert.ok(toolCalls.length > 0);
    for (const { name, arguments: json } of toolCalls) {
      const values = JSON.parse(json);
      if (name === 'get_weather') assert.ok(validate(values), `${json}: ${JSON.stringify(validate.errors)}`);
      if (name === 'clock') assert.deepEqual(values, {});
    }
    // Numbers and escapes have several spellings, and what is free may repeat a name.
    if (!/\\|\d[.eE]|-0|"free"/.test(text)) assert.equal(text, `\n\n${callsText(toolCalls, 'tool_calls')}`);
  }
  assert.ok(finished > 20, `only ${finished} came to an end`);
});

test('the syntax up to the first choice is forced, with the special token of the markup', () => {
  const forced = compiled(calls([weather], { type: 'required' }), language)
    .matcher()
    .forced();
  assert.ok(forced.includes(language.tokenizer.tokenId('｜DSML｜')!));
  const text = language.tokenizer.decode(forced);
  assert.ok(
    '\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name="get_weather">\n<｜DSML｜parameter name="city" string="true">'.startsWith(
      text,
    ),
  );
  assert.ok(text.length > 60, text);
  // A call without parameters has one text only.
  const only = compiled(calls([clock], { type: 'named', name: 'clock' }), language)
    .matcher()
    .forced();
  const expected = `\n\n${callsText([{ id: '', name: 'clock', arguments: '{}' }], 'tool_calls')}`;
  assert.deepEqual(only, [...language.tokenizer.encode(expected), language.stop]);
});

test("every dialect's calls are forced in its own tags, and what is free beside them holds no mark of calls", () => {
  for (const [callsTag, dialect] of [
    ['function_calls', deepseekV32],
    [' calls', deepseekV41],
  ] as const) {
    const asked = { ...calls([clock], { type: 'named', name: 'clock' }), callsTag } as ConstraintSpec;
    const text = `\n\n${callsText([{ id: '', name: 'clock', arguments: '{}' }], callsTag)}`;
    const forced = compiled(asked, language).matcher().forced();
    assert.deepEqual(forced, [...language.tokenizer.encode(text), language.stop]);
    assert.deepEqual(
      parseAnswer(dialect.openParser('content'), text).toolCalls.map(({ name }) => name),
      ['clock'],
    );
    const auto = { ...calls([clock], { type: 'auto', content: 'free' }), callsTag } as ConstraintSpec;
    const accepts = (said: string) => {
      const matcher = compiled(auto, language).matcher();
      return language.tokenizer.encode(said).every((token) => matcher.accept(token));
    };
    assert.ok(accepts(text));
    assert.ok(!accepts(text.slice(text.indexOf('>') + 2)), 'a call without its block');
  }
});

test('a tool by name is called once, and no other', () => {
  const constraint = compiled(calls([weather, clock], { type: 'named', name: 'clock' }), language);
  for (let seed = 0; seed < 5; seed++) {
    const { toolCalls } = parsed(walk(constraint, language, uniforms(seed)).text);
    assert.deepEqual(
      toolCalls.map(({ name }) => name),
      ['clock'],
    );
  }
});

test('where calls are a choice, content is free until a block begins', () => {
  const constraint = compiled(calls([clock], { type: 'auto', content: 'free' }), language);
  const matcher = constraint.matcher();
  for (const token of language.tokenizer.encode('Let me see: 1 < 2.\n\n<')) assert.ok(matcher.accept(token));
  assert.ok(matcher.canEnd);
  assert.ok(matcher.accept(language.tokenizer.tokenId('｜DSML｜')!));
  assert.ok(!matcher.canEnd && matcher.forced().length > 0);
  for (const token of matcher.forced()) assert.ok(matcher.accept(token));
});

test('where calls are a choice and content has a schema, it is one or the other', () => {
  const content = { type: 'json-schema', schema: { type: 'integer' }, isStrict: false } as const;
  const constraint = compiled(calls([clock], { type: 'auto', content }), language);
  for (let seed = 0; seed < 10; seed++) {
    const { text, isOver } = walk(constraint, language, uniforms(seed));
    if (isOver) assert.ok(/^-?\d+$/.test(text) || text.startsWith('\n\n<｜DSML｜tool_calls>'), text);
  }
});

test('calls come after the reasoning', () => {
  const spec = { type: 'after-reasoning', answer: calls([clock], { type: 'required' }) } as const;
  const matcher = compiled(spec, language).matcher();
  for (const token of language.tokenizer.encode('I need the time.</think>')) assert.ok(matcher.accept(token));
  const { toolCalls } = parsed(language.tokenizer.decode(matcher.forced()));
  assert.deepEqual(
    toolCalls.map(({ name }) => name),
    ['clock'],
  );
});

test('a string parameter cannot end its tag from inside', () => {
  const tool: ToolSpec = {
    name: 't',
    isStrict: true,
    parameters: { type: 'object', properties: { s: { type: 'string' } }, required: ['s'] },
  };
  const constraint = compiled(calls([tool], { type: 'named', name: 't' }), language);
  const matcher = constraint.matcher();
  for (const token of matcher.forced()) matcher.accept(token);
  // The mark's text in bytes, which is not the special token.
  const bytes = new TextEncoder().encode('</｜DSML｜parameter>');
  const token = (byte: number) =>
    Array.from({ length: language.vocabulary.size }, (_, id) => id).find((id) => {
      const spelled = language.tokenizer.bytes(id);
      return spelled.length === 1 && spelled[0] === byte;
    })!;
  // Forcing may have stopped before the value, where a token could reach into it.
  for (const byte of new TextEncoder().encode('" string="true">')) matcher.accept(token(byte));
  const accepted = [...bytes].map((byte) => matcher.accept(token(byte)));
  assert.equal(accepted.lastIndexOf(true), bytes.length - 2, 'all but the last byte');
});

test('a refusal names the tool and the place in its parameters', () => {
  const broken: ToolSpec = {
    ...weather,
    name: 'broken',
    parameters: { type: 'object', properties: { a: { pattern: '(?=a)' } } },
  };
  const refused = refusal(calls([weather, broken], { type: 'required' }), language);
  assert.deepEqual([refused.tool, refused.pointer], ['broken', '/properties/a/pattern']);
  assert.match(refusal(calls([weather], { type: 'named', name: 'x' }), language).reason, /a tool named x/);
  assert.match(refusal(calls([{ ...clock, name: 'a"b' }], { type: 'required' }), language).reason, /without quotes/);
});
