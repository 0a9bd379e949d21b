// What the machine can do at most, measured by native loops: the yardsticks of the benches.
//
// Owns the loops' wrappers and their arithmetic. A number means something only next to another from the same run: the
// machine may be shared, and its clock moves. These kernels have no twins: their outputs are beside the point.

import type { Device } from './device.ts';

/** Floating-point operations a second (a multiply-add counts as two) of all the device's threads, in about `ms` milliseconds. */
export function measureArithmetic(device: Device, ms = 5): number {
  return measureLoop(device, 'measureArithmetic', ms);
}

/** The same with the products of bytes that quantized products are made of. */
export function measureIntegers(device: Device, ms = 5): number {
  return measureLoop(device, 'measureIntegers', ms);
}

function measureLoop(device: Device, loop: 'measureArithmetic' | 'measureIntegers', ms: number): number {
  const out = { handle: device.memory.allocate(8), offset: 0, length: 2 };
  const time = (rounds: number) => {
    device.commands.begin(loop);
    device.commands.int(rounds);
    device.commands.tensor(out, 2);
    device.commands.end();
    const started = process.hrtime.bigint();
    device.commands.run();
    return Number(process.hrtime.bigint() - started);
  };
  const trial = 100_000;
  const rounds = Math.max(trial, Math.round((trial * ms * 1e6) / time(trial)));
  const nanoseconds = time(rounds);
  const result = new Float32Array(2);
  device.memory.read(out, result);
  device.memory.free(out.handle);
  return (2 * rounds * result[1]! * device.threads) / (nanoseconds * 1e-9);
}

/**
 * Bytes a second that all threads together read from a buffer, once. It must have been written: untouched pages all share
 * one page of zeros, which never leaves the cache.
 */
export function measureReading(device: Device, buffer: { readonly handle: number; readonly bytes: number }): number {
  const out = { handle: device.memory.allocate(4), offset: 0, length: 1 };
  const length = Math.floor(buffer.bytes / 4 / 65536) * 65536;
  device.commands.begin('measureReading');
  device.commands.tensor({ handle: buffer.handle, offset: 0, length }, length);
  device.commands.int(length);
  device.commands.tensor(out, 1);
  device.commands.end();
  const started = process.hrtime.bigint();
  device.commands.run();
  const nanoseconds = Number(process.hrtime.bigint() - started);
  device.memory.free(out.handle);
  return (length * 4) / (nanoseconds * 1e-9);
}
