// Parts of a checkpoint as memory that kernels read.
//
// Owns the mapping of a stored tensor, and of its scales, for as long as rows of it are wanted; what the encodings mean is the
// kernels' (`decode-rows`, `decode-blocks`). A mapping costs address space and no memory: its pages are the system's, and what
// is let go leaves nothing behind. Invariant: no row outside the part is decoded.

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
  const { shape, encoding } = part.weight;
  const columns = columnsOf(shape);
  const rowsAnIndex = shape.slice(1, -1).reduce((product, n) => product * n, 1);
  const rows = (part.end - part.begin) * rowsAnIndex;
  const reader = encoding.kind === 'rearranged' ? plainReader(device, part) : mappedReader(device, part, encoding);
  return {
    ...reader,
    ...{ rows, columns },
    decode(first, count, y) {
      if (first < 0 || first + count > rows) {
        throw new Error(`${part.weight.name}: expected rows within ${rows}, got ${first} to ${first + count}`);
      }
      reader.decode(part.begin * rowsAnIndex + first, count, y);
    },
  };
}

/** Counts rows from the first of the stored tensor. */
type Reader = Pick<MappedPart, 'prefetch' | 'decode'> & Disposable;

/** Decoded by all threads from where it lies. */
function mappedReader(
  device: Device,
  { weight: { shape, entry }, begin, end }: StoredPart,
  encoding: Exclude<WeightEncoding, { kind: 'rearranged' }>,
): Reader {
  const columns = columnsOf(shape);
  const source = mapRange(device.memory, entry);
  const scales = encoding.kind === 'scaled' ? mapRange(device.memory, encoding.scale.entry) : undefined;
  return {
    prefetch() {
      const indexBytes = source.length / Math.max(1, shape[0] as number);
      device.memory.prefetch({ ...source, offset: begin * indexBytes, length: (end - begin) * indexBytes });
    },
    decode(first, count, y) {
      const rows = { columns, first, rows: count };
      if (encoding.kind === 'blocks') decodeBlocks(device.commands, source, y, { ...rows, format: encoding.type });
      else decodeRows(device.commands, source, scales, y, { ...rows, ...formOf(encoding) });
    },
    [Symbol.dispose]() {
      device.memory.free(source.handle);
      if (scales) device.memory.free(scales.handle);
    },
  };
}

/** Put together here: what no kernel can read where it lies. Matrices only, so that a row is an index of the first axis. */
function plainReader(device: Device, { weights, weight }: StoredPart): Reader {
  return {
    prefetch() {},
    decode(first, count, y) {
      // What was recorded may still read what `y` holds.
      device.commands.run();
      device.memory.write(y, weights.readFloat32(weight, [first, first + count]));
    },
    [Symbol.dispose]() {},
  };
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
  if (encoding.kind === 'plain') return { type: encoding.dtype };
  const { block, dtype } = encoding.scale;
  const type = dtype === 'F8_E8M0' ? 'E8M0' : dtype;
  const scales = { type, blockRows: block.rows, blockColumns: block.columns } as const;
  return { type: encoding.element === 'e4m3' ? 'E4M3' : 'E2M1', scales };
}
