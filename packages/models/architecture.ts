// What every architecture is to the rest of Hadal.
//
// Owns the seam: an `Architecture` reads a configuration and returns a `ModelDefinition`, which knows the model's sizes
// and assembles it from a source of weights; the resulting `Network` maps tokens to hidden states. Engine, trainer and
// verification know these three and no architecture by name. What an architecture has and others lack (a prediction
// module, forms of attention, rows in the cache) is said here as data.

import type { RowDtype } from '@hadal/kernels/rows';
import type { Graph } from '@hadal/tensor/graph';
import type { Weight } from '@hadal/tensor/packed-matrix';
import type { Tensor } from '@hadal/tensor/tensor';
import type { AttentionMemory } from './layers/attention-memory.ts';
import { collectSpecs, elementsOf, everySpec, type WeightSource, type WeightSpec } from './weight-source.ts';

/**
 * The ways to compute one attention that are equal in mathematics and not in bits. `standard`: there is only one;
 * `expanded` and `absorbed`: the two of latent attention (see `layers/mla`).
 */
export type AttentionForm = 'standard' | 'expanded' | 'absorbed';

/** Rows that a layer keeps of a sequence. */
export interface RowStore {
  /** Values in a row. */
  readonly width: number;
  /** How they are kept; f32 where absent. */
  readonly dtype?: RowDtype;
  /** How many tokens a row stands for, a divisor or a multiple of 64; 1 where absent. See `kernels/windows`. */
  readonly tokensPerRow?: number;
}

/** The row stores of each layer, by the names under which its attention asks for them (`AttentionMemory`). */
export type CacheLayout = readonly Readonly<Record<string, RowStore>>[];

export interface Architecture {
  /** What `architectures` in config.json calls it. */
  readonly className: string;
  /** Reads config.json; throws one line that names `where` (the file) and the key. */
  readonly define: (json: unknown, where: string) => ModelDefinition;
}

/** A configuration, understood: all that can be said of a model before its weights are there. */
export interface ModelDefinition {
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly layers: number;
  /** Standard deviation of fresh weights. */
  readonly initializerRange: number;
  /** The first one is differentiable, where any is: training and verification of gradients use it. */
  readonly forms: readonly [AttentionForm, ...AttentionForm[]];
  /** What an engine takes when nobody says otherwise. */
  readonly preferredForm: AttentionForm;
  /** Share of the routed experts' weights that one token passes through; 1 where there are none. */
  readonly activeShare: number;
  /** Whether adapters may add to its products; where absent they may. */
  readonly adapters?: 'refused';
  /** `dtype`: how keys and values are kept where the attention can read both; what only float32 serves stays so. */
  cacheLayout(form: AttentionForm, dtype: RowDtype): CacheLayout;
  /** Asks `source` for every weight, in checkpoint order, and returns the model over them. */
  assemble(source: WeightSource, options: AssembleOptions): Network;
}

export interface AssembleOptions {
  readonly form: AttentionForm;
  /** Positions that the rotary tables reach. */
  readonly positions: number;
  /** Whether to ask for the weights of the multi-token prediction module, where there is one. */
  readonly predictor: 'present' | 'absent';
}

/** Weights and what is computed with them. Owns no memory: the weights are their source's. */
export interface Network {
  /** [vocabulary, width]: logits are `g.linear(hidden, head)`. */
  readonly head: Weight;
  readonly predictor: Predictor | undefined;
  /** Every mixture layer's router, the predictor's last. */
  readonly routers: readonly Router[];
  /**
   * The final hidden state, normed: [N, D]. ids and positions i32 [N]. `observe` sees the residual stream before each
   * block (Hugging Face's `hidden_states`, all but the last).
   */
  forward(g: Graph, ids: Tensor, positions: Tensor, memory: AttentionMemory, observe?: (x: Tensor) => void): Tensor;
}

/** A module that predicts the token after the next (DeepSeek-V3, arXiv 2412.19437, section 2.2). */
export interface Predictor {
  /** How the checkpoint names of its own weights begin. */
  readonly prefix: string;
  readonly head: Weight;
  /** [N, D], normed, from the network's hidden state [N, D] and the tokens that follow, i32 [N]. */
  forward(g: Graph, hidden: Tensor, nextIds: Tensor, positions: Tensor, memory: AttentionMemory): Tensor;
}

export interface Router {
  /** i32 [E]: tokens that chose each expert since someone last cleared it. */
  readonly counts: Tensor;
  /** [E], moved by load outside the tape; undefined where the architecture has none. */
  readonly bias: Tensor | undefined;
}

/** `active`: what one token passes through, embedding rows and the prediction module aside. */
export interface ParameterCount {
  readonly total: number;
  readonly active: number;
}

export function countParameters(model: ModelDefinition): ParameterCount {
  const options = { form: model.forms[0], positions: 1 };
  const isWeight = ({ kind }: WeightSpec) => kind !== 'table';
  const all = collectSpecs((source) => model.assemble(source, { ...options, predictor: 'present' })).filter(isWeight);
  const total = all.reduce((sum, spec) => sum + elementsOf(spec), 0);
  // Every use counts: a head that shares the embedding's memory is multiplied by all the same.
  const used = everySpec((source) => model.assemble(source, { ...options, predictor: 'absent' })).filter(isWeight);
  const active = used.reduce((sum, spec) => {
    if (spec.kind === 'embedding') return sum;
    return sum + elementsOf(spec) * (spec.kind === 'experts' ? model.activeShare : 1);
  }, 0);
  return { total, active: Math.round(active) };
}
