// How close to the memory's bandwidth do the kernels around the matrix products run?
//
// Measures each on tensors larger than the caches of one core, on one thread and on all, and reports its traffic as a
// share of what the machine reads at that moment: a reading loop runs before every repetition, and the best of each
// counts. Traffic is what a kernel must move: every tensor it reads once and every tensor it writes once, the latter
// twice when it is not read as well, because a processor fetches a line before it changes part of it. Reading alone is
// not quite the fastest a memory can go, so a share can exceed 100 %. The sampling rows are arithmetic, hence times only.

import { availableParallelism } from 'node:os';
import { crossEntropy, crossEntropyForward } from '@hadal/kernels/cross-entropy';
import { type Device, openDevice } from '@hadal/kernels/device';
import { add, axpy, copyColumns, fill, fromBf16, scale, sumSquares, toBf16 } from '@hadal/kernels/elementwise';
import { embedding, embeddingBackward } from '@hadal/kernels/embedding';
import { measureReading } from '@hadal/kernels/machine';
import type { Ref } from '@hadal/kernels/memory';
import { adamw } from '@hadal/kernels/optimizer';
import { normals, uniforms, upload } from '@hadal/kernels/parity';
import {
  combineRows,
  combineRowsBackward,
  gatherRows,
  gatherRowsBackward,
  groupByExpert,
  type RouteOptions,
  route,
  routeBackward,
} from '@hadal/kernels/routing';
import { argmax, sample, topLogprobs } from '@hadal/kernels/sampling';

interface Row {
  readonly name: string;
  /** Bytes moved between processor and memory; undefined where arithmetic is the limit. */
  readonly traffic: number | undefined;
  readonly record: () => void;
}

const repetitions = 25;
const readingBytes = 128 << 20;

function measure(device: Device, reading: { handle: number; bytes: number }, { name, traffic, record }: Row): string {
  let seconds = Number.POSITIVE_INFINITY;
  let bandwidth = 0;
  for (let i = 0; i < repetitions; i++) {
    if (traffic !== undefined) bandwidth = Math.max(bandwidth, measureReading(device, reading));
    record();
    const started = process.hrtime.bigint();
    device.commands.run();
    seconds = Math.min(seconds, Number(process.hrtime.bigint() - started) * 1e-9);
  }
  const time = `${name.padEnd(54)} ${(seconds * 1e6).toFixed(1).padStart(9)}`;
  if (traffic === undefined) return time;
  const rate = traffic / seconds;
  return `${time} ${(rate / 1e9).toFixed(1).padStart(6)} ${((100 * rate) / bandwidth).toFixed(0).padStart(5)} %`;
}

function elementwiseRows(t: Tensors): Row[] {
  const n = 24 << 20;
  const [a, b, y, total] = [t.normals(n), t.normals(n), t.zeros(n), t.zeros(1)];
  const c = t.commands;
  const columns = { cols: 512, srcStride: 576, dstStride: 512, rows: Math.floor(n / 576) };
  return [
    { name: 'sumSquares', traffic: 4 * n, record: () => sumSquares(c, a, total) },
    { name: 'fill', traffic: 8 * n, record: () => fill(c, y, 1) },
    { name: 'scale', traffic: 12 * n, record: () => scale(c, a, y, 2) },
    { name: 'add', traffic: 16 * n, record: () => add(c, a, b, y) },
    { name: 'axpy', traffic: 12 * n, record: () => axpy(c, 1e-9, a, y) },
    {
      name: 'copyColumns, 512 of 576',
      traffic: 12 * columns.rows * columns.cols,
      record: () => copyColumns(c, a, y, columns),
    },
    { name: 'toBf16', traffic: 8 * n, record: () => toBf16(c, a, y) },
    { name: 'fromBf16', traffic: 10 * n, record: () => fromBf16(c, b, y) },
  ];
}

