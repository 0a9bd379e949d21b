// A checkpoint opened for inference.
//
// Owns the weights of an opened model and the engine's view of it: how large it is, what its cache keeps, and one
// function from tokens to hidden states. Knows nothing of requests, and of architectures only that there is a table. The
// form of attention is chosen here, once, so that everything the engine does has the same bits.

import type { Checkpoint } from '@hadal/formats/checkpoint';
import type { StoredWeights } from '@hadal/formats/stored-weights';
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

/** Understands the configuration of a checkpoint. */
export function readDefinition(checkpoint: Checkpoint): ModelDefinition {
  const { value, path } = checkpoint.config();
  return defineModel(value, path);
}

/** The weights of a checkpoint, in whatever encoding they are stored. */
export function openWeights(checkpoint: Checkpoint): StoredWeights {
  const { value, path } = checkpoint.config();
  return checkpoint.weights({ fp8Block: parseFp8Block(value, path) });
}

export function openModel(device: Device, checkpoint: Checkpoint, options: OpenModelOptions = {}): LanguageModel {
  const definition = readDefinition(checkpoint);
  const { contextLength, vocabularySize, forms } = definition;
  const form = options.form ?? definition.preferredForm;
  if (!forms.includes(form))
    throw new Error(`${checkpoint.path}: expected attention form ${forms.join(' or ')}, got ${form}`);
  const source = new CheckpointWeights(device, openWeights(checkpoint), { dtype: options.dtype ?? 'bf16' });
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
