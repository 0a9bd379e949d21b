import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Checkpoint, openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { openDevice } from '@hadal/kernels/device';
import type { AdapterConfig } from '@hadal/models/adapters/adapter-config';
import { openAdapter } from '@hadal/models/adapters/adapter-files';
import { AdapterSet } from '@hadal/models/adapters/adapter-set';
import { mergedWeights } from '@hadal/models/adapters/merged-weights';
import type { AttentionForm } from '@hadal/models/architecture';
import { CheckpointWeights } from '@hadal/models/checkpoint-weights';
import { openModel, openWeights, readDefinition } from '@hadal/models/language-model';
import { PackedDocuments } from '@hadal/models/layers/attention-memory';
import { convertCheckpoint } from '@hadal/models/packed/convert';
import { writeRandomAdapter } from '@hadal/models/testing/random-adapter';
import { collectSpecs, type WeightSource } from '@hadal/models/weight-source';
import { Arena } from '@hadal/tensor/arena';
import { Graph } from '@hadal/tensor/graph';
import type { PackedDtype } from '@hadal/tensor/packed-matrix';
import fc from 'fast-check';
import { ModelDrafter } from './drafters/draft-model.ts';
import { type GenerateRequest, openEngine } from './engine.ts';
import { PageFiles } from './page-files.ts';
import { Runner, type RunnerOptions } from './runner.ts';
import { base, finishOf, golden, goldenOf, said, serve, tokenizer } from './testing/golden-requests.ts';

const directory = mkdtempSync(join(tmpdir(), 'hadal-adapters-'));
const all: AdapterConfig = { rank: 3, alpha: 4, scaling: 'byRank', targets: 'all-linear' };
/** Of other ranks and modules; the third has pairs for the prediction module too. */
const adapters: Record<string, AdapterConfig> = {
  one: all,
  two: { rank: 8, alpha: 8, scaling: 'byRoot', targets: 'all-linear' },
  some: { rank: 5, alpha: 10, scaling: 'byRank', targets: ['o_proj', 'up_proj', 'down_proj'] },
};
const checkpoints = { 'deepseek-v3': golden, qwen2: goldenOf('qwen2') };
type Golden = keyof typeof checkpoints;
const at = (name: Golden, adapter: string) => join(directory, name, adapter);

before(() => {
  for (const name of ['deepseek-v3', 'qwen2'] as const) {
    for (const [i, [adapter, config]] of Object.entries(adapters).entries()) {
      const predictor = adapter === 'two' ? 'present' : 'absent';
      writeRandomAdapter(at(name, adapter), checkpoints[name], config, { seed: i + 1, predictor });
    }
  }
});
after(() => rmSync(directory, { recursive: true }));

interface Options extends Partial<RunnerOptions> {
  readonly name?: Golden;
  readonly form?: AttentionForm | undefined;
  readonly dtype?: PackedDtype;
  readonly threads?: number;
}

function withRunner<T>(
  { name = 'deepseek-v3', form, dtype = 'bf16', threads = 2, ...rest }: Options,
  use: (runner: Runner) => T,
): T {
  using device = openDevice({ threads });
  using model = openModel(device, checkpoints[name], { dtype, form, predictor: 'present' });
  const drafters = { draft: new ModelDrafter(device, openModel(device, goldenOf('qwen2')), 2 ** 21) };
  using runner = new Runner(device, model, tokenizer, { cacheBytes: 2 ** 22, drafters, ...rest });
  return use(runner);
}

/** Runs requests to their ends in a runner with all adapters. */
function run(requests: readonly GenerateRequest[], options: Options = {}, arrival: readonly number[] = []) {
  return withRunner(options, (runner) => {
    for (const adapter of Object.keys(adapters))
      runner.loadAdapter(adapter, at(options.name ?? 'deepseek-v3', adapter));
    return serve(runner, requests, arrival);
  });
}

const variants: Options[] = [
  { name: 'deepseek-v3', form: 'expanded' },
  { name: 'deepseek-v3', form: 'absorbed' },
  { name: 'deepseek-v3', form: 'expanded', dtype: 'int8' },
  { name: 'qwen2', dtype: 'f32' },
];

