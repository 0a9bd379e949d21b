// Hadal's side of the comparison: the engine's forward pass, cache and sampling, without requests around them.
//
// Owns a model of random weights and two sequences, a short one that is read again for every prefill and a deep one that
// keeps its context. Each step is what engine/runner does for one sequence: forward, head at the last token, choice.

import { KvCache, type PageLease, pageBytes } from '@hadal/engine/kv-cache';
import { KEY_BLOCK } from '@hadal/kernels/attention';
import { openDevice } from '@hadal/kernels/device';
import { measureArithmetic, measureIntegers, measureReading } from '@hadal/kernels/machine';
import { sample } from '@hadal/kernels/sampling';
import { defineModel } from '@hadal/models/architectures';
import { storedDtype } from '@hadal/models/checkpoint-weights';
import { Arena } from '@hadal/tensor/arena';
import { Graph } from '@hadal/tensor/graph';
import { type Answer, answerQuestions, batchTokens, contextTokens, type Question } from './contestant.ts';
import { RandomWeights } from './random-weights.ts';
import { shapes } from './shapes.ts';

/** Larger than any cache, so that it is memory that is read. */
const yardstickBytes = 2 ** 30;

const unloaded = (): never => {
  throw new Error('nothing is loaded');
};
let model: ReturnType<typeof open> = { prefill: unloaded, decode: unloaded, memory: unloaded, yardsticks: unloaded };

answerQuestions({
  load(question) {
    model = open(question);
    return { version: process.version };
  },
  prefill: (question) => model.prefill(question),
  decode: (question) => model.decode(question),
  memory: () => model.memory(),
  yardsticks: () => model.yardsticks(),
});

function open({ shape, format, threads }: Question['load']) {
  const { config, vocabularySize, name } = shapes[shape];
  const device = openDevice({ threads });
  const { memory } = device;
  const definition = defineModel(config, name);
  const form = definition.preferredForm;
  const weights = new RandomWeights(device, (kind) => storedDtype(kind, format));
  const network = definition.assemble(weights, { form, positions: contextTokens, predictor: 'absent' });
  const weightBytes = memory.stats().bytesInUse;
  const layout = definition.cacheLayout(form);
  const cache = new KvCache(device, layout, (2 * pageBytes(layout) * contextTokens) / KEY_BLOCK);
  const cacheBytes = memory.stats().bytesInUse - weightBytes;
  const arena = new Arena(memory, 16 * 2 ** 20);
  const leases = new Map<'short' | 'deep', PageLease>();
  const yardstick = memory.allocate(yardstickBytes);
  memory.write({ handle: yardstick, offset: 0, length: 1 }, Float32Array.of(1));

  const step = (lease: PageLease, ids: Int32Array) => {
    arena.reset();
    const g = new Graph(device, arena, 'inference');
    const rows = cache.extend(arena, [{ lease, count: ids.length }]);
    const hidden = network.forward(g, arena.integers(ids), rows.positions, rows.memory);
    const last = g.embedding(hidden, arena.integers(Int32Array.of(ids.length - 1)));
    const logits = g.linear(last, network.head);
    const chosen = arena.take([1], 'i32');
    const one = (x: number) => arena.floats(Float32Array.of(x));
    const size = { N: 1, V: vocabularySize };
    sample(device.commands, logits, one(0.6), one(0.95), one(0.5), chosen, arena.take([1]), size);
    g.run();
    const id = new Int32Array(1);
    memory.read(chosen, id);
    lease.length += ids.length;
    return id[0] as number;
  };

  const read = (lease: PageLease, tokens: number) => {
    let next = 0;
    while (lease.length < tokens) {
      const begin = lease.length;
      const count = Math.min(batchTokens, tokens - begin);
      next = step(lease, Int32Array.from({ length: count }, (_, i) => ((begin + i) * 7919) % vocabularySize));
    }
    return next;
  };

  /** The sequence, cut to at most `tokens`. */
  const sequence = (which: 'short' | 'deep', tokens: number): PageLease => {
    const lease = leases.get(which) ?? cache.reserve(contextTokens);
    if (!lease) throw new Error('the cache holds two sequences');
    leases.set(which, lease);
    lease.length = Math.min(lease.length, tokens);
    return lease;
  };

  return {
    prefill({ tokens }: Question['prefill']): Answer['prefill'] {
      const lease = sequence('short', 0);
      return timed(() => read(lease, tokens));
    },
    decode({ context, tokens }: Question['decode']): Answer['decode'] {
      const lease = sequence(context > 2048 ? 'deep' : 'short', context);
      let next = read(lease, context);
      return timed(() => {
        for (let i = 0; i < tokens; i++) next = step(lease, Int32Array.of(next));
      });
    },
    memory: (): Answer['memory'] => ({
      resident: process.memoryUsage().rss - yardstickBytes,
      weights: weightBytes,
      cache: cacheBytes,
    }),
    yardsticks: (): Answer['yardsticks'] => ({
      reading: measureReading(device, { handle: yardstick, bytes: yardstickBytes }),
      floats: measureArithmetic(device, 50),
      integers: measureIntegers(device, 50),
    }),
  };
}

function timed(work: () => unknown): { seconds: number } {
  const started = process.hrtime.bigint();
  work();
  return { seconds: Number(process.hrtime.bigint() - started) / 1e9 };
}
