// A checkpoint opened for inference.
//
// Owns the weights of an opened model and the engine's view of it: how large it is, what its cache keeps, and one
// function from tokens to hidden states. Knows nothing of requests, and of architectures only that there is a table. The
// form of attention is chosen here, once, so that everything the engine does has the same bits.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openCheckpoint } from '@hadal/formats/safetensors';
import { type StoredWeights, storedWeights } from '@hadal/formats/stored-weights';
import type { Device } from '@hadal/kernels/device';
import type { PackedDtype, Weight } from '@hadal/tensor/packed-matrix';
import {
  type AttentionForm,
  type CacheLayout,
  countParameters,
  type ModelDefinition,
  type Network,
  type ParameterCount,
  type Predictor,
} from './architecture.ts';
import { defineModel } from './architectures.ts';
import { CheckpointWeights } from './checkpoint-weights.ts';
import { parseFp8Block } from './quantization-config.ts';

export interface LanguageModel extends Disposable {
  readonly contextLength: number;
  readonly vocabularySize: number;
  readonly parameters: ParameterCount;
  /** Of every layer; the prediction module's, where it is loaded, comes last. */
  readonly cache: CacheLayout;
  readonly form: AttentionForm;
  readonly head: Weight;
  /** Hidden states [N, D], normed. ids and positions i32 [N]. */
  readonly forward: Network['forward'];
  readonly predictor: Predictor | undefined;
}

export interface OpenModelOptions {
  readonly dtype?: PackedDtype;
  readonly form?: AttentionForm;
  /** Whether to load the multi-token prediction module, where the checkpoint has one. */
  readonly predictor?: 'present' | 'absent';
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

/** Understands the configuration of a model directory. */
export function readDefinition(directory: string): ModelDefinition {
  return defineModel(readConfig(directory), join(directory, 'config.json'));
}

/** The weights of a model directory, in whatever encoding they are stored. */
export function openWeights(directory: string): StoredWeights {
  const fp8Block = parseFp8Block(readConfig(directory), join(directory, 'config.json'));
  return storedWeights(openCheckpoint(directory), { fp8Block });
}

export function openModel(device: Device, directory: string, options: OpenModelOptions = {}): LanguageModel {
  const definition = readDefinition(directory);
  const { contextLength, vocabularySize, forms } = definition;
  const form = options.form ?? definition.preferredForm;
  if (!forms.includes(form))
    throw new Error(`${directory}: expected attention form ${forms.join(' or ')}, got ${form}`);
  const source = new CheckpointWeights(device, openWeights(directory), { dtype: options.dtype ?? 'bf16' });
  try {
    const { predictor: wanted = 'absent' } = options;
    const network = definition.assemble(source, { form, positions: contextLength, predictor: wanted });
    const layout = definition.cacheLayout(form);
    const { predictor } = network;
    return {
      ...{ contextLength, vocabularySize, form },
      parameters: countParameters(definition),
      // The module is one more block like the last.
      cache: predictor ? [...layout, ...layout.slice(-1)] : layout,
      head: network.head,
      forward: network.forward,
      predictor,
      [Symbol.dispose]: () => source[Symbol.dispose](),
    };
  } catch (error) {
    source[Symbol.dispose]();
    throw error;
  }
}
