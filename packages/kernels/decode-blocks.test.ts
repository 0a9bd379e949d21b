import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type BlockFormat, blockSizes, decodeBlocks } from './decode-blocks.ts';
import { openDevice } from './device.ts';
import { checkParity } from './parity.ts';

const path = new URL('../../test/golden/gguf/blocks.json', import.meta.url);
const goldens: Record<BlockFormat, { blocks: string; values: string }> = JSON.parse(readFileSync(path, 'utf8'));
const formats = Object.keys(blockSizes) as BlockFormat[];

/** The golden's blocks over and over, a different one first in each row, and what they decode to. */
function rowsOf(format: BlockFormat, N: number, blocksARow: number) {
  const { values, bytes } = blockSizes[format];
  const blocks = new Uint8Array(Buffer.from(goldens[format].blocks, 'base64'));
  const decoded = new Float32Array(new Uint8Array(Buffer.from(goldens[format].values, 'base64')).buffer);
  const count = blocks.length / bytes;
  const source = new Uint8Array(N * blocksARow * bytes);
  const expected = new Float32Array(N * blocksARow * values);
  for (let i = 0; i < N * blocksARow; i++) {
    const taken = (i + Math.floor(i / blocksARow)) % count;
    source.set(blocks.subarray(taken * bytes, (taken + 1) * bytes), i * bytes);
    expected.set(decoded.subarray(taken * values, (taken + 1) * values), i * values);
  }
  return { source, expected };
}

for (const format of formats) {
  test(`${format}: rows have the bits that llama.cpp's package decodes, whichever are asked for and at any address`, () => {
    for (const { N, blocksARow, first, rows } of [
      { N: 1, blocksARow: 1, first: 0, rows: 1 },
      { N: 7, blocksARow: 3, first: 2, rows: 4 },
      { N: 131, blocksARow: 5, first: 17, rows: 101 },
    ]) {
      const { source, expected } = rowsOf(format, N, blocksARow);
      const columns = blocksARow * blockSizes[format].values;
      const moved = new Uint8Array(source.length + 1);
      moved.set(source, 1);
      checkParity({
        name: `decodeBlocks ${format} ${N} ${columns}`,
        tensors: { moved, y: new Float32Array(rows * columns) },
        native: (c, t) => {
          const odd = { ...t.moved, offset: t.moved.offset + 1, length: source.length };
          decodeBlocks(c, odd, t.y, { format, columns, first, rows });
        },
        twin: (a) => a.y.set(expected.subarray(first * columns, (first + rows) * columns)),
        tolerance: 0,
      });
    }
  });
}

test('rows that are no whole blocks, and sources that are too short, are refused', () => {
  using device = openDevice({ threads: 1 });
  const ref = { handle: device.memory.allocate(64), offset: 0, length: 64 };
  const of = (columns: number, first: number) => () =>
    decodeBlocks(device.commands, ref, ref, { format: 'Q8_0', columns, first, rows: 1 });
  assert.throws(of(48, 0), { message: 'decodeBlocks: expected rows of whole Q8_0 blocks of 32, got 48 columns' });
  assert.throws(of(32, 1), /decodeBlocks: W: expected at least 34 elements, the tensor has 30/);
});
