// What of an architecture a checkpoint holds.
//
// Owns the question whether the prediction module is there (its weights are optional, whatever the configuration says), the
// sum of what is stored, by encoding, and which run-time dtype that amounts to. Reads headers, never weights; finding a weight
// checks its shape.

import type { StoredWeights, WeightEncoding } from '@hadal/formats/stored-weights';
import type { PackedDtype } from '@hadal/tensor/packed-matrix';
import type { AttentionForm, ModelDefinition, Network } from './architecture.ts';
import { findParts, partBytes, readTable } from './weight-parts.ts';
import { recordRequests, specKey, type WeightRequest, type WeightSource } from './weight-source.ts';

/** Whether a source holds a weight. */
type Holds = (request: WeightRequest) => boolean;

/** Everything that an engine may ask the checkpoint for, whether or not it has the rest of it. */
export function storedRequests(
  definition: ModelDefinition,
  stored: StoredWeights,
  form: AttentionForm,
): readonly WeightRequest[] {
  const holds: Holds = ({ spec }) => spec.parts.every(({ name }) => stored.has(name));
  const predictor = predictorOf(definition, form, holds, stored.has);
  return requestsWith(definition, form, predictor, stored.has).requests;
}

/** `present` where all weights are held that only the prediction module has: some checkpoints leave it out. */
export function predictorOf(
  definition: ModelDefinition,
  form: AttentionForm,
  holds: Holds,
  has: (name: string) => boolean,
): 'present' | 'absent' {
  const { requests, network } = requestsWith(definition, form, 'present', has);
  const prefix = network?.predictor?.prefix;
  if (prefix === undefined) return 'absent';
  const own = requests.filter(({ spec }) => spec.parts.some(({ name }) => name.startsWith(prefix)));
  return own.every(holds) ? 'present' : 'absent';
}

function requestsWith(
  definition: ModelDefinition,
  form: AttentionForm,
  predictor: 'present' | 'absent',
  has: (name: string) => boolean,
) {
  let network: Network | undefined;
  const describe = (source: WeightSource) => {
    network = definition.assemble(source, { form, positions: 1, predictor });
  };
  const { weights: requests } = recordRequests(describe, has);
  return { requests, network };
}

/** Bytes by encoding, scales with what they scale. Throws one line when a weight is missing or has another shape. */
export function storedTypes(stored: StoredWeights, requests: readonly WeightRequest[]): Record<string, number> {
  const types: Record<string, number> = {};
  const add = (type: string, bytes: number) => {
    types[type] = (types[type] ?? 0) + bytes;
  };
  const specs = new Map(requests.map(({ spec }) => [specKey(spec), spec]));
  for (const spec of specs.values()) {
    if (spec.kind === 'table') {
      add('I32', readTable(stored, spec).byteLength);
      continue;
    }
    for (const part of findParts(stored, spec)) {
      const { encoding, shape } = part.weight;
      const share = (part.end - part.begin) / Math.max(1, shape[0] as number);
      const { begin, end } = encoding.kind === 'scaled' ? encoding.scale.entry : { begin: 0, end: 0 };
      add(typeName(encoding), partBytes(part) + (end - begin) * share);
    }
  }
  return Object.fromEntries(Object.entries(types).sort(([, a], [, b]) => b - a));
}

/** Bits of a number, scales aside. */
const encodingBits: Readonly<Record<string, number>> = {
  ...{ F32: 32, F16: 16, BF16: 16, F8_E4M3: 8, F4_E2M1: 4 },
  ...{ Q8_0: 8, Q6_K: 6, Q5_K: 5, Q5_1: 5, Q5_0: 5, Q4_K: 4, Q4_1: 4, Q4_0: 4, Q3_K: 3, Q2_K: 2 },
};

/**
 * The run-time dtype that keeps what a checkpoint has and takes no more: bf16 at most, int8 for what is stored in eight bits
 * or fewer, int4 for four. The widest matrix decides; embedding, head and what stays float32 anyway do not.
 */
export function storedDtype(stored: StoredWeights, requests: readonly WeightRequest[]): PackedDtype {
  let most = 0;
  for (const { spec } of requests) {
    if (spec.kind !== 'matrix' && spec.kind !== 'experts') continue;
    for (const { weight } of findParts(stored, spec))
      most = Math.max(most, encodingBits[typeName(weight.encoding)] ?? 0);
  }
  if (most === 0 || most > 8) return 'bf16';
  return most > 4 ? 'int8' : 'int4';
}

function typeName(encoding: WeightEncoding): string {
  switch (encoding.kind) {
    case 'plain':
      return encoding.dtype;
    case 'scaled':
      return encoding.element === 'e4m3' ? 'F8_E4M3' : 'F4_E2M1';
    case 'blocks':
      return encoding.type;
    case 'rearranged':
      return 'rearranged';
    default:
      return unreachable(encoding);
  }
}

function unreachable(value: never): never {
  throw new Error(`expected a known encoding, got ${JSON.stringify(value)}`);
}
