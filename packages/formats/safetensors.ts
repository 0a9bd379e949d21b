// Safetensors files: named tensors in one file, or in several under an index.
//
// Owns the byte layout and every check of it; whoever reads a tensor here, or maps the file and uses `begin` and `end`,
// may trust that the range lies inside the file, has the size that dtype and shape ask for, and is shared with no other
// tensor. Knows nothing about models. A written file appears whole or not at all.

import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type FileVersion, fileVersion, readFileRange, readRange } from './file-range.ts';
import { floatsOf } from './float16.ts';
import { replaceFileInParts } from './replace-file.ts';

/** Bits of one element, for each dtype that the format names. */
const dtypeBits = {
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  BOOL: 8,
  U8: 8,
  I8: 8,
  F8_E4M3: 8,
  F8_E5M2: 8,
  F8_E8M0: 8,
  U16: 16,
  I16: 16,
  F16: 16,
  BF16: 16,
  U32: 32,
  I32: 32,
  F32: 32,
  U64: 64,
  I64: 64,
  F64: 64,
  C64: 64,
} as const;

export type Dtype = keyof typeof dtypeBits;

/** Where a tensor lies: bytes `begin` to `end` (exclusive, from the start of the file) of the file at `path`. */
export interface TensorEntry {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
  readonly path: string;
}

/** The tensors of one file or of one sharded checkpoint. Holds no file open; each read opens the file anew. */
export interface Safetensors {
  readonly path: string;
  /** In file order; of a sharded checkpoint, file after file. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
  /** The tensor's bytes, or a range of them, little-endian and row-major, in memory of their own. */
  read(name: string, range?: readonly [begin: number, end: number]): Uint8Array<ArrayBuffer>;
  /** The tensor's values, for F32, F16 and BF16. */
  readFloat32(name: string): Float32Array<ArrayBuffer>;
}

/** A tensor to be written. A function yields its bytes only when their turn comes, so that memory holds one tensor. */
export interface TensorSource {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: Uint8Array | (() => Uint8Array);
}

/** The reference implementation's limit; a larger length is not a header but some other file's first bytes. */
const maxHeaderBytes = 100_000_000;
const lengthBytes = 8;

/** Bytes of a tensor; sub-byte elements are packed, so their total must come to whole bytes. */
export function tensorBytes(dtype: Dtype, shape: readonly number[]): number {
  return (shape.reduce((product, extent) => product * extent, 1) * dtypeBits[dtype]) / 8;
}

/** Reads and checks the header of one file. Throws an Error of one line: what was expected, what is there, and where. */
export function openSafetensors(path: string): Safetensors {
  const file = openFile(path);
  try {
    const version = fileVersion(file);
    const { entries, metadata } = readHeader(file, version.size, path);
    return makeSafetensors(path, entries, metadata, new Map([[path, version]]));
  } finally {
    closeSync(file);
  }
}

/**
 * Opens the checkpoint in a directory: `model.safetensors`, or the files that `model.safetensors.index.json` names.
 * Index and files must agree on which file holds which tensor.
 */
export function openSafetensorsDirectory(directory: string): Safetensors {
  const single = join(directory, 'model.safetensors');
  const index = join(directory, 'model.safetensors.index.json');
  if (existsSync(single)) return openSafetensors(single);
  if (existsSync(index)) return openSharded(index);
  throw new Error(`${directory}: expected model.safetensors or model.safetensors.index.json, found neither`);
}

/**
 * Writes a file that the reference implementation would write: tensors by descending element size, then by name, so that
 * every tensor is aligned to its element and equal tensors make equal bytes. The file replaces an older one whole.
 */
export function writeSafetensors(
  path: string,
  tensors: Iterable<TensorSource>,
  metadata: Readonly<Record<string, string>> = {},
): void {
  const sorted = [...tensors].sort(
    (a, b) => dtypeBits[b.dtype] - dtypeBits[a.dtype] || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  );
  replaceFileInParts(path, fileParts(path, sorted, metadata));
}

function* fileParts(
  path: string,
  tensors: readonly TensorSource[],
  metadata: Readonly<Record<string, string>>,
): Iterable<Uint8Array> {
  yield safetensorsHeader(path, tensors, metadata);
  for (const { name, dtype, shape, data } of tensors) {
    const bytes = typeof data === 'function' ? data() : data;
    const expected = tensorBytes(dtype, shape);
    if (bytes.length !== expected) {
      throw new Error(
        `${path}: ${name}: expected ${expected} bytes for ${dtype} ${showShape(shape)}, got ${bytes.length}`,
      );
    }
    yield bytes;
  }
}

