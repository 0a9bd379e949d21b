// A checkpoint opened for inference.
//
// Owns the weights of an opened model and the engine's view of it: how large it is, what its cache keeps, and one
// function from tokens to hidden states. Knows nothing of requests, and of architectures only that there is a table. The
// form of attention and the dtype are chosen here, once, so that everything the engine does has the same bits.

import type { Checkpoint } from '@hadal/formats/checkpoint';
import type { StoredWeights } from '@hadal/formats/stored-weights';
import type { Device } from '@hadal/kernels/device';
import type { RowDtype } from '@hadal/kernels/rows';
import type { PackedDtype, Weight } from '@hadal/tensor/packed-matrix';
import { AdapterShelf } from './adapters/adapter-shelf.ts';
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
import { holdsName, holdsWeight, type Manifest, readManifest } from './packed/manifest.ts';
import { PackedWeights } from './packed/packed-weights.ts';
import { parseFp8Block } from './quantization-config.ts';
import { runTimeWeights } from './run-time-weights.ts';
import { predictorOf, storedDtype } from './stored-requests.ts';
import { storedBytes } from './weight-parts.ts';
import { recordRequests, type WeightRequest, type WeightSource } from './weight-source.ts';

export interface LanguageModel extends Disposable {
  /** Positions it was opened for: what the configuration allows at most. */
  readonly contextLength: number;
  readonly vocabularySize: number;
  readonly parameters: ParameterCount;
  /** Of every layer; the prediction module's, where it is loaded, comes last. */
  readonly cache: CacheLayout;
  readonly form: AttentionForm;
  readonly dtype: PackedDtype;
  readonly head: Weight;
  /** Hidden states [N, D], normed. ids and positions i32 [N]. */
  readonly forward: Network['forward'];
  readonly predictor: Predictor | undefined;
  /** Where adapters of this model are loaded; undefined: it takes none. */
  readonly adapters: AdapterShelf | undefined;
}

export interface OpenModelOptions {
  /** By default what the checkpoint is stored in, bf16 at most; see `storedDtype`. */
  readonly dtype?: PackedDtype | undefined;
  readonly form?: AttentionForm | undefined;
  /** Positions that a sequence may have; what the configuration allows when absent. */
  readonly contextLength?: number | undefined;
  /** Whether experts of a converted checkpoint are read in at once or when they are chosen. */
  readonly experts?: 'resident' | 'paged' | undefined;
  /** Whether to load the multi-token prediction module, where the checkpoint has one. */
  readonly predictor?: 'present' | 'absent' | undefined;
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
  /** How keys and values are kept; by default bf16 under quantized weights and f32 under others. */
  readonly cacheDtype?: RowDtype | undefined;
}

/** Of the weights as they are stored. */
export interface LoadProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** Understands the configuration of a checkpoint. */
export function readDefinition(checkpoint: Checkpoint): ModelDefinition {
  const { value, path } = checkpoint.config();
  return defineModel(value, path);
}

/** What a directory that `hadal convert` wrote says of itself; undefined of any other checkpoint. */
export function readPacked({ path, directory }: Checkpoint): Manifest | undefined {
  return path === directory ? readManifest(directory) : undefined;
}

/** The weights of a checkpoint, in whatever encoding they are stored. */
export function openWeights(checkpoint: Checkpoint): StoredWeights {
  const packed = readPacked(checkpoint);
  if (packed) {
    const found = `found one converted to ${packed.dtype}, which can only be run`;
    throw new Error(`${checkpoint.path}: expected a checkpoint as it was published, ${found}`);
  }
  const { value, path } = checkpoint.config();
  return checkpoint.weights({ fp8Block: parseFp8Block(value, path) });
}