test('whoever shares its steps, and with whatever adapters: a request says the same, bit for bit', () => {
  const request = fc.record({
    prompt: fc.array(fc.integer({ min: 60, max: 62 }), { minLength: 1, maxLength: 150 }),
    adapter: fc.constantFrom(undefined, 'one', 'two', 'some'),
    maxTokens: fc.integer({ min: 1, max: 20 }),
    temperature: fc.constantFrom(0, 1),
    seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    speculation: fc.constantFrom<GenerateRequest['speculation'][]>(
      { method: 'none' },
      { method: 'ngram', draftTokens: 4 },
      { method: 'mtp', draftTokens: 3 },
      { method: 'draft', draftTokens: 2 },
    ),
    at: fc.integer({ min: 0, max: 12 }),
  });
  const both = (variant: Options) => (generated: readonly (GenerateRequest & { at: number })[]) => {
    const requests = generated.map(({ at, ...rest }) => ({ ...base, ...rest, topLogprobs: 2 }));
    const supported = requests.map((each) =>
      variant.name === 'qwen2' && each.speculation.method === 'mtp' ? { ...each, speculation: base.speculation } : each,
    );
    const together = run(
      supported,
      variant,
      generated.map(({ at }) => at),
    );
    for (const [i, each] of supported.entries()) {
      const [alone] = run([{ ...each, speculation: { method: 'none' } }], { ...variant, threads: 1 });
      assert.deepEqual(said(together[i]), said(alone));
    }
  };
  const requests = fc.array(
    request.map((fields) => ({ ...base, ...fields })),
    { minLength: 2, maxLength: 5 },
  );
  for (const variant of variants) fc.assert(fc.property(requests, both(variant)), { numRuns: 6 });
});

test('each adapter says something else than the base and the others, and the base what it says without them', () => {
  for (const variant of variants) {
    const requests = [undefined, 'one', 'two', 'some'].map((adapter) => ({
      ...base,
      adapter,
      topLogprobs: 0,
      maxTokens: 4,
    }));
    const events = run(requests, variant);
    const first = events.map((each) => JSON.stringify(said(each)[1]));
    assert.equal(new Set(first).size, 4);
    const [plain] = withRunner(variant, (runner) => serve(runner, [requests[0] as GenerateRequest]));
    assert.deepEqual(said(events[0]), said(plain));
  }
});

/** Log-probabilities of the prompt's tokens, from the second on, as a request is told them. */
function promptLogprobs(runner: Runner, prompt: readonly number[], adapter: string | undefined): number[] {
  const [events] = serve(runner, [{ ...base, prompt, adapter, maxTokens: 1, promptLogprobs: 'all' }]);
  return (events ?? []).flatMap((event) =>
    event.type === 'prompt' ? event.logprobs.map(({ logprob }) => logprob) : [],
  );
}

const prompt = Array.from({ length: 100 }, (_, i) => (i * 17 + 3) % 128);

test("an adapter's log-probabilities in the engine are those of its training, bit for bit", () => {
  for (const name of ['deepseek-v3', 'qwen2'] as const) {
    for (const dtype of ['f32', 'bf16'] as const) {
      const definition = readDefinition(checkpoints[name]);
      const [form] = definition.forms;
      const served = withRunner({ name, form, dtype }, (runner) => {
        runner.loadAdapter('one', at(name, 'one'));
        return promptLogprobs(runner, prompt, 'one');
      });
      using device = openDevice({ threads: 2 });
      using arena = new Arena(device.memory, 2 ** 20);
      const weights = openWeights(checkpoints[name]);
      const assemble = (source: WeightSource) =>
        definition.assemble(source, { form, positions: 128, predictor: 'absent' });
      using frozen = new CheckpointWeights(device, weights, { dtype });
      using set = new AdapterSet(device, frozen, collectSpecs(assemble, weights.has), all);
      set.load(openAdapter(at(name, 'one')).weights);
      const { forward, head } = assemble(set);
      const g = new Graph(device, arena, 'training');
      const documents = new PackedDocuments(arena, [prompt.length]);
      const hidden = forward(g, arena.integers(Int32Array.from(prompt)), documents.positions, documents);
      const targets = Int32Array.from(prompt, (_, i) => prompt[i + 1] ?? -1);
      const shares = arena.floats(new Float32Array(prompt.length).fill(0.01));
      const nll = g.linearCrossEntropy(hidden, head, arena.integers(targets), shares);
      g.backward();
      g.run();
      const values = new Float32Array(nll.length);
      device.memory.read(nll, values);
      assert.deepEqual(
        served,
        [...values.subarray(0, -1)].map((value) => -value),
        `${name} ${dtype}`,
      );
    }
  }
});

