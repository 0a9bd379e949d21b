import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { toolCallBegin, toolCallEnd, toolCallsBegin, toolCallsEnd, toolSeparator } from '../special-tokens.ts';
import { type CallForm, callsText } from './deepseek-v3-calls.ts';
import { DeepseekV3Parser } from './deepseek-v3-parser.ts';
import { type AnswerEnd, type AnswerEvent, type Beginning, parseAnswer } from './dialect.ts';
import type { ToolCall } from './message.ts';

const marks = [toolCallsBegin, toolCallsEnd, toolCallBegin, toolCallEnd, toolSeparator];
const parsed = (text: string, beginning: Beginning = 'content') => parseAnswer(new DeepseekV3Parser(beginning), text);
const called = (text: string, end?: AnswerEnd) =>
  parseAnswer(new DeepseekV3Parser('content'), text, end).toolCalls.map(({ name, arguments: json }) => [name, json]);

/** All events of the pushes, neighbours of one kind joined: what a reader sees, however the text came. */
function parse(pushes: readonly string[], beginning: Beginning): AnswerEvent[] {
  const parser = new DeepseekV3Parser(beginning);
  const joined: AnswerEvent[] = [];
  for (const event of [...pushes.flatMap((text) => parser.push(text)), ...parser.end()]) {
    const last = joined.at(-1);
    if (last !== undefined && 'text' in last && 'text' in event && last.type === event.type) {
      joined[joined.length - 1] = { ...last, text: last.text + event.text };
    } else {
      joined.push(event);
    }
  }
  return joined;
}

test('reasoning that the prompt has opened ends at </think>, without the line breaks around it', () => {
  assert.deepEqual(parse(['\nOne more\nthan two. \n</think>\n\nThree.\n'], 'reasoning'), [
    { type: 'reasoning', text: 'One more\nthan two.' },
    { type: 'content', text: 'Three.\n' },
  ]);
});

test('reasoning that the model opens itself is reasoning, wherever the prompt left off', () => {
  for (const text of ['<think>\nhm\n</think>\n\nyes', '\n<think>hm</think>yes']) {
    assert.deepEqual([parsed(text).reasoning, parsed(text).content], ['hm', 'yes']);
  }
  assert.deepEqual([parsed('say <think>').reasoning, parsed('say <think>').content], ['', 'say <think>']);
});

test('reasoning without an end stays reasoning', () => {
  assert.deepEqual(parse(['still thinking </thi'], 'reasoning'), [{ type: 'reasoning', text: 'still thinking </thi' }]);
  assert.deepEqual(parse(['cut off \n'], 'reasoning'), [{ type: 'reasoning', text: 'cut off' }]);
});

test('the parser tells whether it is in reasoning, token by token', () => {
  const parser = new DeepseekV3Parser('content');
  const states = ['<think>', 'a', '</thi', 'nk>', 'b'].map((text) => [parser.push(text), parser.isReasoning][1]);
  assert.deepEqual(states, [true, true, true, false, false]);
});

test('both forms of calls are read, after content or without any', () => {
  const json = '{"city": "杭州", "code": "```"}';
  for (const form of ['fenced', 'plain'] satisfies CallForm[]) {
    const calls = [
      { id: '', name: 'get_weather', arguments: json },
      { id: '', name: 'now', arguments: '{}' },
    ];
    for (const content of ['Let me see.', '']) {
      const answer = parsed(content + callsText(calls, form));
      assert.equal(answer.content, content);
      assert.deepEqual(answer.toolCalls, calls);
    }
  }
});

