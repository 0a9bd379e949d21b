// What a served checkpoint says about itself beyond its weights.
//
// Owns how its publisher wants it sampled and where its answers stop, and the fingerprint of its files. Knows nothing
// about architectures or layouts. Reads weights only at their ends, so that it costs the same for a large model as for a
// small one.

import { createHash, type Hash } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import type { ChatDialect } from '@hadal/formats/chat/dialect';
import type { Checkpoint } from '@hadal/formats/checkpoint';
import type { JsonDocument } from '@hadal/formats/json-document';
import type { Tokenizer } from '@hadal/formats/tokenizer';
import { z } from 'zod';

export interface GenerationDefaults {
  /** 0 where the publisher turned sampling off. */
  readonly temperature: number;
  /** undefined: all tokens. */
  readonly topK: number | undefined;
  readonly topP: number;
}

const tokenIds = z.object({ eos_token_id: z.union([z.int(), z.array(z.int())]).nullish() });

const generationConfig = z.object({
  do_sample: z.boolean().nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_k: z.int().min(0).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
});

/** What `generation_config.json` advises; without one, to sample from all tokens as they are. */
export function readGenerationDefaults(checkpoint: Checkpoint): GenerationDefaults {
  const { do_sample, temperature, top_k, top_p } = parse(generationConfig, checkpoint.generationConfig());
  return {
    temperature: do_sample === false ? 0 : (temperature ?? 1),
    topK: top_k == null || top_k === 0 ? undefined : top_k,
    topP: top_p ?? 1,
  };
}

/**
 * Ids after which an answer is over: those that `generation_config.json` names, else `config.json`, and what ends an answer
 * in the dialect, which some publishers forget to name.
 */
export function readStopTokens(checkpoint: Checkpoint, dialect: ChatDialect, tokenizer: Tokenizer): number[] {
  const named = [checkpoint.generationConfig(), checkpoint.config()]
    .map((document) => parse(tokenIds, document).eos_token_id)
    .find((ids) => ids != null);
  const spoken = dialect.stopTokens.flatMap((token) => tokenizer.tokenId(token) ?? []);
  return [...new Set([named ?? [], spoken].flat())];
}

/** `fp_` and ten hexadecimal digits that differ for different configurations, tokenizers or weights. */
export async function checkpointFingerprint(checkpoint: Checkpoint): Promise<string> {
  const hash = createHash('sha256');
  for (const path of checkpoint.files()) {
    if (/\.(safetensors|gguf)$/.test(path)) await hashEnds(hash, path);
    else hash.update(await readFile(path));
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

function parse<S extends z.ZodType>(schema: S, document: JsonDocument | undefined): z.output<S> {
  const parsed = schema.safeParse(document?.value ?? {});
  if (parsed.success) return parsed.data;
  throw new Error(`${document?.path}: ${z.prettifyError(parsed.error).replaceAll('\n', ' ')}`);
}
