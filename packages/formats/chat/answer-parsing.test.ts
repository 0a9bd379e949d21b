import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { trainBpe } from '../bpe-trainer.ts';
import { beginOfSentence, dsml, endOfSentence, specialTokens, thinkBegin, thinkEnd } from '../special-tokens.ts';
import { r1Template, v31Template } from '../testing/chat-templates.ts';
import { makeTokenizer } from '../tokenizer.ts';
import { deepseekV4 } from './deepseek-v4.ts';
import { deepseekV32 } from './deepseek-v32.ts';
import { deepseekV41 } from './deepseek-v41.ts';
import {
  type AnswerEnd,
  type AnswerEvent,
  type Beginning,
  type CallReading,
  type ChatDialect,
  parseAnswer,
} from './dialect.ts';
import { openJinjaDialect } from './jinja-dialect.ts';
import type { AssistantMessage, ToolCall } from './message.ts';

// What holds of every format, of answers that are right, wrong and cut off.

interface Format {
  readonly name: string;
  readonly dialect: ChatDialect;
  /** Pieces of its markup. */
  readonly pieces: readonly string[];
  /** What no reader may ever see in reasoning or content; of an answer cut off, its beginning neither. */
  readonly marks: readonly string[];
  /** What ends a string that stands as it is. */
  readonly stringEnd: string | undefined;
  /** Whether space around reasoning and before content is padding. */
  readonly pads: boolean;
}

const jinja = (source: string): ChatDialect =>
  openJinjaDialect({
    ...{ where: 'test', source, toolSource: undefined, addsBos: true },
    ...{ bosToken: beginOfSentence, eosToken: endOfSentence },
  });

const controls = specialTokens.filter((token) => token.startsWith('<｜'));

function dsmlFormat(name: string, dialect: ChatDialect, block: string, space: string): Format {
  const tag = (text: string) => `${dsml}${space}${text}`;
  const pieces = [
    ...[`\n\n<${dsml}${block}>\n`, `</${dsml}${block}>`, `<${tag('invoke name="f">')}`, `</${tag('invoke>')}`],
    ...[`<${tag('parameter name="x" string="true">')}`, `<${tag('parameter name="y" string="false">')}`],
    ...[
      `</${tag('parameter>')}`,
      `<${tag('invoke')}`,
      `</${dsml}`,
      `<${dsml}${block}`,
      dsml,
      ' name="g"',
      '">',
      '{"a": "',
    ],
  ];
  const other = space === '' ? ' ' : '';
  pieces.push(`</${dsml}${other}parameter>`, `</${dsml}${other}invoke>`);
  const marks = [dsml, `<${dsml}`, `</${dsml}`, ...controls];
  return { name, dialect, pieces, marks, stringEnd: `</${tag('parameter>')}`, pads: false };
}

function marksFormat(name: string, dialect: ChatDialect): Format {
  const marks = controls.filter((token) => token.includes('tool▁'));
  const pieces = [
    ...marks,
    ...marks,
    '<｜tool▁call',
    'function',
    'f',
    '```',
    '```json\n',
    '{"a": "b"}',
    '{"a": "',
    '"}',
  ];
  return { name, dialect, pieces, marks: controls, stringEnd: undefined, pads: true };
}

const formats: readonly Format[] = [
  dsmlFormat('V3.2', deepseekV32, 'function_calls', ''),
  dsmlFormat('V4', deepseekV4, 'tool_calls', ''),
  dsmlFormat('V4.1', deepseekV41, ' calls', ' '),
  marksFormat('R1', jinja(r1Template())),
  marksFormat('V3.1', jinja(v31Template)),
];

/** Text that a model may write about anything, markup in plain letters included. */
const plainPieces = [
  ...[
    'a',
    'Q',
    ' ',
    '\n',
    '\n\n',
    '<',
    '</',
    '>',
    '"',
    '`',
    '```',
    '{',
    '\\',
    '杭州',
    '🎉',
    '｜',
    '苹果｜',
    'é',
    '\u0000',
  ],
  ...['<b>bold</b>', '<invoke name="f">', '</parameter>', '<|DSML|', 'tool_calls', '</thin', '<thinking>', 'x < y'],
];
const plainText = fc
  .array(
    fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...plainPieces) }, fc.string({ unit: 'grapheme', maxLength: 4 })),
    {
      maxLength: 10,
    },
  )
  .map((parts) => parts.join('').replaceAll(/<\/?｜+/g, '<'));
const trimmed = plainText.map((text) => text.trim());

/** Strings that are hardest to carry. */
function nastyString(format: Format, avoid: RegExp | undefined): fc.Arbitrary<string> {
  return fc
    .oneof(
      fc
        .array(fc.constantFrom(...format.pieces, ...plainPieces, thinkEnd), { maxLength: 5 })
        .map((parts) => parts.join('')),
      fc.string({ unit: 'grapheme', maxLength: 6 }),
      fc.constantFrom('', '\ud83d', 'y'.repeat(700)),
    )
    .map((text) => (avoid ? text.replaceAll(avoid, '') : text));
}