test('calls are read where the model leaves out what it can', () => {
  const { content, reasoning, toolCalls } = parsed(
    `hm${toolCallsBegin}${toolCallBegin}f${toolSeparator}{}${toolCallEnd}`,
    'reasoning',
  );
  assert.deepEqual([content, reasoning, toolCalls.length], ['', 'hm', 1]);
  assert.deepEqual(called(`${toolCallBegin}f${toolSeparator}{"a": 1}${toolCallsEnd}`), [['f', '{"a": 1}']]);
  assert.deepEqual(called(`${toolCallBegin}f${toolSeparator}{"a": 1}${toolCallBegin}g${toolSeparator}`), [
    ['f', '{"a": 1}'],
    ['g', ''],
  ]);
  for (const body of ['f\n{"a": 1}', 'f\n```\n{"a": 1}\n```', ' f \n\n```json{"a": 1}```\n', 'f{"a": 1}']) {
    assert.deepEqual(called(`${toolCallBegin}function${toolSeparator}${body}${toolCallEnd}`), [['f', '{"a": 1}']]);
  }
  for (const body of [
    `f${toolSeparator}`,
    `function${toolSeparator}f`,
    `function${toolSeparator}f\n\`\`\`json\n\`\`\``,
  ]) {
    assert.deepEqual(called(toolCallBegin + body + toolCallEnd), [['f', '{}']]);
  }
  assert.deepEqual(called(`${toolCallBegin}function${toolSeparator}{"a": 1}${toolCallEnd}`), [
    ['function', '{"a": 1}'],
  ]);
});

test('a call that was cut off shows what there is of its arguments and never ends', () => {
  assert.deepEqual(parse([`${toolCallsBegin}${toolCallBegin}f${toolSeparator}{"x": "Bei`], 'content'), [
    { type: 'tool-call-start', index: 0, name: 'f' },
    { type: 'tool-call-arguments', index: 0, text: '{"x": "Bei' },
  ]);
});

test('text and arguments stream as soon as they cannot be the beginning of a mark or of a fence', () => {
  const parser = new DeepseekV3Parser('reasoning');
  assert.deepEqual(parser.push('a < b'), [{ type: 'reasoning', text: 'a < b' }]);
  assert.deepEqual(parser.push(' </th'), []);
  assert.deepEqual(parser.push('ink>yes '), [{ type: 'content', text: 'yes ' }]);
  parser.push(`${toolCallsBegin}${toolCallBegin}function${toolSeparator}f\n\`\`\`js`);
  assert.deepEqual(parser.push('on\n{"a": "b'), [{ type: 'tool-call-arguments', index: 0, text: '{"a": "b' }]);
  assert.deepEqual(parser.push('c"}\n``'), [
    { type: 'tool-call-arguments', index: 0, text: 'c"}' },
    { type: 'tool-call-end', index: 0 },
  ]);
  assert.deepEqual(parser.push(`\`${toolCallEnd}`), []);
});

test("marks and fences in a string of the arguments are the string's, unless there is no JSON that way", () => {
  const nasty = JSON.stringify({ a: `x${toolCallEnd}"${toolCallBegin}y`, b: `\`\`\`\n${toolCallsEnd}\n\`\`\`` });
  for (const form of ['fenced', 'plain'] satisfies CallForm[]) {
    const calls = [
      { id: '', name: 'f', arguments: nasty },
      { id: '', name: 'g', arguments: '{}' },
    ];
    assert.deepEqual(parsed(callsText(calls, form)).toolCalls, calls);
    for (const broken of ['{"a": "x', '{"a":', 'x y', '{"a": "\n"}']) {
      const text = callsText([{ id: '', name: 'f', arguments: broken }, calls[1] as ToolCall], form);
      assert.deepEqual(called(text, 'finished'), [
        ['f', broken],
        ['g', '{}'],
      ]);
    }
  }
});

test('what follows whole arguments is content, not theirs', () => {
  const { content, toolCalls } = parsed(`${toolCallBegin}f${toolSeparator}{"a": 1}\n\`\`\`\nDone.${toolCallEnd}`);
  assert.equal(content, 'Done.');
  assert.equal(toolCalls[0]?.arguments, '{"a": 1}');
});

test('a call ends the reasoning it stands in, and the closing tag that comes late is not shown', () => {
  const text = `hm\n${callsText([{ id: '', name: 'f', arguments: '{}' }], 'plain')}</think>So.`;
  const { content, reasoning, toolCalls } = parsed(text, 'reasoning');
  assert.deepEqual([content, reasoning, toolCalls.length], ['So.', 'hm', 1]);
});

test('tags of thoughts that are repeated at the beginning are not shown', () => {
  assert.deepEqual(
    [parsed('<think>\nhm</think>yes', 'reasoning').reasoning, parsed('</think>\nyes').content],
    ['hm', 'yes'],
  );
});

