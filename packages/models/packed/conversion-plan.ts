// What a conversion will write, known before it begins.
//
// Owns the choice of weights (the prediction module's too, where the checkpoint has it), their forms, and how they are dealt
// to shards. A plan is a pure function of the checkpoint's names and the options, so an interrupted conversion finds its
// place again. Reads no weight.

import type { StoredWeights } from '@hadal/formats/stored-weights';
import type { PackedDtype } from '@hadal/tensor/packed-matrix';
import type { AttentionForm, ModelDefinition, Network } from '../architecture.ts';
import { type RunTimeWeight, runTimeWeights } from '../run-time-weights.ts';
import { storedBytes } from '../weight-parts.ts';
import { recordRequests, type WeightRequest, type WeightSource } from '../weight-source.ts';
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

/** Everything that an engine may ask for: the prediction module is optional, as its weights are. */
function storedRequests(
  definition: ModelDefinition,
  stored: StoredWeights,
  form: AttentionForm,
): readonly WeightRequest[] {
  const record = (predictor: 'present' | 'absent') => {
    let network: Network | undefined;
    const describe = (source: WeightSource) => {
      network = definition.assemble(source, { form, positions: 1, predictor });
    };
    const { weights } = recordRequests(describe, stored.has);
    return { weights, prefix: network?.predictor?.prefix };
  };
  const { weights, prefix } = record('present');
  const isThere = ({ spec }: WeightRequest) =>
    spec.parts.every(({ name }) => prefix === undefined || !name.startsWith(prefix) || stored.has(name));
  return weights.every(isThere) ? weights : record('absent').weights;
}
