// Weights laid out for inference.
//
// Owns the packed copy of one matrix, or of one matrix for each expert, in native memory, and which kernel multiplies by it.
// Knows nothing of where the values came from. Products with float32 and bfloat16 have the bits of those of the plain matrix,
// rounded; those with int8 and int4 are what kernels/quantized defines. In every form a row's bits depend on that row alone.

import type { Commands } from '@hadal/kernels/commands';
import type { Device } from '@hadal/kernels/device';
import { groupedMatmulPacked, matmulPacked, packedBytes, packWeights } from '@hadal/kernels/matmul';
import type { NativeMemory, Ref } from '@hadal/kernels/memory';
import { packedRows } from '@hadal/kernels/packed-rows';
import {
  type Activation,
  groupedMatmulQuantized,
  matmulQuantized,
  type QuantizedDtype,
  quantizedBytes,
  quantizeWeights,
} from '@hadal/kernels/quantized';
import type { AdaptedMatrix } from './low-rank.ts';
import type { Tensor } from './tensor.ts';

/** Rows of a panel: what is packed by itself begins at a multiple. */
export const panelRows = 32;

export const packedDtypes = ['f32', 'bf16', 'int8', 'int4'] as const;
export type PackedDtype = (typeof packedDtypes)[number];

/** A plain tensor that can be trained, or a packed one that is faster to read. */
export type PlainWeight = Tensor | PackedMatrix;

/** What a linear layer multiplies by; adapters may add to the product. */
export type Weight = PlainWeight | AdaptedMatrix;

export interface PackedMatrixShape {
  /** Matrices, one for each expert; 1 for an ordinary layer. */
  readonly count: number;
  readonly N: number;
  readonly K: number;
  readonly dtype: PackedDtype;
}

export interface ProductOptions {
  /** Elements from one row to the next; the row's width where absent. */
  readonly ldx?: number;
  readonly ldy?: number;
  /** none where absent. */
  readonly activation?: Activation;
  /** Adds to what y holds; float32 and bfloat16 only. */
  readonly accumulate?: boolean;
}

/** Where rows that are packed by themselves belong. */
export interface RowRange {
  readonly matrix: number;
  /** A multiple of `panelRows`. */
  readonly row: number;
  readonly rows: number;
  /** Form of the source; its offset and length count elements of it. */
  readonly sourceDtype: 'f32' | 'bf16';
}

export class PackedMatrix implements Ref {
  readonly handle: number;
  /** In units of four bytes, as the length. */
  readonly offset: number;
  readonly length: number;
  readonly count: number;
  readonly N: number;
  readonly K: number;
  readonly dtype: PackedDtype;

  /** A matrix that lies packed, or will be packed, at `place`: `packedMatrixBytes` of memory that its owner frees. */
  constructor({ handle, offset }: Pick<Ref, 'handle' | 'offset'>, { count, N, K, dtype }: PackedMatrixShape) {
    this.handle = handle;
    this.offset = offset;
    this.length = packedMatrixBytes({ count, N, K, dtype }) / 4;
    this.count = count;
    this.N = N;
    this.K = K;
    this.dtype = dtype;
  }

  /** One of the matrices, where it lies. */
  matrix(index: number): PackedMatrix {
    const { N, K, dtype } = this;
    return new PackedMatrix(
      { handle: this.handle, offset: this.offset + (index * bytesOf(N, K, dtype)) / 4 },
      { count: 1, N, K, dtype },
    );
  }

  /** Memory of its own for a matrix that `packRows` then fills. */
  static allocate(memory: NativeMemory, shape: PackedMatrixShape): PackedMatrix {
    return new PackedMatrix({ handle: memory.allocate(packedMatrixBytes(shape)), offset: 0 }, shape);
  }

  /** Packs `w` [N, K] or [count, N, K]. Runs the device's commands, so that the source may be freed afterwards. */
  static pack(device: Device, w: Tensor, dtype: PackedDtype): PackedMatrix {
    const [N, K] = [w.dim(-2), w.dim(-1)];
    const count = w.length / (N * K);
    const packed = PackedMatrix.allocate(device.memory, { count, N, K, dtype });
    for (let matrix = 0; matrix < count; matrix++) {
      const source = { handle: w.handle, offset: w.offset + matrix * N * K, length: N * K };
      packed.packRows(device.commands, source, { matrix, row: 0, rows: N, sourceDtype: 'f32' });
    }
    device.commands.run();
    return packed;
  }

