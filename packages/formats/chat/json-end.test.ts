import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { JsonEnd } from './json-end.ts';

const mark = '</end>';

/** What is known of `text`, given so many characters at a time, and all that was taken before. */
function find(text: string, step: number, how: 'finished' | 'cut-off') {
  const json = new JsonEnd([mark]);
  let taken = '';
  let pending = '';
  for (let i = 0; i < text.length; i += step) {
    pending += text.slice(i, i + step);
    const found = json.find(pending);
    taken += pending.slice(0, found.length);
    if (found.type !== 'open') return { type: found.type, taken };
    pending = pending.slice(found.length);
    json.take(found.length);
  }
  const found = json.finish(pending, how);
  return { type: found.type, taken: taken + pending.slice(0, found.length) };
}

/** JSON in whose strings the mark stands, spaced in some way. */
const anyJson = fc
  .tuple(fc.jsonValue({ maxDepth: 3 }), fc.constantFrom('', ' ', '\n'), fc.constantFrom('x', mark, `${mark}"`, '\\'))
  .map(([value, space, word]) => {
    const wrapped = { [word]: [value, word, { a: value }], '': word };
    return JSON.stringify(wrapped, undefined, space);
  });

test('a value ends where it is whole, whatever marks stand in its strings and however it comes', () => {
  fc.assert(
    fc.property(
      anyJson,
      fc.constantFrom('', mark, ` x${mark}`, '"'),
      fc.integer({ min: 1, max: 9 }),
      (json, rest, step) => {
        assert.deepEqual(find(json + rest, step, 'finished'), { type: 'whole', taken: json });
      },
    ),
  );
});

test('what is said to be whole is JSON, and what is JSON is said to be', () => {
  const pieces = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    '"',
    ':',
    ',',
    'a',
    '\\',
    '\\u00e',
    '\n',
    ' ',
    '-1',
    '0',
    '1e5',
    '.',
    'true',
    'nul',
  );
  const nearly = fc.tuple(anyJson, fc.nat(), pieces).map(([json, at, piece]) => {
    const place = at % json.length;
    return json.slice(0, place) + piece + json.slice(place + 1);
  });
  fc.assert(
    fc.property(
      fc.oneof(
        nearly,
        fc.array(pieces).map((parts) => parts.join('')),
      ),
      (text) => {
        const { type, taken } = find(text, 1, 'cut-off');
        if (type === 'whole') assert.doesNotThrow(() => JSON.parse(taken), taken);
        let value: unknown;
        try {
          value = JSON.parse(text);
        } catch {
          return;
        }
        const isDelimited = typeof value === 'string' || (typeof value === 'object' && value !== null);
        assert.equal(type === 'whole', isDelimited, text);
      },
    ),
    { numRuns: 3000 },
  );
});

test('where there is no JSON, or none that comes to an end, the first mark is the end', () => {
  for (const [value, rest] of [
    ['no json', ''],
    ['5', ''],
    ['', ''],
    ['{"a": ', ''],
    ['{"a": "b', ''],
    ['{"a": "b', `\n${mark}`],
    ['{"a": "b', `"x${mark}`],
    ['{"a": "b', `", "c": "${mark}`],
    ['["\\', ''],
  ] as const) {
    for (const step of [1, 100]) {
      assert.deepEqual(
        find(`${value}${mark}${rest}`, step, 'finished'),
        { type: 'marked', taken: value },
        value + rest,
      );
    }
  }
});

test('of a value that was cut off, what comes before the first mark is known', () => {
  for (const step of [1, 100]) {
    assert.deepEqual(find(`{"a": "b${mark}c`, step, 'cut-off'), { type: 'open', taken: '{"a": "b' });
    assert.deepEqual(find('{"a": "b</e', step, 'cut-off'), { type: 'open', taken: '{"a": "b' });
  }
});
