import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { trainBpe } from './bpe-trainer.ts';
import { specialTokens } from './special-tokens.ts';
import { makeTokenizer, openTokenizer } from './tokenizer.ts';

const texts = ['9.11 and 9.8, which is greater? The greater is 9.8.', '今天天气怎么样？今天晴。', '👍🏽👍🏽 e\u0301'];
const json = trainBpe({ texts, vocabularySize: 330 });
const tokenizer = makeTokenizer(json, 'trained');

/** Text of every kind: pieces that merges know, arbitrary Unicode, special tokens whole and broken. */
const anyText = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom(...texts, ...specialTokens, '<｜', '｜>', ' ', '\n', '\ufeff', '\u0085'),
    ),
  )
  .map((parts) => parts.join(''));

test('decoding undoes encoding', () => {
  fc.assert(fc.property(anyText, (text) => assert.equal(tokenizer.decode(tokenizer.encode(text)), text)));
});

test('a stream of tokens decodes to the text of the whole, whatever the tokens', () => {
  const anyIds = fc.array(fc.nat({ max: tokenizer.vocabularySize + 10 }));
  fc.assert(
    fc.property(anyIds, (ids) => {
      const decoder = tokenizer.decoder();
      const streamed = ids.map((id) => decoder.push(id)).join('') + decoder.end();
      assert.equal(streamed, tokenizer.decode(ids));
    }),
    { numRuns: 500 },
  );
});

test('a stream gives a character with the last of its bytes and never a part of it', () => {
  const ids = tokenizer.encode('杭a');
  assert.equal(ids.length, 4);
  const decoder = tokenizer.decoder();
  assert.deepEqual(
    ids.map((id) => decoder.push(id)),
    ['', '', '杭', 'a'],
  );
  assert.equal(decoder.end(), '');
});

test('a stream that ends inside a character ends in U+FFFD, and the decoder starts afresh', () => {
  const [first = 0] = tokenizer.encode('杭');
  const decoder = tokenizer.decoder();
  assert.equal(decoder.push(first) + decoder.end(), '\ufffd');
  assert.equal(decoder.push(tokenizer.encode('a')[0] ?? 0) + decoder.end(), 'a');
});

test('the bytes of the tokens are the bytes of the text', () => {
  const text = 'greater 今天 👍🏽<think>';
  const bytes = tokenizer.encode(text).map((id) => Buffer.from(tokenizer.bytes(id)));
  assert.equal(Buffer.concat(bytes).toString(), text);
});

test('ids without a token, as padded vocabularies have them, decode to nothing', () => {
  assert.equal(tokenizer.decode([tokenizer.vocabularySize, 100_000]), '');
});

test('a file that is no byte-level tokenizer is refused in one line that says why', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'hadal-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'tokenizer.json');
  const open = (content: string) => () => {
    writeFileSync(path, content);
    openTokenizer(path);
  };
  assert.throws(() => openTokenizer(path), /tokenizer\.json: expected a tokenizer in JSON, ENOENT/);
  assert.throws(open('{"model"'), /tokenizer\.json: expected a tokenizer in JSON, /);
  assert.throws(open('null'), /expected a model of type BPE, found undefined/);
  assert.throws(open('{"model": {"type": "Unigram"}}'), /expected a model of type BPE, found "Unigram"/);
  assert.throws(open(JSON.stringify({ ...json, decoder: null })), /expected a ByteLevel decoder, found undefined/);
  assert.throws(
    open(JSON.stringify({ ...json, added_tokens: {} })),
    /expected added_tokens to be a list, found object/,
  );
  assert.throws(open(JSON.stringify({ ...json, normalizer: { type: 'X' } })), /expected a tokenizer, /);
  assert.doesNotThrow(open(JSON.stringify(json)));
});
