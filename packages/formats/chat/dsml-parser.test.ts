import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AnswerEnd, type AnswerEvent, type Beginning, parseAnswer } from './dialect.ts';
import { DsmlParser } from './dsml-parser.ts';

const call = (name: string, ...parameters: string[]) =>
  `<｜DSML｜invoke name="${name}">\n${parameters.join('\n')}\n</｜DSML｜invoke>`;
const parameter = (name: string, isString: boolean, value: string) =>
  `<｜DSML｜parameter name="${name}" string="${isString}">${value}</｜DSML｜parameter>`;
const block = (...calls: string[]) => `\n\n<｜DSML｜tool_calls>\n${calls.join('\n')}\n</｜DSML｜tool_calls>`;

const parserAt = (beginning: Beginning) => new DsmlParser(beginning);

/** All events of the pushes, neighbours of one kind joined: what a reader sees, however the text came. */
function parse(pushes: readonly string[], thinking: boolean, end?: AnswerEnd): AnswerEvent[] {
  const parser = parserAt(thinking ? 'reasoning' : 'content');
  const joined: AnswerEvent[] = [];
  for (const event of [...pushes.flatMap((text) => parser.push(text)), ...parser.end(end)]) {
    const last = joined.at(-1);
    if (last !== undefined && 'text' in last && 'text' in event && last.type === event.type) {
      joined[joined.length - 1] = { ...last, text: last.text + event.text };
    } else {
      joined.push(event);
    }
  }
  return joined;
}

test('reasoning, content and calls come apart; arguments are JSON in the spelling of the encoder', () => {
  const text =
    'use two tools</think>Let me see.' +
    block(
      call('get_weather', parameter('location', true, '杭州 "Xihu"\n'), parameter('days', false, '2')),
      call('calculate', parameter('options', false, '{"digits": 3}')),
    );
  assert.deepEqual(parse([text], true), [
    { type: 'reasoning', text: 'use two tools' },
    { type: 'content', text: 'Let me see.' },
    { type: 'tool-call-start', index: 0, name: 'get_weather' },
    { type: 'tool-call-arguments', index: 0, text: '{"location": "杭州 \\"Xihu\\"\\n", "days": 2}' },
    { type: 'tool-call-end', index: 0 },
    { type: 'tool-call-start', index: 1, name: 'calculate' },
    { type: 'tool-call-arguments', index: 1, text: '{"options": {"digits": 3}}' },
    { type: 'tool-call-end', index: 1 },
  ] satisfies AnswerEvent[]);
});

test('without thinking the text begins with content, and </think> is text like any other', () => {
  assert.deepEqual(parse(['a</think>b'], false), [{ type: 'content', text: 'a</think>b' }]);
});

test('a call without parameters has the empty object as arguments', () => {
  assert.equal(parseAnswer(parserAt('content'), block(call('now'))).toolCalls[0]?.arguments, '{}');
});

test('text streams as soon as it cannot be the beginning of a tag', () => {
  const parser = parserAt('reasoning');
  assert.deepEqual(parser.push('a < b'), [{ type: 'reasoning', text: 'a < b' }]);
  assert.deepEqual(parser.push('</thi'), []);
  assert.deepEqual(parser.push('s'), [{ type: 'reasoning', text: '</this' }]);
  assert.deepEqual(parser.push('</think>yes\n'), [{ type: 'content', text: 'yes' }]);
  assert.deepEqual(parser.push('no'), [{ type: 'content', text: '\nno' }]);
});

test('arguments stream while their value is being written', () => {
  const parser = parserAt('content');
  parser.push('\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name="f">\n<｜DSML｜parameter name="x" string="true">');
  assert.deepEqual(parser.push('Bei'), [{ type: 'tool-call-arguments', index: 0, text: 'Bei' }]);
  assert.deepEqual(parser.push('jing<'), [{ type: 'tool-call-arguments', index: 0, text: 'jing' }]);
  assert.deepEqual(parser.push('/｜DSML｜parameter>'), [{ type: 'tool-call-arguments', index: 0, text: '"' }]);
});

