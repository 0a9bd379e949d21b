import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uniforms } from '@hadal/kernels/parity';
import { Ajv } from 'ajv';
import formats from 'ajv-formats';
import { type Dfa, edgesOf } from './dfa.ts';
import { formatTexts } from './formats.ts';
import { Refusal } from './refusal.ts';
import { includes } from './text-language.ts';

const examples: Readonly<Record<string, { good: readonly string[]; bad: readonly string[] }>> = {
  date: { good: ['2024-02-29', '2000-02-29', '1999-12-31'], bad: ['2023-02-29', '1900-02-29', '2024-04-31', '24-1-1'] },
  time: { good: ['23:59:59Z', '00:00:00.123+01:30'], bad: ['24:00:00Z', '12:00', '12:00:00'] },
  'date-time': { good: ['2024-02-29T12:00:00Z'], bad: ['2024-02-30T12:00:00Z', '2024-02-29 12:00:00Z'] },
  duration: { good: ['P1D', 'PT5M', 'P1Y2M3DT4H5M6S', 'P2W'], bad: ['P', 'PT', 'P1S', '1D'] },
  email: { good: ['a@b.co', 'first.last+tag@sub.example.org'], bad: ['a@b', '@b.co', 'a b@c.de', 'a..b@c.de'] },
  hostname: { good: ['localhost', 'a-b.example.com'], bad: ['-a.com', 'a..b', 'a_b.com'] },
  ipv4: { good: ['0.0.0.0', '255.1.20.3'], bad: ['256.1.1.1', '1.2.3', '01.2.3.4'] },
  ipv6: {
    good: ['::', '::1', '2001:db8::ff00:42:8329', '1:2:3:4:5:6:7:8', '::ffff:1.2.3.4'],
    bad: ['1::2::3', ':1', '12345::'],
  },
  uri: {
    good: ['https://example.org/a?b=c#d', 'mailto:a@b.c', 'urn:isbn:123', 'http://[::1]:80/'],
    bad: ['//a/b', 'a b:c', 'x'],
  },
  'uri-reference': { good: ['', '/a/b', 'a?b', '#c', 'https://a.b'], bad: ['\\a', 'a b'] },
  uuid: { good: ['123e4567-e89b-12d3-a456-426614174000'], bad: ['123e4567e89b12d3a456426614174000', 'x'] },
  'json-pointer': { good: ['', '/a/~0b/~1c'], bad: ['a', '/~2'] },
  'relative-json-pointer': { good: ['0', '1/a', '2#'], bad: ['/a', '01'] },
  byte: { good: ['', 'YQ==', 'YWI=', 'YWJj'], bad: ['Y', 'YQ=', 'Y-=='] },
};

test('each format has the texts of its standard', () => {
  for (const [name, { good, bad }] of Object.entries(examples)) {
    for (const text of good) assert.ok(includes(languageOf(name), text), `${name}: ${text}`);
    for (const text of bad) assert.ok(!includes(languageOf(name), text), `${name}: ${text}`);
  }
});

test('any text of a format satisfies the validator', () => {
  const ajv = new Ajv();
  (formats as unknown as (ajv: Ajv) => void)(ajv);
  const next = uniforms(5);
  for (const name of Object.keys(examples)) {
    const validate = ajv.compile({ type: 'string', format: name });
    for (let i = 0; i < 60; i++) {
      const text = anyTextOf(languageOf(name), next);
      assert.ok(validate(text), `${name}: ${JSON.stringify(text)}`);
    }
  }
});

test('unknown formats are not ours, and those that no automaton can tell are refused', () => {
  assert.equal(formatTexts('color'), undefined);
  assert.equal(formatTexts('password'), 'any');
  assert.throws(() => formatTexts('regex'), Refusal);
});

function languageOf(name: string): Dfa {
  const texts = formatTexts(name);
  assert.ok(texts !== undefined && texts !== 'any', name);
  return texts.language();
}

/** A random way through the automaton, ending with some probability wherever it may. */
function anyTextOf(language: Dfa, next: () => number): string {
  let text = '';
  for (let state = 0; ; ) {
    const edges = edgesOf(language, state);
    if (language.accepting[state] === 1 && (edges.length === 0 || next() < 0.2)) return text;
    const [low, high, target] = edges[Math.floor(next() * edges.length)]!;
    text += String.fromCodePoint(low + Math.floor(next() * (Math.min(high, low + 300) - low + 1)));
    state = target;
  }
}
