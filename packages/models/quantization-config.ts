// What config.json says of quantized weights.
//
// Owns the one thing that the tensors do not settle by themselves: the block of FP8 scales. Which tensors are quantized,
// and how, is seen from their dtypes (`formats/stored-weights`), so the rest of `quantization_config` is not read.

import type { ScaleBlock } from '@hadal/formats/quantized-layouts';
import { z } from 'zod';
import { parseConfig } from './configuration.ts';

const wire = z.object({
  quantization_config: z
    .object({ weight_block_size: z.tuple([z.int().positive(), z.int().positive()]).nullish() })
    .nullish(),
});

/** The block of E4M3 tensors; undefined where the configuration names none. */
export function parseFp8Block(json: unknown, where: string): ScaleBlock | undefined {
  const size = parseConfig(wire, json, where).quantization_config?.weight_block_size;
  return size ? { rows: size[0], columns: size[1] } : undefined;
}