/**
 * What stands before the tensors' bytes, which follow in the same order. `alignment`: a multiple of 8 at which they begin.
 * Throws, naming `path`, when names repeat or a tensor has no whole bytes.
 */
export function safetensorsHeader(
  path: string,
  tensors: readonly Omit<TensorSource, 'data'>[],
  metadata: Readonly<Record<string, string>>,
  alignment = 8,
): Uint8Array {
  // Pairs and a Map, not an object literal: an object would put names that look like integers first.
  const members: string[] = [];
  if (Object.keys(metadata).length > 0) members.push(`"__metadata__":${JSON.stringify(metadata)}`);
  const names = new Set<string>();
  let offset = 0;
  for (const { name, dtype, shape } of tensors) {
    if (name === '__metadata__') throw new Error(`${path}: expected tensor names other than ${name}`);
    if (names.has(name)) throw new Error(`${path}: expected distinct tensor names, got ${name} twice`);
    names.add(name);
    const end = offset + tensorBytes(dtype, shape);
    if (!Number.isSafeInteger(end)) {
      throw new Error(`${path}: ${name}: expected whole bytes, ${dtype} ${showShape(shape)} has ${end - offset}`);
    }
    members.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [offset, end] })}`);
    offset = end;
  }
  const json = Buffer.from(`{${members.join(',')}}`);
  // Spaces, so that the data begins aligned.
  const header = Buffer.alloc(Math.ceil((lengthBytes + json.length) / alignment) * alignment, ' ');
  header.writeBigUInt64LE(BigInt(header.length - lengthBytes));
  json.copy(header, lengthBytes);
  return header;
}

function openFile(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new Error(`${path}: expected a safetensors file, found nothing`);
    }
    throw error;
  }
}

interface Header {
  readonly entries: Map<string, TensorEntry>;
  readonly metadata: Record<string, string>;
}

function readHeader(file: number, fileBytes: number, path: string): Header {
  if (fileBytes < lengthBytes) {
    throw new Error(`${path}: expected at least ${lengthBytes} bytes, file has ${fileBytes}`);
  }
  const length = readRange(file, 0, lengthBytes, path);
  const headerBytes = Buffer.from(length.buffer).readBigUInt64LE();
  if (headerBytes > BigInt(maxHeaderBytes)) {
    throw new Error(`${path}: expected a header of at most ${maxHeaderBytes} bytes, bytes 0 to 8 say ${headerBytes}`);
  }
  const dataBegin = lengthBytes + Number(headerBytes);
  if (dataBegin > fileBytes) {
    throw new Error(`${path}: expected a header of ${headerBytes} bytes, file ends after ${fileBytes - lengthBytes}`);
  }
  const json = parseHeader(readRange(file, lengthBytes, dataBegin, path), path);
  const entries = new Map<string, TensorEntry>();
  for (const [name, value] of Object.entries(json)) {
    if (name !== '__metadata__') entries.set(name, parseEntry(name, value, dataBegin, path));
  }
  return { entries: checkCoverage(entries, dataBegin, fileBytes, path), metadata: parseMetadata(json, path) };
}

function parseHeader(bytes: Uint8Array, path: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new Error(`${path}: expected a JSON header in bytes 8 to ${lengthBytes + bytes.length}, ${reason(error)}`);
  }
  if (!isRecord(json)) throw new Error(`${path}: expected a JSON object as header, found ${show(json)}`);
  return json;
}

function parseEntry(name: string, value: unknown, dataBegin: number, path: string): TensorEntry {
  const where = `${path}: ${name}`;
  if (!isRecord(value)) {
    throw new Error(`${where}: expected an object of dtype, shape and data_offsets, found ${show(value)}`);
  }
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string' || !Object.hasOwn(dtypeBits, dtype)) {
    throw new Error(`${where}: expected a dtype of ${Object.keys(dtypeBits).join(', ')}, found ${show(dtype)}`);
  }
  if (!isCounts(shape)) throw new Error(`${where}: expected a shape of non-negative integers, found ${show(shape)}`);
  if (!isCounts(offsets) || offsets.length !== 2) {
    throw new Error(`${where}: expected data_offsets [begin, end], found ${show(offsets)}`);
  }
  const [begin, end] = offsets as [number, number];
  const expected = tensorBytes(dtype as Dtype, shape);
  if (end - begin !== expected) {
    throw new Error(
      `${where}: expected ${expected} bytes for ${dtype} ${showShape(shape)}, ` +
        `data_offsets [${begin}, ${end}] hold ${end - begin}`,
    );
  }
  return { dtype: dtype as Dtype, shape, begin: dataBegin + begin, end: dataBegin + end, path };
}

/** Tensors in file order, having checked that they fill the data without overlap, without holes and to the end. */
function checkCoverage(
  entries: Map<string, TensorEntry>,
  dataBegin: number,
  fileBytes: number,
  path: string,
): Map<string, TensorEntry> {
  const sorted = [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let previous = 'the header';
  let position = dataBegin;
  for (const [name, { begin, end }] of sorted) {
    if (end > fileBytes) {
      throw new Error(`${path}: ${name}: expected bytes ${begin} to ${end}, file has ${fileBytes}`);
    }
    if (begin < position) {
      throw new Error(`${path}: ${name}: begins at byte ${begin}, overlapping ${previous}, which ends at ${position}`);
    }
    if (begin > position) {
      throw new Error(`${path}: ${name}: expected to begin at byte ${position}, after ${previous}, begins at ${begin}`);
    }
    previous = name;
    position = end;
  }
  if (position !== fileBytes) {
    throw new Error(`${path}: expected the file to end at byte ${position}, after ${previous}, it has ${fileBytes}`);
  }
  return new Map(sorted);
}

function parseMetadata(json: Record<string, unknown>, path: string): Record<string, string> {
  const metadata = json.__metadata__ ?? {};
  if (!isRecord(metadata)) {
    throw new Error(`${path}: expected __metadata__ to be an object of strings, found ${show(metadata)}`);
  }
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== 'string') {
      throw new Error(`${path}: expected __metadata__.${key} to be a string, found ${show(value)}`);
    }
  }
  return metadata as Record<string, string>;
}

function openSharded(indexPath: string): Safetensors {
  const weightMap = parseWeightMap(indexPath);
  const entries = new Map<string, TensorEntry>();
  const versions = new Map<string, FileVersion>();
  for (const shard of [...new Set(weightMap.values())].sort()) {
    const path = join(dirname(indexPath), shard);
    const opened = openFile(path);
    try {
      const version = fileVersion(opened);
      for (const [name, entry] of readHeader(opened, version.size, path).entries) {
        const expected = weightMap.get(name);
        if (expected !== shard) {
          throw new Error(`${indexPath}: ${name}: expected in ${expected ?? 'no file'}, found in ${shard}`);
        }
        entries.set(name, entry);
      }
      versions.set(path, version);
    } finally {
      closeSync(opened);
    }
  }
  for (const [name, shard] of weightMap) {
    if (!entries.has(name)) throw new Error(`${indexPath}: ${name}: expected in ${shard}, which does not hold it`);
  }
  return makeSafetensors(indexPath, entries, {}, versions);
}

function parseWeightMap(indexPath: string): Map<string, string> {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(indexPath, 'utf8'));
  } catch (error) {
    throw new Error(`${indexPath}: expected JSON, ${reason(error)}`);
  }
  const map = isRecord(json) ? json.weight_map : undefined;
  if (!isRecord(map)) throw new Error(`${indexPath}: expected weight_map to be an object, found ${show(map)}`);
  const entries = Object.entries(map).map(([name, shard]): [string, string] => {
    // A file name and nothing else: an index must not reach outside its directory.
    if (typeof shard !== 'string' || !/^[^/\\]+\.safetensors$/.test(shard)) {
      throw new Error(`${indexPath}: ${name}: expected the name of a .safetensors file, found ${show(shard)}`);
    }
    return [name, shard];
  });
  return new Map(entries);
}

function makeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, TensorEntry>,
  metadata: Readonly<Record<string, string>>,
  versions: ReadonlyMap<string, FileVersion>,
): Safetensors {
  function entryOf(name: string): TensorEntry {
    const entry = tensors.get(name);
    if (entry === undefined) throw new Error(`${path}: expected a tensor named ${name}, file has none`);
    return entry;
  }

  function read(name: string, range?: readonly [number, number]): Uint8Array<ArrayBuffer> {
    const entry = entryOf(name);
    const bytes = entry.end - entry.begin;
    const [begin, end] = range ?? [0, bytes];
    if (!(begin >= 0 && begin <= end && end <= bytes)) {
      throw new Error(`${entry.path}: ${name}: expected a range within ${bytes} bytes, got ${begin} to ${end}`);
    }
    return readFileRange(entry.path, versions.get(entry.path), [entry.begin + begin, entry.begin + end], name);
  }

  function readFloat32(name: string): Float32Array<ArrayBuffer> {
    const { dtype } = entryOf(name);
    if (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16') {
      throw new Error(`${path}: ${name}: expected F32, F16 or BF16, file has ${dtype}`);
    }
    return floatsOf(read(name), dtype);
  }

  return { path, tensors, metadata, read, readFloat32 };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length <= 60 ? text : `${text.slice(0, 60)}...`;
}

function showShape(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
