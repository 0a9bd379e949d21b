// GGUF files of random weights, for llama.cpp to run.
//
// Owns the container (version 3: header, metadata, table of tensors, aligned data) and blocks of the few types that the
// comparison needs. Knows no architecture: names, shapes and metadata are the caller's. Data is written in pieces of a few
// megabytes, the same random ones again and again, so a file larger than memory takes no memory.

import { closeSync, openSync, writeSync } from 'node:fs';

export type BlockType = 'F32' | 'Q4_0' | 'Q8_0' | 'Q6_K';

export type MetadataValue =
  | { readonly type: 'uint32' | 'float32'; readonly value: number }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'strings'; readonly value: readonly string[] };

export interface GgufTensor {
  readonly name: string;
  /** Innermost first, as GGUF has them: [in, out], [in, out, experts]. */
  readonly shape: readonly number[];
  readonly type: BlockType;
  readonly content: Content;
}

/** Every weight 1 (F32 only), or random weights of about this standard deviation. */
export type Content = 'ones' | { readonly deviation: number };

interface Block {
  readonly code: number;
  readonly weights: number;
  readonly bytes: number;
  /** Fills one block whose weights have about the standard deviation `deviation`, from random bytes. */
  readonly fill: (block: Uint8Array, random: () => number, deviation: number) => void;
}

const alignment = 32;
const pieceBytes = 4 * 2 ** 20;
const valueCodes = { uint32: 4, float32: 6, string: 8, strings: 9 } as const;

/** A random byte, read as a signed integer, deviates from 0 by 74; a random nibble by 4.6; six random bits by 18.5. */
const blocks: Readonly<Record<BlockType, Block>> = {
  F32: {
    ...{ code: 0, weights: 1, bytes: 4 },
    fill: (block, random, d) => view(block).setFloat32(0, ((random() - 127.5) * d) / 74, true),
  },
  Q4_0: { code: 2, weights: 32, bytes: 18, fill: (block, random, d) => fillScaled(block, 0, random, d / 4.6) },
  Q8_0: { code: 8, weights: 32, bytes: 34, fill: (block, random, d) => fillScaled(block, 0, random, d / 74) },
  // 128 bytes of low nibbles, 64 of high bits, 16 signed scales, then the scale of the scales.
  Q6_K: {
    ...{ code: 14, weights: 256, bytes: 210 },
    fill: (block, random, d) => fillScaled(block, 208, random, d / (18.5 * 74)),
  },
};

/** Writes the file piece by piece. Throws where a row of a tensor is not a whole number of blocks. */
export function writeRandomGguf(
  path: string,
  metadata: Readonly<Record<string, MetadataValue>>,
  tensors: readonly GgufTensor[],
): void {
  const file = openSync(path, 'w');
  try {
    writeSync(file, header(metadata, tensors));
    const pieces = new Map<string, Uint8Array>();
    for (const tensor of tensors) {
      const key = `${tensor.type} ${JSON.stringify(tensor.content)}`;
      const piece = pieces.get(key) ?? pieceOf(tensor);
      pieces.set(key, piece);
      const bytes = byteLength(tensor);
      for (let left = bytes; left > 0; left -= piece.length) {
        writeSync(file, piece.subarray(0, Math.min(left, piece.length)));
      }
      writeSync(file, new Uint8Array(aligned(bytes) - bytes));
    }
  } finally {
    closeSync(file);
  }
}

/** Bytes of a tensor's data. */
export function byteLength({ name, shape, type }: Pick<GgufTensor, 'name' | 'shape' | 'type'>): number {
  const { weights, bytes } = blocks[type];
  const row = shape[0] ?? 1;
  if (row % weights !== 0)
    throw new Error(`${name}: expected rows of a multiple of ${weights} for ${type}, got ${row}`);
  return (shape.reduce((product, n) => product * n, 1) / weights) * bytes;
}

function header(metadata: Readonly<Record<string, MetadataValue>>, tensors: readonly GgufTensor[]): Uint8Array {
  const parts: Uint8Array[] = [];
  const number = (bytes: number, write: (v: DataView) => void) => {
    const part = new Uint8Array(bytes);
    write(view(part));
    parts.push(part);
  };
  const u32 = (x: number) => number(4, (v) => v.setUint32(0, x, true));
  const u64 = (x: number) => number(8, (v) => v.setBigUint64(0, BigInt(x), true));
  const text = (s: string) => {
    const bytes = new TextEncoder().encode(s);
    u64(bytes.length);
    parts.push(bytes);
  };
  parts.push(new TextEncoder().encode('GGUF'));
  u32(3);
  u64(tensors.length);
  u64(Object.keys(metadata).length);
  const put = (entry: MetadataValue) => {
    switch (entry.type) {
      case 'uint32':
        return u32(entry.value);
      case 'float32':
        return number(4, (v) => v.setFloat32(0, entry.value, true));
      case 'string':
        return text(entry.value);
      case 'strings':
        u32(valueCodes.string);
        u64(entry.value.length);
        return entry.value.forEach(text);
    }
  };
  for (const [key, entry] of Object.entries(metadata)) {
    text(key);
    u32(valueCodes[entry.type]);
    put(entry);
  }
  let offset = 0;
  for (const tensor of tensors) {
    text(tensor.name);
    u32(tensor.shape.length);
    for (const n of tensor.shape) u64(n);
    u32(blocks[tensor.type].code);
    u64(offset);
    offset += aligned(byteLength(tensor));
  }
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const whole = new Uint8Array(aligned(length));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function pieceOf({ type, content }: GgufTensor): Uint8Array {
  const { bytes, fill } = blocks[type];
  if (content === 'ones') return new Uint8Array(new Float32Array(pieceBytes / 4).fill(1).buffer);
  let state = 1;
  // The upper byte of a linear congruential generator (Numerical Recipes' constants).
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state >>> 24;
  };
  const piece = new Uint8Array(Math.floor(pieceBytes / bytes) * bytes);
  for (let at = 0; at < piece.length; at += bytes) fill(piece.subarray(at, at + bytes), random, content.deviation);
  return piece;
}

/** Random bytes with a float16 scale at `scaleAt`. */
function fillScaled(block: Uint8Array, scaleAt: number, random: () => number, scale: number): void {
  for (let i = 0; i < block.length; i++) block[i] = random();
  view(block).setFloat16(scaleAt, scale, true);
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
