// Weights that can be trained.
//
// Owns every weight and its gradient, each in one native block, so that clearing, measuring and updating them are single
// passes over memory. Knows the checkpoint names of what it holds and nothing of how it is trained. Values are float32
// whatever the file they came from or go to.

import { float32ToBf16 } from '@hadal/formats/float16';
import type { TensorSource } from '@hadal/formats/safetensors';
import type { StoredWeights } from '@hadal/formats/stored-weights';
import type { Device } from '@hadal/kernels/device';
import { Tensor } from '@hadal/tensor/tensor';
import { readParts } from './weight-parts.ts';
import { dtypeOf, elementsOf, partRange, specKey, type WeightSource, type WeightSpec } from './weight-source.ts';

export interface Parameter {
  readonly spec: WeightSpec;
  readonly value: Tensor;
}

/** A tensor as a checkpoint names and shapes it. */
export interface CheckpointTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly read: () => Float32Array<ArrayBuffer>;
}

export class ParameterSet implements WeightSource {
  readonly parameters: readonly Parameter[];
  /** All gradients as one tensor. */
  readonly gradients: Tensor;
  readonly #device: Device;
  /** What is neither trained nor saved: expert counters and constants. */
  readonly #others: Tensor[] = [];
  readonly #values: number;
  readonly #byKey = new Map<string, Parameter>();

  /** `frozen`: weights without gradients, which `gradients` then has none of. */
  constructor(device: Device, specs: readonly WeightSpec[], kind: 'trained' | 'frozen' = 'trained') {
    this.#device = device;
    const lengths = specs.map(elementsOf);
    const total = lengths.reduce((sum, n) => sum + align(n), 0);
    this.#values = device.memory.allocate(total * 4);
    const gradients = kind === 'trained' ? total : 0;
    this.gradients = new Tensor(device.memory.allocate(gradients * 4), 0, [gradients]);
    let offset = 0;
    this.parameters = specs.map((spec, i) => {
      const value = new Tensor(this.#values, offset, spec.shape, dtypeOf(spec));
      if (kind === 'trained' && spec.kind !== 'routerBias' && spec.kind !== 'table') {
        value.grad = new Tensor(this.gradients.handle, offset, spec.shape);
        value.needsGrad = true;
      }
      offset += align(lengths[i] as number);
      const parameter = { spec, value };
      this.#byKey.set(specKey(spec), parameter);
      return parameter;
    });
  }

  matrix(spec: WeightSpec): Tensor {
    return this.tensor(spec);
  }

  tensor(spec: WeightSpec): Tensor {
    const parameter = this.#byKey.get(specKey(spec));
    if (!parameter) throw new Error(`${specKey(spec)}: not among the parameters`);
    return parameter.value;
  }

  counter(experts: number): Tensor {
    const counter = new Tensor(this.#device.memory.allocate(experts * 4), 0, [experts], 'i32');
    this.#others.push(counter);
    return counter;
  }

  constant(shape: readonly number[], values: () => Float32Array): Tensor {
    const tensor = new Tensor(this.#device.memory.allocate(elementsOf({ shape }) * 4), 0, shape);
    this.#others.push(tensor);
    this.#device.memory.write(tensor, values());
    return tensor;
  }

  has(name: string): boolean {
    return this.parameters.some(({ spec }) => spec.parts.some((part) => part.name === name));
  }

  /** How many numbers there are to train, padding aside. */
  get count(): number {
    return this.parameters.reduce((sum, { value }) => sum + value.length, 0);
  }

  /** Takes every value from a checkpoint. */
  load(weights: StoredWeights): void {
    for (const { spec, value } of this.parameters) {
      let { offset } = value;
      for (const values of readParts(weights, spec)) {
        this.#device.memory.write({ handle: value.handle, offset, length: values.length }, values);
        offset += values.length;
      }
    }
  }

  /** Takes every value from another set, which has at least these weights. */
  copyFrom(other: ParameterSet): void {
    for (const { spec, value } of this.parameters) {
      const values = new Float32Array(value.length);
      this.#device.memory.read(other.tensor(spec), values);
      this.#device.memory.write(value, values);
    }
  }

  /** The values as checkpoint tensors, ready to be written. */
  tensors(dtype: 'F32' | 'BF16'): TensorSource[] {
    return this.#checkpointTensors(({ value }) => value).map(({ name, shape, read }) => {
      // The router's bias decides by small differences: it stays float32, as in the released checkpoints.
      const own = name.endsWith('e_score_correction_bias') ? 'F32' : dtype;
      const data = () => {
        const values = read();
        return new Uint8Array(own === 'F32' ? values.buffer : float32ToBf16(values).buffer);
      };
      return { name, shape, dtype: own, data };
    });
  }

  /** The gradients under the checkpoint names of their weights. */
  gradientTensors(): CheckpointTensor[] {
    return this.#checkpointTensors(({ value }) => value.grad);
  }

  /** Parts cut out of fused weights, and slices of one checkpoint tensor joined again. */
  #checkpointTensors(of: (parameter: Parameter) => Tensor | undefined): CheckpointTensor[] {
    const found = new Map<string, { shape: readonly number[]; slices: { begin: number; from: Tensor }[] }>();
    for (const parameter of this.parameters) {
      const tensor = of(parameter);
      if (!tensor) continue;
      let offset = tensor.offset;
      for (const part of parameter.spec.parts) {
        const { begin, end } = partRange(part);
        const known = found.get(part.name) ?? { shape: part.shape, slices: [] };
        known.slices.push({ begin, from: new Tensor(tensor.handle, offset, [end - begin]) });
        found.set(part.name, known);
        offset += end - begin;
      }
    }
    return [...found].map(([name, { shape, slices }]) => ({
      name,
      shape,
      read: () => {
        const values = new Float32Array(shape.reduce((product, n) => product * n, 1));
        for (const { begin, from } of slices)
          this.#device.memory.read(from, values.subarray(begin, begin + from.length));
        return values;
      },
    }));
  }

  [Symbol.dispose](): void {
    for (const { handle } of this.#others.splice(0)) this.#device.memory.free(handle);
    this.#device.memory.free(this.#values);
    this.#device.memory.free(this.gradients.handle);
  }
}

/** Sixteen floats, a cache line: so that every weight starts where a vector load does not cross one. */
function align(elements: number): number {
  return Math.ceil(elements / 16) * 16;
}
