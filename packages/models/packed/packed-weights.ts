// Weights that were packed ahead of time: a directory that `hadal convert` wrote, mapped.
//
// Owns the mappings of a directory's shards. There is nothing to load: a weight is a place in a file, which the system reads
// when it is first used and may drop when memory is short. Invariant: what is handed out has the name, the form and the shape
// that was asked for, so a directory of another dtype or another form of attention cannot be misread.

import { statSync } from 'node:fs';
import { join } from 'node:path';
import { openSafetensors, type TensorEntry } from '@hadal/formats/safetensors';
import type { Device } from '@hadal/kernels/device';
import type { Ref } from '@hadal/kernels/memory';
import { PackedMatrix } from '@hadal/tensor/packed-matrix';
import { Tensor } from '@hadal/tensor/tensor';
import { type RunTimeWeight, runTimeWeight } from '../run-time-weights.ts';
import { elementsOf, matrixShape, type WeightRequest, type WeightSource, type WeightSpec } from '../weight-source.ts';
import { holdsName, type Manifest, manifestName } from './manifest.ts';

export class PackedWeights implements WeightSource {
  readonly #device: Device;
  readonly #directory: string;
  readonly #manifest: Manifest;
  readonly #experts: 'resident' | 'paged';
  readonly #entries = new Map<string, TensorEntry>();
  /** Mapped shards by path. */
  readonly #mapped = new Map<string, number>();
  readonly #handles: number[] = [];

  /**
   * `experts`: read in at once, without waiting, as everything else is; or when they are chosen, for a model larger than
   * memory. Throws one line when a shard is missing or has another size than it was written with.
   */
  constructor(device: Device, directory: string, manifest: Manifest, experts: 'resident' | 'paged') {
    this.#device = device;
    this.#directory = directory;
    this.#manifest = manifest;
    this.#experts = experts;
    for (const { file, bytes } of manifest.shards) {
      const path = join(directory, file);
      const { tensors } = openSafetensors(path);
      const { size } = statSync(path);
      if (size !== bytes) throw new Error(`${path}: expected ${bytes} bytes from ${manifestName}, file has ${size}`);
      for (const [name, entry] of tensors) this.#entries.set(name, entry);
    }
  }

  matrix(spec: WeightSpec): PackedMatrix {
    const { form, place } = this.#find({ spec, as: 'matrix' });
    if (form.kind !== 'packed') throw new Error(`${spec.parts[0]?.name}: expected a packed form`);
    return new PackedMatrix(place, { ...matrixShape(spec), dtype: form.dtype });
  }

  tensor(spec: WeightSpec): Tensor {
    const { form, place } = this.#find({ spec, as: 'tensor' });
    if (form.kind !== 'plain') throw new Error(`${spec.parts[0]?.name}: expected a plain form`);
    return new Tensor(place.handle, place.offset, spec.shape, form.dtype);
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
    return holdsName(this.#manifest, name);
  }

  [Symbol.dispose](): void {
    for (const handle of [...this.#mapped.values(), ...this.#handles.splice(0)]) this.#device.memory.free(handle);
    this.#mapped.clear();
  }

  /** The weight that answers `request` and where it lies, in units of four bytes. */
  #find(request: WeightRequest): RunTimeWeight & { readonly place: Ref } {
    const { dtype, attention } = this.#manifest;
    const weight = runTimeWeight(request, dtype);
    const { spec, name, bytes } = weight;
    const shape = this.#manifest.tensors[name];
    const entry = this.#entries.get(name);
    const where = `${join(this.#directory, manifestName)}: ${name}`;
    if (!shape || !entry) {
      throw new Error(`${where}: expected from config, absent (converted to ${dtype}, ${attention} attention)`);
    }
    const expected = `[${spec.shape.join(', ')}] in ${bytes} bytes`;
    const found = `[${shape.join(', ')}] in ${entry.end - entry.begin}`;
    if (shape.join() !== spec.shape.join() || entry.end - entry.begin !== bytes) {
      throw new Error(`${where}: expected ${expected} from config, found ${found}`);
    }
    const handle = this.#map(entry.path);
    if (this.#experts === 'resident' || spec.kind !== 'experts') {
      this.#device.memory.prefetch({ handle, offset: entry.begin, length: bytes });
    }
    return { ...weight, place: { handle, offset: entry.begin / 4, length: bytes / 4 } };
  }

  #map(path: string): number {
    const known = this.#mapped.get(path);
    if (known !== undefined) return known;
    const handle = this.#device.memory.mapFile(path, 0, statSync(path).size);
    this.#mapped.set(path, handle);
    return handle;
  }

  #allocate(shape: readonly number[], dtype: 'f32' | 'i32'): Tensor {
    const handle = this.#device.memory.allocate(elementsOf({ shape }) * 4);
    this.#handles.push(handle);
    return new Tensor(handle, 0, shape, dtype);
  }
}
