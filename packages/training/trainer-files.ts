// All that a trainer has learned, as files.
//
// Owns the two files of one saved state: weights and the optimizer's moments, both in float32, so that training goes on from
// them with the same bits. Knows nothing of where they lie or when they are made: whoever saves says when they count.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { openSafetensors, type TensorSource, writeSafetensors } from '@hadal/formats/safetensors';
import { storedWeights } from '@hadal/formats/stored-weights';
import type { Device } from '@hadal/kernels/device';
import type { Trainer } from './trainer.ts';

const names = { weights: 'weights.safetensors', optimizer: 'optimizer.safetensors' } as const;

/** Makes `directory` where it is missing. */
export function writeTrainerFiles(directory: string, device: Device, trainer: Trainer): void {
  mkdirSync(directory, { recursive: true });
  writeSafetensors(join(directory, names.weights), trainer.parameters.tensors('F32'));
  const state = trainer.optimizer.state().map(({ name, tensor }): TensorSource => {
    const data = () => {
      const values = new Float32Array(tensor.length);
      device.memory.read(tensor, values);
      return new Uint8Array(values.buffer);
    };
    return { name, dtype: 'F32', shape: [tensor.length], data };
  });
  writeSafetensors(join(directory, names.optimizer), state);
}

export function readTrainerFiles(directory: string, device: Device, trainer: Trainer): void {
  const state = openSafetensors(join(directory, names.optimizer));
  trainer.load(storedWeights(openSafetensors(join(directory, names.weights))));
  for (const { name, tensor } of trainer.optimizer.state()) device.memory.write(tensor, state.readFloat32(name));
}
