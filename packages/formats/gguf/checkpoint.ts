// A GGUF file as a checkpoint.
//
// Owns the parts that Hugging Face keeps in files of their own and GGUF keeps in metadata: configuration, tokenizer,
// template and advice for sampling. Everything is read once, when the file is opened; whoever loads the model sees no
// difference to a directory.

import { basename, dirname } from 'node:path';
import { findChatTemplate } from '../chat/chat-template.ts';
import type { Checkpoint } from '../checkpoint.ts';
import type { JsonDocument } from '../json-document.ts';
import { makeTokenizer } from '../tokenizer.ts';
import { configOf } from './config.ts';
import { type GgufFile, openGguf } from './gguf-file.ts';
import type { GgufMetadata } from './metadata.ts';
import { tokenizerConfigOf, tokenizerJsonOf } from './tokenizer.ts';
import { ggufWeights } from './weights.ts';

/** Opens the file at `path`, and with one of several files all of them. */
export async function openGgufCheckpoint(path: string): Promise<Checkpoint> {
  const file = await openGguf(path);
  const { metadata } = file;
  const config = configOf(file);
  const document = (value: object): JsonDocument => ({ path: file.path, value });
  return {
    path: file.path,
    directory: dirname(file.path),
    name: basename(file.path).replace(/(-\d{5}-of-\d{5})?\.gguf$/, ''),
    config: () => document(config),
    generationConfig: () => document(generationConfigOf(metadata)),
    chatTemplate: () => findChatTemplate(document(tokenizerConfigOf(metadata))),
    tokenizer: () => makeTokenizer(tokenizerJsonOf(metadata), file.path),
    weights: () => ggufWeights(file, sizesOf(file, config)),
    files: () => [...file.paths],
    companions: () =>
      Object.entries({
        'tokenizer.json': tokenizerJsonOf(metadata),
        'tokenizer_config.json': tokenizerConfigOf(metadata),
        'generation_config.json': generationConfigOf(metadata),
      }).map(([name, value]) => ({ name, content: `${JSON.stringify(value)}\n` })),
  };
}

function sizesOf({ metadata }: GgufFile, config: Record<string, unknown>) {
  const { num_attention_heads: heads, num_key_value_heads: keyHeads } = config;
  return {
    architecture: metadata.string('general.architecture'),
    heads: heads as number,
    keyHeads: keyHeads as number,
  };
}

/** What DeepSeek advises for R1 and its distills (README of DeepSeek-R1, usage recommendations); their files do not say. */
const r1Sampling = { temperature: 0.6, top_p: 0.95 };

/** Sampling as far as the file or its name tells, and the tokens that end an answer: of a turn, or of everything. */
function generationConfigOf(metadata: GgufMetadata): object {
  const named = [metadata.optionalString('general.name'), metadata.optionalString('general.basename')];
  const advised = named.some((name) => /\bR1\b/.test(name ?? '')) ? r1Sampling : {};
  const [temperature, topP, topK] = ['temp', 'top_p', 'top_k'].map((key) =>
    metadata.optionalNumber(`general.sampling.${key}`),
  );
  const ends = ['eos', 'eot'].flatMap((key) => metadata.optionalNumber(`tokenizer.ggml.${key}_token_id`) ?? []);
  return {
    ...advised,
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { top_p: topP }),
    ...(topK !== undefined && { top_k: topK }),
    ...(ends.length > 0 && { eos_token_id: ends }),
  };
}
