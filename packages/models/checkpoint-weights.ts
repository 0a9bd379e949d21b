// Weights read from a checkpoint, for inference.
//
// Owns the native memory of a loaded model and the way into it: files are mapped, a few rows at a time are decoded by all
// threads and packed. So beside the packed weights there are never more than those rows, whatever encoding a file has and in
// however many parts a matrix lies in it. Every tensor is checked before a byte of it is used.

import type { StoredWeights } from '@hadal/formats/stored-weights';
import type { Device } from '@hadal/kernels/device';
import { type PackedDtype, PackedMatrix } from '@hadal/tensor/packed-matrix';
import { Tensor } from '@hadal/tensor/tensor';
import { columnsOf } from './mapped-part.ts';
import { RowPacker } from './row-packer.ts';
import { packedDtypeOf, runTimeWeight } from './run-time-weights.ts';
import { findParts, readTable } from './weight-parts.ts';
import { WeightRows } from './weight-rows.ts';
import { elementsOf, matrixShape, type WeightSource, type WeightSpec } from './weight-source.ts';

export interface CheckpointWeightsOptions {
  /** How packed matrices are stored; some kinds differ, see `packedDtypeOf`. */
  readonly dtype: PackedDtype;
  /** Hears how many bytes of the files have been read since it last heard. */
  readonly onRead?: ((bytes: number) => void) | undefined;
}

export class CheckpointWeights implements WeightSource {
  readonly #device: Device;
  readonly #weights: StoredWeights;
  readonly #options: CheckpointWeightsOptions;
  readonly #handles: number[] = [];
  /** By the names of `run-time-weights`: tied embeddings are one matrix. */
  readonly #packed = new Map<string, PackedMatrix>();

  constructor(device: Device, weights: StoredWeights, options: CheckpointWeightsOptions) {
    this.#device = device;
    this.#weights = weights;
    this.#options = options;
  }

  matrix(spec: WeightSpec): PackedMatrix {
    const { name } = runTimeWeight({ spec, as: 'matrix' }, this.#options.dtype);
    const known = this.#packed.get(name);
    if (known) return known;
    using packer = new RowPacker(this.#device);
    using rows = this.#rows(spec);
    const packed = PackedMatrix.allocate(this.#device.memory, {
      ...matrixShape(spec),
      dtype: packedDtypeOf(spec.kind, this.#options.dtype),
    });
    this.#handles.push(packed.handle);
    this.#packed.set(name, packed);
    for (let matrix = 0; matrix < packed.count; matrix++) {
      packer.pack(rows, packed, { matrix, row: 0, rows: packed.N });
    }
    return packed;
  }

  tensor(spec: WeightSpec): Tensor {
    if (spec.kind === 'table') {
      const table = this.#allocate(spec.shape, 'i32');
      this.#device.memory.write(table, readTable(this.#weights, spec));
      return table;
    }
    using rows = this.#rows(spec);
    const tensor = this.#allocate(spec.shape, 'f32');
    const columns = columnsOf(spec.shape);
    rows.decode(tensor.length / columns, columns, tensor);
    rows.run();
    return tensor;
  }

  counter(experts: number): Tensor {
    return this.#allocate([experts], 'i32');
  }

  constant(shape: readonly number[], values: () => Float32Array): Tensor {
    const tensor = this.#allocate(shape, 'f32');
    this.#device.memory.write(tensor, values());
    return tensor;
  }

  has(name: string): boolean {
    return this.#weights.has(name);
  }

  [Symbol.dispose](): void {
    for (const handle of this.#handles.splice(0)) this.#device.memory.free(handle);
  }

  #rows(spec: WeightSpec): WeightRows {
    return new WeightRows(this.#device, findParts(this.#weights, spec), this.#options.onRead);
  }

  #allocate(shape: readonly number[], dtype: 'f32' | 'i32'): Tensor {
    const handle = this.#device.memory.allocate(elementsOf({ shape }) * 4);
    this.#handles.push(handle);
    return new Tensor(handle, 0, shape, dtype);
  }
}
