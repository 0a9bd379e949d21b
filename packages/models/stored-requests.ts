// What of an architecture a checkpoint holds.
//
// Owns the question whether the prediction module is there (its weights are optional, whatever the configuration says) and the
// sum of what is stored, by encoding. Reads headers, never weights; finding a weight checks its shape.

import type { StoredWeights, WeightEncoding } from '@hadal/formats/stored-weights';
import type { AttentionForm, ModelDefinition, Network } from './architecture.ts';
import { findParts, partBytes, readTable } from './weight-parts.ts';
import { recordRequests, specKey, type WeightRequest, type WeightSource } from './weight-source.ts';

/** Everything that an engine may ask the checkpoint for, whether or not it has the rest of it. */
export function storedRequests(
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
