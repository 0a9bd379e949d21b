// How close to the processor's arithmetic does attention run, and how close to the memory's bandwidth does decoding, and
// what attention is surrounded by?
//
// Training rows count only the products that causality asks for (2 (dk + dv) operations a visible key forward, 2 (3 dk +
// 2 dv) backward), as a share of the fused multiply-adds that the machine reaches at that moment. Decoding and the small
// kernels count the bytes they must move, as a share of reading. The yardstick is measured before every repetition, and
// the best of each counts.

import { availableParallelism } from 'node:os';
import {
  type AttentionOptions,
  attention,
  attentionBackward,
  documentTables,
  type SequenceTables,
  sequenceTables,
} from '@hadal/kernels/attention';
import { type Device, openDevice } from '@hadal/kernels/device';
import { fill } from '@hadal/kernels/elementwise';
import { measureArithmetic, measureReading } from '@hadal/kernels/machine';
import type { Ref } from '@hadal/kernels/memory';
import { mlaAssemble, mlaAssembleBackward } from '@hadal/kernels/mla';
import { rmsNorm, rmsNormBackward } from '@hadal/kernels/norm';
import { normals, uniforms, upload } from '@hadal/kernels/parity';
import { rope, ropeTable } from '@hadal/kernels/rope';
import { softmax, softmaxBackward } from '@hadal/kernels/softmax';
import { swiglu, swigluBackward } from '@hadal/kernels/swiglu';

interface Row {
  readonly name: string;
  /** What the row is measured against: operations, or bytes moved between processor and memory. */
  readonly work: { readonly operations: number } | { readonly bytes: number };
  readonly record: () => void;
}

const repetitions = 10;
const readingBytes = 128 << 20;

function measure(device: Device, reading: { handle: number; bytes: number }, { name, work, record }: Row): string {
  const isArithmetic = 'operations' in work;
  let [seconds, limit] = [Number.POSITIVE_INFINITY, 0];
  for (let i = 0; i < repetitions; i++) {
    limit = Math.max(limit, isArithmetic ? measureArithmetic(device) : measureReading(device, reading));
    record();
    const started = process.hrtime.bigint();
    device.commands.run();
    seconds = Math.min(seconds, Number(process.hrtime.bigint() - started) * 1e-9);
  }
  const rate = (isArithmetic ? work.operations : work.bytes) / seconds;
  const unit = isArithmetic ? 'GFLOP/s' : 'GB/s';
  const share = `${((100 * rate) / limit).toFixed(0).padStart(4)} %`;
  return `${name.padEnd(60)} ${(seconds * 1e6).toFixed(1).padStart(9)} us ${(rate / 1e9).toFixed(1).padStart(7)} ${unit.padEnd(7)} ${share}`;
}

interface Heads {
  readonly H: number;
  readonly Hkv: number;
  readonly dk: number;
  readonly dv: number;
}

/** Options without gaps between rows; `shared`: values are the first columns of the keys. */
function optionsFor(heads: Heads, S: number, NQ: number, shared = false): AttentionOptions {
  const { H, Hkv, dk, dv } = heads;
  const strides = { qStride: H * dk, kStride: Hkv * dk, vStride: Hkv * (shared ? dk : dv), outStride: H * dv };
  return { ...heads, ...strides, S, NQ, scale: dk ** -0.5 };
}

function trainingRows(device: Device, name: string, lengths: readonly number[], heads: Heads): Row[] {
  const { H, Hkv, dk, dv } = heads;
  const N = lengths.reduce((sum, length) => sum + length, 0);
  const tensor = (width: number, seed: number) => noise(device, N * width, seed);
  const [q, k, v] = [tensor(H * dk, 1), tensor(Hkv * dk, 2), tensor(Hkv * dv, 3)];
  const [out, dOut, lse] = [tensor(H * dv, 4), tensor(H * dv, 5), tensor(H, 6)];
  const [dq, dK, dV] = [tensor(H * dk, 7), tensor(Hkv * dk, 8), tensor(Hkv * dv, 9)];
  const { sequences, blockStarts } = uploadTables(device, documentTables(lengths));
  const o = optionsFor(heads, lengths.length, N);
  const visible = H * lengths.reduce((sum, length) => sum + (length * (length + 1)) / 2, 0);
  const c = device.commands;
  return [
    {
      name: `attention, ${name}`,
      work: { operations: 2 * (dk + dv) * visible },
      record: () => attention(c, q, k, v, out, lse, sequences, blockStarts, o),
    },
    {
      name: `attentionBackward, ${name}`,
      work: { operations: 2 * (3 * dk + 2 * dv) * visible },
      record: () => attentionBackward(c, q, k, v, out, dOut, lse, dq, dK, dV, sequences, blockStarts, o),
    },
  ];
}

