import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { renderConversation } from './deepseek-v4.ts';
import { type AnswerEvent, type Beginning, parseAnswer } from './dialect.ts';
import { DsmlParser } from './dsml-parser.ts';
import type { AssistantMessage } from './message.ts';

const call = (name: string, ...parameters: string[]) =>
  `<｜DSML｜invoke name="${name}">\n${parameters.join('\n')}\n</｜DSML｜invoke>`;
const parameter = (name: string, isString: boolean, value: string) =>
  `<｜DSML｜parameter name="${name}" string="${isString}">${value}</｜DSML｜parameter>`;
const block = (...calls: string[]) => `\n\n<｜DSML｜tool_calls>\n${calls.join('\n')}\n</｜DSML｜tool_calls>`;

const parserAt = (beginning: Beginning) => new DsmlParser({ beginning, callsTag: 'tool_calls' });

/** All events of the pushes, neighbours of one kind joined: what a reader sees, however the text came. */
function parse(pushes: readonly string[], thinking: boolean): AnswerEvent[] {
  const parser = parserAt(thinking ? 'reasoning' : 'content');
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

test('a block without a call, or with something else before it, is content as it stands', () => {
  for (const text of [
    'see <｜DSML｜tool_calls> here',
    '\n\n<｜DSML｜tool_calls>\n</｜DSML｜tool_calls>',
    '\n\n<｜DSML｜tool_calls>\n',
    '\n<｜DSML｜tool_calls>\n<｜DSML｜parameter name="x" string="true">1',
    '\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke nam="f">',
    '\n\n<｜DSML｜tool_ca',
    '\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name="f" string="true">',
    '\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke x name="f">',
    '\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name="f\n>',
    '<｜DSML｜invoke name="f">',
  ]) {
    assert.deepEqual(parse([text], false), [{ type: 'content', text }]);
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
  assert.equal(content, `\n${stray}\n${stray}`);
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

/** Pieces of the grammar, whole and broken, in any order: most are malformed, some are not. */
const anyGenerated = fc
  .array(
    fc.oneof(
      {
        weight: 4,
        arbitrary: fc.constantFrom(
          '</think>',
          '\n\n<｜DSML｜tool_calls>',
          '\n',
          ' ',
          '<｜DSML｜invoke name="f">',
          '<｜DSML｜invoke',
          ' name="g"',
          ' Q',
          '>',
          '<',
          '"',
          '<｜DSML｜parameter name="x" string="true">',
          '<｜DSML｜parameter name="y" string="false">',
          '</｜DSML｜parameter>',
          '</｜DSML｜invoke>',
          '</｜DSML｜tool_calls>',
          '｜DSML｜',
          '</',
          'text',
          '杭州',
          '🎉',
          '\ud83c',
          '\udf89',
          '{"a": 1}',
        ),
      },
      { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 5 }) },
      {
        weight: 1,
        arbitrary: fc.constant(block(call('f', parameter('x', true, 'a\n"b"'), parameter('y', false, '[1]')))),
      },
    ),
  )
  .map((parts) => parts.join(''));

test('a text divided anywhere gives the same events as the whole', () => {
  fc.assert(
    fc.property(anyGenerated, fc.array(fc.nat()), fc.boolean(), (text, cuts, thinking) => {
      const at = [...new Set(cuts.map((cut) => cut % (text.length + 1)))].sort((a, b) => a - b);
      const pushes = [0, ...at].map((begin, i) => text.slice(begin, at[i] ?? text.length));
      assert.equal(pushes.join(''), text);
      assert.deepEqual(parse(pushes, thinking), parse([text], thinking));
      assert.deepEqual(parse(text.split(''), thinking), parse([text], thinking));
    }),
    { numRuns: 3000 },
  );
});

test('bytes divided anywhere and decoded as a stream give the same events as the whole', () => {
  fc.assert(
    fc.property(anyGenerated, fc.integer({ min: 1, max: 7 }), fc.boolean(), (generated, step, thinking) => {
      const text = generated.toWellFormed();
      const bytes = new TextEncoder().encode(text);
      const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
      const pushes: string[] = [];
      for (let i = 0; i < bytes.length; i += step) {
        pushes.push(decoder.decode(bytes.subarray(i, i + step), { stream: true }));
      }
      assert.deepEqual(parse(pushes, thinking), parse([text], thinking));
    }),
    { numRuns: 500 },
  );
});

test('no letter of the text is lost, however malformed it is', () => {
  // Letters outside of tags' own names: each must come out in reasoning, content, arguments or a call's name.
  const letters = fc.array(fc.oneof(anyGenerated, fc.constantFrom('QQ', 'ZZ', '中'))).map((parts) => parts.join(''));
  fc.assert(
    fc.property(letters, fc.boolean(), (text, thinking) => {
      const seen = parse([text], thinking)
        .map((event) => ('text' in event ? event.text : 'name' in event ? event.name : ''))
        .join('');
      for (const letter of ['Q', 'Z', '中', '杭']) {
        assert.equal(seen.split(letter).length, text.split(letter).length);
      }
    }),
    { numRuns: 1000 },
  );
});

test('every rendered assistant turn parses back to its message', () => {
  // Text that holds no tag and does not end where the encoder's own line breaks begin.
  const plain = fc.string({ unit: 'binary' }).map((text) => text.toWellFormed().replaceAll('<', '('));
  const name = fc.stringMatching(/^[a-z_][a-z0-9_]{0,9}$/);
  const json = fc.oneof(
    plain,
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.array(fc.integer()),
    fc.constant({ a: [1.5] }),
  );
  const calls = fc.array(fc.tuple(name, fc.dictionary(name, json)), { maxLength: 3 });
  fc.assert(
    fc.property(plain, plain, calls, fc.boolean(), (content, reasoning, called, thinking) => {
      const toolCalls = called.map(([id, parameters]) => ({ id: '', name: id, arguments: JSON.stringify(parameters) }));
      const message: AssistantMessage = { role: 'assistant', content, reasoning, toolCalls };
      const segments = renderConversation([{ role: 'user', content: 'q' }, message], { thinking });
      const output = segments.at(-1)?.text.replace(/<｜end▁of▁sentence｜>$/, '') ?? '';
      const parsed = parseAnswer(parserAt(thinking ? 'reasoning' : 'content'), output);
      assert.equal(parsed.content, content);
      assert.equal(parsed.reasoning, thinking ? reasoning : '');
      assert.deepEqual(
        parsed.toolCalls.map((call) => ({ ...call, arguments: JSON.parse(call.arguments) })),
        toolCalls.map((call) => ({ ...call, arguments: JSON.parse(call.arguments) })),
      );
    }),
    { numRuns: 500 },
  );
});