test('calls that nobody asked for are told as text, where they stand', () => {
  const call = callsText([{ id: '', name: 'f', arguments: '{"a": 1}' }], 'fenced');
  const told = (beginning: Beginning, text: string) => parseAnswer(new DeepseekV3Parser(beginning, 'as-text'), text);
  assert.equal(told('content', `Let me see.${call}done`).content, 'Let me see.\nf({"a": 1})\ndone');
  const thought = told('reasoning', `hm${call}</think>yes`);
  assert.deepEqual([thought.reasoning, thought.content.trim()], ['hm\nf({"a": 1})', 'yes']);
});

test('a call is cut off without a trace of its marks, and a name that was cut off is no text', () => {
  for (const text of ['<｜tool▁call', `${toolCallBegin}get_wea`, `${toolCallBegin}function${toolSeparator}get_`]) {
    assert.equal(parsed(`a${text}`).content, 'a');
  }
  for (const rest of ['```js', '```json', '{"a": 1}\n`', '{"a": 1}<｜tool▁ca']) {
    const cut = called(`${toolCallBegin}function${toolSeparator}f\n${rest}`);
    assert.deepEqual(cut, [['f', rest.startsWith('{') ? '{"a": 1}' : '']]);
  }
});

test('neither a name nor space without an end holds the answer back', () => {
  const parser = new DeepseekV3Parser('reasoning');
  parser.push(`a${toolCallBegin}`);
  const name = 'x'.repeat(600);
  assert.deepEqual(parse([`${toolCallBegin}${name}`], 'content'), [{ type: 'content', text: name }]);
  assert.deepEqual(parser.push(name), [{ type: 'reasoning', text: name }]);
  parser.push(' '.repeat(1000));
  assert.equal(parser.heldLength, 200);
});

test('marks never reach the reader, whatever stands around them', () => {
  for (const [text, content] of [
    [`a${toolSeparator}b${toolCallEnd}c`, 'abc'],
    [`a${toolCallsBegin}b${toolCallsEnd}c`, 'abc'],
    [`a${toolCallBegin}b${toolCallEnd} c`, 'ab c'],
    [`${toolCallsBegin} \n${toolCallsEnd}done`, 'done'],
  ] as const) {
    assert.equal(parsed(text).content.replaceAll(' ', ''), content.replaceAll(' ', ''));
    assert.deepEqual(parsed(text).toolCalls, []);
  }
});

/** Pieces of the grammar, whole and broken, in any order: most are malformed, some are not. */
const anyGenerated = fc
  .array(
    fc.oneof(
      {
        weight: 5,
        arbitrary: fc.constantFrom(
          ...marks,
          ...[
            '<think>',
            '</think>',
            '</thi',
            '<｜tool▁call',
            'function',
            'f',
            ' Q',
            '\n',
            ' ',
            '\n\n',
            '`',
            '```',
            '```json',
          ],
          ...['{', '{"a": "b"}', '}', '<', '｜', 'text', '杭州', '🎉', '\ud83c', '\udf89'],
        ),
      },
      { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 5 }) },
      {
        weight: 1,
        arbitrary: fc
          .constantFrom<CallForm>('fenced', 'plain')
          .map((form) => callsText([{ id: '', name: 'g', arguments: '{"x": "a\\nb", "y": [1]}' }], form)),
      },
    ),
  )
  .map((parts) => parts.join(''));
const anyBeginning = fc.constantFrom<Beginning>('reasoning', 'content');

test('no letter of the text is lost and no mark is shown, however malformed the text is', () => {
  const letters = fc.array(fc.oneof(anyGenerated, fc.constantFrom('QQ', 'ZZ', '中'))).map((parts) => parts.join(''));
  fc.assert(
    fc.property(letters, anyBeginning, (text, beginning) => {
      // Only the name of a call that was cut off is lost.
      const events = parse([text + toolCallsEnd], beginning);
      const seen = events.map((event) => ('text' in event ? event.text : 'name' in event ? event.name : '')).join('');
      for (const letter of ['Q', 'Z', '中', '杭']) {
        assert.equal(seen.split(letter).length, text.split(letter).length);
      }
      const content = events.map((event) => (event.type === 'content' ? event.text : '')).join('\0');
      for (const mark of marks) assert.ok(!content.includes(mark));
    }),
    { numRuns: 1000 },
  );
});
