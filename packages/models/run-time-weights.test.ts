import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { packedDtypes } from '@hadal/tensor/packed-matrix';
import { readDefinition } from './language-model.ts';
import { packedDtypeOf, runTimeWeights } from './run-time-weights.ts';
import { recordRequests, type WeightKind } from './weight-source.ts';

function requestsOf(name: string) {
  const directory = fileURLToPath(new URL(`../../test/golden/${name}`, import.meta.url));
  const definition = readDefinition(openCheckpointDirectory(directory));
  const form = definition.preferredForm;
  return recordRequests((source) => definition.assemble(source, { form, positions: 8, predictor: 'absent' })).weights;
}

test('whatever form a model is opened in, what chooses and mixes stays float32, and what pools stops at bfloat16', () => {
  const requests = requestsOf('deepseek-v4-fp4');
  for (const dtype of packedDtypes) {
    const forms = new Map<WeightKind, Set<string>>();
    for (const { spec, form } of runTimeWeights(requests, dtype)) {
      if (form.kind === 'packed') forms.set(spec.kind, (forms.get(spec.kind) ?? new Set()).add(form.dtype));
    }
    assert.deepEqual(Object.fromEntries([...forms].map(([kind, dtypes]) => [kind, [...dtypes]])), {
      ...{ matrix: [dtype], experts: [dtype], router: ['f32'], mixer: ['f32'] },
      ...{ pooling: [dtype === 'f32' ? 'f32' : 'bf16'] },
      ...{ head: [dtype === 'int4' ? 'int8' : dtype], embedding: [dtype === 'int4' ? 'int8' : dtype] },
    });
  }
});

test('weights that share memory are one, in every form, and each has a name of its own', () => {
  for (const dtype of packedDtypes) {
    const requests = requestsOf('qwen2-one-key-head-tied');
    const weights = runTimeWeights(requests, dtype);
    assert.equal(weights.length, requests.length - 1);
    assert.equal(new Set(weights.map(({ name }) => name)).size, weights.length);
    assert.equal(packedDtypeOf('embedding', dtype), packedDtypeOf('head', dtype));
  }
});
