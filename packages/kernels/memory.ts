// Native buffers behind integer handles.
//
// Owns the TypeScript side of allocation, file mappings and copies between native memory and typed arrays. Knows no kernel.
// Elements are never visible as views: a tensor can exceed what an ArrayBuffer holds. Invariant: a range that does not lie
// inside a living buffer is refused by the native side before a byte moves.

import type { Addon, NativeDevice } from './addon.ts';

/** A stretch of a native buffer. Offset and length count elements of the kernel's own kind (float32, bfloat16, ...). */
export interface Ref {
  readonly handle: number;
  readonly offset: number;
  readonly length: number;
}

export type Elements = Float32Array | Int32Array | Uint16Array | Uint8Array;

export class NativeMemory {
  readonly #addon: Addon;
  readonly #device: NativeDevice;

  constructor(addon: Addon, device: NativeDevice) {
    this.#addon = addon;
    this.#device = device;
  }

  /** A new buffer of zeros, 64-byte aligned; from 2 MiB on in huge pages. Returns its handle. */
  allocate(bytes: number): number {
    return this.#addon.allocate(this.#device, bytes);
  }

  /** Handles are never reused: one kept after `free` is an error wherever it turns up. */
  free(handle: number): void {
    this.#addon.release(this.#device, handle);
  }

  /**
   * Bytes `begin` to `end` (exclusive) of a file, read only, paged in as they are touched; throws when the file is shorter.
   * Returns the handle. Whoever truncates the file later ends the process: files are replaced by renaming.
   */
  mapFile(path: string, begin: number, end: number): number {
    return this.#addon.mapFile(this.#device, path, begin, end);
  }

  /**
   * Asks the system to read bytes (not elements) of a mapped file in, without waiting for them: a file that is in no cache
   * loads several times as fast as one that is read page fault by page fault.
   */
  prefetch(bytes: Ref): void {
    this.#addon.prefetch(this.#device, bytes.handle, bytes.offset, bytes.length);
  }

  /** Size of a buffer in bytes. */
  size(handle: number): number {
    return this.#addon.size(this.#device, handle);
  }

  /** Fills `into` from the start of `ref`; `ref.offset` counts elements of `into`. */
  read(ref: Ref, into: Elements): void {
    checkLength('read', ref, into);
    this.#addon.read(this.#device, ref.handle, ref.offset, into);
  }

  /** Copies `from` to the start of `ref`; `ref.offset` counts elements of `from`. */
  write(ref: Ref, from: Elements): void {
    checkLength('write', ref, from);
    this.#addon.write(this.#device, ref.handle, ref.offset, from);
  }

  /** `bytesInUse`: of allocated buffers; a mapped file's memory is the system's. */
  stats(): { readonly bytesInUse: number; readonly buffers: number } {
    return { bytesInUse: this.#addon.bytesInUse(this.#device), buffers: this.#addon.buffers(this.#device) };
  }
}

function checkLength(what: string, ref: Ref, array: Elements): void {
  if (array.length > ref.length) {
    throw new Error(`${what}: the array has ${array.length} elements, the tensor ${ref.length}`);
  }
}
