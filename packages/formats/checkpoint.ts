// A model as it lies on disk.
//
// Owns what all layouts of checkpoints have in common: a configuration, a tokenizer, weights, and what its publisher says
// about talking to it. Whoever loads a model knows this and no layout. Nothing is read before it is asked for, so a part
// that is missing is missed by whoever needs it. Knows nothing of architectures.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { type ChatTemplate, findChatTemplate } from './chat/chat-template.ts';
import { openGgufCheckpoint } from './gguf/checkpoint.ts';
import { type JsonDocument, readJson, readJsonIfPresent, readTextIfPresent } from './json-document.ts';
import { openSafetensorsDirectory } from './safetensors.ts';
import { type StoredWeights, type StoredWeightsOptions, storedWeights } from './stored-weights.ts';
import { openTokenizer, type Tokenizer } from './tokenizer.ts';

export interface Checkpoint {
  readonly path: string;
  /** Where files stand that belong to it: `path` itself, or the file's folder. */
  readonly directory: string;
  /** What the model is called where nobody gives it another name. */
  readonly name: string;
  /** What config.json says. */
  config(): JsonDocument;
  /** What generation_config.json says; undefined where there is none. */
  generationConfig(): JsonDocument | undefined;
  /** undefined where the checkpoint brings none. */
  chatTemplate(): ChatTemplate | undefined;
  tokenizer(): Tokenizer;
  weights(options?: StoredWeightsOptions): StoredWeights;
  /** Every file that decides what the model says. */
  files(): string[];
  /** What a directory holds of the model beside its weights and config.json: tokenizer, template, advice, license. */
  companions(): CompanionFile[];
}

export interface CompanionFile {
  readonly name: string;
  readonly content: Uint8Array | string;
}

const companionNames =
  /^(generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|chat_template)\.json$|^merges\.txt$|\.jinja$|^LICENSE/;

/** Opens a directory, or a `.gguf` file. Throws one line when there is no checkpoint at `path`. */
export async function openCheckpoint(path: string): Promise<Checkpoint> {
  return path.endsWith('.gguf') ? await openGgufCheckpoint(path) : openCheckpointDirectory(path);
}

/** A directory as Hugging Face lays one out. */
export function openCheckpointDirectory(path: string): Checkpoint {
  const at = (name: string) => join(path, name);
  if (!existsSync(at('config.json'))) {
    throw new Error(`${path}: expected a checkpoint, found no config.json there; name another with --model`);
  }
  return {
    path,
    directory: path,
    name: basename(resolve(path)),
    config: () => readJson(at('config.json')),
    generationConfig: () => readJsonIfPresent(at('generation_config.json')),
    chatTemplate() {
      const source = readTextIfPresent(at('chat_template.jinja'));
      const file = source === undefined ? undefined : { path: at('chat_template.jinja'), source };
      return findChatTemplate(readJsonIfPresent(at('tokenizer_config.json')), file);
    },
    tokenizer: () => openTokenizer(at('tokenizer.json')),
    weights: (options) => storedWeights(openSafetensorsDirectory(path), options),
    files: () =>
      readdirSync(path)
        .filter((name) => /\.safetensors$|config\.json$|^tokenizer\.json$|\.jinja$|^packed\.json$/.test(name))
        .map(at)
        .filter((file) => statSync(file).isFile())
        .sort(),
    companions: () =>
      readdirSync(path)
        .filter((name) => companionNames.test(name) && statSync(at(name)).isFile())
        .map((name) => ({ name, content: readFileSync(at(name)) })),
  };
}
