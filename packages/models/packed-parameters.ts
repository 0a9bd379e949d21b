// Weights in training, as an engine reads them.
//
// Owns packed float32 copies of a parameter set's matrices; everything else is the parameters' own memory. `refresh` packs them
// again after an update. Products with them have the bits of the products with the parameters themselves, so what is sampled
// has the very log-probabilities that the trainer computes.

import type { Device } from '@hadal/kernels/device';
import { PackedMatrix } from '@hadal/tensor/packed-matrix';
import { Tensor } from '@hadal/tensor/tensor';
import { elementsOf, matrixShape, specKey, type WeightSource, type WeightSpec } from './weight-source.ts';

export class PackedParameters implements WeightSource {
  readonly #device: Device;
  readonly #parameters: WeightSource;
  readonly #packed = new Map<string, { readonly from: Tensor; readonly matrix: PackedMatrix }>();
  readonly #handles: number[] = [];

  /** `parameters` must hold plain tensors, and outlive this. */
  constructor(device: Device, parameters: WeightSource) {
    this.#device = device;
    this.#parameters = parameters;
  }

  matrix(spec: WeightSpec): PackedMatrix {
    const key = specKey(spec);
    const known = this.#packed.get(key);
    if (known) return known.matrix;
    const from = this.#parameters.matrix(spec);
    if (!(from instanceof Tensor)) throw new Error(`${key}: expected a plain tensor to pack, got a packed one`);
    const matrix = PackedMatrix.allocate(this.#device.memory, { ...matrixShape(spec), dtype: 'f32' });
    this.#handles.push(matrix.handle);
    this.#packed.set(key, { from, matrix });
    return matrix;
  }

  tensor(spec: WeightSpec): Tensor {
    return this.#parameters.tensor(spec);
  }

  /** One of its own: what is sampled is no load of the training. */
  counter(experts: number): Tensor {
    const counter = this.#allocate([experts], 'i32');
    this.#device.memory.write(counter, new Int32Array(experts));
    return counter;
  }

  constant(shape: readonly number[], values: () => Float32Array): Tensor {
    const tensor = this.#allocate(shape, 'f32');
    this.#device.memory.write(tensor, values());
    return tensor;
  }

  has(name: string): boolean {
    return this.#parameters.has(name);
  }

  /** Packs what the parameters are now. */
  refresh(): void {
    const { commands } = this.#device;
    for (const { from, matrix } of this.#packed.values()) {
      const { count, N, K } = matrix;
      for (let index = 0; index < count; index++) {
        const source = { handle: from.handle, offset: from.offset + index * N * K, length: N * K };
        matrix.packRows(commands, source, { matrix: index, row: 0, rows: N, sourceDtype: 'f32' });
      }
    }
    commands.run();
  }

  [Symbol.dispose](): void {
    for (const handle of this.#handles.splice(0)) this.#device.memory.free(handle);
  }

  #allocate(shape: readonly number[], dtype: 'f32' | 'i32'): Tensor {
    const handle = this.#device.memory.allocate(elementsOf({ shape }) * 4);
    this.#handles.push(handle);
    return new Tensor(handle, 0, shape, dtype);
  }
}
