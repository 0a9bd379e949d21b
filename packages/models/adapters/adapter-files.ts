// An adapter on disk, as PEFT lays one out: adapter_config.json and adapter_model.safetensors.
//
// Owns reading and writing of the two files. Which pairs there are, and of what rank, is seen from the tensors; the
// configuration says how they are scaled. Knows nothing of the model that an adapter is for.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { float32ToBf16 } from '@hadal/formats/float16';
import { readJson } from '@hadal/formats/json-document';
import { replaceFile } from '@hadal/formats/replace-file';
import { openSafetensors, type TensorSource, writeSafetensors } from '@hadal/formats/safetensors';
import { type StoredWeights, storedWeights } from '@hadal/formats/stored-weights';
import { parseAdapterConfig, scaleOf } from './adapter-config.ts';
import type { AdapterSet } from './adapter-set.ts';
import { type FusedPair, fusedLeaves, fusedParameter, fuseExperts, unfuseExperts } from './expert-parameters.ts';
import { downName, type ModulePair, moduleOfTensor, type PairOf, upName } from './low-rank-specs.ts';

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
  const scales = parseAdapterConfig(value, path);
  const file = openSafetensors(paths[1]);
  const stored = storedWeights(file);
  const found = new Set<string>();
  for (const name of file.tensors.keys()) {
    const module = moduleOfTensor(name);
    if (module === undefined || !stored.has(downName(module)) || !stored.has(upName(module))) {
      throw new Error(`${paths[1]}: expected pairs of lora_A.weight and lora_B.weight, found ${name}`);
    }
    found.add(module);
  }
  const pairs = new Map<string, ModulePair>();
  const fused: FusedPair[] = [];
  for (const module of found) {
    const parameter = fusedParameter(module, found, scales.targetParameters);
    if (parameter) {
      const name = `${parameter.experts}.${parameter.parameter}`;
      const rank = scales.rankOf(name);
      fused.push({ ...parameter, module, rank, scale: scales.scaleOf(name, rank) });
    } else {
      const rank = stored.find(downName(module)).shape[0] as number;
      pairs.set(module, { rank, scale: scales.scaleOf(module, rank) });
    }
  }
  const unfused = unfuseExperts(stored, fused);
  const { weights } = unfused;
  for (const [module, pair] of unfused.pairs) pairs.set(module, pair);
  const hash = createHash('sha256');
  for (const each of paths) hash.update(readFileSync(each));
  return {
    ...{ path: directory, weights, modules: [...pairs.keys()], fingerprint: hash.digest('hex') },
    pairOf: (module) => pairs.get(module),
  };
}

export interface WriteAdapterOptions {
  /** What PEFT finds the base by: a name on the hub, or a directory. */
  readonly base: string;
  readonly dtype: 'F32' | 'BF16';
  /**
   * How pairs for experts are laid out: by module, as transformers 4 and most servers name them, or by parameter, as transformers
   * 5 does; by parameter where absent. Without experts there is no difference.
   */
  readonly experts?: 'byModule' | 'byParameter' | undefined;
}

/** Writes a trained adapter; the configuration last. */
export function writeAdapter(
  directory: string,
  set: AdapterSet,
  { base, dtype, experts = 'byParameter' }: WriteAdapterOptions,
): void {
  mkdirSync(directory, { recursive: true });
  const isFused = set.hasExperts && experts === 'byParameter';
  const { tensors, targets } = isFused ? byParameter(set) : byModule(set);
  const inDtype = tensors.map((tensor) => (dtype === 'F32' ? tensor : asBf16(tensor)));
  writeSafetensors(join(directory, weightsName), inDtype, { format: 'pt' });
  const config = {
    ...{ peft_type: 'LORA', task_type: 'CAUSAL_LM', base_model_name_or_path: base, inference_mode: true },
    ...{ lora_dropout: 0, bias: 'none', ...targets },
  };
  replaceFile(join(directory, configName), `${JSON.stringify(config, null, 2)}\n`);
}

function byModule(set: AdapterSet) {
  const { rank, alpha, scaling } = set.config;
  const tensors = set.tensors('F32');
  const leaves = new Set(modulesOf(tensors).map((module) => lastParts(module, 1)));
  return {
    tensors,
    targets: { r: rank, lora_alpha: alpha, use_rslora: scaling === 'byRoot', target_modules: [...leaves].sort() },
  };
}

/**
 * PEFT for transformers 5 takes every module named gate_proj, up_proj or down_proj in a model with experts for one of them: those
 * of other layers are named as parameters too. Patterns exclude rsLoRA there, so the scale is written as it is.
 */
function byParameter(set: AdapterSet) {
  const { tensors, parameters } = fuseExperts(set.tensors('F32'));
  const plain = modulesOf(tensors).filter((module) => !/\.experts(\.base_layer)?$/.test(module));
  const isFusedLeaf = (module: string) => fusedLeaves.includes(lastParts(module, 1));
  const { rank } = set.config;
  const alpha = scaleOf(set.config, rank) * rank;
  const wider = [...parameters].filter(([, pairs]) => pairs > 1);
  const pattern = (of: number) => Object.fromEntries(wider.map(([name, pairs]) => [name, pairs * of]));
  return {
    tensors,
    targets: {
      ...{ r: rank, lora_alpha: alpha, rank_pattern: pattern(rank), alpha_pattern: pattern(alpha) },
      target_modules: [...new Set(plain.filter((each) => !isFusedLeaf(each)).map((each) => lastParts(each, 1)))].sort(),
      target_parameters: [
        ...new Set([...parameters.keys(), ...plain.filter(isFusedLeaf).map((each) => `${lastParts(each, 2)}.weight`)]),
      ].sort(),
    },
  };
}

function asBf16(tensor: TensorSource): TensorSource {
  const { data } = tensor;
  const convert = () => {
    const bytes = typeof data === 'function' ? data() : data;
    const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    return new Uint8Array(float32ToBf16(values as Float32Array<ArrayBuffer>).buffer);
  };
  return { ...tensor, dtype: 'BF16', data: convert };
}

function modulesOf(tensors: readonly TensorSource[]): string[] {
  return [...new Set(tensors.map(({ name }) => moduleOfTensor(name) as string))];
}

function lastParts(module: string, count: number): string {
  return module.split('.').slice(-count).join('.');
}
