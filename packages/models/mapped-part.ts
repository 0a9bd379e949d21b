// Parts of a checkpoint as memory that kernels read.
//
// Owns the mapping of a stored tensor, and of its scales, for as long as rows of it are wanted; what the encodings mean is the
// kernels' (`decode-rows`, `decode-blocks`). A mapping costs address space and no memory: its pages are the system's, and what is let go leaves
// nothing behind. Invariant: no row outside the part is decoded.

import type { WeightEncoding } from '@hadal/formats/stored-weights';
import { decodeBlocks } from '@hadal/kernels/decode-blocks';
import { type DecodeRowsShape, decodeRows } from '@hadal/kernels/decode-rows';
import type { Device } from '@hadal/kernels/device';
import type { NativeMemory, Ref } from '@hadal/kernels/memory';
import type { StoredPart } from './weight-parts.ts';

export interface MappedPart extends Disposable {
  /** Lines of the last axis; of a vector, its elements. */
  readonly rows: number;
  readonly columns: number;
  /** Has the part read in, without waiting for it. */
  prefetch(): void;
  /** Records the decoding of `count` rows, from row `first` of the part, into `y` [count, columns] float32. */
  decode(first: number, count: number, y: Ref): void;
}

/** The mapping lives until it is disposed of, which must not be before the recorded commands have run. */
export function mapPart(device: Device, part: StoredPart): MappedPart {
  const { weight, begin, end } = part;
  const { name, shape, entry, encoding } = weight;
  if (encoding.kind === 'rearranged') return readPart(device, part, encoding.read);
  const columns = columnsOf(shape);
  const rowsAnIndex = shape.slice(1, -1).reduce((product, n) => product * n, 1);
  const rows = (end - begin) * rowsAnIndex;
  const source = mapRange(device.memory, entry);
  const scales = encoding.kind === 'scaled' ? mapRange(device.memory, encoding.scale.entry) : undefined;
  return {
    rows,
    columns,
    prefetch() {
      const indexBytes = source.length / Math.max(1, shape[0] as number);
      device.memory.prefetch({ ...source, offset: begin * indexBytes, length: (end - begin) * indexBytes });
    },
    decode(first, count, y) {
      checkRows(name, rows, first, count);
      const range = { columns, first: begin * rowsAnIndex + first, rows: count };
      if (encoding.kind === 'blocks') decodeBlocks(device.commands, source, y, { ...range, format: encoding.type });
      else decodeRows(device.commands, source, scales, y, { ...range, ...formOf(encoding) });
    },
    [Symbol.dispose]() {
      device.memory.free(source.handle);
      if (scales) device.memory.free(scales.handle);
    },
  };
}

/**
 * Rows that no kernel can read where they lie. They are read when they are asked for, so what was recorded before, which may
 * still use the memory that they go to, runs first.
 */
function readPart(
  device: Device,
  { weight, begin, end }: StoredPart,
  read: (begin: number, end: number) => Float32Array,
): MappedPart {
  const rows = end - begin;
  return {
    rows,
    columns: columnsOf(weight.shape),
    prefetch() {},
    decode(first, count, y) {
      checkRows(weight.name, rows, first, count);
      device.commands.run();
      device.memory.write(y, read(begin + first, begin + first + count));
    },
    [Symbol.dispose]() {},
  };
}

function checkRows(name: string, rows: number, first: number, count: number): void {
  if (first >= 0 && first + count <= rows) return;
  throw new Error(`${name}: expected rows within ${rows}, got ${first} to ${first + count}`);
}

/** What a row has: a vector is a column of rows of one. */
export function columnsOf(shape: readonly number[]): number {
  return shape.length === 1 ? 1 : (shape.at(-1) as number);
}

/** Bytes of the file, as many as `entry` says. */
function mapRange(memory: NativeMemory, { path, begin, end }: { path: string; begin: number; end: number }): Ref {
  return { handle: memory.mapFile(path, begin, end), offset: 0, length: end - begin };
}

function formOf(
  encoding: Extract<WeightEncoding, { kind: 'plain' | 'scaled' }>,
): Pick<DecodeRowsShape, 'type' | 'scales'> {
  switch (encoding.kind) {
    case 'plain':
      return { type: encoding.dtype };
    case 'scaled': {
      const { block, dtype } = encoding.scale;
      const type = dtype === 'F8_E8M0' ? 'E8M0' : dtype;
      const scales = { type, blockRows: block.rows, blockColumns: block.columns } as const;
      return { type: encoding.element === 'e4m3' ? 'E4M3' : 'E2M1', scales };
    }
    default:
      return unreachable(encoding);
  }
}

function unreachable(value: never): never {
  throw new Error(`expected a known encoding, got ${JSON.stringify(value)}`);
}
