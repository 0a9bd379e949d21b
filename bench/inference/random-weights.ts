// Random weights for a model that has no checkpoint.
//
// Owns the native memory of the weights that an architecture asks for: matrices in their packed form, as a checkpoint's
// would be, norms of ones, everything else normal with the deviation of fresh weights. One packed stretch of rows is made
// for each depth and repeated, because making billions of random numbers would take longer than the measurement.

import type { Device } from '@hadal/kernels/device';
import type { WeightSource, WeightSpec } from '@hadal/models/weight-source';
import { bytesOf, type PackedDtype, PackedMatrix, type Weight } from '@hadal/tensor/packed-matrix';
import { Tensor } from '@hadal/tensor/tensor';

const deviation = 0.02;
/** Rows that are made and then repeated. */
const freshRows = 64;
const noiseLength = 65_521;

export class RandomWeights implements WeightSource {
  readonly #device: Device;
  readonly #dtypeOf: (kind: WeightSpec['kind']) => PackedDtype;
  readonly #activeShare: number;
  readonly #noise = normals(noiseLength);
  readonly #rows = new Map<string, Uint8Array>();

  /** Bytes of weights that one token reads, embedding and norms aside. */
  bytesRead = 0;
  /** Multiply-adds of one token with quantized weights, the head's aside. */
  multiplyAdds = 0;

  /** `dtypeOf` says how a matrix of each kind is stored; a token visits `activeShare` of the experts. */
  constructor(device: Device, dtypeOf: (kind: WeightSpec['kind']) => PackedDtype, activeShare: number) {
    this.#device = device;
    this.#dtypeOf = dtypeOf;
    this.#activeShare = activeShare;
  }

  matrix({ kind, shape }: WeightSpec): Weight {
    const [N, K] = shape.slice(-2) as [number, number];
    const dtype = this.#dtypeOf(kind);
    const packed = PackedMatrix.allocate(this.#device.memory, {
      count: shape.length === 3 ? shape[0]! : 1,
      N,
      K,
      dtype,
    });
    this.#repeat(packed.handle, packed.length * 4, this.#packedRows(K, dtype));
    if (kind === 'embedding') return packed;
    const share = kind === 'experts' ? this.#activeShare : 1;
    this.bytesRead += packed.length * 4 * share;
    if (dtype.startsWith('int') && kind !== 'head') this.multiplyAdds += packed.count * N * K * share;
    return packed;
  }

  tensor({ kind, shape }: WeightSpec): Tensor {
    const tensor = this.#allocate(shape, 'f32');
    const scale = kind === 'embedding' ? 1 : deviation;
    const values = kind === 'norm' ? new Float32Array(noiseLength).fill(1) : this.#noise.map((x) => x * scale);
    this.#repeat(tensor.handle, tensor.length * 4, new Uint8Array(values.buffer));
    if (kind === 'matrix') this.bytesRead += tensor.length * 4;
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

  has(): boolean {
    return false;
  }

  #allocate(shape: readonly number[], dtype: 'f32' | 'i32'): Tensor {
    const length = shape.reduce((product, n) => product * n, 1);
    return new Tensor(this.#device.memory.allocate(length * 4), 0, shape, dtype);
  }

  #packedRows(K: number, dtype: PackedDtype): Uint8Array {
    const key = `${dtype} ${K}`;
    const known = this.#rows.get(key);
    if (known) return known;
    const { memory } = this.#device;
    const source = this.#allocate([freshRows, K], 'f32');
    memory.write(
      source,
      Float32Array.from({ length: source.length }, (_, i) => deviation * this.#noise[i % noiseLength]!),
    );
    const packed = PackedMatrix.pack(this.#device, source, dtype);
    const bytes = new Uint8Array(bytesOf(freshRows, K, dtype));
    memory.read({ handle: packed.handle, offset: 0, length: bytes.length }, bytes);
    for (const { handle } of [source, packed]) memory.free(handle);
    this.#rows.set(key, bytes);
    return bytes;
  }

  /** Fills a buffer with `bytes` again and again. */
  #repeat(handle: number, length: number, bytes: Uint8Array): void {
    for (let offset = 0; offset < length; offset += bytes.length) {
      const piece = bytes.subarray(0, Math.min(bytes.length, length - offset));
      this.#device.memory.write({ handle, offset, length: piece.length }, piece);
    }
  }
}

/** Standard normal numbers (Box-Muller), the same ones each time. */
function normals(length: number): Float32Array {
  let state = 1;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return ((state >>> 0) + 0.5) / 2 ** 32;
  };
  return Float32Array.from({ length }, () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
}
