// Rotary tables in native memory.
//
// Owns the cosines and sines that a network rotates queries and keys with; how a configuration asks for them is read in
// `rope-parameters`, and what they contain is computed in `kernels/rope`.

import { type RopeTable, ropeTable } from '@hadal/kernels/rope';
import type { Tensor } from '@hadal/tensor/tensor';
import type { RopeParameters } from '../rope-parameters.ts';
import type { WeightSource } from '../weight-source.ts';

export interface RopeTables {
  /** [positions, rope / 2] each. */
  readonly cos: Tensor;
  readonly sin: Tensor;
  readonly style: 'interleaved' | 'half';
}

export function ropeTables(
  source: WeightSource,
  { table }: RopeParameters,
  style: RopeTables['style'],
  positions: number,
): RopeTables {
  let made: RopeTable | undefined;
  const make = () => {
    made ??= ropeTable({ ...table, maxPositions: positions });
    return made;
  };
  const shape = [positions, table.dim / 2];
  return { cos: source.constant(shape, () => make().cos), sin: source.constant(shape, () => make().sin), style };
}