/** One query for each of S sequences of `length` keys. */
function decodingRow(device: Device, name: string, S: number, length: number, heads: Heads, shared = false): Row {
  const { H, Hkv, dk, dv } = heads;
  const keyRows = S * length;
  const q = noise(device, S * H * dk);
  const k = noise(device, keyRows * Hkv * dk);
  const v = shared ? k : noise(device, keyRows * Hkv * dv);
  const [out, lse] = [
    upload(device.memory, new Float32Array(S * H * dv)),
    upload(device.memory, new Float32Array(S * H)),
  ];
  const rows = Array.from({ length: S }, (_, s) => ({
    ...{ queryStart: s, queryCount: 1, keyCount: length },
    blockStart: (b: number) => s * length + 64 * b,
  }));
  const { sequences, blockStarts } = uploadTables(device, sequenceTables(rows));
  const o = optionsFor(heads, S, S, shared);
  return {
    name: `attention, decoding ${S} x ${length} keys, ${name}`,
    work: { bytes: 4 * keyRows * Hkv * (shared ? dk : dk + dv) },
    record: () => attention(device.commands, q, k, v, out, lse, sequences, blockStarts, o),
  };
}

/** Standard normal numbers, repeated every 2^16: making them takes longer than the bench. */
function noise(device: Device, length: number, seed = length): Ref {
  const ref = { handle: device.memory.allocate(4 * length), offset: 0, length };
  const some = normals(Math.min(length, 1 << 16), seed);
  for (let offset = 0; offset < length; offset += some.length) {
    const rest = length - offset;
    device.memory.write({ ...ref, offset, length: rest }, some.subarray(0, rest));
  }
  return ref;
}

function uploadTables(device: Device, tables: SequenceTables): { sequences: Ref; blockStarts: Ref } {
  const { sequences, blockStarts } = tables;
  return { sequences: upload(device.memory, sequences), blockStarts: upload(device.memory, blockStarts) };
}