function callsOf(format: Format): fc.Arbitrary<ToolCall[]> {
  const inString = nastyString(format, undefined);
  // A string's own end cannot be told from its value's, so values as they stand in DSML are without it.
  const string = format.pads ? inString : nastyString(format, new RegExp(`${format.stringEnd}|\\ud83d$`, 'g'));
  const value = fc.oneof(
    string,
    fc.integer(),
    fc.constantFrom(null, true, -0.5, []),
    fc.array(inString, { maxLength: 2 }),
    fc.dictionary(inString, inString, { maxKeys: 2 }),
  );
  const key = fc.oneof(fc.stringMatching(/^[a-z_]{1,5}$/), fc.constantFrom('', 'a"b', '名', 'a>b', '<'));
  const names = fc.constantFrom('f', 'get_weather', 'a.b-c', 'search::web', '天气', ...(format.pads ? [] : ['']));
  return fc.array(
    fc.tuple(names, fc.dictionary(format.pads ? inString : key, value, { maxKeys: 3 })).map(([name, args]) => ({
      ...{ id: '', name, arguments: JSON.stringify(args) },
    })),
    { maxLength: 3 },
  );
}

interface Written {
  readonly message: AssistantMessage;
  readonly beginning: Beginning;
  /** As the model would have written it. */
  readonly text: string;
}

/** Whole answers as the dialect writes them. */
function anyWritten(format: Format): fc.Arbitrary<Written> {
  const text = format.pads ? trimmed : plainText;
  return fc.tuple(text, text, callsOf(format), fc.boolean()).map(([reasoning, content, toolCalls, thinking]) => {
    const message: AssistantMessage = { role: 'assistant', content, reasoning: thinking ? reasoning : '', toolCalls };
    const { segments, beginning } = format.dialect.prompt([{ role: 'user', content: 'q' }, message], { thinking });
    return { message, beginning, text: segments.at(-1)?.text.slice(0, -endOfSentence.length) ?? '' };
  });
}

/** Anything: whole answers, pieces of markup and of text in any order, cut off somewhere. */
function anyGenerated(format: Format): fc.Arbitrary<string> {
  const piece = fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom(...format.pieces) },
    { weight: 3, arbitrary: fc.constantFrom(...plainPieces, ' '.repeat(250), 'z'.repeat(499), '\ud83c', '\udf89') },
    { weight: 2, arbitrary: fc.constantFrom(thinkBegin, thinkEnd, ...controls) },
    { weight: 1, arbitrary: anyWritten(format).map(({ text }) => text) },
  );
  return fc
    .array(piece, { maxLength: 9 })
    .map((parts) => parts.join(''))
    .chain((text) =>
      fc.oneof(
        fc.constant(text),
        fc.nat(text.length).map((length) => text.slice(0, length)),
      ),
    );
}

interface Reading {
  readonly beginning: Beginning;
  readonly calls: CallReading;
  readonly end: AnswerEnd;
}

const anyReading: fc.Arbitrary<Reading> = fc.record({
  beginning: fc.constantFrom<Beginning>('reasoning', 'content'),
  calls: fc.constantFrom<CallReading>('as-calls', 'as-text'),
  end: fc.constantFrom<AnswerEnd>('finished', 'cut-off'),
});

/** All events of the pushes, neighbours of one kind joined: what a reader sees, however the text came. */
function read({ dialect }: Format, pushes: readonly string[], { beginning, calls, end }: Reading): AnswerEvent[] {
  const parser = dialect.openParser(beginning, calls);
  const joined: AnswerEvent[] = [];
  for (const event of [...pushes.flatMap((text) => parser.push(text)), ...parser.end(end)]) {
    const last = joined.at(-1);
    if (
      last !== undefined &&
      'text' in last &&
      'text' in event &&
      last.type === event.type &&
      isTold(last) === isTold(event)
    ) {
      joined[joined.length - 1] = { ...last, text: last.text + event.text };
    } else {
      joined.push(event);
    }
  }
  return joined;
}

function assertNoMarkup(text: string, { marks }: Format): void {
  for (const mark of marks) assert.ok(!text.includes(mark), `${mark} in ${text}`);
}

function assertNoMarkupBegun(text: string, { marks }: Format): void {
  for (const mark of marks) {
    const atEnd = Array.from(mark, (_, i) => mark.slice(0, i)).find(
      (part) => /｜[\wD]|<\/?｜/.test(part) && text.endsWith(part),
    );
    assert.equal(atEnd, undefined, text);
  }
}

const said = (events: readonly AnswerEvent[], type: 'reasoning' | 'content'): string =>
  events.map((event) => (event.type === type && !isTold(event) ? event.text : '\u0001')).join('');
const isTold = (event: AnswerEvent): boolean => 'isTold' in event && event.isTold === true;

// Special tokens and single bytes, so that every character beyond ASCII is spread over tokens.
const tokenizer = makeTokenizer(trainBpe({ texts: ['a'], vocabularySize: specialTokens.length + 256 }), 'bytes');
const utf8 = new TextEncoder();

