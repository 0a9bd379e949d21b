// What a conversion will write, known before it begins.
//
// Owns the choice of weights (the prediction module's too, where the checkpoint has it), their forms, and how they are dealt
// to shards. A plan is a pure function of the checkpoint's names and the options, so an interrupted conversion finds its
// place again. Reads no weight.

import type { StoredWeights } from '@hadal/formats/stored-weights';
import type { PackedDtype } from '@hadal/tensor/packed-matrix';
import type { AttentionForm, ModelDefinition } from '../architecture.ts';
import { type RunTimeWeight, runTimeWeights } from '../run-time-weights.ts';
import { storedRequests } from '../stored-requests.ts';
import { storedBytes } from '../weight-parts.ts';
import { shardName } from './manifest.ts';
import { shardBytes, shardOrder } from './shard-writer.ts';

export interface ConversionPlan {
  readonly dtype: PackedDtype;
  readonly attention: AttentionForm;
  readonly shards: readonly PlannedShard[];
}

export interface PlannedShard {
  readonly file: string;
  /** Of the whole file. */
  readonly bytes: number;
  /** In the order in which the file holds them. */
  readonly weights: readonly RunTimeWeight[];
}

/** `atMostBytes`: of weights in a shard, but one weight is never divided. Throws one line when the checkpoint lacks a weight. */
export function planConversion(
  definition: ModelDefinition,
  stored: StoredWeights,
  { dtype, atMostBytes }: { readonly dtype: PackedDtype; readonly atMostBytes: number },
): ConversionPlan {
  const attention = definition.preferredForm;
  const requests = storedRequests(definition, stored, attention);
  for (const { spec } of requests) storedBytes(stored, spec);
  const dealt: RunTimeWeight[][] = [];
  let room = 0;
  for (const weight of runTimeWeights(requests, dtype)) {
    if (weight.bytes > room || dealt.length === 0) {
      dealt.push([]);
      room = atMostBytes;
    }
    dealt.at(-1)?.push(weight);
    room -= weight.bytes;
  }
  const shards = dealt.map((weights, number) => {
    const file = shardName(number);
    const ordered = shardOrder(weights);
    return { file, bytes: shardBytes(file, ordered), weights: ordered };
  });
  return { dtype, attention, shards };
}
