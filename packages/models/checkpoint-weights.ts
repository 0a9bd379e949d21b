// Weights read from a checkpoint, for inference.
//
// Owns the native memory of a loaded model. Every tensor is checked against the shape that the configuration asks for
// before a byte of it is used. Matrices are packed as they are read, so that at most one of them exists twice.

import type { Safetensors } from '@hadal/formats/safetensors';
import type { Device } from '@hadal/kernels/device';
import { type PackedDtype, PackedMatrix, type Weight } from '@hadal/tensor/packed-matrix';
import { Tensor } from '@hadal/tensor/tensor';
import { partRange, type WeightSource, type WeightSpec } from './weight-source.ts';

export interface CheckpointWeightsOptions {
  /** How packed matrices are stored; the router and the head differ, see `storedDtype`. */
  readonly dtype: PackedDtype;
}

export class CheckpointWeights implements WeightSource {
  readonly #device: Device;
  readonly #file: Safetensors;
  readonly #options: CheckpointWeightsOptions;
  readonly #handles: number[] = [];

  constructor(device: Device, file: Safetensors, options: CheckpointWeightsOptions) {
    this.#device = device;
    this.#file = file;
    this.#options = options;
  }

  matrix(spec: WeightSpec): Weight {
    const tensor = this.tensor(spec);
    const packed = PackedMatrix.pack(this.#device, tensor, storedDtype(spec.kind, this.#options.dtype));
    this.#free(tensor.handle);
    this.#handles.push(packed.handle);
    return packed;
  }

  tensor(spec: WeightSpec): Tensor {
    const tensor = this.#allocate(spec.shape, 'f32');
    writeParts(this.#device, this.#file, spec, tensor);
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
    return this.#file.tensors.has(name);
  }

  [Symbol.dispose](): void {
    for (const handle of this.#handles.splice(0)) this.#device.memory.free(handle);
  }

  #allocate(shape: readonly number[], dtype: 'f32' | 'i32'): Tensor {
    const elements = shape.reduce((product, n) => product * n, 1);
    const handle = this.#device.memory.allocate(elements * 4);
    this.#handles.push(handle);
    return new Tensor(handle, 0, shape, dtype);
  }

  #free(handle: number): void {
    this.#handles.splice(this.#handles.indexOf(handle), 1);
    this.#device.memory.free(handle);
  }
}

/**
 * The form of a matrix in a model opened as `dtype`. The router stays exact: it is small, and a choice of experts that flips
 * costs more than a rounded weight. The head decides between tokens by small margins, so int4 stops at int8 there.
 */
function storedDtype(kind: WeightSpec['kind'], dtype: PackedDtype): PackedDtype {
  if (kind === 'router') return 'f32';
  return kind === 'head' && dtype === 'int4' ? 'int8' : dtype;
}

/** Fills `tensor` with the parts of `spec`, converted to float32. Throws a line that says what the file has instead. */
export function writeParts(device: Device, file: Safetensors, spec: WeightSpec, tensor: Tensor): void {
  let offset = tensor.offset;
  for (const part of spec.parts) {
    const entry = file.tensors.get(part.name);
    if (!entry)
      throw new Error(`${part.name}: expected [${part.shape.join(', ')}] from config, absent in ${file.path}`);
    if (entry.shape.join() !== part.shape.join()) {
      const [want, have] = [part.shape.join(', '), entry.shape.join(', ')];
      throw new Error(`${part.name}: expected [${want}] from config, ${file.path} has [${have}]`);
    }
    const { begin, end } = partRange(part);
    const values = file.readFloat32(part.name).subarray(begin, end);
    device.memory.write({ handle: tensor.handle, offset, length: values.length }, values);
    offset += values.length;
  }
}
