// The harness of kernel tests: a kernel against its twin, on every instruction set and thread count.
//
// Owns allocation with guard zones, the runs, and the comparisons; knows no kernel. Used by tests and benches only.
// Invariant: a kernel passes only when all thread counts agree in bits, nothing outside the tensors changed, and every
// element is as close to the twin's as the tolerance says.

import assert from 'node:assert/strict';
import type { Commands } from './commands.ts';
import { type Device, openDevice, supportedIsas } from './device.ts';
import type { Elements, NativeMemory, Ref } from './memory.ts';

export interface Case<T extends Readonly<Record<string, Elements>>> {
  /** What is tested, for messages. */
  readonly name: string;
  /** Every tensor with the contents it has before the call: inputs filled, outputs zero (or what is accumulated onto). */
  readonly tensors: T;
  readonly native: (c: Commands, refs: { readonly [K in keyof T]: Ref }) => void;
  readonly twin: (arrays: T) => void;
  /**
   * Largest |native - twin| allowed for each tensor, as a share of the tensor's largest magnitude in the twin's result;
   * 0 demands equal bits. Integers and bfloat16 are always compared exactly.
   */
  readonly tolerance: number;
  /** Thread counts that must agree in bits; [1, 2, 3] when absent. */
  readonly threads?: readonly number[];
}

/** Runs the case on every instruction set of this machine. Returns the results of the best one, for further checks. */
export function checkParity<T extends Readonly<Record<string, Elements>>>(test: Case<T>): T {
  const expected = copy(test.tensors);
  test.twin(expected);
  const results = supportedIsas().map((isa) => {
    const perThreads = (test.threads ?? [1, 2, 3]).map((threads) => {
      using device = openDevice({ isa, threads });
      return runOn(device, test.tensors, test.native);
    });
    const first = perThreads[0]!;
    for (const other of perThreads)
      assertSameBits(other, first, `${test.name} on ${isa}: bits depend on the thread count`);
    for (const key of Object.keys(expected)) {
      assertClose(first[key]!, expected[key]!, test.tolerance, `${test.name} on ${isa}: ${key}`);
    }
    return first;
  });
  return results[0]!;
}

/** Runs `native` once on copies of `tensors` and returns their contents afterwards. Guard zones must be untouched. */
export function runOn<T extends Readonly<Record<string, Elements>>>(
  device: Device,
  tensors: T,
  native: (c: Commands, refs: { readonly [K in keyof T]: Ref }) => void,
): T {
  const guarded = Object.entries(tensors).map(([key, array]) => ({ key, array, ...guard(device.memory, array) }));
  const refs = Object.fromEntries(guarded.map(({ key, ref }) => [key, ref])) as { readonly [K in keyof T]: Ref };
  native(device.commands, refs);
  device.commands.run();
  const results = guarded.map(({ key, array, ref, whole }) => {
    const after = like(array, array.length + 2 * GUARD);
    device.memory.read(whole, after);
    const before = like(array, GUARD).fill(GUARD_VALUE);
    assertEqualBytes(after.subarray(0, GUARD), before, `${key}: elements before the tensor changed`);
    assertEqualBytes(after.subarray(GUARD + array.length), before, `${key}: elements after the tensor changed`);
    device.memory.free(ref.handle);
    return [key, after.slice(GUARD, GUARD + array.length)];
  });
  return Object.fromEntries(results) as T;
}

/** A new tensor holding `array`. */
export function upload(memory: NativeMemory, array: Elements): Ref {
  const ref = { handle: memory.allocate(array.byteLength), offset: 0, length: array.length };
  memory.write(ref, array);
  return ref;
}

/** Standard normal numbers from a seed (splitmix32 and Box-Muller). */
export function normals(length: number, seed: number): Float32Array {
  const next = uniforms(seed);
  return Float32Array.from({ length }, () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()));
}

/** A source of numbers in [0, 1). */
export function uniforms(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
  };
}

/** Both hold the same bits (so NaN equals NaN, and 0 differs from -0). */
export function assertSameBits<T extends Readonly<Record<string, Elements>>>(
  actual: T,
  expected: T,
  what: string,
): void {
  for (const key of Object.keys(expected)) assertEqualBytes(actual[key]!, expected[key]!, `${what}: ${key}`);
}

/** Every |actual - expected| is at most `tolerance` times the largest |expected|; integers and bfloat16 are equal. */
export function assertClose(actual: Elements, expected: Elements, tolerance: number, what: string): void {
  if (!(expected instanceof Float32Array) || tolerance === 0) {
    assertEqualBytes(actual, expected, what);
    return;
  }
  assert.equal(actual.length, expected.length, `${what}: length`);
  const limit = tolerance * expected.reduce((most, x) => (Number.isFinite(x) ? Math.max(most, Math.abs(x)) : most), 0);
  for (let i = 0; i < expected.length; i++) {
    const a: number = actual[i]!;
    const e: number = expected[i]!;
    if (Object.is(a, e) || Math.abs(a - e) <= limit) continue;
    assert.fail(`${what}[${i}]: expected ${e} within ${limit}, got ${a}`);
  }
}

const GUARD = 64;
const GUARD_VALUE = 77;

function guard(memory: NativeMemory, array: Elements): { ref: Ref; whole: Ref } {
  const padded = like(array, array.length + 2 * GUARD).fill(GUARD_VALUE);
  padded.set(array, GUARD);
  const whole = upload(memory, padded);
  return { whole, ref: { handle: whole.handle, offset: GUARD, length: array.length } };
}

function assertEqualBytes(actual: Elements, expected: Elements, what: string): void {
  assert.equal(actual.length, expected.length, `${what}: length`);
  const bytes = (x: Elements) => Buffer.from(x.buffer, x.byteOffset, x.byteLength);
  if (bytes(actual).equals(bytes(expected))) return;
  const bits = (x: Elements) => bytes(x);
  const width = expected.BYTES_PER_ELEMENT;
  const at = expected.findIndex(
    (_, i) =>
      !bits(actual)
        .subarray(i * width, (i + 1) * width)
        .equals(bits(expected).subarray(i * width, (i + 1) * width)),
  );
  assert.fail(`${what}[${at}]: expected ${expected[at]}, got ${actual[at]}`);
}

function copy<T extends Readonly<Record<string, Elements>>>(tensors: T): T {
  return Object.fromEntries(Object.entries(tensors).map(([key, array]) => [key, array.slice()])) as T;
}

function like(array: Elements, length: number): Elements {
  if (array instanceof Float32Array) return new Float32Array(length);
  if (array instanceof Int32Array) return new Int32Array(length);
  if (array instanceof Uint16Array) return new Uint16Array(length);
  return new Uint8Array(length);
}
