// What a served checkpoint says about itself beyond its weights.
//
// Owns the reading of `generation_config.json` (how its publisher wants it sampled, where it stops) and the fingerprint
// of the files in its directory. Knows nothing about architectures. Reads weights only at their ends, so that it costs
// the same for a large model as for a small one.

import { createHash, type Hash } from 'node:crypto';
import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

export interface GenerationDefaults {
  /** 0 where the publisher turned sampling off. */
  readonly temperature: number;
  readonly topP: number;
  /** Ids after which an answer is over; undefined where the file does not say. */
  readonly stopTokens: readonly number[] | undefined;
}

const generationConfig = z.object({
  do_sample: z.boolean().optional(),
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().gt(0).max(1).optional(),
  eos_token_id: z.union([z.int(), z.array(z.int())]).nullish(),
});

/** Reads `generation_config.json` in `directory`, as Hugging Face writes it; without one, temperature and top-p are 1. */
export async function readGenerationDefaults(directory: string): Promise<GenerationDefaults> {
  const path = join(directory, 'generation_config.json');
  const config = generationConfig.safeParse(parseJson(await readIfPresent(path), path));
  if (!config.success) throw new Error(`${path}: ${z.prettifyError(config.error).replaceAll('\n', ' ')}`);
  const { do_sample, temperature = 1, top_p = 1, eos_token_id: stop } = config.data;
  return {
    temperature: do_sample === false ? 0 : temperature,
    topP: top_p,
    stopTokens: stop == null ? undefined : [stop].flat(),
  };
}

/** `fp_` and ten hexadecimal digits that differ for different configurations, tokenizers or weights. */
export async function checkpointFingerprint(directory: string): Promise<string> {
  const hash = createHash('sha256');
  for (const name of (await readdir(directory)).sort()) {
    if (name.endsWith('.safetensors')) await hashEnds(hash, join(directory, name));
    else if (name.endsWith('config.json') || name === 'tokenizer.json')
      hash.update(await readFile(join(directory, name)));
  }
  return `fp_${hash.digest('hex').slice(0, 10)}`;
}

async function hashEnds(hash: Hash, path: string): Promise<void> {
  await using file = await open(path);
  const { size } = await file.stat();
  const length = Math.min(size, 65536);
  for (const position of [0, size - length]) {
    const { buffer } = await file.read({ buffer: new Uint8Array(length), position });
    hash.update(buffer);
  }
  hash.update(String(size));
}

async function readIfPresent(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '{}';
    throw error;
  }
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${path}: expected JSON, ${error instanceof Error ? error.message : String(error)}`);
  }
}
