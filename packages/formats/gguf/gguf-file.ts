// GGUF files: metadata and named tensors in one file, or in several that count themselves in their names.
//
// Owns the opening of a file and every check of it: whoever reads a tensor's range may trust that it lies inside the file,
// has the size that type and shape ask for, and is shared with no other tensor. The bytes of the header are read by
// @huggingface/gguf, which takes what lies behind the end of a file for zeros. Knows nothing about models.

import { closeSync, openSync } from 'node:fs';
import { GGMLQuantizationType, gguf, parseGgufShardFilename } from '@huggingface/gguf';
import { type FileVersion, fileVersion, readFileRange } from '../file-range.ts';
import { type BlockType, blockFormats, isBlockType } from './blocks.ts';
import { GgufMetadata } from './metadata.ts';

export type GgufType = 'F32' | 'F16' | 'BF16' | BlockType;

/** Bytes `begin` to `end` (exclusive, from the start of the file) of the file at `path`. */
export interface GgufTensor {
  /** Of the values, outermost axis first: the reverse of how the file has it. */
  readonly shape: readonly number[];
  readonly type: GgufType;
  readonly path: string;
  readonly begin: number;
  readonly end: number;
}

export interface GgufFile {
  /** The file, or the first of several. */
  readonly path: string;
  readonly paths: readonly string[];
  readonly metadata: GgufMetadata;
  has(name: string): boolean;
  /** Throws one line when the tensor is absent or of a type that we cannot decode. */
  find(name: string): GgufTensor;
  /** Bytes `begin` to `end` of a tensor. */
  read(tensor: GgufTensor, begin: number, end: number): Uint8Array<ArrayBuffer>;
}

/** Opens the file, and with one of several files all of them. Throws one line: what was expected, what is there, and where. */
export async function openGguf(path: string): Promise<GgufFile> {
  const paths = filesOf(path);
  const first = paths[0] as string;
  const headers = await Promise.all(paths.map(readHeader));
  const metadata = new GgufMetadata(first, headers[0]?.metadata ?? {});
  const tensors = new Map<string, HeaderTensor>();
  for (const [name, tensor] of headers.flatMap((header) => header.tensors)) {
    const twin = tensors.get(name);
    if (twin !== undefined) throw new Error(`${tensor.path}: ${name}: expected once, ${twin.path} has it too`);
    tensors.set(name, tensor);
  }
  const count = metadata.optionalNumber('split.tensors.count');
  if (paths.length > 1 && count !== undefined && count !== tensors.size) {
    throw new Error(`${first}: expected ${count} tensors in ${paths.length} files, found ${tensors.size}`);
  }

  function find(name: string): GgufTensor {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new Error(`${first}: expected a tensor named ${name}, found none`);
    const { type, ...rest } = tensor;
    if (isType(type)) return { ...rest, type };
    const known = ['F32', 'F16', 'BF16', ...Object.keys(blockFormats)].join(', ');
    throw new Error(`${tensor.path}: ${name}: expected one of the types ${known}; found ${type}`);
  }

  const versions = new Map(headers.map(({ version }, i) => [paths[i] as string, version]));
  return {
    path: first,
    paths,
    metadata,
    has: (name) => tensors.has(name),
    find,
    read: ({ path: file, begin: from }, begin, end) =>
      readFileRange(file, versions.get(file), [from + begin, from + end], `bytes ${begin} to ${end} of a tensor`),
  };
}

/** `name-00001-of-00003.gguf` stands for all three. */
function filesOf(path: string): string[] {
  const shard = parseGgufShardFilename(path);
  if (shard === null) return [path];
  const total = Number(shard.total);
  const files = Array.from({ length: total }, (_, i) => {
    return `${shard.prefix}-${String(i + 1).padStart(5, '0')}-of-${shard.total}.gguf`;
  });
  return files.length === 0 ? [path] : files;
}

/** Of a type that we may not know: an error only when somebody asks for the tensor. */
type HeaderTensor = Omit<GgufTensor, 'type'> & { readonly type: string };

interface Header {
  readonly version: FileVersion;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly tensors: readonly (readonly [name: string, tensor: HeaderTensor])[];
}

async function readHeader(path: string): Promise<Header> {
  const version = versionOf(path);
  const { size } = version;
  const header = await gguf(path, { allowLocalFile: true }).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`${path}: expected a GGUF file, ${reason.replaceAll('\n', ' ')}`);
  });
  if (!header.littleEndian) throw new Error(`${path}: expected a little-endian file, found a big-endian one`);
  const headerBytes = header.tensorInfoByteRange[1];
  if (headerBytes > size) throw new Error(`${path}: expected a header of ${headerBytes} bytes, file has ${size}`);
  const dataBegin = Number(header.tensorDataOffset);
  const tensors = header.tensorInfos.map((info): readonly [string, HeaderTensor] => {
    const shape = info.shape.map(Number).reverse();
    const type = GGMLQuantizationType[info.dtype] ?? `type ${info.dtype}`;
    const begin = dataBegin + Number(info.offset);
    const where = `${path}: ${info.name}`;
    const bytes = isType(type) ? tensorBytes(type, shape, where) : 0;
    if (!Number.isSafeInteger(begin + bytes) || begin + bytes > size) {
      throw new Error(`${where}: expected bytes ${begin} to ${begin + bytes}, file has ${size}`);
    }
    return [info.name, { shape, type, path, begin, end: begin + bytes }];
  });
  checkOverlaps(tensors);
  return { version, metadata: header.metadata as unknown as Record<string, unknown>, tensors };
}

function versionOf(path: string): FileVersion {
  try {
    const file = openSync(path, 'r');
    try {
      return fileVersion(file);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new Error(`${path}: expected a GGUF file, found nothing`);
  }
}

function isType(type: string): type is GgufType {
  return type === 'F32' || type === 'F16' || type === 'BF16' || isBlockType(type);
}

function tensorBytes(type: GgufType, shape: readonly number[], where: string): number {
  const { values, bytes } = isBlockType(type) ? blockFormats[type] : { values: 1, bytes: type === 'F32' ? 4 : 2 };
  const columns = shape.at(-1) ?? 1;
  if (columns % values === 0) return (shape.reduce((product, n) => product * n, 1) / values) * bytes;
  throw new Error(`${where}: expected rows of whole ${type} blocks of ${values} values, found rows of ${columns}`);
}

function checkOverlaps(tensors: Header['tensors']): void {
  let previous: readonly [string, HeaderTensor] | undefined;
  for (const next of tensors.toSorted(([, a], [, b]) => a.begin - b.begin || a.end - b.end)) {
    if (previous && next[1].begin < previous[1].end) {
      const [name, { path, begin }] = next;
      throw new Error(
        `${path}: ${name}: begins at byte ${begin}, inside of ${previous[0]}, which ends at ${previous[1].end}`,
      );
    }
    previous = next;
  }
}