test('an adapter is as good as merged into the weights, in either form of attention', () => {
  for (const { name = 'qwen2', form } of [...variants.slice(0, 2), { name: 'qwen2' as const }] as Options[]) {
    const checkpoint = checkpoints[name];
    for (const adapter of Object.keys(adapters)) {
      const served = withRunner({ name, form, dtype: 'f32' }, (runner) => {
        runner.loadAdapter(adapter, at(name, adapter));
        return promptLogprobs(runner, prompt, adapter);
      });
      using device = openDevice({ threads: 2 });
      const merged: Checkpoint = {
        ...checkpoint,
        config: () => checkpoint.config(),
        weights: (options) => mergedWeights(checkpoint.weights(options), openAdapter(at(name, adapter))),
      };
      using model = openModel(device, merged, { dtype: 'f32', form });
      using runner = new Runner(device, model, tokenizer, { cacheBytes: 2 ** 22 });
      const expected = promptLogprobs(runner, prompt, undefined);
      const worst = Math.max(...expected.map((value, i) => Math.abs(value - (served[i] as number))));
      assert.ok(worst < 2e-4, `${name} ${form} ${adapter}: off by ${worst}`);
    }
  }
});

test('what was read with an adapter is found again by its own requests only, in memory and on disk', async () => {
  const request = { ...base, prompt, maxTokens: 2, speculation: { method: 'mtp', draftTokens: 2 } as const };
  const pages = { directory: join(directory, 'pages'), maxBytes: 2 ** 24 };
  const hits = (adaptersAsked: readonly (string | undefined)[]) =>
    withRunner({ prefixFiles: { files: new PageFiles(pages), fingerprint: 'golden' } }, (runner) => {
      for (const adapter of ['one', 'two']) runner.loadAdapter(adapter, at('deepseek-v3', adapter));
      const found = adaptersAsked.map(
        (adapter) => finishOf(serve(runner, [{ ...request, adapter }])[0]).cacheHitTokens,
      );
      return { found, flushed: runner.flush() };
    });
  const first = hits(['one', 'one', undefined, undefined, 'two', 'one']);
  assert.deepEqual(first.found, [0, 64, 0, 64, 0, 64]);
  await first.flushed;
  assert.deepEqual(hits(['two', undefined, 'one']).found, [64, 64, 64]);
});

test('an adapter that is unloaded stays for those that began with it, and its name is free for another', () => {
  const request = { ...base, adapter: 'x', prompt, maxTokens: 6, topLogprobs: 1 };
  const of = (adapter: string) => said(run([{ ...request, adapter }])[0]);
  withRunner({}, (runner) => {
    const begun: unknown[] = [];
    const bytes: unknown[] = [];
    const add = (key: number, into: unknown[]) => runner.add(key, request, 1, (event) => into.push(event));
    runner.loadAdapter('x', at('deepseek-v3', 'one'));
    assert.throws(
      () => runner.loadAdapter('x', at('deepseek-v3', 'two')),
      /adapter x: expected a name that is not in use/,
    );
    add(1, begun);
    runner.step();
    runner.unloadAdapter('x');
    add(2, bytes);
    assert.deepEqual(bytes, [{ type: 'error', message: 'adapter: expected one that is loaded, got "x"' }]);
    assert.throws(() => runner.unloadAdapter('x'), /adapter x: expected one that is loaded/);
    runner.loadAdapter('x', at('deepseek-v3', 'two'));
    const later: unknown[] = [];
    add(3, later);
    while (runner.hasWork) runner.step();
    assert.deepEqual(said(begun as never), of('one'));
    assert.deepEqual(said(later as never), of('two'));
  });
});

