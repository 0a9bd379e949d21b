import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openSafetensors } from '@hadal/formats/safetensors';
import { countParameters } from '../architecture.ts';
import { defineModel } from '../architectures.ts';
import { elementsOfTensor, type ModelTensor, modelTensors, tensorBytes } from './model-tensors.ts';
import { findPublishedModel } from './published-models.ts';

const golden = join(import.meta.dirname, '../../../test/golden');

test('published models have as many parameters as their publishers count', () => {
  // Without the prediction module; Hugging Face's counts of the repositories' files, of V3 in its report's recount.
  const totals = {
    V3: 671_026_419_200,
    R1: 671_026_419_200,
    V2: 235_741_434_880,
    'V2-Lite': 15_706_484_224,
    'R1-Distill-Qwen-1.5B': 1_777_088_000,
    'R1-Distill-Qwen-7B': 7_615_616_512,
    'R1-Distill-Qwen-14B': 14_770_033_664,
    'R1-Distill-Qwen-32B': 32_763_876_352,
    'R1-Distill-Llama-8B': 8_030_261_248,
    'R1-Distill-Llama-70B': 70_553_706_496,
  };
  for (const [name, total] of Object.entries(totals))
    assert.equal(sum(mainOf(tensorsOf(name)), elementsOfTensor), total, name);
});

test('V3 is stored as the index of its repository says, to the element and the byte', () => {
  const tensors = tensorsOf('V3');
  const stored = (storage: string) =>
    sum(
      tensors.filter((t) => t.storage === storage),
      elementsOfTensor,
    );
  // Safetensors metadata of deepseek-ai/DeepSeek-V3: scales are the rest of its F32.
  const [fp8, bf16, f32] = [680_571_043_840, 3_918_786_560, 41_555_600];
  assert.equal(stored('fp8'), fp8);
  assert.equal(stored('bfloat16'), bf16);
  assert.equal(
    sum(tensors, (tensor) => tensorBytes(tensor, 'published')),
    fp8 + 2 * bf16 + 4 * f32,
  );
  // "671B of the main model and 14B of the prediction module", whose embedding and head are copies.
  const predictor = tensors.filter((t) => t.predictor !== 'no');
  const own = predictor.filter((t) => t.predictor === 'own');
  assert.ok(Math.abs(sum(predictor, elementsOfTensor) / 1e9 - 13.5) < 0.05);
  assert.ok(Math.abs(sum(own, elementsOfTensor) / 1e9 - 11.6) < 0.05);
});

test('V4 has the published sizes: parameters in all, active ones, and the bytes of Flash on disk', () => {
  const cases = [
    ['V4-Flash', 284e9, 13e9],
    ['V4-Pro', 1.6e12, 49e9],
  ] as const;
  for (const [name, total, active] of cases) {
    const main = mainOf(tensorsOf(name));
    assert.ok(Math.abs(sum(main, elementsOfTensor) / total - 1) < 0.02, name);
    const { config } = findPublishedModel(name) ?? assert.fail(name);
    assert.ok(Math.abs(countParameters(defineModel(config, name)).active / active - 1) < 0.03, name);
  }
  // 148.66 GiB in 46 files, headers included.
  const bytes = sum(tensorsOf('V4-Flash'), (tensor) => tensorBytes(tensor, 'published'));
  assert.ok(Math.abs(bytes / 2 ** 30 - 148.66) < 0.05, `${bytes / 2 ** 30}`);
});

test('what is counted for a small checkpoint is what its file holds, tensor for tensor', () => {
  const names = ['qwen2', 'qwen2-one-key-head-tied', 'llama', 'llama-all-biases', 'deepseek-v2', 'deepseek-v2-lite'];
  for (const name of [...names, 'deepseek-v3', 'deepseek-v3-fp8', 'deepseek-v3.2', 'deepseek-v32-tied']) {
    const { json, file } = goldenOf(name);
    const tensors = modelTensors(json, name);
    const held = [...file].filter(([tensor]) => !tensor.endsWith('_scale_inv'));
    const isHeld = new Set(held.map(([tensor]) => tensor));
    const ours = tensors.filter((t) => t.predictor === 'no' || isHeld.has(t.name));
    assert.equal(
      sum(ours, elementsOfTensor),
      held.reduce((total, [, { shape }]) => total + shape.reduce((n, d) => n * d, 1), 0),
      name,
    );
    const definition = defineModel(json, name);
    if (tensors.some((t) => t.predictor === 'own')) continue;
    assert.equal(sum(tensors, elementsOfTensor), countParameters(definition).total, name);
  }
});

test('a small V4 in FP8 and FP4 weighs what its file does, scales with it', () => {
  const { json, file } = goldenOf('deepseek-v4-fp4');
  const predictorLayer = `layers.${json.num_hidden_layers}.`;
  // The golden has no module, and keeps in float32 what is bfloat16 when published.
  const tensors = modelTensors(json, 'v4').filter((t) => t.predictor === 'no');
  assert.ok(modelTensors(json, 'v4').some((t) => t.name.startsWith(predictorLayer)));
  for (const tensor of tensors) {
    const entry = file.get(tensor.name) ?? assert.fail(`${tensor.name} is not in the file`);
    const scale = tensor.name.endsWith('weight') ? file.get(tensor.name.replace(/weight$/, 'scale')) : undefined;
    const isNarrow = tensor.storage === 'fp8' || tensor.storage === 'fp4';
    assert.equal(scale !== undefined, isNarrow, tensor.name);
    if (!isNarrow || !scale) continue;
    const bytes = entry.end - entry.begin + scale.end - scale.begin;
    assert.equal(tensorBytes({ ...tensor, count: 1 }, 'published'), bytes, tensor.name);
  }
});

test('narrowing and widening change matrices alone', () => {
  const tensors = tensorsOf('R1-Distill-Qwen-32B');
  const bytes = (quantization: 'published' | 'fp8' | 'awq') => sum(tensors, (t) => tensorBytes(t, quantization));
  const fixed = sum(
    tensors.filter((t) => !t.isNarrowable),
    (t) => tensorBytes(t, 'published'),
  );
  assert.equal((bytes('published') - fixed) / (bytes('fp8') - fixed), 2);
  assert.ok(bytes('awq') < bytes('fp8') && bytes('awq') > (bytes('published') - fixed) / 4);
});

test('a quantization that is not known is refused with the key', () => {
  const config = { ...findPublishedModel('R1-Distill-Qwen-7B')?.config, quantization_config: { quant_method: 'gptq' } };
  assert.throws(
    () => modelTensors(config, 'DIR/config.json'),
    /^Error: DIR\/config\.json: quantization_config\.quant_method: .*"gptq"$/,
  );
});

function tensorsOf(name: string): readonly ModelTensor[] {
  const { config } = findPublishedModel(name) ?? assert.fail(name);
  return modelTensors(config, name);
}

function mainOf(tensors: readonly ModelTensor[]): readonly ModelTensor[] {
  // V4's table of experts by token is no parameter.
  return tensors.filter(({ predictor, storage }) => predictor === 'no' && storage !== 'int64');
}

function goldenOf(name: string) {
  const json = JSON.parse(readFileSync(join(golden, name, 'config.json'), 'utf8'));
  return { json, file: openSafetensors(join(golden, name, 'model.safetensors')).tensors };
}

function sum(tensors: readonly ModelTensor[], of: (tensor: ModelTensor) => number): number {
  return tensors.reduce((total, tensor) => total + of(tensor), 0);
}