function lossRows(t: Tensors): Row[] {
  const o = { N: 8192, V: 3072 };
  const n = o.N * o.V;
  const [logits, dLogits, loss, weights] = [t.normals(n), t.zeros(n), t.zeros(o.N), t.normals(o.N)];
  const targets = t.indices(o.N, o.V);
  const c = t.commands;
  return [
    {
      name: 'crossEntropyForward [8192, 3072]',
      traffic: 4 * n,
      record: () => crossEntropyForward(c, logits, targets, loss, o),
    },
    {
      name: 'crossEntropy [8192, 3072]',
      traffic: 12 * n,
      record: () => crossEntropy(c, logits, targets, weights, loss, dLogits, o),
    },
    {
      name: 'crossEntropy [8192, 3072] in place',
      traffic: 8 * n,
      record: () => crossEntropy(c, dLogits, targets, weights, loss, dLogits, o),
    },
  ];
}

function optimizerRows(t: Tensors): Row[] {
  const n = 12 << 20;
  const [p, g, m, v] = [t.normals(n), t.normals(n), t.zeros(n), t.zeros(n)];
  const o = { n, lr: 1e-9, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, step: 10, gradScale: 1 };
  return [{ name: 'adamw, 12.6 M parameters', traffic: 28 * n, record: () => adamw(t.commands, p, g, m, v, o) }];
}

function expertRows(t: Tensors): Row[] {
  const small = { N: 16_384, K: 2, E: 8, D: 512, groups: 1, topkGroups: 1 };
  const large = { N: 4096, K: 8, E: 256, D: 1024, groups: 8, topkGroups: 4 };
  return [small, large].flatMap((size) => {
    const o: RouteOptions & { D: number } = {
      ...size,
      scoring: 'sigmoid',
      groupScore: 'top2sum',
      normalize: true,
      scale: 2.5,
    };
    const { N, K, E, D } = o;
    const c = t.commands;
    const [logits, bias, weights, dWeights] = [t.normals(N * E), t.zeros(E), t.zeros(N * K), t.normals(N * K)];
    const [ids, counts, order, slots] = [t.zeros(N * K), t.zeros(E), t.zeros(N * K), t.zeros(N * K)];
    const [offsets, dLogits] = [t.zeros(E + 1), t.zeros(N * E)];
    const [x, xg, dxg] = [t.normals(N * D), t.normals(N * K * D), t.normals(N * K * D)];
    const [token, expert] = [4 * N * D, 4 * N * K * D];
    const tag = `${N} tokens, ${K} of ${E} experts`;
    return [
      { name: `route, ${tag}`, traffic: undefined, record: () => route(c, logits, bias, ids, weights, counts, o) },
      {
        name: `routeBackward, ${tag}`,
        traffic: undefined,
        record: () => routeBackward(c, logits, ids, dWeights, dLogits, o),
      },
      {
        name: `groupByExpert, ${tag}`,
        traffic: undefined,
        record: () => groupByExpert(c, ids, order, slots, offsets, o),
      },
      { name: `gatherRows, width ${D}`, traffic: token + 2 * expert, record: () => gatherRows(c, x, order, xg, o) },
      {
        name: `gatherRowsBackward, width ${D}`,
        traffic: 2 * token + expert,
        record: () => gatherRowsBackward(c, dxg, slots, x, o),
      },
      {
        name: `combineRows, width ${D}`,
        traffic: 2 * token + expert,
        record: () => combineRows(c, xg, slots, weights, x, o),
      },
      {
        name: `combineRowsBackward, width ${D}, in place`,
        traffic: token + 2 * expert,
        record: () => combineRowsBackward(c, x, dxg, slots, weights, dxg, dWeights, o),
      },
    ];
  });
}

function embeddingRows(t: Tensors): Row[] {
  const o = { N: 65_536, V: 3072, D: 512 };
  const [table, y] = [t.normals(o.V * o.D), t.normals(o.N * o.D)];
  const ids = t.indices(o.N, o.V);
  const bytes = 4 * o.N * o.D;
  return [
    {
      name: 'embedding, 65536 tokens, width 512',
      traffic: 2 * bytes,
      record: () => embedding(t.commands, table, ids, y, o),
    },
    {
      name: 'embeddingBackward, 65536 tokens, width 512',
      traffic: bytes,
      record: () => embeddingBackward(t.commands, ids, y, table, o),
    },
  ];
}

