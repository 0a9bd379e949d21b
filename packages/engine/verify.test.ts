import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openCheckpoint, openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { openSafetensors, writeSafetensors } from '@hadal/formats/safetensors';
import { openDevice } from '@hadal/kernels/device';
import { architectures } from '@hadal/models/architectures';
import { readDefinition } from '@hadal/models/language-model';
import { passes, verifyCheckpoint } from './verify.ts';

const goldens = fileURLToPath(new URL('../../test/golden', import.meta.url));
const checkpoints = readdirSync(goldens).filter((name) => existsSync(join(goldens, name, 'golden.safetensors')));
const golden = join(goldens, 'deepseek-v3');

test('there is a golden of every architecture', () => {
  const types = checkpoints.map((name) => {
    const config = openCheckpointDirectory(join(goldens, name)).config().value;
    return (config as { model_type: string }).model_type;
  });
  assert.deepEqual([...new Set(types)].sort(), Object.keys(architectures).sort());
});

for (const name of checkpoints) {
  test(`${name}: all values of the reference implementation are reproduced, in every form of attention`, () => {
    using device = openDevice();
    const directory = join(goldens, name);
    const checkpoint = openCheckpointDirectory(directory);
    const comparisons = verifyCheckpoint(device, checkpoint);
    const compared = new Set(comparisons.map((comparison) => comparison.name));
    const { forms } = readDefinition(checkpoint);
    for (const key of openSafetensors(join(directory, 'golden.safetensors')).tensors.keys()) {
      if (key === 'input_ids') continue;
      const inCache = ['logits', 'decode_logits', 'greedy_ids'].includes(key);
      for (const as of inCache ? forms.map((form) => `${key} (${form})`) : [key]) assert.ok(compared.has(as), as);
    }
    for (const comparison of comparisons) assert.ok(passes(comparison), JSON.stringify(comparison));
  });
}

for (const name of ['qwen2-one-key-head-tied', 'llama', 'deepseek-v2-lite']) {
  test(`${name}: a GGUF file of the model has the same values`, async () => {
    using device = openDevice();
    const file = await openCheckpoint(join(goldens, 'gguf', `${name}.gguf`));
    const comparisons = verifyCheckpoint(device, { ...file, directory: join(goldens, name) });
    assert.ok(comparisons.length > 25);
    for (const comparison of comparisons) assert.ok(passes(comparison), JSON.stringify(comparison));
  });
}

test('one changed weight is noticed', () => {
  const directory = mkdtempSync(join(tmpdir(), 'hadal-verify-'));
  try {
    cpSync(golden, directory, { recursive: true });
    const file = openSafetensors(join(golden, 'model.safetensors'));
    const tensors = [...file.tensors].map(([name, { dtype, shape }]) => {
      const values = file.readFloat32(name);
      if (name === 'model.layers.1.self_attn.o_proj.weight') values[7] = (values[7] as number) + 0.05;
      return { name, dtype, shape, data: new Uint8Array(values.buffer) };
    });
    writeSafetensors(join(directory, 'model.safetensors'), tensors);
    using device = openDevice();
    assert.ok(verifyCheckpoint(device, openCheckpointDirectory(directory)).some((comparison) => !passes(comparison)));
  } finally {
    rmSync(directory, { recursive: true });
  }
});
