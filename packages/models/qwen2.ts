// Qwen2 and Qwen2.5 (arXiv 2412.15115), of which four R1 distills are made: `qwen2`.
//
// Owns what is Qwen2's alone: biases on queries, keys and values, always. Sliding windows, which no released distill
// uses, are refused rather than ignored. Block and attention are those of `dense-decoder`.

import { z } from 'zod';
import type { Architecture } from './architecture.ts';
import { parseConfig } from './configuration.ts';
import { type DenseConfig, denseConfig, denseDecoder, denseKeys } from './dense-decoder.ts';

export const qwen2: Architecture = {
  className: 'Qwen2ForCausalLM',
  define: (json, where) => denseDecoder(parseQwen2Config(json, where)),
};

const wireConfig = z.object({
  ...denseKeys,
  use_sliding_window: z.literal(false).default(false),
  layer_types: z.array(z.literal('full_attention')).nullish(),
});

/** Reads config.json; throws an error that names `where` and the key. */
export function parseQwen2Config(json: unknown, where: string): DenseConfig {
  const c = parseConfig(wireConfig, json, where);
  return denseConfig(c, { attention: 'input', feedForward: 'none' }, json, where);
}