test('loading and unloading gives all memory back, also where an adapter does not fit the model', () => {
  using device = openDevice({ threads: 1 });
  using model = openModel(device, golden, { dtype: 'bf16' });
  using runner = new Runner(device, model, tokenizer, { cacheBytes: 2 ** 20 });
  const before = device.memory.stats().bytesInUse;
  const info = runner.loadAdapter('one', at('deepseek-v3', 'one'));
  assert.ok(device.memory.stats().bytesInUse - before >= 4 * info.parameters && info.parameters > 10_000);
  runner.unloadAdapter('one');
  assert.equal(device.memory.stats().bytesInUse, before);
  assert.throws(
    () => runner.loadAdapter('q', at('qwen2', 'one')),
    /expected pairs for matrices of this model, found one for/,
  );
  assert.throws(() => runner.loadAdapter('nowhere', join(directory, 'nowhere')), /expected adapter_config.json and/);
  assert.equal(device.memory.stats().bytesInUse, before);
});

test('a converted base takes adapters as its original does, and the indexed architecture takes them too', async () => {
  const out = join(directory, 'converted');
  using device = openDevice({ threads: 2 });
  await convertCheckpoint(device, golden, out, { dtype: 'bf16' });
  const converted = openCheckpointDirectory(out);
  const told = (checkpoint: Checkpoint, adapter: string) => {
    using model = openModel(device, checkpoint, { dtype: 'bf16', form: 'expanded' });
    using runner = new Runner(device, model, tokenizer, { cacheBytes: 2 ** 22 });
    runner.loadAdapter('it', adapter);
    return promptLogprobs(runner, prompt, 'it');
  };
  assert.deepEqual(told(converted, at('deepseek-v3', 'one')), told(golden, at('deepseek-v3', 'one')));
  const indexed = goldenOf('deepseek-v3.2');
  const adapter = join(directory, 'indexed');
  writeRandomAdapter(adapter, indexed, all, { seed: 7 });
  assert.equal(told(indexed, adapter).length, prompt.length - 1);
});

test('an architecture that takes no adapters says so', () => {
  using device = openDevice({ threads: 1 });
  using model = openModel(device, goldenOf('deepseek-v4-fp4'), { dtype: 'bf16' });
  using runner = new Runner(device, model, tokenizer, { cacheBytes: 2 ** 22 });
  const load = () => runner.loadAdapter('one', at('deepseek-v3', 'one'));
  assert.throws(load, /adapter one: expected a model that takes adapters/);
});

test('an engine loads and unloads adapters while it runs', async () => {
  const checkpoint = openCheckpointDirectory(fileURLToPath(new URL('../../models/hadal-nano', import.meta.url)));
  const nano = join(directory, 'nano');
  writeRandomAdapter(nano, checkpoint, all, { seed: 9, deviation: 0.1 });
  await using engine = await openEngine({ checkpoint, contextLength: 256, threads: 1 });
  const text = async (adapter: string | undefined) => {
    const ids: number[] = [];
    for await (const event of engine.generate({ ...base, adapter, temperature: 0, maxTokens: 12 })) {
      if (event.type === 'token') ids.push(event.id);
    }
    return ids.join();
  };
  const plain = await text(undefined);
  const { name, fingerprint } = await engine.loadAdapter('one', nano);
  assert.deepEqual([name, fingerprint.length], ['one', 64]);
  const [adapted, beside] = await Promise.all([text('one'), text(undefined)]);
  assert.notEqual(adapted, plain);
  assert.equal(beside, plain);
  await assert.rejects(engine.loadAdapter('qwen', at('qwen2', 'one')), /expected pairs for matrices of this model/);
  await engine.unloadAdapter('one');
  await assert.rejects(text('one'), /adapter: expected one that is loaded, got "one"/);
  await assert.rejects(engine.unloadAdapter('one'), /expected one that is loaded/);
  assert.equal(await text(undefined), plain);
});
