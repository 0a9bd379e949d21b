// Llama 2 and 3 (arXiv 2407.21783), of which two R1 distills are made: `llama`.
//
// Owns what is Llama's alone: biases where the configuration asks for them, on every projection of attention
// (`attention_bias`) and of the feed-forward network (`mlp_bias`). Block and attention are those of `dense-decoder`.

import { z } from 'zod';
import type { Architecture } from './architecture.ts';
import { parseConfig } from './configuration.ts';
import { type DenseConfig, denseConfig, denseDecoder, denseKeys } from './dense-decoder.ts';

export const llama: Architecture = {
  className: 'LlamaForCausalLM',
  define: (json, where) => denseDecoder(parseLlamaConfig(json, where)),
};

const wireConfig = z.object({
  ...denseKeys,
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
});

/** Reads config.json; throws an error that names `where` and the key. */
export function parseLlamaConfig(json: unknown, where: string): DenseConfig {
  const c = parseConfig(wireConfig, json, where);
  const bias = { attention: c.attention_bias ? 'all' : 'none', feedForward: c.mlp_bias ? 'all' : 'none' } as const;
  return denseConfig(c, bias, json, where);
}
