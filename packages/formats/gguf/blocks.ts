// The block formats of GGUF: integers of two to eight bits under scales that a block of them shares.
//
// Owns what the bytes of a block mean, for the formats that llama.cpp calls Q4_0 to Q6_K. Knows nothing of files and of
// names. What is computed here is the definition that any faster decoder must match in bits: every product and every
// difference is rounded to float32, in the order in which ggml's own reference takes them.

/** `values` in a block of `bytes`; `decode` writes those of the block that begins at byte `at` to `out` from `o` on. */
interface BlockFormat {
  readonly values: number;
  readonly bytes: number;
  readonly decode: (data: Uint8Array, at: number, out: Float32Array, o: number) => void;
}

/** Values in a block of the K formats, which have scales of their own for each 16 or 32 of them. */
const superBlock = 256;

export const blockFormats = {
  Q4_0: { values: 32, bytes: 18, decode: decodeQ4_0 },
  Q4_1: { values: 32, bytes: 20, decode: decodeQ4_1 },
  Q5_0: { values: 32, bytes: 22, decode: decodeQ5_0 },
  Q5_1: { values: 32, bytes: 24, decode: decodeQ5_1 },
  Q8_0: { values: 32, bytes: 34, decode: decodeQ8_0 },
  Q2_K: { values: superBlock, bytes: 84, decode: decodeQ2_K },
  Q3_K: { values: superBlock, bytes: 110, decode: decodeQ3_K },
  Q4_K: { values: superBlock, bytes: 144, decode: decodeQ4_K },
  Q5_K: { values: superBlock, bytes: 176, decode: decodeQ5_K },
  Q6_K: { values: superBlock, bytes: 210, decode: decodeQ6_K },
} as const satisfies Readonly<Record<string, BlockFormat>>;

export type BlockType = keyof typeof blockFormats;

export function isBlockType(name: string): name is BlockType {
  return Object.hasOwn(blockFormats, name);
}

/** The values of whole blocks, in float32. */
export function decodeBlocks(type: BlockType, data: Uint8Array): Float32Array<ArrayBuffer> {
  const { values, bytes, decode } = blockFormats[type] as BlockFormat;
  if (data.length % bytes !== 0) {
    throw new Error(`${type}: expected whole blocks of ${bytes} bytes, got ${data.length}`);
  }
  const out = new Float32Array((data.length / bytes) * values);
  for (let at = 0, o = 0; at < data.length; at += bytes, o += values) decode(data, at, out, o);
  return out;
}

/** The value of each pattern of binary16. */
const halfValues = new Float32Array(new Float16Array(Uint16Array.from({ length: 65536 }, (_, bits) => bits).buffer));

function half(data: Uint8Array, at: number): number {
  return halfValues[data[at]! | (data[at + 1]! << 8)]!;
}

/** Two's complement. */
function signed(byte: number): number {
  return (byte << 24) >> 24;
}

/** Scale; 32 nibbles, less 8: values 0 to 15 in the low ones. */
function decodeQ4_0(data: Uint8Array, at: number, out: Float32Array, o: number): void {
  const d = half(data, at);
  for (let i = 0; i < 16; i++) {
    const byte = data[at + 2 + i]!;
    out[o + i] = d * ((byte & 15) - 8);
    out[o + 16 + i] = d * ((byte >> 4) - 8);
  }
}

/** Scale, minimum; 32 nibbles as in Q4_0. */
function decodeQ4_1(data: Uint8Array, at: number, out: Float32Array, o: number): void {
  const [d, m] = [half(data, at), half(data, at + 2)];
  for (let i = 0; i < 16; i++) {
    const byte = data[at + 4 + i]!;
    out[o + i] = Math.fround(d * (byte & 15)) + m;
    out[o + 16 + i] = Math.fround(d * (byte >> 4)) + m;
  }
}

/** Scale; 32 fifth bits; 32 nibbles as in Q4_0; less 16. */
function decodeQ5_0(data: Uint8Array, at: number, out: Float32Array, o: number): void {
  const d = half(data, at);
  for (let i = 0; i < 32; i++) out[o + i] = d * (fiveBits(data, at + 2, at + 6, i) - 16);
}

/** Scale, minimum; fifth bits and nibbles as in Q5_0. */
function decodeQ5_1(data: Uint8Array, at: number, out: Float32Array, o: number): void {
  const [d, m] = [half(data, at), half(data, at + 2)];
  for (let i = 0; i < 32; i++) out[o + i] = Math.fround(d * fiveBits(data, at + 4, at + 8, i)) + m;
}

function fiveBits(data: Uint8Array, high: number, low: number, i: number): number {
  const fifth = (data[high + (i >> 3)]! >> (i & 7)) & 1;
  const nibble = (data[low + (i & 15)]! >> (i < 16 ? 0 : 4)) & 15;
  return nibble | (fifth << 4);
}

