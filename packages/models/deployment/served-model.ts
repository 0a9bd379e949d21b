// A model as another engine serves it: what its memory and its division over GPUs depend on.
//
// Owns the few sizes that planning needs, taken from the configuration as its architecture checked it. The three kinds of
// attention differ in what they keep of a token and in what can be divided. Knows no GPU and no engine.

import { countParameters, type ParameterCount } from '../architecture.ts';
import { architectures, defineModel } from '../architectures.ts';
import { parseDeepseekV2Config } from '../deepseek-v2.ts';
import { parseDeepseekV3Config } from '../deepseek-v3.ts';
import { parseDeepseekV4Config } from '../deepseek-v4.ts';
import { parseDeepseekV32Config } from '../deepseek-v32.ts';
import type { DenseConfig } from '../dense-decoder.ts';
import type { LatentMixtureConfig } from '../latent-mixture.ts';
import { parseLlamaConfig } from '../llama.ts';
import { parseQwen2Config } from '../qwen2.ts';
import { elementsOfTensor, type ModelTensor, modelTensors, tensorBytes } from './model-tensors.ts';

export type AttentionKind =
  | { readonly kind: 'grouped'; readonly keyHeads: number; readonly headDim: number }
  | {
      readonly kind: 'latent';
      readonly rank: number;
      readonly rope: number;
      readonly nope: number;
      readonly vDim: number;
      /** Width of the indexer's keys (V3.2). */
      readonly indexWidth: number | undefined;
    }
  | {
      readonly kind: 'compressed';
      readonly headDim: number;
      readonly rope: number;
      readonly window: number;
      readonly indexWidth: number;
      /** Of the output's projection, which is divided by them. */
      readonly groups: number;
      /** Tokens to an entry, layer by layer; 0 where there are none. `sparse`: an indexer picks among them. */
      readonly layers: readonly { readonly ratio: number; readonly isSparse: boolean }[];
    };

export interface ServedModel {
  /** What the engine is told to load: a repository or a directory. */
  readonly source: string;
  readonly name: string;
  /** `model_type`. */
  readonly type: string;
  readonly contextLength: number;
  readonly vocabularySize: number;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly attention: AttentionKind;
  /** Of the dense feed-forward layers; 0 where there are none. */
  readonly denseWidth: number;
  readonly mixture:
    | {
        readonly experts: number;
        readonly perToken: number;
        readonly expertWidth: number;
        /** Of all shared experts together. */
        readonly sharedWidth: number;
      }
    | undefined;
  readonly tensors: readonly ModelTensor[];
  /** Of all that is published, copies and prediction module with it. */
  readonly storedBytes: number;
  /** Without the prediction module. */
  readonly parameters: ParameterCount;
  readonly predictor: 'present' | 'absent';
  /** How the publisher stores its matrices. */
  readonly stored: 'bf16' | 'fp8' | 'fp4';
}

type Sizes = Pick<ServedModel, 'width' | 'layers' | 'heads' | 'attention' | 'denseWidth' | 'mixture'>;

/** Understands config.json; throws one line that names `where` and the key. */
export function servedModel(source: string, json: unknown, where: string): ServedModel {
  const { contextLength, vocabularySize } = defineModel(json, where);
  const type = typeOf(json);
  const tensors = modelTensors({ ...(json as object), model_type: type }, where);
  const main = tensors.filter(({ predictor }) => predictor === 'no');
  const { active } = countParameters(defineModel(json, where));
  return {
    ...{ source, type, contextLength, vocabularySize, tensors },
    name: source.replace(/\/+$/, '').replace(/^.*\//, ''),
    ...sizesOf(type, json, where),
    storedBytes: sum(tensors.map((tensor) => tensorBytes(tensor, 'published'))),
    // The table of experts by token is looked up, not learned.
    parameters: { total: sum(main.filter(({ storage }) => storage !== 'int64').map(elementsOfTensor)), active },
    predictor: main.length < tensors.length ? 'present' : 'absent',
    stored: (['fp4', 'fp8'] as const).find((narrow) => tensors.some(({ storage }) => storage === narrow)) ?? 'bf16',
  };
}

/** A configuration without `model_type` is known by its class, as `defineModel` knows it. */
function typeOf(json: unknown): string {
  const { model_type: type, architectures: names } = json as { model_type?: string; architectures?: string[] };
  return type ?? Object.entries(architectures).find(([, { className }]) => className === names?.[0])?.[0] ?? '';
}

function sizesOf(type: string, json: unknown, where: string): Sizes {
  switch (type) {
    case 'qwen2':
      return denseSizes(parseQwen2Config(json, where));
    case 'llama':
      return denseSizes(parseLlamaConfig(json, where));
    case 'deepseek_v2':
      return latentSizes(parseDeepseekV2Config(json, where), undefined);
    case 'deepseek_v3':
      return latentSizes(parseDeepseekV3Config(json, where), undefined);
    case 'deepseek_v32': {
      const config = parseDeepseekV32Config(json, where);
      return latentSizes(config, config.indexer.headDim);
    }
    case 'deepseek_v4':
      return compressedSizes(json, where);
    default:
      throw new Error(`${where}: model_type: no plan is known for "${type}"`);
  }
}

function denseSizes({ width, layers, attention, feedForward }: DenseConfig): Sizes {
  const { heads, keyHeads, headDim } = attention;
  const kept = { kind: 'grouped', keyHeads, headDim } as const;
  return { width, layers, heads, attention: kept, denseWidth: feedForward.width, mixture: undefined };
}

function latentSizes(config: LatentMixtureConfig, indexWidth: number | undefined): Sizes {
  const { width, layers, mla, mixture, denseLayers, denseWidth } = config;
  const { heads, kvRank, rope, nope, vDim } = mla;
  return {
    ...{ width, layers, heads, denseWidth: denseLayers > 0 ? denseWidth : 0 },
    attention: { kind: 'latent', rank: kvRank, rope, nope, vDim, indexWidth },
    mixture: mixtureSizes(mixture),
  };
}

function compressedSizes(json: unknown, where: string): Sizes {
  const { width, layers, attention, mixture } = parseDeepseekV4Config(json, where);
  const { heads, headDim, rope, window, groups, indexer } = attention;
  const kinds = layers.map(({ compression }) => ({
    ratio: compression.kind === 'windowed' ? 0 : compression.ratio,
    isSparse: compression.kind === 'compressedSparse',
  }));
  const kept = {
    kind: 'compressed',
    headDim,
    rope,
    window,
    groups,
    indexWidth: indexer.headDim,
    layers: kinds,
  } as const;
  return { width, layers: layers.length, heads, attention: kept, denseWidth: 0, mixture: mixtureSizes(mixture) };
}

function mixtureSizes(mixture: {
  readonly experts: number;
  readonly expertWidth: number;
  readonly sharedExperts: number;
  readonly routing: { readonly K: number };
}): ServedModel['mixture'] {
  const { experts, expertWidth, sharedExperts, routing } = mixture;
  return { experts, expertWidth, perToken: routing.K, sharedWidth: sharedExperts * expertWidth };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, n) => total + n, 0);
}
