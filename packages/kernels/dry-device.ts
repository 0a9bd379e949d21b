// A device on which nothing runs and nothing is stored.
//
// Owns a memory that only counts, so that whatever a model would allocate and record can be measured before it is loaded. It
// needs no addon. Invariant: commands are checked as they are recorded, as on a real device, and forgotten when they are run.

import type { Addon, NativeDevice } from './addon.ts';
import { Commands } from './commands.ts';
import type { Device } from './device.ts';
import { NativeMemory } from './memory.ts';

export function openDryDevice(): Device {
  const sizes = new Map<number, number>();
  let next = 1;
  const addon: Pick<Addon, 'allocate' | 'release' | 'size' | 'read' | 'write' | 'bytesInUse' | 'buffers'> = {
    allocate(_device, bytes) {
      sizes.set(next, bytes);
      return next++;
    },
    release: (_device, handle) => void sizes.delete(handle),
    size: (_device, handle) => sizes.get(handle) ?? 0,
    read() {},
    write() {},
    bytesInUse: () => sizes.values().reduce((sum, bytes) => sum + bytes, 0),
    buffers: () => sizes.size,
  };
  return {
    memory: new NativeMemory(addon as Addon, {} as NativeDevice),
    commands: new Commands(() => {}),
    isa: 'portable',
    threads: 1,
    [Symbol.dispose]() {},
  };
}
