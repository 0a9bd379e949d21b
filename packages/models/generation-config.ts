// What a checkpoint says of how it is to be talked to.
//
// Owns how its publisher wants it sampled and where its answers stop. Knows nothing about architectures or layouts.

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
export function readStopTokens(
  checkpoint: Checkpoint,
  dialect: ChatDialect,
  tokenizer: Pick<Tokenizer, 'tokenId'>,
): number[] {
  const named = [checkpoint.generationConfig(), checkpoint.config()]
    .map((document) => parse(tokenIds, document).eos_token_id)
    .find((ids) => ids != null);
  const spoken = dialect.stopTokens.flatMap((token) => tokenizer.tokenId(token) ?? []);
  return [...new Set([named ?? [], spoken].flat())];
}

function parse<S extends z.ZodType>(schema: S, document: JsonDocument | undefined): z.output<S> {
  const parsed = schema.safeParse(document?.value ?? {});
  if (parsed.success) return parsed.data;
  throw new Error(`${document?.path}: ${z.prettifyError(parsed.error).replaceAll('\n', ' ')}`);
}