test('a surrogate pair divided between pushes is not escaped as two halves', () => {
  const text = block(call('f', parameter('x', true, '🎉')));
  const middle = text.indexOf('🎉') + 1;
  const { toolCalls } = parseAnswer(parserAt('content'), text);
  assert.equal(toolCalls[0]?.arguments, '{"x": "🎉"}');
  assert.deepEqual(parse([text.slice(0, middle), text.slice(middle)], false), parse([text], false));
});

test('tags that have no place are dropped, and the text around them is content', () => {
  for (const [text, content] of [
    ['see <｜DSML｜tool_calls> here', 'see  here'],
    ['\n\n<｜DSML｜tool_calls>\n</｜DSML｜tool_calls>', ''],
    ['\n\n<｜DSML｜tool_calls>\n', ''],
    ['a\n<｜DSML｜tool_calls>\n<｜DSML｜parameter name="x" string="true">1', 'a1'],
    ['\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke nam="f">', ' nam="f">'],
    ['\n\n<｜DSML｜tool_ca', ''],
    ['a</｜DSML｜invoke>\n</｜DSML｜tool_calls>', 'a'],
    ['a ｜DSML｜ b<｜DSML｜ d', 'a  b d'],
    ['<｜DSML｜invoke name="f\n>', ' name="f\n>'],
    ['<｜DSML｜invoke name="f', ''],
    ['a<｜User｜>b<｜end▁of▁sentence｜>', 'ab'],
    ['a<｜tool▁calls▁begin｜>b<｜tool▁sep', 'ab'],
  ] as const) {
    assert.deepEqual(parse([text], false), content === '' ? [] : [{ type: 'content', text: content }], text);
  }
});

test('text that only looks like markup stays: a bracket, a bar, tags in plain letters', () => {
  for (const text of [
    'a <',
    'a </',
    '苹果｜香蕉｜',
    '</think> ends a thought',
    '<invoke name="f">',
    '<|DSML|invoke>',
    '\n\n<',
  ]) {
    const content = `x${text}`;
    assert.deepEqual(parse([content], false), [{ type: 'content', text: content }]);
  }
});

test('the tags of every dialect are understood, calls without a block and bars doubled too', () => {
  const v4 = block(call('f', parameter('x', true, 'y')));
  const whole = parse([v4], false);
  for (const text of [
    v4.replaceAll('tool_calls', 'function_calls'),
    v4.replaceAll('tool_calls', 'calls').replaceAll('｜DSML｜', '｜DSML｜ '),
    v4.replaceAll('｜DSML｜', '｜｜DSML｜｜'),
    call('f', parameter('x', true, 'y')),
    v4.replace('string="true"', 'string="yes"'),
    v4.replace('</｜DSML｜parameter>', ''),
  ]) {
    const tidy = parse([text], false, 'finished').map((event) =>
      'text' in event ? { ...event, text: event.text.replace('\\n', '') } : event,
    );
    assert.deepEqual(tidy, whole, text);
  }
});

test('a call ends the reasoning it stands in, and the closing tag that comes late is not shown', () => {
  const text = `hm${block(call('f'))}</think>So.</think>`;
  assert.deepEqual(parse([text], true), [
    { type: 'reasoning', text: 'hm' },
    { type: 'tool-call-start', index: 0, name: 'f' },
    { type: 'tool-call-arguments', index: 0, text: '{}' },
    { type: 'tool-call-end', index: 0 },
    { type: 'content', text: 'So.</think>' },
  ]);
  // Without a call, it is no block.
  assert.deepEqual(parse(['I write <｜DSML｜tool_calls> now</think>ok'], true), [
    { type: 'reasoning', text: 'I write  now' },
    { type: 'content', text: 'ok' },
  ]);
});

