import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { openDevice } from '@hadal/kernels/device';
import { PackedMatrix, packedDtypes } from '@hadal/tensor/packed-matrix';
import { CheckpointWeights } from './checkpoint-weights.ts';
import { openWeights, readDefinition } from './language-model.ts';
import type { WeightSource, WeightSpec } from './weight-source.ts';

const golden = openCheckpointDirectory(fileURLToPath(new URL('../../test/golden/deepseek-v4-fp4', import.meta.url)));

test('whatever form a model is opened in, what chooses and mixes stays float32, and what pools stops at bfloat16', () => {
  using device = openDevice({ threads: 1 });
  for (const dtype of packedDtypes) {
    using weights = new CheckpointWeights(device, openWeights(golden), { dtype });
    const stored = new Map<WeightSpec['kind'], Set<string>>();
    const watched: WeightSource = {
      matrix(spec) {
        const weight = weights.matrix(spec);
        assert.ok(weight instanceof PackedMatrix);
        stored.set(spec.kind, (stored.get(spec.kind) ?? new Set()).add(weight.dtype));
        return weight;
      },
      tensor: (spec) => weights.tensor(spec),
      counter: (experts) => weights.counter(experts),
      constant: (shape, values) => weights.constant(shape, values),
      has: (name) => weights.has(name),
    };
    readDefinition(golden).assemble(watched, { form: 'standard', positions: 8, predictor: 'absent' });
    assert.deepEqual(Object.fromEntries([...stored].map(([kind, dtypes]) => [kind, [...dtypes]])), {
      ...{ matrix: [dtype], experts: [dtype], router: ['f32'], mixer: ['f32'] },
      ...{ pooling: [dtype === 'f32' ? 'f32' : 'bf16'], head: [dtype === 'int4' ? 'int8' : dtype] },
    });
  }
});
