// A model of random weights with a cache, and the engine's step on it, without requests around it.
//
// Owns weights and cache of one shape in one format. A step is what engine/runner does for one sequence: forward pass,
// head at the last token, the likeliest token and its log-probability. Knows nothing of time.

import { KvCache, type PageLease, pageBytes } from '@hadal/engine/kv-cache';
import { KEY_BLOCK } from '@hadal/kernels/attention';
import type { Device } from '@hadal/kernels/device';
import { sample } from '@hadal/kernels/sampling';
import { defineModel } from '@hadal/models/architectures';
import { cacheDtypeFor } from '@hadal/models/language-model';
import { packedDtypeOf } from '@hadal/models/run-time-weights';
import { Arena } from '@hadal/tensor/arena';
import { Graph } from '@hadal/tensor/graph';
import { RandomWeights } from './random-weights.ts';
import { type Format, shapes } from './shapes.ts';

/** Tokens in one pass over a prompt. */
export const batchTokens = 512;

/** A sequence whose length its user sets. */
export type RandomSequence = PageLease & { length: number };

export interface RandomModel {
  readonly weightBytes: number;
  readonly cacheBytes: number;
  /** Of one token, the embedding's and norms' aside. */
  readonly weightBytesRead: number;
  /** Of one token, with quantized weights, the head's aside: a prompt meets it once. */
  readonly multiplyAdds: number;
  /** A new sequence of at most `tokens`. */
  sequence(tokens: number): RandomSequence;
  /** Feeds tokens and returns the next one. */
  step(sequence: RandomSequence, ids: Int32Array): number;
  /** Feeds tokens until the sequence has so many; returns the next one, or 0 where there is nothing to do. */
  read(sequence: RandomSequence, tokens: number): number;
}

/** `cacheTokens`: of all sequences together. */
export function openRandomModel(
  device: Device,
  shape: keyof typeof shapes,
  format: Format,
  cacheTokens: number,
): RandomModel {
  const { config, vocabularySize: V, name } = shapes[shape];
  const { memory } = device;
  const definition = defineModel(config, name);
  const form = definition.preferredForm;
  const weights = new RandomWeights(device, (kind) => packedDtypeOf(kind, format), definition.activeShare);
  const network = definition.assemble(weights, { form, positions: cacheTokens, predictor: 'absent' });
  const weightBytes = memory.stats().bytesInUse;
  const layout = definition.cacheLayout(form, cacheDtypeFor(format));
  const cache = new KvCache(device, layout, pageBytes(layout) * Math.ceil(cacheTokens / KEY_BLOCK));
  const cacheBytes = memory.stats().bytesInUse - weightBytes;
  const arena = new Arena(memory, 16 * 2 ** 20);
  let nextPage = 0;

  const step = (lease: RandomSequence, ids: Int32Array) => {
    arena.reset();
    const g = new Graph(device, arena, 'inference');
    const extended = cache.extend(arena, [{ lease, count: ids.length }]);
    const hidden = network.forward(g, arena.integers(ids), extended.positions, extended.memory);
    const last = g.embedding(hidden, arena.integers(Int32Array.of(ids.length - 1)));
    const logits = g.linear(last, network.head);
    const chosen = arena.take([1], 'i32');
    const one = arena.floats(Float32Array.of(1));
    const greedy = arena.floats(Float32Array.of(0));
    const topK = arena.integers(Int32Array.of(0));
    const rows = { temperature: greedy, minP: greedy, topK, topP: one, uniform: greedy };
    sample(device.commands, logits, rows, chosen, arena.take([1]), { N: 1, V });
    g.run();
    const id = new Int32Array(1);
    memory.read(chosen, id);
    lease.length += ids.length;
    return id[0] as number;
  };

  return {
    ...{ weightBytes, cacheBytes, weightBytesRead: weights.bytesRead, multiplyAdds: weights.multiplyAdds },
    step,
    sequence(tokens) {
      const pages = Array.from({ length: Math.ceil(tokens / KEY_BLOCK) }, () => nextPage++);
      if (nextPage > cache.pageCount) throw new Error(`the cache has no room for ${tokens} tokens`);
      return { pages, length: 0 };
    },
    read(lease, tokens) {
      let next = 0;
      while (lease.length < tokens) {
        const begin = lease.length;
        const count = Math.min(batchTokens, tokens - begin);
        next = step(
          lease,
          Int32Array.from({ length: count }, (_, i) => ((begin + i) * 7919) % V),
        );
      }
      return next;
    },
  };
}