function surroundingRows(device: Device): Row[] {
  const c = device.commands;
  const tensor = (length: number, seed: number) => noise(device, length, seed);
  const [N, D, F, H] = [16_384, 512, 1024, 4];
  const [x, y, dy, w, dw] = [tensor(N * D, 1), tensor(N * D, 2), tensor(N * D, 3), tensor(D, 4), tensor(D, 5)];
  const [gateUp, dGateUp, h] = [tensor(N * 2 * F, 6), tensor(N * 2 * F, 7), tensor(N * F, 8)];
  const mla = { N, H, nope: 32, rope: 32, vDim: 64, kPeStride: 32 };
  const [kv, k, v] = [tensor(N * H * 96, 9), tensor(N * H * 64, 10), tensor(N * H * 64, 11)];
  const kPe = tensor(N * 32, 12);
  const table = ropeTable({ dim: 64, theta: 10_000, maxPositions: 2048 });
  const [cos, sin] = [upload(device.memory, table.cos), upload(device.memory, table.sin)];
  const positions = upload(
    device.memory,
    Int32Array.from({ length: N }, (_, n) => n % 2048),
  );
  const strides = { xRowStride: D, xHeadStride: 64, yRowStride: D, yHeadStride: 64 };
  const rotation = { N, H: D / 64, ropeDim: 64, ...strides, inverse: false } as const;
  const rows = { rows: N, cols: D };
  // A tensor that is written but not read counts twice: a processor fetches a line before it changes part of it.
  const bytes = (read: number, written: number) => ({ bytes: 4 * (read + 2 * written) });
  const heads = { kv: N * H * 96, k: N * H * 64, v: N * H * 64, kPe: N * 32 };
  return [
    {
      name: 'rmsNorm [16384, 512]',
      work: bytes(N * D, N * D),
      record: () => rmsNorm(c, x, w, y, { N, D, eps: 1e-6 }),
    },
    {
      name: 'rmsNormBackward [16384, 512]',
      work: bytes(2 * N * D, N * D),
      record: () => rmsNormBackward(c, x, w, dy, y, dw, { N, D, eps: 1e-6 }),
    },
    {
      name: 'rope, interleaved [16384, 8, 64]',
      work: bytes(N * D, N * D),
      record: () => rope(c, x, y, cos, sin, positions, { ...rotation, style: 'interleaved' }),
    },
    {
      name: 'rope, half [16384, 8, 64]',
      work: bytes(N * D, N * D),
      record: () => rope(c, x, y, cos, sin, positions, { ...rotation, style: 'half' }),
    },
    {
      name: 'swiglu [16384, 2 x 1024]',
      work: bytes(2 * N * F, N * F),
      record: () => swiglu(c, gateUp, h, { N, F }),
    },
    {
      name: 'swigluBackward [16384, 2 x 1024]',
      work: bytes(3 * N * F, 2 * N * F),
      record: () => swigluBackward(c, gateUp, h, dGateUp, { N, F }),
    },
    { name: 'softmax [16384, 512]', work: bytes(N * D, N * D), record: () => softmax(c, x, y, rows) },
    {
      name: 'softmaxBackward [16384, 512]',
      work: bytes(2 * N * D, N * D),
      record: () => softmaxBackward(c, x, dy, y, rows),
    },
    {
      name: 'mlaAssemble [16384, 4, 32 + 32 | 64]',
      work: bytes(heads.kv + heads.kPe, heads.k + heads.v),
      record: () => mlaAssemble(c, kv, kPe, k, v, mla),
    },
    {
      name: 'mlaAssembleBackward [16384, 4, 32 + 32 | 64]',
      work: bytes(heads.k + heads.v, heads.kv + heads.kPe),
      record: () => mlaAssembleBackward(c, k, v, kv, kPe, mla),
    },
  ];
}

/** Documents of 50 to 1500 tokens, most of them short, some 8,192 rows in all. */
function raggedLengths(): number[] {
  const next = uniforms(1);
  const lengths: number[] = [];
  for (let rest = 8192; rest > 50; rest -= lengths.at(-1)!) {
    lengths.push(Math.min(rest, Math.floor(50 * 30 ** (next() * next()))));
  }
  return lengths;
}

for (const threads of new Set([1, availableParallelism()])) {
  using device = openDevice({ threads });
  const reading = { handle: device.memory.allocate(readingBytes), bytes: readingBytes };
  fill(device.commands, { handle: reading.handle, offset: 0, length: readingBytes / 4 }, 1);
  device.commands.run();
  console.log(`\n${device.isa}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`);
  const small = { H: 4, Hkv: 4, dk: 64, dv: 64 };
  const rows = [
    ...trainingRows(device, '16 x 512 tokens, 4 heads of 64', Array<number>(16).fill(512), small),
    ...trainingRows(device, '8192 tokens in documents, 4 heads of 64', raggedLengths(), small),
    ...trainingRows(device, '1 x 4096 tokens, 4 heads of 64', [4096], small),
    ...trainingRows(device, '4 x 512 tokens, 4 heads of 192 | 128', Array<number>(4).fill(512), {
      ...small,
      dk: 192,
      dv: 128,
    }),
    decodingRow(device, '4 heads of 64', 1, 2048, small),
    decodingRow(device, '4 heads of 64', 16, 2048, small),
    decodingRow(device, '12 | 2 heads of 128', 1, 8192, { H: 12, Hkv: 2, dk: 128, dv: 128 }),
    decodingRow(device, '16 heads of 576 | 512 absorbed', 1, 8192, { H: 16, Hkv: 1, dk: 576, dv: 512 }, true),
    ...surroundingRows(device),
  ];
  for (const row of rows) console.log(measure(device, reading, row));
}
