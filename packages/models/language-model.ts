// A checkpoint opened for inference.
//
// Owns the choice of architecture by `config.json` and what an engine needs to know of any of them: how wide the cached
// keys and values are, and one function from tokens to hidden states. Knows nothing of requests. The form of latent
// attention is chosen here, once, so that everything the engine does has the same bits.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openCheckpoint } from '@hadal/formats/safetensors';
import type { Device } from '@hadal/kernels/device';
import { Arena } from '@hadal/tensor/arena';
import type { Graph } from '@hadal/tensor/graph';
import type { PackedDtype, Weight } from '@hadal/tensor/packed-matrix';
import type { Tensor } from '@hadal/tensor/tensor';
import { CheckpointWeights } from './checkpoint-weights.ts';
import { type DeepseekV3Config, deepseekV3Weights, forward, parseDeepseekV3Config, ropeTables } from './deepseek-v3.ts';
import type { AttentionMemory } from './layers/attention-memory.ts';
import { absorbedMla, expandedMla } from './layers/mla.ts';
import { collectSpecs, type WeightSpec } from './weight-source.ts';

export type AttentionForm = 'expanded' | 'absorbed';

export interface LanguageModel extends Disposable {
  readonly contextLength: number;
  readonly vocabularySize: number;
  /** `active`: what one token passes through, embedding rows and the prediction module aside. */
  readonly parameters: { readonly total: number; readonly active: number };
  readonly layers: number;
  /** Values that the cache keeps for each token and layer; 0 values: the keys are the values too. */
  readonly cache: { readonly keyWidth: number; readonly valueWidth: number };
  readonly form: AttentionForm;
  readonly head: Weight;
  /** Hidden states [N, D], normed. ids and positions i32 [N]. */
  forward(g: Graph, ids: Tensor, positions: Tensor, memory: AttentionMemory): Tensor;
}

export interface OpenModelOptions {
  readonly dtype?: PackedDtype;
  readonly form?: AttentionForm;
}

/** Reads `config.json` of a model directory. */
export function readConfig(directory: string): unknown {
  const path = join(directory, 'config.json');
  if (!existsSync(path)) throw new Error(`${directory}: expected a model directory, found no config.json in it`);
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(`${path}: expected JSON, ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Throws a line that names the architectures we have when `config.json` asks for another. */
export function checkArchitecture(config: unknown, directory: string): void {
  const { architectures } = config as { architectures?: unknown };
  const name = Array.isArray(architectures) ? String(architectures[0]) : undefined;
  if (name !== 'DeepseekV3ForCausalLM') {
    throw new Error(`${directory}: expected architecture DeepseekV3ForCausalLM, config.json has ${name ?? 'none'}`);
  }
}

export function openModel(device: Device, directory: string, options: OpenModelOptions = {}): LanguageModel {
  const json = readConfig(directory);
  checkArchitecture(json, directory);
  const config = parseDeepseekV3Config(json);
  const file = openCheckpoint(directory);
  const form = options.form ?? preferredForm(config);
  const source = new CheckpointWeights(device, file, {
    dtype: options.dtype ?? 'bf16',
    plain: (spec) => form === 'absorbed' && spec.parts[0]?.name.endsWith('kv_b_proj.weight') === true,
  });
  const tablesArena = new Arena(device.memory, 2 ** 20);
  try {
    const weights = deepseekV3Weights({ ...config, predictors: 0 }, source);
    const { cos, sin } = ropeTables(config, config.contextLength);
    const tables = { cos: tablesArena.floats(cos), sin: tablesArena.floats(sin), style: config.ropeStyle };
    const model = { config, weights, tables, mla: form === 'expanded' ? expandedMla : absorbedMla };
    return {
      contextLength: config.contextLength,
      vocabularySize: config.vocabularySize,
      parameters: countParameters(config),
      layers: config.layers,
      cache: cacheWidths(config, form),
      form,
      head: weights.head,
      forward: (g, ids, positions, memory) => forward(g, model, ids, positions, memory),
      [Symbol.dispose]() {
        source[Symbol.dispose]();
        tablesArena[Symbol.dispose]();
      },
    };
  } catch (error) {
    source[Symbol.dispose]();
    tablesArena[Symbol.dispose]();
    throw error;
  }
}

/**
 * The expanded form does fewer operations for each key, the absorbed one reads fewer bytes: (rank + rope) instead of
 * heads * (nope + rope + v). Small models decode from the processor's cache and take the first.
 */
function preferredForm({ mla }: DeepseekV3Config): AttentionForm {
  const { keyWidth, valueWidth } = expandedWidths(mla);
  return keyWidth + valueWidth <= 8 * (mla.kvRank + mla.rope) ? 'expanded' : 'absorbed';
}

function expandedWidths({ heads, nope, rope, vDim }: DeepseekV3Config['mla']) {
  return { keyWidth: heads * (nope + rope), valueWidth: heads * vDim };
}

function cacheWidths({ mla }: DeepseekV3Config, form: AttentionForm) {
  return form === 'expanded' ? expandedWidths(mla) : { keyWidth: mla.kvRank + mla.rope, valueWidth: 0 };
}

function countParameters(config: DeepseekV3Config): { total: number; active: number } {
  const size = ({ shape }: WeightSpec) => shape.reduce((product, n) => product * n, 1);
  const specs = (predictors: number) => collectSpecs((source) => deepseekV3Weights({ ...config, predictors }, source));
  const total = specs(config.predictors).reduce((sum, spec) => sum + size(spec), 0);
  const activeShare = config.routing.K / config.experts;
  const active = specs(0).reduce((sum, spec) => {
    if (spec.kind === 'embedding') return sum;
    return sum + size(spec) * (spec.kind === 'experts' ? activeShare : 1);
  }, 0);
  return { total, active: Math.round(active) };
}
