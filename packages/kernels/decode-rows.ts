// Rows of stored tensors as float32: the first step from a checkpoint to anything that computes.
//
// Owns the number formats that checkpoints store weights in, and the scales that blocks of them share; the file and the names
// in it are others' business. A loader reads a mapped file through this, a few rows at a time. Invariant: an element is the
// stored number times its scale, rounded once, whichever rows are asked for together.

import type { Commands } from './commands.ts';
import type { Ref } from './memory.ts';

/** Float8 e4m3 (Micikevicius et al. 2022: no infinities) and float4 e2m1 (OCP MX 1.0), two to a byte, the even column low. */
export type StoredType = 'F32' | 'F16' | 'BF16' | 'E4M3' | 'E2M1';

/** One scale for each block; blocks at the edges are smaller. e8m0 is a power of two in a byte. */
export interface StoredScales {
  readonly type: 'F32' | 'F16' | 'BF16' | 'E8M0';
  readonly blockRows: number;
  readonly blockColumns: number;
}

export interface DecodeRowsShape {
  readonly type: StoredType;
  readonly columns: number;
  /** Which rows: `first` and the `rows - 1` after it. */
  readonly first: number;
  readonly rows: number;
  readonly scales?: StoredScales | undefined;
}

// As native/decode_rows.cc numbers them.
const typeCodes = { F32: 0, F16: 1, BF16: 2, E4M3: 3, E2M1: 4 } as const;
const scaleCodes = { F32: 1, F16: 2, BF16: 3, E8M0: 4 } as const;
const typeBits = { F32: 32, F16: 16, BF16: 16, E4M3: 8, E2M1: 4 } as const;
const scaleBytes = { F32: 4, F16: 2, BF16: 2, E8M0: 1 } as const;

/** Bytes of one row. Throws when they are not whole. */
export function storedRowBytes(type: StoredType, columns: number): number {
  const bytes = (columns * typeBits[type]) / 8;
  if (!Number.isInteger(bytes)) throw new Error(`${type}: expected an even number of columns, got ${columns}`);
  return bytes;
}

/**
 * y [rows, columns] = rows `first` .. of `source` [N, columns]. `source` and `scales` (row-major, one for each block, of the
 * whole tensor) count bytes and may lie at any address.
 */
export function decodeRows(c: Commands, source: Ref, scales: Ref | undefined, y: Ref, shape: DecodeRowsShape): void {
  const { type, columns, first, rows } = shape;
  const { blockRows, blockColumns, scaleType } = blocksOf(shape);
  const rowBytes = storedRowBytes(type, columns);
  c.begin('decodeRows');
  c.tensor(skip(source, first * rowBytes), rows * rowBytes);
  if (scaleType === undefined) {
    c.optionalTensor(undefined, 0);
  } else {
    if (scales === undefined) throw new Error(`decodeRows: expected scales of ${scaleType}, got none`);
    const scaleRowBytes = Math.ceil(columns / blockColumns) * scaleBytes[scaleType];
    const firstScaleRow = Math.floor(first / blockRows);
    const scaleRows = Math.ceil((first + rows) / blockRows) - firstScaleRow;
    c.tensor(skip(scales, firstScaleRow * scaleRowBytes), scaleRows * scaleRowBytes);
  }
  c.tensor(y, rows * columns);
  c.int(rows);
  c.int(columns);
  c.int(typeCodes[type]);
  c.int(scaleType === undefined ? 0 : scaleCodes[scaleType]);
  c.int(blockRows);
  c.int(blockColumns);
  c.int(first % blockRows);
  c.end();
}

export function decodeRowsTwin(
  source: Uint8Array,
  scales: Uint8Array | undefined,
  y: Float32Array,
  shape: DecodeRowsShape,
): void {
  const { type, columns, first, rows } = shape;
  const { blockRows, blockColumns, scaleType } = blocksOf(shape);
  const blocksARow = Math.ceil(columns / blockColumns);
  for (let row = 0; row < rows; row++) {
    const scaleRow = Math.floor((first + row) / blockRows) * blocksARow;
    for (let column = 0; column < columns; column++) {
      const element = elementAt(source, type, (first + row) * columns + column);
      const scaleIndex = scaleRow + Math.floor(column / blockColumns);
      // Exact in float64, so storing it rounds once.
      y[row * columns + column] = scaleType && scales ? element * scaleAt(scales, scaleType, scaleIndex) : element;
    }
  }
}

interface Blocks {
  readonly blockRows: number;
  readonly blockColumns: number;
  readonly scaleType: StoredScales['type'] | undefined;
}

/** Without scales, a row is one block. */
function blocksOf({ scales, type, columns }: DecodeRowsShape): Blocks {
  if (scales === undefined) return { blockRows: 1, blockColumns: Math.max(2, columns), scaleType: undefined };
  const { blockRows, blockColumns, type: scaleType } = scales;
  const unit = type === 'E2M1' ? 2 : 1;
  if (blockRows >= 1 && blockColumns >= 1 && blockColumns % unit === 0) return { blockRows, blockColumns, scaleType };
  throw new Error(`decodeRows: expected blocks of whole bytes of ${type}, got ${blockRows} x ${blockColumns}`);
}

/** `ref` without its first elements. */
function skip(ref: Ref, elements: number): Ref {
  return { handle: ref.handle, offset: ref.offset + elements, length: ref.length - elements };
}

function elementAt(source: Uint8Array, type: StoredType, index: number): number {
  const view = new DataView(source.buffer, source.byteOffset, source.byteLength);
  switch (type) {
    case 'F32':
      return view.getFloat32(4 * index, true);
    case 'F16':
      return view.getFloat16(2 * index, true);
    case 'BF16':
      return floatOf(view.getUint16(2 * index, true) << 16);
    case 'E4M3':
      return minifloat(view.getUint8(index), { exponentBits: 4, mantissaBits: 3, hasNan: true });
    case 'E2M1': {
      const nibble = (view.getUint8(index >> 1) >> (4 * (index & 1))) & 15;
      return minifloat(nibble, { exponentBits: 2, mantissaBits: 1, hasNan: false });
    }
  }
}

interface Minifloat {
  readonly exponentBits: number;
  readonly mantissaBits: number;
  /** All ones but the sign. Neither form has infinities. */
  readonly hasNan: boolean;
}

/** Sign, exponent with a bias of half its range, mantissa; exponent 0 means denormal. */
function minifloat(code: number, { exponentBits, mantissaBits, hasNan }: Minifloat): number {
  const sign = code >> (exponentBits + mantissaBits) === 0 ? 1 : -1;
  const exponent = (code >> mantissaBits) & (2 ** exponentBits - 1);
  const mantissa = (code & (2 ** mantissaBits - 1)) / 2 ** mantissaBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  if (hasNan && exponent === 2 ** exponentBits - 1 && mantissa === 1 - 2 ** -mantissaBits) return Number.NaN;
  return sign * (exponent === 0 ? mantissa * 2 ** (1 - bias) : (1 + mantissa) * 2 ** (exponent - bias));
}

function scaleAt(scales: Uint8Array, type: StoredScales['type'], index: number): number {
  if (type !== 'E8M0') return elementAt(scales, type, index);
  const exponent = scales[index]!;
  return exponent === 255 ? Number.NaN : 2 ** (exponent - 127);
}

function floatOf(bits: number): number {
  return new Float32Array(Int32Array.of(bits).buffer)[0]!;
}