  /** Records the packing of some rows, `source` [rows, K]: a loader need not hold the whole matrix in another form. */
  packRows(c: Commands, source: Ref, { matrix, row, rows, sourceDtype }: RowRange): void {
    const { N, K, dtype } = this;
    if (row % panelRows !== 0 || row + rows > N || matrix >= this.count) {
      const what = `rows ${row} to ${row + rows} of matrix ${matrix}`;
      throw new Error(
        `packRows: expected rows of ${this.count} x [${N}, ${K}] from a multiple of ${panelRows} on, got ${what}`,
      );
    }
    const offset = this.offset + (matrix * bytesOf(N, K, dtype) + bytesOf(row, K, dtype)) / 4;
    const into = { handle: this.handle, offset, length: bytesOf(rows, K, dtype) / 4 };
    if (isQuantized(dtype)) {
      quantizeWeights(c, source, into, { N: rows, K, dtype, sourceDtype });
    } else {
      packWeights(c, source, into, { N: rows, K, dtype, sourceDtype });
    }
  }

  /** Whether a product can apply swiglu to what it stores: quantized kernels can, to halves of whole panels. */
  get appliesSwiglu(): boolean {
    return isQuantized(this.dtype) && this.N % 64 === 0;
  }

  /**
   * Records y [M, N] = x [M, K] times the (first) matrix, transposed; x and y may be columns of wider rows. With swiglu
   * y [M, N / 2].
   */
  multiply(c: Commands, x: Ref, y: Ref, M: number, options: ProductOptions = {}): void {
    const { N, K, dtype } = this;
    const { ldx, ldy, activation = 'none', accumulate = false } = options;
    if (isQuantized(dtype)) {
      if (accumulate) throw new Error(`products with ${dtype} weights do not accumulate`);
      matmulQuantized(c, x, this, y, { M, N, K, dtype, ldx, ldy, activation });
    } else {
      this.#expectPlain(activation);
      matmulPacked(c, x, this, y, { M, N, K, dtype, ldx, ldy, accumulate });
    }
  }

  /** Records y [N, K]: the rows of the (first) matrix that `ids` i32 [N] names. */
  gatherRows(c: Commands, ids: Ref, y: Ref, N: number): void {
    packedRows(c, this, ids, y, { N, V: this.N, D: this.K, dtype: this.dtype });
  }

  /** Records y [R, N]: rows offsets[e] .. offsets[e + 1] of x [R, K] times matrix e, transposed; with swiglu y [R, N / 2]. */
  multiplyGroups(c: Commands, x: Ref, y: Ref, offsets: Ref, R: number, activation: Activation = 'none'): void {
    const { count: E, N, K, dtype } = this;
    if (isQuantized(dtype)) {
      groupedMatmulQuantized(c, x, this, y, offsets, { E, N, K, R, dtype, activation });
    } else {
      this.#expectPlain(activation);
      groupedMatmulPacked(c, x, this, y, offsets, { E, N, K, R, dtype });
    }
  }

  #expectPlain(activation: Activation): void {
    if (activation !== 'none') throw new Error(`products with ${this.dtype} weights do not apply ${activation}`);
  }
}

function isQuantized(dtype: PackedDtype): dtype is QuantizedDtype {
  return dtype === 'int8' || dtype === 'int4';
}

/** Always a multiple of 64. */
export function packedMatrixBytes({ count, N, K, dtype }: PackedMatrixShape): number {
  return count * bytesOf(N, K, dtype);
}

/** Bytes of one packed matrix; rows n .. begin at bytesOf(n, K, dtype) when n is a multiple of `panelRows`. */
export function bytesOf(N: number, K: number, dtype: PackedDtype): number {
  return isQuantized(dtype) ? quantizedBytes(N, K, dtype) : packedBytes(N, K, dtype);
}
