// A writer of GGUF files, for tests that need one with something special or something wrong about it.
//
// Owns the layout of version 3: header, metadata, tensor descriptions, aligned data. Lets every mistake pass, for that is
// what it is used for. Never used outside tests.

import { writeFileSync } from 'node:fs';

/** A whole number is written as u32, another as f32, a list of numbers as i32s. */
export type GgufValue = string | number | boolean | readonly string[] | readonly number[];

export interface GgufTensorSource {
  readonly name: string;
  /** ggml's number of the type: 0 is F32, 1 F16. */
  readonly type: number;
  /** Outermost axis first. */
  readonly shape: readonly number[];
  readonly data: Uint8Array;
  /** Where it says that it lies, from the beginning of the data; where it does lie when absent. */
  readonly offset?: number;
}

export interface GgufSource {
  readonly metadata?: Readonly<Record<string, GgufValue>>;
  readonly tensors?: readonly GgufTensorSource[];
}

const alignment = 32;
const valueTypes = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const;

export function writeGguf(path: string, { metadata = {}, tensors = [] }: GgufSource): void {
  const parts: Buffer[] = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(Object.keys(metadata).length)];
  for (const [key, value] of Object.entries(metadata)) parts.push(text(key), Buffer.concat(encodeValue(value)));
  let at = 0;
  for (const { name, type, shape, data, offset } of tensors) {
    parts.push(text(name), u32(shape.length), ...shape.toReversed().map(u64), u32(type), u64(offset ?? at));
    at += padded(data.length);
  }
  const header = Buffer.concat(parts);
  const chunks = [header, Buffer.alloc(padded(header.length) - header.length)];
  for (const { data } of tensors) chunks.push(Buffer.from(data), Buffer.alloc(padded(data.length) - data.length));
  writeFileSync(path, Buffer.concat(chunks));
}

function encodeValue(value: GgufValue): Buffer[] {
  if (typeof value === 'string') return [u32(valueTypes.string), text(value)];
  if (typeof value === 'boolean') return [u32(valueTypes.bool), Buffer.of(value ? 1 : 0)];
  if (typeof value === 'number') {
    return Number.isInteger(value) ? [u32(valueTypes.u32), u32(value)] : [u32(valueTypes.f32), f32(value)];
  }
  const head = (type: number) => [u32(valueTypes.array), u32(type), u64(value.length)];
  return value.every((item) => typeof item === 'string')
    ? [...head(valueTypes.string), ...value.map(text)]
    : [...head(valueTypes.i32), ...(value as readonly number[]).map(u32)];
}

function padded(length: number): number {
  return Math.ceil(length / alignment) * alignment;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
}

function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
}

function u64(value: number): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt(value));
  return buffer;
}

function f32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeFloatLE(value);
  return buffer;
}
