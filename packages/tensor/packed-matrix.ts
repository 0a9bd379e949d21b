// Weights laid out for inference.
//
// Owns the packed copy of one matrix, or of one matrix for each expert, in native memory. Knows nothing of where the
// values came from. Its products have the same bits as those of the plain matrix it was packed from.

import type { Device } from '@hadal/kernels/device';
import { packedBytes, packWeights } from '@hadal/kernels/matmul';
import type { Ref } from '@hadal/kernels/memory';
import type { Tensor } from './tensor.ts';

export type PackedDtype = 'f32' | 'bf16';

/** What a linear layer multiplies by: a plain tensor that can be trained, or a packed one that is faster to read. */
export type Weight = Tensor | PackedMatrix;

export class PackedMatrix implements Ref {
  readonly handle: number;
  readonly offset = 0;
  readonly length: number;
  /** Matrices, one for each expert; 1 for an ordinary layer. */
  readonly count: number;
  readonly N: number;
  readonly K: number;
  readonly dtype: PackedDtype;

  private constructor(handle: number, length: number, count: number, N: number, K: number, dtype: PackedDtype) {
    this.handle = handle;
    this.length = length;
    this.count = count;
    this.N = N;
    this.K = K;
    this.dtype = dtype;
  }

  /** Packs `w` [N, K] or [count, N, K]. Runs the device's commands, so that the source may be freed afterwards. */
  static pack(device: Device, w: Tensor, dtype: PackedDtype): PackedMatrix {
    const [N, K] = [w.dim(-2), w.dim(-1)];
    const count = w.length / (N * K);
    const bytes = packedBytes(N, K, dtype);
    const packed = new PackedMatrix(device.memory.allocate(bytes * count), (bytes * count) / 4, count, N, K, dtype);
    for (let e = 0; e < count; e++) {
      const from = { handle: w.handle, offset: w.offset + e * N * K, length: N * K };
      const into = { handle: packed.handle, offset: (e * bytes) / 4, length: bytes / 4 };
      packWeights(device.commands, from, into, { N, K, dtype, ldw: K });
    }
    device.commands.run();
    return packed;
  }
}