export function openModel(device: Device, checkpoint: Checkpoint, options: OpenModelOptions = {}): LanguageModel {
  const definition = readDefinition(checkpoint);
  const { vocabularySize, forms } = definition;
  const { contextLength = definition.contextLength } = options;
  const packed = readPacked(checkpoint);
  const form = options.form ?? packed?.attention ?? definition.preferredForm;
  if (!forms.includes(form))
    throw new Error(`${checkpoint.path}: expected attention form ${forms.join(' or ')}, got ${form}`);
  const dtype = runTimeDtype(checkpoint, options.dtype);
  const predictor = options.predictor === 'present' ? holdingsOf(checkpoint, form).predictor : 'absent';
  const assemble = (source: WeightSource) => definition.assemble(source, { form, positions: contextLength, predictor });
  const source = packed
    ? new PackedWeights(device, checkpoint.directory, packed, options.experts ?? 'resident')
    : publishedWeights(device, openWeights(checkpoint), assemble, dtype, options.onProgress);
  const adapters = definition.adapters === 'refused' ? undefined : new AdapterShelf(device);
  try {
    const network = assemble(adapters?.over(source) ?? source);
    return {
      ...{ contextLength, vocabularySize, form, dtype },
      parameters: countParameters(definition),
      cache: cacheLayoutOf(definition, form, options.cacheDtype ?? cacheDtypeFor(dtype), predictor),
      head: network.head,
      forward: network.forward,
      predictor: network.predictor,
      adapters,
      [Symbol.dispose]() {
        adapters?.[Symbol.dispose]();
        source[Symbol.dispose]();
      },
    };
  } catch (error) {
    source[Symbol.dispose]();
    throw error;
  }
}

/** What decides which optional weights a model is opened with. */
export interface Holdings {
  /** Of tensors, by their names in the original. */
  readonly has: (name: string) => boolean;
  /** Whether all of the prediction module is there that the configuration speaks of. */
  readonly predictor: 'present' | 'absent';
}

/** Of a checkpoint, published or converted. */
export function holdingsOf(checkpoint: Checkpoint, form: AttentionForm): Holdings {
  const definition = readDefinition(checkpoint);
  const packed = readPacked(checkpoint);
  if (packed) {
    const has = (name: string) => holdsName(packed, name);
    return { has, predictor: predictorOf(definition, form, (request) => holdsWeight(packed, request), has) };
  }
  const { has } = openWeights(checkpoint);
  const holds = ({ spec }: WeightRequest) => spec.parts.every(({ name }) => has(name));
  return { has, predictor: predictorOf(definition, form, holds, has) };
}

/** What is kept of every token; the prediction module is one more block like the last. */
export function cacheLayoutOf(
  definition: ModelDefinition,
  form: AttentionForm,
  dtype: RowDtype,
  predictor: 'present' | 'absent',
): CacheLayout {
  const layout = definition.cacheLayout(form, dtype);
  return predictor === 'present' ? [...layout, ...layout.slice(-1)] : layout;
}

/** Rounded keys cost less than rounded weights; where weights are float or bfloat16, what was computed is kept whole. */
export function cacheDtypeFor(weights: PackedDtype): RowDtype {
  return weights === 'int8' || weights === 'int4' ? 'bf16' : 'f32';
}

/** What a checkpoint is opened as: packed weights are what they are, others what is asked, or what they are stored in. */
export function runTimeDtype(checkpoint: Checkpoint, asked: PackedDtype | undefined): PackedDtype {
  const packed = readPacked(checkpoint);
  if (packed && asked !== undefined && asked !== packed.dtype) {
    const found = `which it was converted to, got ${asked}: convert the original again`;
    throw new Error(`${checkpoint.path}: expected dtype ${packed.dtype}, ${found}`);
  }
  if (packed) return packed.dtype;
  if (asked !== undefined) return asked;
  const definition = readDefinition(checkpoint);
  const options = { form: definition.preferredForm, positions: 1, predictor: 'absent' } as const;
  const stored = openWeights(checkpoint);
  const { weights } = recordRequests((source) => definition.assemble(source, options), stored.has);
  return storedDtype(stored, weights);
}

/** Checks every weight before the first is read, which may take minutes, and counts what there is to read. */
function publishedWeights(
  device: Device,
  stored: StoredWeights,
  assemble: (source: WeightSource) => unknown,
  dtype: PackedDtype,
  onProgress: OpenModelOptions['onProgress'],
): CheckpointWeights {
  let totalBytes = 0;
  for (const { spec } of runTimeWeights(recordRequests(assemble, stored.has).weights, dtype)) {
    totalBytes += storedBytes(stored, spec);
  }
  let doneBytes = 0;
  const onRead = (bytes: number) => {
    doneBytes += bytes;
    onProgress?.({ doneBytes, totalBytes });
  };
  return new CheckpointWeights(device, stored, { dtype, onRead });
}
