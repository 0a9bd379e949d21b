import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { blockFormats, decodeBlocks, isBlockType } from './blocks.ts';

const path = fileURLToPath(new URL('../../../test/golden/gguf/blocks.json', import.meta.url));
const goldens: Record<string, { blocks: string; values: string }> = JSON.parse(readFileSync(path, 'utf8'));

function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(base64, 'base64'));
}

test('there is a golden of every format', () => {
  assert.deepEqual(Object.keys(goldens).sort(), Object.keys(blockFormats).sort());
});

for (const [type, { blocks, values }] of Object.entries(goldens)) {
  test(`${type}: the values have the bits that llama.cpp's own package decodes`, () => {
    assert.ok(isBlockType(type));
    const decoded = decodeBlocks(type, bytesOf(blocks));
    const expected = new Uint32Array(bytesOf(values).buffer);
    assert.ok(expected.length >= 128);
    assert.deepEqual(new Uint32Array(decoded.buffer), expected);
  });
}

test('a part of a block is refused', () => {
  assert.throws(
    () => decodeBlocks('Q8_0', new Uint8Array(35)),
    /^Error: Q8_0: expected whole blocks of 34 bytes, got 35$/,
  );
});