function samplingRows(t: Tensors): Row[] {
  return [
    { N: 1, V: 3072 },
    { N: 64, V: 3072 },
    { N: 1, V: 129_280 },
  ].flatMap((o) => {
    const { N, V } = o;
    const c = t.commands;
    const logits = t.normals(N * V);
    // Spread as a language model's are; of standard deviation 1 they would be nearly uniform.
    scale(c, logits, logits, 3);
    const [ids, logprobs] = [t.zeros(20 * N), t.zeros(20 * N)];
    const [temperature, all, most, uniform, none] = [t.zeros(N), t.zeros(N), t.zeros(N), t.zeros(N), t.zeros(N)];
    fill(c, temperature, 0.7);
    fill(c, all, 1);
    fill(c, most, 0.9);
    fill(c, uniform, 0.5);
    const rows = { temperature, minP: none, topK: none, uniform };
    c.run();
    const tag = `[${N}, ${V}]`;
    return [
      { name: `argmax ${tag}`, traffic: undefined, record: () => argmax(c, logits, ids, o) },
      {
        name: `sample ${tag}`,
        traffic: undefined,
        record: () => sample(c, logits, { ...rows, topP: all }, ids, logprobs, o),
      },
      {
        name: `sample ${tag}, nucleus 0.9`,
        traffic: undefined,
        record: () => sample(c, logits, { ...rows, topP: most }, ids, logprobs, o),
      },
      {
        name: `topLogprobs ${tag}, 20`,
        traffic: undefined,
        record: () => topLogprobs(c, logits, ids, logprobs, { ...o, top: 20 }),
      },
    ];
  });
}

/** Allocates what a group of rows works on, and frees it when the group is done. */
class Tensors {
  readonly #device: Device;
  readonly #refs: Ref[] = [];

  constructor(device: Device) {
    this.#device = device;
  }

  get commands() {
    return this.#device.commands;
  }

  zeros(length: number): Ref {
    return this.#keep({ handle: this.#device.memory.allocate(4 * length), offset: 0, length });
  }

  /** Standard normal numbers, repeated every 2^18: making them takes longer than the bench. */
  normals(length: number): Ref {
    const ref = this.zeros(length);
    const some = normals(Math.min(length, 1 << 18), length);
    for (let offset = 0; offset < length; offset += some.length) {
      const rest = length - offset;
      this.#device.memory.write({ ...ref, offset, length: rest }, some.subarray(0, rest));
    }
    return ref;
  }

  /** `count` integers below `limit`. */
  indices(count: number, limit: number): Ref {
    const next = uniforms(count);
    return this.#keep(
      upload(
        this.#device.memory,
        Int32Array.from({ length: count }, () => Math.floor(next() * limit)),
      ),
    );
  }

  free(): void {
    for (const { handle } of this.#refs) this.#device.memory.free(handle);
  }

  #keep(ref: Ref): Ref {
    this.#refs.push(ref);
    return ref;
  }
}

for (const threads of new Set([1, availableParallelism()])) {
  using device = openDevice({ threads });
  const reading = { handle: device.memory.allocate(readingBytes), bytes: readingBytes };
  fill(device.commands, { handle: reading.handle, offset: 0, length: readingBytes / 4 }, 1);
  device.commands.run();
  console.log(
    `\n${device.isa}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`.padEnd(56),
    '      us   GB/s   share',
  );
  for (const group of [elementwiseRows, lossRows, optimizerRows, expertRows, embeddingRows, samplingRows]) {
    const tensors = new Tensors(device);
    for (const row of group(tensors)) console.log(measure(device, reading, row));
    tensors.free();
  }
}
