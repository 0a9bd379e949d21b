// A device: one pool of threads, the memory it works on, and the commands waiting for it.
//
// Owns their lifetime together. Knows no kernel. Invariant: after disposal every handle and every pending command is gone,
// and using the device is an error; a device left open does not keep the process alive.

import { availableParallelism } from 'node:os';
import { loadAddon } from './addon.ts';
import { Commands } from './commands.ts';
import { NativeMemory } from './memory.ts';

export type Isa = 'avx512' | 'avx2' | 'neon' | 'portable';

export interface DeviceOptions {
  /** Threads that share each kernel's work; as many as there are cores when absent. Results do not depend on it. */
  readonly threads?: number | undefined;
  /** The best that this machine has when absent. */
  readonly isa?: Isa | undefined;
}

export interface Device extends Disposable {
  readonly memory: NativeMemory;
  readonly commands: Commands;
  readonly isa: Isa;
  readonly threads: number;
}

/** Throws an Error when the kernels are not built or the machine lacks the instruction set. */
export function openDevice(options: DeviceOptions = {}): Device {
  const addon = loadAddon();
  const threads = options.threads ?? availableParallelism();
  if (!Number.isInteger(threads) || threads < 1 || threads > 1024) {
    throw new Error(`threads: expected an integer from 1 to 1024, got ${threads}`);
  }
  const isa = options.isa ?? (addon.supportedIsas()[0] as Isa);
  const native = addon.open(isa, threads);
  let open = true;
  return {
    memory: new NativeMemory(addon, native),
    commands: new Commands((commands, length, isAlone) => addon.execute(native, commands, length, isAlone ? 1 : 0)),
    isa,
    threads,
    [Symbol.dispose]() {
      if (open) addon.close(native);
      open = false;
    },
  };
}

/** The instruction sets that this machine and this build have, best first. */
export function supportedIsas(): readonly Isa[] {
  return loadAddon().supportedIsas() as Isa[];
}
