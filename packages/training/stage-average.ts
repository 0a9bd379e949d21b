// The mean of what several stages ended with.
//
// Owns the files of these ends in a run's directory, and their mean: stochastic weight averaging (Izmailov et al. 2018, arXiv
// 1803.05407). A rate that goes up and falls again leads each time into another part of the same valley; the middle is better than
// either. Knows nothing of how the weights got there.

import { join } from 'node:path';
import { openSafetensors, type TensorSource, writeSafetensors } from '@hadal/formats/safetensors';
import { storedWeights } from '@hadal/formats/stored-weights';
import type { Trainer } from './trainer.ts';

/** Keeps the weights with which the last of `done` stages has ended. */
export function keepStageEnd(directory: string, done: number, { parameters }: Trainer): void {
  writeSafetensors(stageEnd(directory, done), parameters.tensors('F32'));
}

/** Makes the trainer's weights, which the last of `stages` has ended with, the mean of all ends. */
export function averageStages(directory: string, stages: number, trainer: Trainer): void {
  keepStageEnd(directory, stages, trainer);
  const ends = Array.from({ length: stages }, (_, i) => openSafetensors(stageEnd(directory, i + 1)));
  const mean = trainer.parameters.tensors('F32').map(({ name, dtype, shape }): TensorSource => {
    const data = () => {
      const [first, ...others] = ends.map((end) => end.readFloat32(name));
      const values = (first as Float32Array).map(
        (value, i) => others.reduce((sum, other) => sum + (other[i] as number), value) / stages,
      );
      return new Uint8Array(values.buffer);
    };
    return { name, dtype, shape, data };
  });
  const path = join(directory, 'average.safetensors');
  writeSafetensors(path, mean);
  trainer.load(storedWeights(openSafetensors(path)));
}

function stageEnd(directory: string, stage: number): string {
  return join(directory, `stage-${stage}-end.safetensors`);
}
