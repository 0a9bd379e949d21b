// Memory of one step.
//
// Owns a few large native blocks and hands out stretches of each from left to right, of the first that has room; `reset` takes
// everything back at once. A training step or a forward pass makes thousands of tensors that all die together, so neither the garbage
// collector nor a free list has anything to do. After the first steps the blocks suffice and nothing is allocated:
// memory stays flat. What is written from JavaScript lies apart from what commands will compute, because it is written
// before they run: `rewind` takes back only the latter.

import type { NativeMemory } from '@hadal/kernels/memory';
import { type Dtype, Tensor } from './tensor.ts';

/** How far the results of commands had come in each block; see `rewind`. */
export type Mark = readonly number[];

/** 64 bytes: a cache line, and the widest vector of any instruction set we compile for. */
const alignment = 16;

/** Tables of positions and the like are small; what is larger gets a block of its own. */
const writtenBlockBytes = 2 ** 20;

export class Arena {
  readonly #memory: NativeMemory;
  readonly #computed: Stack;
  readonly #written: Stack;

  /** `blockBytes`: the least size of a native block; a larger tensor gets a block of its own. */
  constructor(memory: NativeMemory, blockBytes = 256 * 2 ** 20) {
    this.#memory = memory;
    this.#computed = new Stack(memory, blockBytes);
    this.#written = new Stack(memory, Math.min(blockBytes, writtenBlockBytes));
  }

  /** Native memory held, in bytes, in use or not. */
  get bytes(): number {
    return this.#computed.bytes + this.#written.bytes;
  }

  /** A tensor whose content is undefined: whatever the previous step left there. */
  take(shape: readonly number[], dtype: Dtype = 'f32'): Tensor {
    return this.#computed.take(shape, dtype);
  }

  /** A tensor with the given integers. The write happens now, not in command order: callers reset only between runs. */
  integers(values: Int32Array, shape: readonly number[] = [values.length]): Tensor {
    const tensor = this.#written.take(shape, 'i32');
    if (values.length > 0) this.#memory.write(tensor, values);
    return tensor;
  }

  /** A tensor with the given floats, written now. */
  floats(values: Float32Array, shape: readonly number[] = [values.length]): Tensor {
    const tensor = this.#written.take(shape, 'f32');
    if (values.length > 0) this.#memory.write(tensor, values);
    return tensor;
  }

  mark(): Mark {
    return this.#computed.mark();
  }

  /**
   * Tensors taken since `mark` are dead, for commands that are recorded from here on: those recorded before still run
   * first. What was written stays.
   */
  rewind(mark: Mark): void {
    this.#computed.rewind(mark);
  }

  /** Every tensor taken or written since the last reset is dead from here on. */
  reset(): void {
    this.#computed.rewind(start);
    this.#written.rewind(start);
  }

  [Symbol.dispose](): void {
    this.#computed[Symbol.dispose]();
    this.#written[Symbol.dispose]();
  }
}

const start: Mark = [];

interface Block {
  readonly handle: number;
  readonly elements: number;
  used: number;
}

/**
 * Blocks that are filled at the same time: a large tensor leaves no gap that smaller ones could not fill. The same tensors in the
 * same order lie in the same places again, so nothing is allocated for them.
 */
class Stack {
  readonly #memory: NativeMemory;
  readonly #blocks: Block[] = [];
  readonly #blockElements: number;

  constructor(memory: NativeMemory, blockBytes: number) {
    this.#memory = memory;
    this.#blockElements = Math.ceil(blockBytes / 4);
  }

  get bytes(): number {
    return this.#blocks.reduce((sum, block) => sum + block.elements * 4, 0);
  }

  take(shape: readonly number[], dtype: Dtype): Tensor {
    let length = 1;
    for (const n of shape) length *= n;
    const block = this.#roomFor(length);
    const tensor = new Tensor(block.handle, block.used, shape, dtype);
    block.used += Math.ceil(length / alignment) * alignment;
    return tensor;
  }

  mark(): Mark {
    return this.#blocks.map(({ used }) => used);
  }

  rewind(mark: Mark): void {
    for (const [i, block] of this.#blocks.entries()) block.used = mark[i] ?? 0;
  }

  [Symbol.dispose](): void {
    for (const block of this.#blocks) this.#memory.free(block.handle);
    this.#blocks.length = 0;
  }

  #roomFor(length: number): Block {
    const known = this.#blocks.find((block) => block.used + length <= block.elements);
    if (known) return known;
    const elements = Math.max(this.#blockElements, Math.ceil(length / alignment) * alignment);
    const block = { handle: this.#memory.allocate(elements * 4), elements, used: 0 };
    this.#blocks.push(block);
    return block;
  }
}