test('a thought that the model opens itself is one, and tags repeated at the beginning are not shown', () => {
  for (const [text, thinking, reasoning, content] of [
    ['<think>hm</think>yes', false, 'hm', 'yes'],
    ['\n<think>hm</think>yes', true, 'hm', 'yes'],
    ['</think>yes', false, '', 'yes'],
    ['</think>yes', true, '', 'yes'],
  ] as const) {
    const parsed = parseAnswer(parserAt(thinking ? 'reasoning' : 'content'), text);
    assert.deepEqual([parsed.reasoning, parsed.content], [reasoning, content]);
  }
});

test('calls that nobody asked for are told as text, where they stand', () => {
  const told = (beginning: Beginning, text: string) => parseAnswer(new DsmlParser(beginning, 'as-text'), text);
  const calls = block(call('f', parameter('x', true, 'a"b'), parameter('n', false, '[1]')), call('g'));
  const lines = 'f({"x": "a\\"b", "n": [1]})\ng({})';
  assert.deepEqual(told('content', `Let me see.${calls}\ndone`), {
    ...{ role: 'assistant', reasoning: '', toolCalls: [] },
    content: `Let me see.\n${lines}\n\ndone`,
  });
  const thought = told('reasoning', `hm${calls}</think>yes`);
  assert.equal(thought.reasoning, `hm\n${lines}`);
  assert.equal(thought.content.trim(), 'yes');
  assert.equal(told('content', calls).content, lines);
});

test("a closing tag in a JSON value's string is the string's, unless there is no JSON that way", () => {
  const argumentsOf = (value: string) =>
    parseAnswer(parserAt('content'), block(call('f', parameter('x', false, value)))).toolCalls;
  const values = [
    '{"a": "</｜DSML｜parameter>\\"</｜DSML｜invoke>"}',
    '["<｜DSML｜invoke name=\\"g\\">"]',
    '"</｜DSML｜parameter>"',
    '-1.5e3',
  ];
  for (const value of values) {
    assert.deepEqual(argumentsOf(value), [{ id: '', name: 'f', arguments: `{"x": ${value}}` }]);
  }
  for (const value of ['"a', '{"a": ', '{"a": "b', 'Paris', '[1,', '"a\n']) {
    assert.deepEqual(argumentsOf(value), [{ id: '', name: 'f', arguments: `{"x": ${value}}` }]);
  }
});

test('what stands between tags and is no tag becomes content, and the calls remain', () => {
  const stray = '<｜DSML｜foo> oh';
  const text = block(call('f', parameter('x', false, '1'), stray), stray, call('g'));
  const { content, toolCalls } = parseAnswer(parserAt('content'), text);
  assert.deepEqual(
    toolCalls.map(({ name, arguments: json }) => [name, json]),
    [
      ['f', '{"x": 1}'],
      ['g', '{}'],
    ],
  );
  assert.equal(content, 'foo> oh'.repeat(2));
});

test('calls that are not closed end where the next begins or the block ends', () => {
  const open = (name: string) => `<｜DSML｜invoke name="${name}">`;
  const text = `\n\n<｜DSML｜tool_calls>\n${open('f')}${open('g')}${parameter('x', true, 'y')}</｜DSML｜tool_calls>done`;
  assert.deepEqual(parse([text], false), [
    { type: 'tool-call-start', index: 0, name: 'f' },
    { type: 'tool-call-arguments', index: 0, text: '{}' },
    { type: 'tool-call-end', index: 0 },
    { type: 'tool-call-start', index: 1, name: 'g' },
    { type: 'tool-call-arguments', index: 1, text: '{"x": "y"}' },
    { type: 'tool-call-end', index: 1 },
    { type: 'content', text: 'done' },
  ]);
});

test('a call that was cut off shows what there is of its arguments and never ends', () => {
  const text = block(call('f', parameter('x', true, 'Beijing')));
  const events = parse([text.slice(0, text.indexOf('jing'))], false);
  assert.deepEqual(events, [
    { type: 'tool-call-start', index: 0, name: 'f' },
    { type: 'tool-call-arguments', index: 0, text: '{"x": "Bei' },
  ]);
});
