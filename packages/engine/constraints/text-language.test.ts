import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { intersect, isEmpty, stateCount } from './dfa.ts';
import { minimize } from './minimize.ts';
import { Refusal } from './refusal.ts';
import {
  includes,
  lengthOf,
  outside,
  textAmong,
  textInAll,
  textMatching,
  textOfLength,
  textWithout,
} from './text-language.ts';

const patterns = [
  ...['a', '', 'ab|ba', '^a', 'b$', '^$', '^(a|b)*a$', 'a{2,3}', '^a{2,3}b?$', '(?:ab)+', '[^a]', '.', '^.{2}$'],
  ...[
    '^a|b$',
    '(^a|b)c',
    'a(b$|c)',
    '\\d+',
    '\\w\\W',
    '\\s',
    '\\S{3}',
    '[a-c]\\b'.slice(0, 5),
    '\\u0061',
    '\\x41',
    '\\.',
  ],
  ...[
    '[\\]a]',
    '[a-]',
    '[\\d-]',
    '\\p{Lu}',
    '\\P{L}',
    '\\p{Script=Greek}',
    'é',
    '[à-ÿ]+',
    '😀',
    '[😀-😂]',
    '\\u{1F600}',
  ],
  ...['a*?b', '(?<x>a)b', '^a.*b$', '{', 'a{', 'a{,2}', '\\/', '(a|)b', '^(?:(?:a|b){2}){2}$'],
];

test('a pattern has the texts in which RegExp finds it', () => {
  const letter = fc.constantFrom(
    'a',
    'b',
    'c',
    'A',
    '0',
    ' ',
    '-',
    ']',
    '{',
    '.',
    '/',
    ',',
    '2',
    '\n',
    '\u2028',
    'é',
    'λ',
    '😀',
    '😂',
  );
  const text = fc.array(letter, { maxLength: 6 }).map((letters) => letters.join(''));
  for (const pattern of patterns) {
    // A brace that stands for itself is an error under the flag and none without it.
    const isOldStyle = /^(a?\{)/.test(pattern) && !/^a\{\d/.test(pattern);
    const expected = new RegExp(pattern, isOldStyle ? '' : 'u');
    const language = textMatching(pattern, 'search');
    const whole = textMatching(pattern, 'whole');
    const expectedWhole = new RegExp(`^(?:${pattern})$`, isOldStyle ? '' : 'u');
    fc.assert(
      fc.property(text, (sample) => {
        assert.equal(includes(language, sample), expected.test(sample), `${pattern} in ${JSON.stringify(sample)}`);
        assert.equal(includes(whole, sample), expectedWhole.test(sample), `${pattern} as ${JSON.stringify(sample)}`);
      }),
      { numRuns: 60 },
    );
  }
});

test('what is not regular, not decidable in place, or too large is refused with the reason', () => {
  for (const [pattern, reason] of [
    ['(a)\\1', /backreferences are not supported/],
    ['(?<x>a)\\k<x>', /backreferences/],
    ['(?=a)b', /lookahead is not supported/],
    ['a(?!b)', /lookahead/],
    ['(?<=a)b', /lookbehind/],
    ['\\bword', /word boundaries/],
    ['(?i:a)', /flags/],
    ['(a', /expected \)/],
    ['a)', /expected the end/],
    ['[b-a]', /range in order/],
    ['*a', /expected something for \* to repeat/],
    ['a{3,2}', /in order/],
    ['\\p{Klingon}', /property of Unicode/],
    ['\\y', /expected an escape/],
    ['(a{1000}){1000}', /states/],
    ['(a|b)*a(a|b){20}', /states/],
    ['('.repeat(300), /groups inside each other/],
  ] as const) {
    assert.throws(
      () => textMatching(pattern, 'search'),
      (error) => error instanceof Refusal && reason.test(error.reason),
      pattern,
    );
  }
});

test('languages combine as sets do', () => {
  const words = fc.array(fc.string({ maxLength: 4 }), { maxLength: 6 });
  const sample = fc.oneof(fc.string({ maxLength: 6 }), fc.constantFrom('a', 'ab', ''));
  fc.assert(
    fc.property(words, words, sample, fc.nat(5), (first, second, text, length) => {
      const [a, b] = [textAmong(first), textAmong(second)];
      // Texts here hold no surrogates alone, which are in no language.
      const word = [...text].filter((c) => !/[\ud800-\udfff]/u.test(c)).join('');
      for (const candidate of [word, ...first, ...second]) {
        if (!candidate.isWellFormed()) continue;
        assert.equal(includes(a, candidate), first.includes(candidate));
        assert.equal(includes(outside(a), candidate), !first.includes(candidate));
        assert.equal(includes(textInAll([a, b]), candidate), first.includes(candidate) && second.includes(candidate));
        const short = textOfLength(length, length + 2, 100);
        assert.equal(includes(short, candidate), lengthOf(candidate) >= length && lengthOf(candidate) <= length + 2);
      }
      assert.equal(isEmpty(intersect(a, outside(a), 1000)), true);
    }),
    { numRuns: 100 },
  );
});

test('a text without a marker never holds it', () => {
  const language = textWithout('</a>');
  for (const text of ['', '<', '</', '</a', '<</a', 'a>', '</b></']) assert.ok(includes(language, text), text);
  for (const text of ['</a>', 'x</a>y', '<</a>', '</</a>']) assert.ok(!includes(language, text), text);
});

test('minimization keeps the language and merges what cannot be told apart', () => {
  const redundant = textMatching('^(abc|abd|xbc|xbd)$', 'whole');
  assert.equal(stateCount(redundant), 4);
  assert.equal(minimize(redundant), redundant);
});
