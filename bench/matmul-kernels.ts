// How close to the processor's arithmetic do matrix products run, how close to the memory's bandwidth the products of a few
// rows, and what does it cost to issue a command?
//
// The yardstick (multiply-adds, or reading the very weights) is measured right before every repetition; a row's share is
// the median of the ratios, so that a moment in which the machine is slow counts on both sides. Products of the shapes
// that training the shipped model consists of come after the square ones.

import { availableParallelism, cpus } from 'node:os';
import type { Commands } from '@hadal/kernels/commands';
import { type Device, openDevice } from '@hadal/kernels/device';
import { add, fill } from '@hadal/kernels/elementwise';
import { measureArithmetic, measureReading } from '@hadal/kernels/machine';
import {
  groupedMatmul,
  groupedMatmulPacked,
  type MatmulShape,
  matmul,
  matmulPacked,
  type PackedDtype,
  packedBytes,
} from '@hadal/kernels/matmul';
import type { Ref } from '@hadal/kernels/memory';
import { rmsNorm } from '@hadal/kernels/norm';

const repetitions = 11;
const minimumMs = 5;

interface Row {
  readonly name: string;
  readonly work: { readonly operations: number } | { readonly reads: Ref };
  readonly record: () => void;
}

const threads = Number(process.argv[2] ?? availableParallelism());
console.log(`${cpus()[0]?.model ?? 'unknown processor'}, ${threads} threads, ${new Date().toISOString()}`);

printRows('products, GFLOP/s and share of multiply-adds', productRows);
printRows('grouped products, 8 experts, 4096 rows', groupedRows);
printRows('products of a few rows, GB/s and share of reading', narrowRows);
printOverhead();

function printRows(title: string, rowsOf: (device: Device) => readonly Row[]): void {
  using device = openDevice({ threads });
  console.log(`\n${device.isa}: ${title}`);
  for (const row of rowsOf(device)) console.log(measure(device, row));
}

function measure(device: Device, { name, work, record }: Row): string {
  const repeat = (times: number) => {
    for (let i = 0; i < times; i++) record();
    const started = process.hrtime.bigint();
    device.commands.run();
    return (Number(process.hrtime.bigint() - started) * 1e-9) / times;
  };
  const amount = 'operations' in work ? work.operations : work.reads.length * 4;
  const times = Math.max(1, Math.ceil((minimumMs * 1e-3) / Math.max(repeat(1), repeat(1))));
  const samples = Array.from({ length: repetitions }, () => {
    const limit =
      'operations' in work
        ? measureArithmetic(device)
        : measureReading(device, { handle: work.reads.handle, bytes: work.reads.length * 4 });
    const rate = amount / repeat(times);
    return { rate, share: rate / limit };
  });
  const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1] ?? 0;
  const rate = median(samples.map((sample) => sample.rate)) / 1e9;
  const share = median(samples.map((sample) => sample.share)) * 100;
  return `${name.padEnd(52)} ${rate.toFixed(1).padStart(8)} ${share.toFixed(1).padStart(7)} %`;
}

function productRows(device: Device): Row[] {
  const product = (name: string, shape: MatmulShape): Row => {
    const { M, N, K } = shape;
    const [a, b, c] = [tensor(device, M * K), tensor(device, N * K), tensor(device, M * N)];
    const text = `${M} x ${N} x ${K} ${shape.transA ? 'T' : 'N'}${shape.transB ? 'T' : 'N'}  ${name}`;
    return {
      name: text,
      work: { operations: 2 * M * N * K },
      record: () => matmul(device.commands, a, b, c, shape),
    };
  };
  const layer = (tokens: number, inputs: number, outputs: number): Row[] => [
    product('forward', { M: tokens, N: outputs, K: inputs, transB: true }),
    product('input gradient', { M: tokens, N: inputs, K: outputs }),
    product('weight gradient', { M: outputs, N: inputs, K: tokens, transA: true, accumulate: true }),
  ];
  return [
    ...[256, 512, 1024, 2048].map((n) => product('', { M: n, N: n, K: n })),
    product('', { M: 1024, N: 1024, K: 1024, transB: true }),
    product('', { M: 1024, N: 1024, K: 1024, transA: true }),
    ...layer(8192, 256, 256),
    ...layer(8192, 256, 3072),
    ...layer(8192, 256, 64),
    ...layer(8192, 64, 256),
    ...layer(2048, 128, 256),
    product('', { M: 64, N: 256, K: 256, transB: true }),
  ];
}

