// Rows of GGUF's block formats as float32.
//
// Owns the sizes of the blocks and the recording of their decoding; a loader reads a mapped file through this, a few rows at a
// time. What the bytes mean is defined where the formats are, in `formats/gguf/blocks`: that is the kernel's twin, and the
// values that llama.cpp's own package decodes bind both of them.

import type { Commands } from './commands.ts';
import type { Ref } from './memory.ts';

/** Values in a block, and its bytes. */
export const blockSizes = {
  Q4_0: { values: 32, bytes: 18 },
  Q4_1: { values: 32, bytes: 20 },
  Q5_0: { values: 32, bytes: 22 },
  Q5_1: { values: 32, bytes: 24 },
  Q8_0: { values: 32, bytes: 34 },
  Q2_K: { values: 256, bytes: 84 },
  Q3_K: { values: 256, bytes: 110 },
  Q4_K: { values: 256, bytes: 144 },
  Q5_K: { values: 256, bytes: 176 },
  Q6_K: { values: 256, bytes: 210 },
} as const;

export type BlockFormat = keyof typeof blockSizes;

// As native/decode_blocks.cc numbers them: in order.
const formats = Object.keys(blockSizes) as BlockFormat[];

export interface DecodeBlocksShape {
  readonly format: BlockFormat;
  /** A multiple of the values in a block. */
  readonly columns: number;
  /** Which rows: `first` and the `rows - 1` after it. */
  readonly first: number;
  readonly rows: number;
}

/** y [rows, columns] = rows `first` .. of `source` [N, columns], which counts bytes and may lie at any address. */
export function decodeBlocks(
  c: Commands,
  source: Ref,
  y: Ref,
  { format, columns, first, rows }: DecodeBlocksShape,
): void {
  const { values, bytes } = blockSizes[format];
  if (columns % values !== 0) {
    throw new Error(`decodeBlocks: expected rows of whole ${format} blocks of ${values}, got ${columns} columns`);
  }
  const rowBytes = (columns / values) * bytes;
  const begin = first * rowBytes;
  c.begin('decodeBlocks');
  c.tensor({ handle: source.handle, offset: source.offset + begin, length: source.length - begin }, rows * rowBytes);
  c.tensor(y, rows * columns);
  c.int(rows);
  c.int(columns);
  c.int(formats.indexOf(format));
  c.end();
}
