// How fast can this machine multiply and read?
//
// The yardsticks of the other kernel benches by themselves: fused multiply-adds that never leave the registers, for each
// instruction set and thread count, and reading a buffer in huge pages, at sizes that caches of different levels hold.
// Medians, because a shared machine has fast and slow moments; the best is printed beside them.

import { availableParallelism, cpus } from 'node:os';
import { openDevice, supportedIsas } from '@hadal/kernels/device';
import { fill } from '@hadal/kernels/elementwise';
import { measureArithmetic, measureReading } from '@hadal/kernels/machine';

const repetitions = 15;
const megabytes = [1, 8, 64, 256];

const threadCounts = [...new Set([1, availableParallelism()])];
console.log(
  `${cpus()[0]?.model ?? 'unknown processor'}, ${availableParallelism()} cores, ${new Date().toISOString()}\n`,
);

console.log(`${'multiply-adds, GFLOP/s'.padEnd(28)}  median    best`);
for (const isa of supportedIsas()) {
  for (const threads of threadCounts) {
    using device = openDevice({ isa, threads });
    print(`${isa}, ${count(threads)}`, () => measureArithmetic(device));
  }
}

console.log(`\n${'reading, GB/s'.padEnd(28)}  median    best`);
for (const size of megabytes) {
  for (const threads of threadCounts) {
    using device = openDevice({ threads });
    const bytes = size << 20;
    const buffer = { handle: device.memory.allocate(bytes), bytes };
    // Untouched pages would all be the same page of zeros.
    fill(device.commands, { handle: buffer.handle, offset: 0, length: bytes / 4 }, 1);
    device.commands.run();
    print(`${size} MiB, ${count(threads)}`, () => measureReading(device, buffer));
  }
}

function print(name: string, measure: () => number): void {
  measure();
  const rates = Array.from({ length: repetitions }, measure).sort((a, b) => a - b);
  const cell = (x: number | undefined) => ((x ?? 0) / 1e9).toFixed(1).padStart(8);
  console.log(`${name.padEnd(28)}${cell(rates[repetitions >> 1])}${cell(rates[repetitions - 1])}`);
}

function count(threads: number): string {
  return threads === 1 ? '1 thread' : `${threads} threads`;
}
