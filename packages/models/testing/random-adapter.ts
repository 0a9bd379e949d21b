// Adapters of random values for a checkpoint, on disk.
//
// Used by tests only: pairs that are large enough for every one of them to change what a model says.

import type { Checkpoint } from '@hadal/formats/checkpoint';
import { openDevice } from '@hadal/kernels/device';
import { normals } from '@hadal/kernels/parity';
import type { AdapterConfig } from '../adapters/adapter-config.ts';
import { type WriteAdapterOptions, writeAdapter } from '../adapters/adapter-files.ts';
import { AdapterSet } from '../adapters/adapter-set.ts';
import { CheckpointWeights } from '../checkpoint-weights.ts';
import { openWeights, readDefinition } from '../language-model.ts';
import { collectSpecs, type WeightSource } from '../weight-source.ts';

export interface RandomAdapterOptions {
  readonly seed: number;
  /** Standard deviation of every value. */
  readonly deviation?: number;
  readonly predictor?: 'present' | 'absent';
  readonly experts?: WriteAdapterOptions['experts'];
}

/** Writes one into `directory`. */
export function writeRandomAdapter(
  directory: string,
  checkpoint: Checkpoint,
  config: AdapterConfig,
  { seed, deviation = 0.2, predictor = 'absent', experts = 'byParameter' }: RandomAdapterOptions,
): void {
  using device = openDevice({ threads: 1 });
  const definition = readDefinition(checkpoint);
  const weights = openWeights(checkpoint);
  const options = { form: definition.forms[0], positions: 1, predictor };
  const specs = collectSpecs((source: WeightSource) => definition.assemble(source, options), weights.has);
  using base = new CheckpointWeights(device, weights, { dtype: 'f32' });
  using set = new AdapterSet(device, base, specs, config);
  for (const [i, { value }] of set.parameters.entries()) {
    const values = normals(value.length, 1000 * seed + i).map((x) => deviation * x);
    device.memory.write(value, values);
  }
  writeAdapter(directory, set, { base: checkpoint.path, dtype: 'F32', experts });
}