function groupedRows(device: Device): Row[] {
  const [E, R] = [8, 4096];
  const offsets = tensor(device, E + 1);
  // Uneven, as routing leaves them.
  device.memory.write(offsets, Int32Array.of(0, 300, 1100, 1500, 1900, 2700, 3000, 3696, R));
  return [
    [256, 256],
    [128, 256],
  ].flatMap(([N = 0, K = 0]): Row[] => {
    const [x, w, y] = [tensor(device, R * K), tensor(device, E * N * K), tensor(device, R * N)];
    const packed = tensor(device, (E * packedBytes(N, K, 'f32')) / 4);
    const { commands } = device;
    const operations = { operations: 2 * R * N * K };
    const rows = { E, N, K, R, transB: true, kind: 'rows' as const };
    const back = { E, N: K, K: N, R, kind: 'rows' as const };
    const weights = { E, N, K, R, kind: 'weights' as const };
    return [
      { name: `${N} x ${K} forward`, work: operations, record: () => groupedMatmul(commands, x, w, y, offsets, rows) },
      {
        name: `${N} x ${K} forward, packed`,
        work: operations,
        record: () => groupedMatmulPacked(commands, x, packed, y, offsets, { E, N, K, R, dtype: 'f32' }),
      },
      {
        name: `${N} x ${K} input gradient`,
        work: operations,
        record: () => groupedMatmul(commands, y, w, x, offsets, back),
      },
      {
        name: `${N} x ${K} weight gradient`,
        work: operations,
        record: () => groupedMatmul(commands, y, x, w, offsets, weights),
      },
    ];
  });
}

function narrowRows(device: Device): Row[] {
  return (['f32', 'bf16'] as const).flatMap((dtype: PackedDtype) =>
    [
      { N: 14_336, K: 4096 },
      { N: 4096, K: 4096 },
      { N: 1024, K: 1024 },
    ].flatMap(({ N, K }) => {
      const packed = tensor(device, packedBytes(N, K, dtype) / 4);
      return [1, 2, 4, 8].map((M): Row => {
        const [x, y] = [tensor(device, M * K), tensor(device, M * N)];
        return {
          name: `${dtype} ${N} x ${K}, ${M} ${M === 1 ? 'row' : 'rows'}`,
          work: { reads: packed },
          record: () => matmulPacked(device.commands, x, packed, y, { M, N, K, dtype }),
        };
      });
    }),
  );
}

/** Microseconds for one small operation: recording it, and recording and running it. */
function printOverhead(): void {
  console.log('\nissuing a command, microseconds: recorded, and recorded and run');
  for (const count of new Set([1, threads])) {
    using device = openDevice({ threads: count });
    const [x, y, z] = [tensor(device, 4096), tensor(device, 4096), tensor(device, 4096)];
    const operations: Record<string, (c: Commands) => void> = {
      'fill 64': (c) => fill(c, { ...x, length: 64 }, 1),
      'add 64': (c) => add(c, { ...x, length: 64 }, { ...y, length: 64 }, { ...z, length: 64 }),
      'rmsNorm 1 x 64': (c) => rmsNorm(c, x, y, z, { N: 1, D: 64, xStride: 64, yStride: 64, eps: 1e-6 }),
      'matmul 1 x 64 x 8': (c) => matmul(c, x, y, z, { M: 1, N: 64, K: 8 }),
      'matmulPacked 1 x 64 x 8': (c) => matmulPacked(c, x, y, z, { M: 1, N: 64, K: 8, dtype: 'f32' }),
    };
    for (const [name, record] of Object.entries(operations)) {
      const samples = Array.from({ length: 200 }, () => {
        const started = process.hrtime.bigint();
        for (let i = 0; i < 100; i++) record(device.commands);
        const recorded = process.hrtime.bigint();
        device.commands.run();
        const done = process.hrtime.bigint();
        return { recorded: Number(recorded - started) / 1e5, all: Number(done - started) / 1e5 };
      });
      const median = (values: number[]) =>
        (values.sort((a, b) => a - b)[values.length >> 1] ?? 0).toFixed(3).padStart(8);
      const [recorded, all] = [median(samples.map((s) => s.recorded)), median(samples.map((s) => s.all))];
      console.log(`${`${name}, ${count} ${count === 1 ? 'thread' : 'threads'}`.padEnd(52)} ${recorded} ${all}`);
    }
  }
}

/** Written, because untouched pages would all be the same page of zeros. */
function tensor(device: Device, length: number): Ref {
  const ref = { handle: device.memory.allocate(length * 4), offset: 0, length };
  fill(device.commands, ref, 1e-3);
  device.commands.run();
  return ref;
}
