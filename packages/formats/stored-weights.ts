// Weights as a checkpoint stores them, read as float32.
//
// Owns which encoding a tensor has: its dtype and the scale tensor beside it decide, never a list of names. Checks the
// scale's shape before anything is read. What the encodings mean is in `float16` and `quantized-layouts`; a faster
// reader takes `StoredWeight`, which says where all the bytes are, and must make the same bits.

import { type FloatDtype, floatsOf } from './float16.ts';
import type { BlockType } from './gguf/blocks.ts';
import { decodeScaledRows, e8m0Values, type ScaleBlock } from './quantized-layouts.ts';
import type { Dtype, Safetensors, TensorEntry } from './safetensors.ts';

export interface StoredWeights {
  readonly path: string;
  has(name: string): boolean;
  /** Throws one line when the tensor is absent, has a dtype that is no weight's, or lacks a fitting scale. */
  find(name: string): StoredWeight;
  /** Rows `begin` to `end` (exclusive) along the first axis, all without `rows`. */
  readFloat32(weight: StoredWeight, rows?: readonly [begin: number, end: number]): Float32Array<ArrayBuffer>;
  /** A table of whole numbers, which is no weight: I32, or I64 of values that fit into it. Throws as `find` does. */
  readIntegers(name: string): StoredTable;
}

export interface StoredTable {
  readonly shape: readonly number[];
  readonly entry: TensorEntry;
  readonly values: Int32Array<ArrayBuffer>;
}

export interface StoredWeight {
  readonly name: string;
  /** Of the values: FP4 lies two in a byte, so its tensor's last axis is half as long. */
  readonly shape: readonly number[];
  /** Where its bytes are; of a rearranged weight, where some of them are. */
  readonly entry: Pick<TensorEntry, 'path' | 'begin' | 'end'>;
  readonly encoding: WeightEncoding;
}

export type WeightEncoding =
  | { readonly kind: 'plain'; readonly dtype: FloatDtype }
  | { readonly kind: 'scaled'; readonly element: 'e4m3' | 'e2m1'; readonly scale: Scale }
  /** GGUF's: each row is whole blocks, one after another. */
  | { readonly kind: 'blocks'; readonly type: BlockType }
  /** Not as it lies in the file: only `readFloat32` knows how to put it together. */
  | { readonly kind: 'rearranged' };

/** The tensor of scales, [ceil(rows / block.rows), ceil(columns / block.columns)]. */
export interface Scale {
  readonly name: string;
  readonly entry: TensorEntry;
  readonly dtype: FloatDtype | 'F8_E8M0';
  readonly block: ScaleBlock;
}

export interface StoredWeightsOptions {
  /** Of E4M3 tensors, from config.json; without it the two shapes tell, see `blockOf`. */
  readonly fp8Block?: ScaleBlock | undefined;
}

/** FP4 shares a scale among 32 columns of one row (OCP Microscaling Formats 1.0, MXFP4). */
const fp4Block: ScaleBlock = { rows: 1, columns: 32 };

