// Weights in training, as a checkpoint that anybody can load.
//
// Owns what a written model takes over from the one it began as: everything but the weights, which are bfloat16 whatever they
// were. Knows nothing of training.

import { join } from 'node:path';
import type { Checkpoint } from '@hadal/formats/checkpoint';
import { replaceFile } from '@hadal/formats/replace-file';
import { writeSafetensors } from '@hadal/formats/safetensors';
import type { ParameterSet } from '@hadal/models/parameter-set';

/** Fills `directory`, which must exist. */
export function exportCheckpoint(directory: string, base: Checkpoint, parameters: ParameterSet): void {
  for (const { name, content } of base.companions()) replaceFile(join(directory, name), content);
  writeSafetensors(join(directory, 'model.safetensors'), parameters.tensors('BF16'), { format: 'pt' });
  const { quantization_config: _, ...config } = base.config().value as Record<string, unknown>;
  const text = `${JSON.stringify({ ...config, torch_dtype: 'bfloat16' }, undefined, 2)}\n`;
  replaceFile(join(directory, 'config.json'), withFloats(text));
}

/** Transformers insists that these are written as floats; JavaScript writes 1.0 as 1. */
const floatKeys = ['attention_dropout', 'initializer_range', 'rms_norm_eps', 'rope_theta', 'routed_scaling_factor'];

/** A configuration's text as Transformers takes it. */
export function withFloats(json: string): string {
  return json.replace(/^( *"(\w+)": -?\d+)(,?)$/gm, (line, member: string, key: string, comma: string) =>
    floatKeys.includes(key) ? `${member}.0${comma}` : line,
  );
}
