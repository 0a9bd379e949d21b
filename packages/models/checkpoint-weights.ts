// Weights read from a checkpoint, for inference.
//
// Owns the native memory of a loaded model. Every tensor is checked against the shape that the configuration asks for
// before a byte of it is used. Matrices are packed as they are read, so that at most one of them exists twice.

import type { StoredWeights } from '@hadal/formats/stored-weights';
import type { Device } from '@hadal/kernels/device';
import { type PackedDtype, PackedMatrix, type Weight } from '@hadal/tensor/packed-matrix';
import { Tensor } from '@hadal/tensor/tensor';
import { dtypeOf, type WeightKind, type WeightSource, type WeightSpec } from './weight-source.ts';

export interface CheckpointWeightsOptions {
  /** How packed matrices are stored; the router and the head differ, see `storedDtype`. */
  readonly dtype: PackedDtype;
}

export class CheckpointWeights implements WeightSource {
  readonly #device: Device;
  readonly #weights: StoredWeights;
  readonly #options: CheckpointWeightsOptions;
  readonly #handles: number[] = [];

  constructor(device: Device, weights: StoredWeights, options: CheckpointWeightsOptions) {
    this.#device = device;
    this.#weights = weights;
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
    const tensor = this.#allocate(spec.shape, dtypeOf(spec));
    writeParts(this.#device, this.#weights, spec, tensor);
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
 * The form of a matrix in a model opened as `dtype`. Routers and mixers stay exact: they are small, and a choice of experts
 * or keys that flips costs more than a rounded weight. What pools tokens is released as bfloat16 where the rest is
 * quantized. The head decides between tokens by small margins, so int4 stops at int8 there.
 */
function storedDtype(kind: WeightKind, dtype: PackedDtype): PackedDtype {
  if (kind === 'router' || kind === 'mixer') return 'f32';
  if (kind === 'pooling') return dtype === 'f32' ? 'f32' : 'bf16';
  return kind === 'head' && dtype === 'int4' ? 'int8' : dtype;
}

/**
 * Fills `tensor` with the parts of `spec`, decoded to float32 (a table's are whole numbers). Throws a line that says what
 * the file has instead.
 */
export function writeParts(device: Device, weights: StoredWeights, spec: WeightSpec, tensor: Tensor): void {
  let offset = tensor.offset;
  for (const part of spec.parts) {
    const want = part.shape.join(', ');
    if (!weights.has(part.name)) {
      throw new Error(`${part.name}: expected [${want}] from config, absent in ${weights.path}`);
    }
    const weight = spec.kind === 'table' ? weights.readIntegers(part.name) : weights.find(part.name);
    if (weight.shape.join() !== part.shape.join()) {
      throw new Error(
        `${part.name}: expected [${want}] from config, ${weight.entry.path} has [${weight.shape.join(', ')}]`,
      );
    }
    const values = 'values' in weight ? weight.values : weights.readFloat32(weight, part.rows);
    device.memory.write({ handle: tensor.handle, offset, length: values.length }, values);
    offset += values.length;
  }
}
