import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { gpusOf, layoutProblem, layoutsFor, stagesOf } from './layout.ts';
import { findPublishedModel, publishedModels } from './published-models.ts';
import { servedModel } from './served-model.ts';

const options = { engine: 'vllm', quantization: 'published', perNode: 8, predictor: 'absent' } as const;
const modelOf = (name: string) => {
  const { repository, config } = findPublishedModel(name) ?? assert.fail(name);
  return servedModel(repository, config, repository);
};

test('every layout divides heads, key heads and matrices, and stays within its GPUs and nodes', () => {
  const models = publishedModels.map(({ repository, config }) => servedModel(repository, config, repository));
  const engines = fc.constantFrom('vllm' as const, 'sglang' as const);
  fc.assert(
    fc.property(fc.constantFrom(...models), engines, fc.integer({ min: 1, max: 24 }), (model, engine, count) => {
      for (const layout of layoutsFor(model, count, { ...options, engine })) {
        const { tensor, pipeline, data, expert } = layout;
        assert.ok(gpusOf(layout) <= count);
        assert.equal(model.heads % tensor, 0);
        assert.ok(pipeline <= model.layers && (data === 1 || pipeline === 1));
        if (model.attention.kind === 'grouped') {
          const [more, fewer] = [
            Math.max(model.attention.keyHeads, tensor),
            Math.min(model.attention.keyHeads, tensor),
          ];
          assert.equal(more % fewer, 0);
        }
        if (!model.mixture) assert.equal(expert, 1);
        else assert.ok(expert === 1 || expert === tensor * data);
        if (engine === 'vllm') assert.ok(tensor <= 8);
      }
    }),
  );
});

test('a layout that cannot be carried out says why', () => {
  const problem = (name: string, layout: Partial<Parameters<typeof layoutProblem>[1]>, more = {}) =>
    layoutProblem(modelOf(name), { tensor: 1, pipeline: 1, data: 1, expert: 1, ...layout }, { ...options, ...more });
  assert.match(problem('R1-Distill-Qwen-7B', { tensor: 8 }) ?? '', /28 heads cannot be divided by 8/);
  assert.match(problem('R1-Distill-Qwen-1.5B', { tensor: 3 }) ?? '', /2 key heads and 3 ranks/);
  assert.match(problem('V3', { tensor: 16, expert: 16 }) ?? '', /leaves the node of 8/);
  assert.match(
    problem('V3', { tensor: 32, expert: 32 }, { engine: 'sglang' }) ?? '',
    /dense layers of 18432 .* blocks of 128/,
  );
  assert.match(problem('V4-Flash', { tensor: 16, expert: 16 }, { engine: 'sglang' }) ?? '', /8 output groups/);
  assert.match(problem('V3', { pipeline: 2 }, { predictor: 'present' }) ?? '', /prediction module/);
  assert.match(problem('V3', { tensor: 4, data: 3, expert: 12 }) ?? '', /12 GPUs are no whole number of nodes/);
});

test('on one GPU nothing is divided, so every model can be laid out there', () => {
  const narrow = { ...(findPublishedModel('V3')?.config ?? {}), intermediate_size: 96, moe_intermediate_size: 32 };
  for (const model of [servedModel('narrow', narrow, 'narrow'), modelOf('V4-Pro'), modelOf('R1-Distill-Qwen-7B')]) {
    assert.deepEqual(layoutsFor(model, 1, options), [{ tensor: 1, pipeline: 1, data: 1, expert: 1 }]);
  }
});

test('the published layouts are among them', () => {
  const has = (
    name: string,
    count: number,
    engine: 'vllm' | 'sglang',
    tensor: number,
    pipeline: number,
    data: number,
  ) =>
    layoutsFor(modelOf(name), count, { ...options, engine }).some(
      (layout) => layout.tensor === tensor && layout.pipeline === pipeline && layout.data === data,
    );
  // vLLM's recipes and SGLang's documentation.
  assert.ok(has('V3', 8, 'vllm', 8, 1, 1) && has('V3', 8, 'vllm', 1, 1, 8) && has('V3', 16, 'vllm', 8, 2, 1));
  assert.ok(has('V3', 16, 'sglang', 16, 1, 1) && has('V3', 8, 'sglang', 1, 1, 8));
  assert.ok(has('V4-Flash', 4, 'vllm', 1, 1, 4) && has('V4-Flash', 4, 'sglang', 4, 1, 1));
  assert.ok(has('V4-Pro', 8, 'vllm', 1, 1, 8) && has('V4-Pro', 8, 'sglang', 8, 1, 1));
});

test('stages have all layers, each once, in order and nearly alike', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 80 }), fc.integer({ min: 1, max: 80 }), (layers, wanted) => {
      const stages = stagesOf(layers, Math.min(layers, wanted));
      assert.deepEqual(
        stages.map(({ begin }) => begin),
        [0, ...stages.map(({ end }) => end)].slice(0, -1),
      );
      assert.equal(stages.at(-1)?.end, layers);
      const sizes = stages.map(({ begin, end }) => end - begin);
      assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1);
    }),
  );
});