for (const format of formats) {
  test(`${format.name}: an answer divided anywhere says what the whole says`, () => {
    fc.assert(
      fc.property(anyGenerated(format), anyReading, fc.array(fc.nat(), { maxLength: 6 }), (text, reading, cuts) => {
        const whole = read(format, [text], reading);
        const at = [...new Set(cuts.map((cut) => cut % (text.length + 1)))].sort((a, b) => a - b);
        const pushes = [0, ...at].map((begin, i) => text.slice(begin, at[i] ?? text.length));
        assert.deepEqual(read(format, pushes, reading), whole);
        assert.deepEqual(read(format, text.split(''), reading), whole);
      }),
      { numRuns: 400 },
    );
    fc.assert(
      fc.property(anyGenerated(format), anyReading, (generated, reading) => {
        const text = generated.slice(0, 120);
        const whole = read(format, [text], reading);
        for (let cut = 1; cut < text.length; cut++) {
          assert.deepEqual(read(format, [text.slice(0, cut), text.slice(cut)], reading), whole);
        }
      }),
      { numRuns: 40 },
    );
  });

  test(`${format.name}: an answer whose characters are spread over tokens says what the whole says`, () => {
    fc.assert(
      fc.property(anyGenerated(format), anyReading, fc.integer({ min: 1, max: 5 }), (generated, reading, step) => {
        const text = generated.toWellFormed();
        const whole = read(format, [text], reading);
        const decoder = tokenizer.decoder();
        const tokens = tokenizer.encode(text).map((id) => decoder.push(id));
        assert.deepEqual(read(format, tokens, reading), whole);
        // Markup that is spelled out rather than one token.
        const bytes = utf8.encode(text);
        const stream = new TextDecoder('utf-8', { ignoreBOM: true });
        const pushes = Array.from({ length: Math.ceil(bytes.length / step) }, (_, i) =>
          stream.decode(bytes.subarray(i * step, (i + 1) * step), { stream: true }),
        );
        assert.deepEqual(read(format, pushes, reading), whole);
      }),
      { numRuns: 200 },
    );
  });

  test(`${format.name}: whatever the model writes, no markup is in reasoning or content`, () => {
    fc.assert(
      fc.property(anyGenerated(format), anyReading, (text, reading) => {
        const events = read(format, [text], reading);
        for (const type of ['reasoning', 'content'] as const) assertNoMarkup(said(events, type), format);
        if (reading.calls === 'as-text')
          assert.ok(events.every(({ type }) => type === 'reasoning' || type === 'content'));
      }),
      { numRuns: 1000 },
    );
  });

  test(`${format.name}: text without markup comes out as it went in`, () => {
    const text = format.pads ? trimmed : plainText;
    fc.assert(
      fc.property(text, text, anyReading, (reasoning, content, reading) => {
        const thinks = reading.beginning === 'reasoning';
        const events = read(format, [thinks ? `${reasoning}${thinkEnd}${content}` : content], reading);
        assert.deepEqual(
          [said(events, 'reasoning'), said(events, 'content')].map((part) => part.replaceAll('\u0001', '')),
          [thinks ? reasoning : '', content],
        );
      }),
      { numRuns: 500 },
    );
  });

  test(`${format.name}: an answer that the dialect writes is read back as its message`, () => {
    fc.assert(
      fc.property(anyWritten(format), ({ message, beginning, text }) => {
        const { content, reasoning, toolCalls } = parseAnswer(format.dialect.openParser(beginning), text);
        assert.equal(content, message.content);
        assert.equal(reasoning, message.reasoning);
        const told = (calls: readonly ToolCall[] = []) => calls.map((call) => [call.name, JSON.parse(call.arguments)]);
        assert.deepEqual(told(toolCalls), told(message.toolCalls));
      }),
      { numRuns: 500 },
    );
  });

  test(`${format.name}: an answer that was cut off says the beginning of what the whole says`, () => {
    fc.assert(
      fc.property(anyWritten(format), fc.nat(), ({ beginning, text }, cut) => {
        const whole = parseAnswer(format.dialect.openParser(beginning), text);
        const part = parseAnswer(format.dialect.openParser(beginning), text.slice(0, cut % (text.length + 1)));
        for (const type of ['reasoning', 'content'] as const) {
          assertNoMarkup(part[type], format);
          assertNoMarkupBegun(part[type], format);
          // Line breaks and a bracket may have been text, and stay.
          const shown = part[type].replace(/\n{0,2}(?:<(?:\/(?:t(?:h(?:i(?:nk?)?)?)?)?)?)?$/, '');
          assert.ok(whole[type].startsWith(shown) || whole[type].startsWith(part[type]), part[type]);
        }
        part.toolCalls.forEach((call, i) => {
          assert.equal(call.name, whole.toolCalls[i]?.name);
          assert.ok(whole.toolCalls[i]?.arguments.startsWith(call.arguments), call.arguments);
        });
      }),
      { numRuns: 500 },
    );
  });
}
