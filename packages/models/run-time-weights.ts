// What a model's weights are at run time: which there are, in which form, how large.
//
// Owns the run-time form of every weight for the dtype that a model is opened as. Whatever holds weights ready to compute with
// (memory after loading, a converted directory) and whoever reckons with their sizes asks here, so they cannot disagree. Knows
// no file and allocates nothing.

import { type PackedDtype, packedMatrixBytes } from '@hadal/tensor/packed-matrix';
import {
  dtypeOf,
  elementsOf,
  matrixShape,
  specKey,
  type WeightKind,
  type WeightRequest,
  type WeightSpec,
} from './weight-source.ts';

/** Multiplied by, or read element by element. */
export type RunTimeForm =
  | { readonly kind: 'packed'; readonly dtype: PackedDtype }
  | { readonly kind: 'plain'; readonly dtype: 'f32' | 'i32' };

export interface RunTimeWeight {
  /** Tells it apart from all others of a model. */
  readonly name: string;
  readonly spec: WeightSpec;
  readonly form: RunTimeForm;
  readonly bytes: number;
}

/**
 * The form of a matrix in a model opened as `dtype`. Routers and mixers stay exact: they are small, and a choice of experts
 * or keys that flips costs more than a rounded weight. What pools tokens is released as bfloat16 where the rest is
 * quantized. The head decides between tokens by small margins, and the embedding is often the same matrix, so int4 stops at
 * int8 there.
 */
export function packedDtypeOf(kind: WeightKind, dtype: PackedDtype): PackedDtype {
  if (kind === 'router' || kind === 'mixer') return 'f32';
  if (kind === 'pooling') return dtype === 'f32' ? 'f32' : 'bf16';
  return (kind === 'head' || kind === 'embedding') && dtype === 'int4' ? 'int8' : dtype;
}

/** The weight that answers `request` in a model opened as `dtype`. */
export function runTimeWeight({ spec, as }: WeightRequest, dtype: PackedDtype): RunTimeWeight {
  if (as === 'tensor') {
    const form = { kind: 'plain', dtype: dtypeOf(spec) } as const;
    return { name: `${specKey(spec)}/${form.dtype}`, spec, form, bytes: elementsOf(spec) * 4 };
  }
  const form = { kind: 'packed', dtype: packedDtypeOf(spec.kind, dtype) } as const;
  const bytes = packedMatrixBytes({ ...matrixShape(spec), dtype: form.dtype });
  return { name: `${specKey(spec)}/packed-${form.dtype}`, spec, form, bytes };
}

/** All weights of a model opened as `dtype`, each once: tied embeddings are one. */
export function runTimeWeights(requests: readonly WeightRequest[], dtype: PackedDtype): RunTimeWeight[] {
  const weights = new Map<string, RunTimeWeight>();
  for (const request of requests) {
    const weight = runTimeWeight(request, dtype);
    if (!weights.has(weight.name)) weights.set(weight.name, weight);
  }
  return [...weights.values()];
}
