import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { trainBpe } from './bpe-trainer.ts';
import { specialTokens } from './special-tokens.ts';
import { makeTokenizer } from './tokenizer.ts';

interface Golden {
  vocabularySize: number;
  texts: string[];
  merges: string[];
  cases: { text: string; ids: number[] }[];
}

const goldenPath = join(import.meta.dirname, '../../test/golden/tokenizer/bpe.json');
const golden: Golden = JSON.parse(readFileSync(goldenPath, 'utf8'));
const trained = trainBpe(golden);

test("merges are those that Hugging Face's trainer chooses, in its order", () => {
  assert.deepEqual(trained.model.merges, golden.merges);
});

test("ids are those that Hugging Face's tokenizer gives, in English, Chinese, code, emoji and oddities", () => {
  const tokenizer = makeTokenizer(trained, 'trained');
  for (const { text, ids } of golden.cases) assert.deepEqual(tokenizer.encode(text), ids, JSON.stringify(text));
});

test("special tokens come first, with DeepSeek's begin, end and padding as 0, 1 and 2", () => {
  const tokenizer = makeTokenizer(trained, 'trained');
  assert.equal(tokenizer.tokenId('<｜begin▁of▁sentence｜>'), 0);
  assert.equal(tokenizer.tokenId('<｜end▁of▁sentence｜>'), 1);
  assert.equal(tokenizer.tokenId('<｜▁pad▁｜>'), 2);
  for (const [id, token] of specialTokens.entries()) assert.deepEqual(tokenizer.encode(token), [id]);
});

test('the vocabulary has the size asked for, and less only when no pair occurs twice', () => {
  assert.equal(makeTokenizer(trained, 'trained').vocabularySize, golden.vocabularySize);
  const tiny = makeTokenizer(trainBpe({ texts: ['abab'], vocabularySize: 1000 }), 'tiny');
  assert.equal(tiny.vocabularySize, specialTokens.length + 256 + 1);
});

test('neither the order of the texts nor how they are divided changes the result', () => {
  const lines = golden.texts.flatMap((text) => text.split(/(?<=\n)(?=\S)/));
  fc.assert(
    fc.property(fc.shuffledSubarray(lines, { minLength: lines.length }), (shuffled) => {
      assert.deepEqual(trainBpe({ ...golden, texts: shuffled }), trained);
    }),
    { numRuns: 10 },
  );
});

test('digits are tokens one by one, however often they stand together', () => {
  const tokenizer = makeTokenizer(trainBpe({ texts: ['1234 1234 1234'], vocabularySize: 400 }), 'digits');
  assert.equal(tokenizer.encode('1234').length, 4);
});

test('split at words, a word is the same tokens wherever it stands', () => {
  const texts = ['the laptop of "laptop", get_laptop(Laptop): laptop.', '电脑在桌上，他的电脑。 t1 u2 t1 u2'];
  const json = trainBpe({ texts: [...texts, ...texts, ...texts], vocabularySize: 500, splitting: 'words' });
  const tokenizer = makeTokenizer(json, 'words');
  const [laptop] = tokenizer.encode('laptop');
  for (const text of ['laptop', ' laptop', '"laptop"', 'get_laptop(', 'getlaptop'.slice(3)]) {
    assert.ok(tokenizer.encode(text).includes(laptop as number), text);
  }
  const [a, b] = tokenizer.encode('电脑') as [number, number];
  assert.deepEqual(tokenizer.encode('的电脑').slice(-2), [a, b]);
  assert.equal(tokenizer.encode(' t1 u2').length, 4, 'a single letter keeps its space');
  for (const text of texts) assert.equal(tokenizer.decode(tokenizer.encode(text)), text);
});

test('special tokens in the texts take no part in merges', () => {
  const { model } = trainBpe({ texts: ['<think>ab</think>', '<think>ab</think>'], vocabularySize: 400 });
  assert.deepEqual(model.merges, ['a b']);
});

test('a vocabulary too small for special tokens and bytes is refused', () => {
  assert.throws(
    () => trainBpe({ texts: [], vocabularySize: 100, specialTokens: ['<s>'] }),
    /expected at least 257 for 1 special tokens and 256 bytes, got 100/,
  );
});
