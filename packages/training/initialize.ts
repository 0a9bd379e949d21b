// First values of the weights.

import type { Device } from '@hadal/kernels/device';
import type { Parameter } from '@hadal/models/parameter-set';
import { specKey } from '@hadal/models/weight-source';
import { Random } from './tasks/random.ts';

/**
 * Norms 1, biases 0, everything else normal with standard deviation `deviation`, as DeepSeek-V3 starts. Each
 * weight draws from a stream of its own, so a change to one leaves the others as they were.
 */
export function initialize(
  device: Device,
  { parameters }: { readonly parameters: readonly Parameter[] },
  seed: string,
  deviation: number,
): void {
  for (const { spec, value } of parameters) {
    if (spec.kind === 'table') {
      throw new Error(
        `${specKey(spec)}: expected weights that can be drawn, got a table: such a model is for inference only`,
      );
    }
    const values = new Float32Array(value.length);
    if (spec.kind === 'norm') values.fill(1);
    else if (spec.kind !== 'routerBias' && spec.kind !== 'bias')
      fillNormal(values, new Random(`${seed}/${specKey(spec)}`), deviation);
    device.memory.write(value, values);
  }
}

/** Box and Muller 1958. */
function fillNormal(values: Float32Array, random: Random, deviation: number): void {
  const uniform = () => (random.integer(0, 0xffff_ffff) + 0.5) / 2 ** 32;
  for (let i = 0; i < values.length; i += 2) {
    const radius = deviation * Math.sqrt(-2 * Math.log(uniform()));
    const angle = 2 * Math.PI * uniform();
    values[i] = radius * Math.cos(angle);
    if (i + 1 < values.length) values[i + 1] = radius * Math.sin(angle);
  }
}