/** Scale; 32 signed bytes. */
function decodeQ8_0(data: Uint8Array, at: number, out: Float32Array, o: number): void {
  const d = half(data, at);
  for (let i = 0; i < 32; i++) out[o + i] = d * signed(data[at + 2 + i]!);
}

/** For each 16 values a byte of scale (low) and minimum (high); two bits a value; the scales' scale, the minima's. */
function decodeQ2_K(data: Uint8Array, at: number, out: Float32Array, o: number): void {
  const [d, m] = [half(data, at + 80), half(data, at + 82)];
  for (let i = 0; i < superBlock; i++) {
    const scale = data[at + (i >> 4)]!;
    const q = (data[at + 16 + 32 * (i >> 7) + (i & 31)]! >> (2 * ((i >> 5) & 3))) & 3;
    out[o + i] = Math.fround(Math.fround(d * (scale & 15)) * q) - Math.fround(m * (scale >> 4));
  }
}

/** A third bit a value, 0 where 4 is taken off; two low bits; 16 scales of six bits, less 32; their scale. */
function decodeQ3_K(data: Uint8Array, at: number, out: Float32Array, o: number): void {
  const d = half(data, at + 108);
  const scales = at + 96;
  for (let i = 0; i < superBlock; i++) {
    const block = i >> 4;
    const low = (data[scales + (block & 7)]! >> (block < 8 ? 0 : 4)) & 15;
    const high = (data[scales + 8 + (block & 3)]! >> (2 * (block >> 2))) & 3;
    const q = (data[at + 32 + 32 * (i >> 7) + (i & 31)]! >> (2 * ((i >> 5) & 3))) & 3;
    const isLess = ((data[at + (i & 31)]! >> (i >> 5)) & 1) === 0;
    out[o + i] = Math.fround(d * ((low | (high << 4)) - 32)) * (isLess ? q - 4 : q);
  }
}

/** Scale and minimum; for each 32 values six bits of scale and six of minimum; nibbles, 32 low ones before their high. */
function decodeQ4_K(data: Uint8Array, at: number, out: Float32Array, o: number): void {
  for (let block = 0; block < 8; block++) {
    const { d, m } = scaleAndMinimum(data, at, block);
    const shift = 4 * (block & 1);
    const low = at + 16 + 32 * (block >> 1);
    for (let i = 0; i < 32; i++) out[o + 32 * block + i] = Math.fround(d * ((data[low + i]! >> shift) & 15)) - m;
  }
}

/** As Q4_K, with a fifth bit a value before the nibbles: bit n of byte i belongs to value i of the n-th 32. */
function decodeQ5_K(data: Uint8Array, at: number, out: Float32Array, o: number): void {
  for (let block = 0; block < 8; block++) {
    const { d, m } = scaleAndMinimum(data, at, block);
    const shift = 4 * (block & 1);
    const low = at + 48 + 32 * (block >> 1);
    for (let i = 0; i < 32; i++) {
      const fifth = (data[at + 16 + i]! >> block) & 1;
      out[o + 32 * block + i] = Math.fround(d * (((data[low + i]! >> shift) & 15) | (fifth << 4))) - m;
    }
  }
}

/** Twelve bytes hold eight scales and eight minima: of the last four, the upper two bits stand above the first four. */
function scaleAndMinimum(data: Uint8Array, at: number, block: number): { d: number; m: number } {
  const packed = at + 4;
  const [first, second] = [data[packed + (block & 3)]!, data[packed + 4 + (block & 3)]!];
  const last = data[packed + 8 + (block & 3)]!;
  const scale = block < 4 ? first & 63 : (last & 15) | ((first >> 2) & 48);
  const minimum = block < 4 ? second & 63 : (last >> 4) | ((second >> 2) & 48);
  return { d: Math.fround(half(data, at) * scale), m: Math.fround(half(data, at + 2) * minimum) };
}

/** Four low bits, 64 low nibbles before their high; two upper bits; 16 signed scales; their scale; less 32. */
function decodeQ6_K(data: Uint8Array, at: number, out: Float32Array, o: number): void {
  const d = half(data, at + 208);
  for (let part = 0; part < 8; part++) {
    const low = at + 64 * (part >> 2) + 32 * (part & 1);
    const shift = part & 2 ? 4 : 0;
    const upper = at + 128 + 32 * (part >> 2);
    const upperShift = 2 * (part & 3);
    for (let i = 0; i < 32; i++) {
      const scale = Math.fround(d * signed(data[at + 192 + 2 * part + (i >> 4)]!));
      const q = ((data[low + i]! >> shift) & 15) | (((data[upper + i]! >> upperShift) & 3) << 4);
      out[o + 32 * part + i] = scale * (q - 32);
    }
  }
}
