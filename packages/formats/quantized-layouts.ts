// Numbers of eight and four bits as DeepSeek stores weights: E4M3 and E2M1 under scales that blocks of them share.
//
// Owns what their bits mean and where the scale of an element stands. Knows nothing of files and of names: see
// `stored-weights`. What is computed here, in float32, is the definition that any faster decoder must match in bits.

/** Where the scales are: one for each block of `rows` by `columns` elements; blocks at the edges may be partial. */
export interface ScaleBlock {
  readonly rows: number;
  readonly columns: number;
}

/** Whole rows of a matrix of narrow elements, cut out of it at any row. */
export interface ScaledRows {
  readonly element: 'e4m3' | 'e2m1';
  /** [rows, columns] elements, row-major: a byte each, or a nibble each with the even column in the low one. */
  readonly bytes: Uint8Array;
  readonly columns: number;
  /** Where `bytes` begin in the matrix. */
  readonly firstRow: number;
  /** [blocks of rows, blocks of columns], from the block that holds `firstRow` on. */
  readonly scales: Float32Array;
  readonly block: ScaleBlock;
}

/** The value of each byte: 1 sign, 4 exponent (bias 7), 3 fraction bits; no infinities, 0x7f and 0xff are NaN. OCP 8-bit FP. */
export const e4m3Values: Float32Array = Float32Array.from({ length: 256 }, (_, byte) => {
  const [exponent, fraction] = [(byte >> 3) & 15, byte & 7];
  const magnitude = exponent === 0 ? fraction * 2 ** -9 : (1 + fraction / 8) * 2 ** (exponent - 7);
  const value = (byte & 0x7f) === 0x7f ? Number.NaN : magnitude;
  return byte & 0x80 ? -value : value;
});

/** The value of each nibble: 1 sign, 2 exponent (bias 1), 1 fraction bit. OCP Microscaling Formats 1.0, section 5.3.3. */
export const e2m1Values: Float32Array = Float32Array.of(
  ...[0, 0.5, 1, 1.5, 2, 3, 4, 6],
  ...[-0, -0.5, -1, -1.5, -2, -3, -4, -6],
);

/** The value of each byte: 2^(byte - 127), the smallest a float32 subnormal; 255 is NaN. Microscaling 1.0, section 5.4.1. */
export const e8m0Values: Float32Array = Float32Array.from({ length: 256 }, (_, byte) =>
  byte === 255 ? Number.NaN : 2 ** (byte - 127),
);

/** [rows, columns]: each element times the scale of its block, rounded once to float32. */
export function decodeScaledRows(source: ScaledRows): Float32Array<ArrayBuffer> {
  const { element, bytes, columns, firstRow, scales, block } = source;
  const perByte = element === 'e2m1' ? 2 : 1;
  const rows = (bytes.length * perByte) / columns;
  const blocksAcross = Math.ceil(columns / block.columns);
  const firstBlock = Math.floor(firstRow / block.rows);
  const out = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const scaleRow = (Math.floor((firstRow + row) / block.rows) - firstBlock) * blocksAcross;
    for (let b = 0; b < blocksAcross; b++) {
      const scale = scales[scaleRow + b] as number;
      const end = row * columns + Math.min((b + 1) * block.columns, columns);
      for (let i = row * columns + b * block.columns; i < end; i++) {
        out[i] = scale * (perByte === 1 ? e4m3Values[bytes[i] as number]! : e2m1Values[nibble(bytes, i)]!);
      }
    }
  }
  return out;
}

/** Element i of packed nibbles. Rows have an even number of columns, so that i's parity is its column's. */
function nibble(bytes: Uint8Array, i: number): number {
  return ((bytes[i >> 1] as number) >> (4 * (i & 1))) & 15;
}