export function storedWeights(file: Safetensors, { fp8Block }: StoredWeightsOptions = {}): StoredWeights {
  function find(name: string): StoredWeight {
    const entry = file.tensors.get(name);
    if (!entry) throw new Error(`${name}: absent in ${file.path}`);
    const { dtype, shape } = entry;
    switch (dtype) {
      case 'F32':
      case 'F16':
      case 'BF16':
        return { name, shape, entry, encoding: { kind: 'plain', dtype } };
      case 'F8_E4M3':
        return scaled(name, entry, 'e4m3', shape, fp8Block);
      case 'I8':
        return scaled(name, entry, 'e2m1', [...shape.slice(0, -1), 2 * (shape.at(-1) ?? 0)], fp4Block);
      default:
        throw new Error(`${name}: expected F32, F16, BF16, F8_E4M3 or I8 (two FP4), ${entry.path} has ${dtype}`);
    }
  }

  function scaled(
    name: string,
    entry: TensorEntry,
    element: 'e4m3' | 'e2m1',
    shape: readonly number[],
    block: ScaleBlock | undefined,
  ): StoredWeight {
    if (shape.length !== 2)
      throw new Error(`${name}: expected two axes of ${entry.dtype}, ${entry.path} has [${shape}]`);
    const scaleName = scaleNames(name).find((candidate) => file.tensors.has(candidate));
    const scaleEntry = scaleName === undefined ? undefined : file.tensors.get(scaleName);
    if (scaleName === undefined || scaleEntry === undefined) {
      throw new Error(
        `${name}: expected ${scaleNames(name).join(' or ')} beside ${entry.dtype}, ${file.path} has neither`,
      );
    }
    const { dtype } = scaleEntry;
    if (!isScaleDtype(dtype)) {
      throw new Error(`${scaleName}: expected F32, F16, BF16 or F8_E8M0 scales, ${scaleEntry.path} has ${dtype}`);
    }
    const found = block ?? blockOf(shape, scaleEntry.shape) ?? { rows: 128, columns: 128 };
    const expected = scaleShape(shape, found);
    if (expected.join() !== scaleEntry.shape.join()) {
      const what = `[${expected.join(', ')}] for blocks of ${found.rows} x ${found.columns} of [${shape.join(', ')}]`;
      throw new Error(`${scaleName}: expected ${what}, ${scaleEntry.path} has [${scaleEntry.shape.join(', ')}]`);
    }
    const scale: Scale = { name: scaleName, entry: scaleEntry, dtype, block: found };
    return { name, shape, entry, encoding: { kind: 'scaled', element, scale } };
  }

  function readFloat32(weight: StoredWeight, rows?: readonly [number, number]): Float32Array<ArrayBuffer> {
    const { encoding, shape } = weight;
    const total = shape[0] ?? 1;
    const [begin, end] = rows ?? [0, total];
    const bytes = readRows(file, weight.name, total, begin, end);
    if (encoding.kind === 'plain') return floatsOf(bytes, encoding.dtype);
    if (encoding.kind !== 'scaled')
      throw new Error(`${weight.name}: expected an encoding of safetensors, got ${encoding.kind}`);
    const { element, scale } = encoding;
    const { block } = scale;
    const blocks = [Math.floor(begin / block.rows), Math.ceil(end / block.rows)] as const;
    const scaleBytes = readRows(file, scale.name, scale.entry.shape[0] as number, ...blocks);
    const scales = scale.dtype === 'F8_E8M0' ? fromE8m0(scaleBytes) : floatsOf(scaleBytes, scale.dtype);
    return decodeScaledRows({ element, bytes, columns: shape[1] as number, firstRow: begin, scales, block });
  }

  function readIntegers(name: string): StoredTable {
    const entry = file.tensors.get(name);
    if (!entry) throw new Error(`${name}: absent in ${file.path}`);
    const { dtype, shape } = entry;
    switch (dtype) {
      case 'I32':
        return { shape, entry, values: new Int32Array(file.read(name).buffer) };
      case 'I64':
        return { shape, entry, values: Int32Array.from(new BigInt64Array(file.read(name).buffer), Number) };
      default:
        throw new Error(`${name}: expected I32 or I64, ${entry.path} has ${dtype}`);
    }
  }

  return { path: file.path, has: (name) => file.tensors.has(name), find, readFloat32, readIntegers };
}

/** What the scales of a tensor are called: by DeepSeek-V3 and by DeepSeek-V4. */
function scaleNames(name: string): string[] {
  return [`${name}_scale_inv`, `${name.replace(/\.weight$/, '')}.scale`];
}

/**
 * The block that makes scales of `scales` for a matrix of `shape`, or undefined. Blocks are powers of two, which leaves one
 * at most wherever there are two scales or more along an axis; along one with a single scale every block covers it all.
 */
function blockOf(shape: readonly number[], scales: readonly number[]): ScaleBlock | undefined {
  const along = (axis: number) => {
    const [extent, count] = [shape[axis] as number, scales[axis]];
    if (count === 1) return extent;
    for (let block = 1; block < extent; block *= 2) if (Math.ceil(extent / block) === count) return block;
    return undefined;
  };
  const [rows, columns] = [along(0), along(1)];
  return rows === undefined || columns === undefined ? undefined : { rows, columns };
}

function scaleShape(shape: readonly number[], block: ScaleBlock): number[] {
  return [Math.ceil((shape[0] as number) / block.rows), Math.ceil((shape[1] as number) / block.columns)];
}

function isScaleDtype(dtype: Dtype): dtype is Scale['dtype'] {
  return dtype === 'F32' || dtype === 'F16' || dtype === 'BF16' || dtype === 'F8_E8M0';
}

function readRows(file: Safetensors, name: string, total: number, begin: number, end: number) {
  const { begin: from, end: to } = file.tensors.get(name) as TensorEntry;
  const row = (to - from) / Math.max(total, 1);
  return file.read(name, [begin * row, end * row]);
}

function fromE8m0(bytes: Uint8Array): Float32Array {
  return Float32Array.from(bytes, (byte) => e8m0Values[byte] as number);
}
