// An adapter on disk, as PEFT lays one out: adapter_config.json and adapter_model.safetensors.
//
// Owns reading and writing of the two files. Which pairs there are, and of what rank, is seen from the tensors; the
// configuration says how they are scaled. Knows nothing of the model that an adapter is for.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readJson } from '@hadal/formats/json-document';
import { replaceFile } from '@hadal/formats/replace-file';
import { openSafetensors, writeSafetensors } from '@hadal/formats/safetensors';
import { type StoredWeights, storedWeights } from '@hadal/formats/stored-weights';
import { parseAdapterConfig } from './adapter-config.ts';
import type { AdapterSet } from './adapter-set.ts';
import { downName, moduleOfTensor, type PairOf, upName } from './low-rank-specs.ts';

export interface Adapter {
  /** The directory. */
  readonly path: string;
  readonly weights: StoredWeights;
  /** Names of the modules that it has pairs for. */
  readonly modules: readonly string[];
  readonly pairOf: PairOf;
  /** Of all that it says: 64 hexadecimal digits. */
  readonly fingerprint: string;
}

const configName = 'adapter_config.json';
const weightsName = 'adapter_model.safetensors';

/** Throws one line when there is no adapter in the directory, or one that we cannot compute with. */
export function openAdapter(directory: string): Adapter {
  const paths = [join(directory, configName), join(directory, weightsName)] as const;
  const missing = paths.find((path) => !existsSync(path));
  if (missing !== undefined) throw new Error(`${directory}: expected ${configName} and ${weightsName}, no ${missing}`);
  const { value, path } = readJson(paths[0]);
  const { scaleOf } = parseAdapterConfig(value, path);
  const file = openSafetensors(paths[1]);
  const weights = storedWeights(file);
  const modules = new Set<string>();
  for (const name of file.tensors.keys()) {
    const module = moduleOfTensor(name);
    if (module === undefined || !weights.has(downName(module)) || !weights.has(upName(module))) {
      throw new Error(`${paths[1]}: expected pairs of lora_A.weight and lora_B.weight, found ${name}`);
    }
    modules.add(module);
  }
  const hash = createHash('sha256');
  for (const each of paths) hash.update(readFileSync(each));
  return {
    ...{ path: directory, weights, modules: [...modules], fingerprint: hash.digest('hex') },
    pairOf(module) {
      if (!modules.has(module)) return undefined;
      const rank = weights.find(downName(module)).shape[0] as number;
      return { rank, scale: scaleOf(module, rank) };
    },
  };
}

export interface WriteAdapterOptions {
  /** What PEFT finds the base by: a name on the hub, or a directory. */
  readonly base: string;
  readonly dtype: 'F32' | 'BF16';
}

/** Writes a trained adapter; the configuration last. */
export function writeAdapter(directory: string, set: AdapterSet, { base, dtype }: WriteAdapterOptions): void {
  mkdirSync(directory, { recursive: true });
  const tensors = set.tensors(dtype);
  writeSafetensors(join(directory, weightsName), tensors, { format: 'pt' });
  const { rank, alpha, scaling } = set.config;
  const modules = new Set(tensors.map(({ name }) => moduleOfTensor(name) as string));
  const config = {
    ...{ peft_type: 'LORA', task_type: 'CAUSAL_LM', base_model_name_or_path: base, inference_mode: true },
    ...{ r: rank, lora_alpha: alpha, use_rslora: scaling === 'byRoot', lora_dropout: 0, bias: 'none' },
    target_modules: targetNames(modules),
  };
  replaceFile(join(directory, configName), `${JSON.stringify(config, null, 2)}\n`);
}

/** The last parts of modules' names, each once. */
function targetNames(modules: ReadonlySet<string>): string[] {
  return [...new Set([...modules].map((module) => module.slice(module.lastIndexOf('.') + 1)))].sort();
}
