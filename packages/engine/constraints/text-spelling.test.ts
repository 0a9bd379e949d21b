import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Pushdown } from './pushdown.ts';
import type { Rule } from './rule.ts';
import { anyText, outside, textAmong, textMatching, textOfLength } from './text-language.ts';
import { spell } from './text-spelling.ts';

test('JSON strings of any text are read in every spelling that JSON.parse reads, and no other', () => {
  const rule = spell(anyText, 'json');
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.ok(reads(rule, JSON.stringify(text)));
      const escaped = Array.from(text, (c) =>
        Array.from({ length: c.length }, (_, i) => unit(c.charCodeAt(i))).join(''),
      );
      assert.ok(reads(rule, `"${escaped.join('')}"`));
    }),
  );
  for (const text of ['""', '"\\/"', '"\\u00e9"', '"\\uD83D\\uDE00"', '"\u007f"', '"\u2028"'])
    assert.ok(reads(rule, text), text);
  for (const text of ['"', '"\n"', '"\\x"', '"\\u12"', '"a" ', "'a'", '"\\"']) assert.ok(!reads(rule, text), text);
});

test('halves of surrogate pairs never stand alone', () => {
  const rule = spell(anyText, 'json');
  for (const text of ['"\\ud800"', '"\\udc00"', '"\\ud800a"', '"\\ud800\\ud800"', '"\\ud83d\\u0041"']) {
    assert.ok(!reads(rule, text), text);
  }
  for (const bytes of [[0xed, 0xa0, 0x80], [0xc0, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xe9], [0x80]]) {
    assert.ok(!readsBytes(rule, [0x22, ...bytes, 0x22]), String(bytes));
  }
});

test('lengths count characters, however they are spelled', () => {
  const rule = spell(textOfLength(2, 3, 100), 'json');
  for (const text of ['"ab"', '"éé"', '"😀😀😀"', '"\\n\\u00e9"', '"\\ud83d\\ude00a"'])
    assert.ok(reads(rule, text), text);
  for (const text of ['"a"', '"abcd"', '"😀"', '"\\ud83d\\ude00"', '"\\n\\n\\n\\n"'])
    assert.ok(!reads(rule, text), text);
});

test('no escape smuggles in what a language forbids', () => {
  const rule = spell(outside(textAmong(['a', '"', '\n'])), 'json');
  for (const text of ['"a"', '"\\u0061"', '"\\""', '"\\u0022"', '"\\n"', '"\\u000a"'])
    assert.ok(!reads(rule, text), text);
  const digits = spell(textMatching('^\\d+$', 'search'), 'json');
  assert.ok(reads(digits, '"12"') && !reads(digits, '"\\u0031"'));
});

test('where a language tells characters apart, each is spelled as JSON.stringify does', () => {
  const rule = spell(textMatching('^[^x]*$', 'whole'), 'json');
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const isRead = !text.includes('x') && !/[\ud800-\udfff]/u.test(text);
      assert.equal(reads(rule, JSON.stringify(text)), isRead, JSON.stringify(text));
    }),
  );
});

test('raw texts are UTF-8 as they stand', () => {
  const rule = spell(textMatching('[à-ÿ\\u{1F600}-\\u{1F64F}\\n"]+', 'whole'), 'raw');
  assert.ok(reads(rule, 'é😀\n"'));
  assert.ok(!reads(rule, 'e') && !reads(rule, '😀x') && !reads(rule, '\u{1F650}'));
});

function unit(code: number): string {
  return `\\u${code.toString(16).padStart(4, '0')}`;
}

function reads(rule: Rule, text: string): boolean {
  return readsBytes(rule, new TextEncoder().encode(text));
}

function readsBytes(rule: Rule, bytes: Iterable<number>): boolean {
  const pushdown = new Pushdown(rule);
  let position = pushdown.start;
  for (const byte of bytes) position = pushdown.step(position, byte);
  return position.isEnd;
}
