import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { type Device, openDevice } from '@hadal/kernels/device';
import type { AttentionForm, CacheLayout } from '@hadal/models/architecture';
import { type LanguageModel, openModel } from '@hadal/models/language-model';
import { Arena } from '@hadal/tensor/arena';
import { Graph } from '@hadal/tensor/graph';
import { KvCache, type PageLease, pageBytes } from './kv-cache.ts';

const goldenOf = (name: string) =>
  openCheckpointDirectory(fileURLToPath(new URL(`../../test/golden/${name}`, import.meta.url)));

/** Architectures that keep more than keys and values, and one that does not. */
const models: readonly (readonly [name: string, form: AttentionForm])[] = [
  ['deepseek-v3', 'absorbed'],
  ['deepseek-v32-tied', 'expanded'],
  ['deepseek-v32-tied', 'absorbed'],
  ['deepseek-v4-fp4', 'standard'],
  ['deepseek-v4-released-ratios', 'standard'],
];

const prompt = Int32Array.from({ length: 203 }, (_, i) => (i * i * 7 + i) % 96);

type Lease = PageLease & { length: number };

/** What one step adds to one sequence. */
interface Piece {
  readonly lease: Lease;
  readonly ids: Int32Array;
}

/** Runs `use` with a function over a cache of 16 pages that takes a step and returns the logits of each of its pieces. */
function withCache<T>(
  device: Device,
  model: LanguageModel,
  use: (step: (pieces: readonly Piece[]) => Float32Array[]) => T,
): T {
  using arena = new Arena(device.memory, 2 ** 20);
  using cache = new KvCache(device, model.cache, 16 * pageBytes(model.cache));
  return use((pieces) => {
    arena.reset();
    const g = new Graph(device, arena, 'inference');
    const extensions = pieces.map(({ lease, ids }) => ({ lease, count: ids.length }));
    const { memory, positions } = cache.extend(arena, extensions);
    const ids = arena.integers(Int32Array.from(pieces.flatMap((piece) => [...piece.ids])));
    const logits = g.linear(model.forward(g, ids, positions, memory), model.head);
    g.run();
    const values = new Float32Array(logits.length);
    device.memory.read(logits, values);
    let row = 0;
    return pieces.map((piece) => {
      piece.lease.length += piece.ids.length;
      const begin = row * model.vocabularySize;
      row += piece.ids.length;
      return values.slice(begin, row * model.vocabularySize);
    });
  });
}

/** The logits of the whole prompt, read in pieces of the given sizes; `beside` is what shares each step. */
function read(device: Device, model: LanguageModel, sizes: readonly number[], beside: 'nothing' | 'others') {
  return withCache(device, model, (step) => {
    const lease = take(0, prompt.length);
    const others = [take(4, 100), take(6, 100)];
    const logits: number[] = [];
    let at = 0;
    for (const size of sizes) {
      const mine = { lease, ids: prompt.subarray(at, at + size) };
      at += size;
      const [first, last] = others.map((other, i) => ({
        lease: other,
        ids: prompt.subarray(9 * i, 9 * i + 1 + (at % 7)),
      }));
      const pieces = beside === 'others' ? [first as Piece, mine, last as Piece] : [mine];
      logits.push(...(step(pieces)[pieces.indexOf(mine)] as Float32Array));
    }
    return Float32Array.from(logits);
  });
}

/** Pages `first` to `first + ceil(tokens / 64)` of the cache, unwritten. */
function take(first: number, tokens: number): Lease {
  return { pages: Array.from({ length: Math.ceil(tokens / 64) }, (_, i) => first + i), length: 0 };
}

for (const [name, form] of models) {
  test(`${name} (${form}): logits have the same bits decoded, prefilled, in pieces, beside others, on one thread and two`, () => {
    using two = openDevice({ threads: 2 });
    using one = openDevice({ threads: 1 });
    using model = openModel(two, goldenOf(name), { form });
    using alone = openModel(one, goldenOf(name), { form });
    const whole = read(two, model, [prompt.length], 'nothing');
    const pieces = [1, 62, 2, 64, 30, 1, 1, 42];
    assert.deepEqual(read(two, model, Array<number>(prompt.length).fill(1), 'nothing'), whole, 'one by one');
    assert.deepEqual(read(two, model, pieces, 'others'), whole, 'in pieces, beside others');
    assert.deepEqual(read(one, alone, [100, 103], 'nothing'), whole, 'on one thread');
  });

  test(`${name} (${form}): pages that another sequence has filled are all that is needed to go on from their end`, () => {
    using device = openDevice({ threads: 2 });
    using model = openModel(device, goldenOf(name), { form });
    withCache(device, model, (step) => {
      const first = take(0, prompt.length);
      const [whole] = step([{ lease: first, ids: prompt }]) as [Float32Array];
      for (const pages of [1, 2, 3]) {
        const own = take(4, prompt.length - 64 * pages);
        const shared: Lease = { pages: [...first.pages.slice(0, pages), ...own.pages], length: 64 * pages };
        const [rest] = step([{ lease: shared, ids: prompt.subarray(64 * pages) }]) as [Float32Array];
        assert.deepEqual(rest, whole.slice(64 * pages * model.vocabularySize), `from page ${pages} on`);
      }
    });
  });
}

test('a row that stands for several tokens takes as much of a page as there are such rows in it, one at least', () => {
  const layout: CacheLayout = [
    { keys: { width: 8 }, entries: { width: 5, tokensPerRow: 4 } },
    { keys: { width: 8 }, entries: { width: 5, tokensPerRow: 128 }, pools: { width: 3, tokensPerRow: 64 } },
  ];
  assert.equal(pageBytes(layout), 4 * (64 * 8 + 16 * 5 + 64 * 8 + 5 + 3));
});

test('a store that the layout lacks, or of another width, is refused by name', () => {
  using device = openDevice({ threads: 1 });
  using arena = new Arena(device.memory, 2 ** 20);
  using cache = new KvCache(device, [{ keys: { width: 8 } }], 2 ** 16);
  const { memory } = cache.extend(arena, [{ lease: take(0, 3), count: 3 }]);
  assert.throws(() => memory.open(0, 'values', { width: 8 }), /^Error: layer 0: the cache has no store named values$/);
  assert.throws(() => memory.open(0, 'keys', { width: 9 }), /^Error: layer 0: the cache's keys are 8 wide, .* 9$/);
});
