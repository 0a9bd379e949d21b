// A tensor: a shape over a stretch of native memory.
//
// Owns nothing: the memory belongs to an `Arena` (a step's activations) or to a `ParameterSet` (weights), and a tensor
// is a window on it that costs a few words. Always row-major and contiguous, so a slice along the first axis is again a
// tensor and no kernel needs general strides.

import type { Ref } from '@hadal/kernels/memory';

/** Of four bytes. */
export type Dtype = 'f32' | 'i32';

export class Tensor implements Ref {
  readonly handle: number;
  /** In elements. */
  readonly offset: number;
  readonly length: number;
  readonly shape: readonly number[];
  /** bf16: the rows of a cache, and nothing else. */
  readonly dtype: Dtype | 'bf16';
  /** Whether a tape follows this tensor: true of trained weights and of everything computed from them. */
  needsGrad = false;
  /** dLoss/dThis; on an activation absent until the backward pass reaches it. */
  grad: Tensor | undefined;

  constructor(handle: number, offset: number, shape: readonly number[], dtype: Tensor['dtype'] = 'f32') {
    this.handle = handle;
    this.offset = offset;
    this.shape = shape;
    this.length = shape.reduce((product, n) => product * n, 1);
    this.dtype = dtype;
  }

  /** The extent of one axis; negative counts from the last. */
  dim(axis: number): number {
    const n = this.shape.at(axis);
    if (n === undefined) throw new Error(`axis ${axis}: tensor has shape [${this.shape.join(', ')}]`);
    return n;
  }

  /** Product of all axes but the last: the number of rows that a row-wise kernel sees. */
  get rows(): number {
    return this.length / this.dim(-1);
  }

  /**
   * Rows `begin` to `begin + count` along the first axis, with the same stretch of the gradient. Of weights and plain
   * data only: an activation has no gradient to slice until the backward pass.
   */
  slice(begin: number, count: number): Tensor {
    const first = this.dim(0);
    if (begin < 0 || count < 0 || begin + count > first) {
      throw new Error(`slice: rows ${begin} to ${begin + count} of a tensor with ${first}`);
    }
    const stride = this.length / first;
    const view = new Tensor(this.handle, this.offset + begin * stride, [count, ...this.shape.slice(1)], this.dtype);
    view.needsGrad = this.needsGrad;
    view.grad = this.grad?.slice(begin, count);
    return view;
  }
}
