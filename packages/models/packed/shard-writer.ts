// One shard of packed weights, written as it is made.
//
// Owns the bytes of a shard: a safetensors file whose tensors are the run-time forms, each at a multiple of 64 bytes, so that
// mapping it is loading it. A stretch of rows is decoded, packed and written before the next is touched: memory holds that
// stretch, however large a weight or the shard is. Invariant: the same weights make the same bytes, wherever it was stopped.

import { safetensorsHeader, type TensorSource } from '@hadal/formats/safetensors';
import type { StoredWeights } from '@hadal/formats/stored-weights';
import type { Device } from '@hadal/kernels/device';
import type { Ref } from '@hadal/kernels/memory';
import { bytesOf, type PackedDtype, PackedMatrix, panelRows } from '@hadal/tensor/packed-matrix';
import { columnsOf } from '../mapped-part.ts';
import { RowPacker } from '../row-packer.ts';
import type { RunTimeWeight } from '../run-time-weights.ts';
import { findParts, readTable } from '../weight-parts.ts';
import { WeightRows } from '../weight-rows.ts';
import { elementsOf, matrixShape } from '../weight-source.ts';

/** A cache line, and what packed matrices are multiples of. */
const alignment = 64;

/** What is written at a time. */
const stretchBytes = 16 * 2 ** 20;

/** A shard's weights in the order in which it holds them: packed ones first, because plain ones end anywhere. */
export function shardOrder(weights: readonly RunTimeWeight[]): RunTimeWeight[] {
  const byForm = Object.groupBy(weights, ({ form }) => form.kind);
  return [...(byForm.packed ?? []), ...(byForm.plain ?? [])];
}

/** Size of the file, for weights in `shardOrder`. */
export function shardBytes(path: string, weights: readonly RunTimeWeight[]): number {
  return headerOf(path, weights).length + weights.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** The bytes of the shard, piece by piece; a piece is overwritten when the next is asked for. */
export async function* shardPieces(
  device: Device,
  stored: StoredWeights,
  path: string,
  weights: readonly RunTimeWeight[],
): AsyncGenerator<Uint8Array> {
  yield headerOf(path, weights);
  using stretch = new Stretch(device);
  for (const weight of weights) {
    const { form, spec } = weight;
    if (form.kind === 'packed') yield* packedPieces(device, stored, stretch, weight, form.dtype);
    else if (form.dtype === 'f32') yield* plainPieces(device, stored, stretch, weight);
    else yield new Uint8Array(readTable(stored, spec).buffer);
  }
}

function headerOf(path: string, weights: readonly RunTimeWeight[]): Uint8Array {
  return safetensorsHeader(path, weights.map(sourceOf), {}, alignment);
}

/** Packed bytes have no shape that others would understand; packed.json has the weight's. */
function sourceOf({ name, form, spec, bytes }: RunTimeWeight): Omit<TensorSource, 'data'> {
  if (form.kind === 'packed') return { name, dtype: 'U8', shape: [bytes] };
  return { name, dtype: form.dtype === 'f32' ? 'F32' : 'I32', shape: spec.shape };
}

function* packedPieces(
  device: Device,
  stored: StoredWeights,
  stretch: Stretch,
  { spec }: RunTimeWeight,
  dtype: PackedDtype,
): Generator<Uint8Array> {
  const { count, N, K } = matrixShape(spec);
  const panels = Math.max(1, Math.floor(stretchBytes / bytesOf(panelRows, K, dtype)));
  using packer = new RowPacker(device);
  using rows = new WeightRows(device, findParts(stored, spec));
  for (let matrix = 0; matrix < count; matrix++) {
    for (let row = 0; row < N; row += panels * panelRows) {
      const taken = Math.min(panels * panelRows, N - row);
      const bytes = bytesOf(taken, K, dtype);
      const piece = new PackedMatrix(stretch.take(bytes), { count: 1, N: taken, K, dtype });
      packer.pack(rows, piece, { matrix: 0, row: 0, rows: taken });
      yield stretch.read(bytes);
    }
  }
}

function* plainPieces(
  device: Device,
  stored: StoredWeights,
  stretch: Stretch,
  { spec }: RunTimeWeight,
): Generator<Uint8Array> {
  const columns = columnsOf(spec.shape);
  const total = elementsOf(spec) / columns;
  const atOnce = Math.max(1, Math.floor(stretchBytes / (columns * 4)));
  using rows = new WeightRows(device, findParts(stored, spec));
  for (let row = 0; row < total; row += atOnce) {
    const taken = Math.min(atOnce, total - row);
    const bytes = taken * columns * 4;
    rows.decode(taken, columns, stretch.take(bytes));
    rows.run();
    yield stretch.read(bytes);
  }
}

/** The native memory that a piece is made in, and the array that it leaves by. */
class Stretch implements Disposable {
  readonly #device: Device;
  #ref: Ref = { handle: 0, offset: 0, length: 0 };
  #array = new Uint8Array(0);

  constructor(device: Device) {
    this.#device = device;
  }

  /** At least `bytes`, in units of four. */
  take(bytes: number): Ref {
    if (this.#array.length < bytes) {
      this[Symbol.dispose]();
      this.#ref = { handle: this.#device.memory.allocate(bytes), offset: 0, length: bytes / 4 };
      this.#array = new Uint8Array(bytes);
    }
    return this.#ref;
  }

  read(bytes: number): Uint8Array {
    const piece = this.#array.subarray(0, bytes);
    this.#device.memory.read({ handle: this.#ref.handle, offset: 0, length: bytes }, piece);
    return piece;
  }

  [Symbol.dispose](): void {
    if (this.#array.length > 0) this.#device.memory.free(this.#ref.handle);
    this.#array = new Uint8Array(0);
  }
}
