import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openCheckpoint } from '@hadal/formats/checkpoint';
import { openSafetensors, writeSafetensors } from '@hadal/formats/safetensors';
import { storedWeights } from '@hadal/formats/stored-weights';
import { openWeights, readDefinition, runTimeDtype } from './language-model.ts';
import { storedDtype, storedRequests, storedTypes } from './stored-requests.ts';
import { whole } from './weight-source.ts';

const golden = async (name: string) => await openCheckpoint(join(import.meta.dirname, '../../test/golden', name));

test('what is stored is summed by encoding, scales with what they scale, up to the last byte', async () => {
  for (const name of ['deepseek-v3', 'deepseek-v3-fp8', 'deepseek-v4-fp4', 'qwen2-one-key-head-tied']) {
    const checkpoint = await golden(name);
    const definition = readDefinition(checkpoint);
    const stored = openWeights(checkpoint);
    const types = storedTypes(stored, storedRequests(definition, stored, definition.preferredForm));
    const { tensors } = openSafetensors(join(checkpoint.path, 'model.safetensors'));
    // V4's prediction module is not run.
    const ours = tensors.entries().filter(([tensor]) => !tensor.startsWith('mtp.'));
    const bytes = ours.reduce((sum, [, { begin, end }]) => sum + end - begin, 0);
    const total = Object.values(types).reduce((sum, count) => sum + count, 0);
    assert.equal(total, bytes, `${name} ${JSON.stringify(types)}`);
  }
});

test('a checkpoint is opened as it is stored: bf16 at most, the widest matrix decides', async () => {
  const cases = { qwen2: 'bf16', 'deepseek-v3-fp8': 'int8', 'deepseek-v4-fp4': 'int8', 'gguf/llama.gguf': 'bf16' };
  for (const [name, expected] of Object.entries(cases)) {
    assert.equal(runTimeDtype(await golden(name), undefined), expected, name);
    assert.equal(runTimeDtype(await golden(name), 'f32'), 'f32');
  }
  const directory = mkdtempSync(join(tmpdir(), 'hadal-'));
  try {
    const path = join(directory, 'fp4.safetensors');
    writeSafetensors(path, [
      { name: 'a.weight', dtype: 'I8', shape: [2, 16], data: new Uint8Array(32) },
      { name: 'a.scale', dtype: 'F8_E8M0', shape: [2, 1], data: new Uint8Array(2) },
      { name: 'b.weight', dtype: 'F32', shape: [2, 2], data: new Uint8Array(16) },
    ]);
    const spec = (kind: 'matrix' | 'head', name: string, columns: number) =>
      ({ spec: whole(kind, name, 2, columns), as: 'matrix' }) as const;
    const stored = storedWeights(openSafetensors(path));
    assert.equal(storedDtype(stored, [spec('matrix', 'a.weight', 32), spec('head', 'b.weight', 2)]), 'int4');
    assert.equal(storedDtype(stored, [spec('matrix', 'a.weight', 32), spec('matrix', 'b.weight', 2)]), 'bf16');
  } finally {
    rmSync(directory, { recursive: true });
  }
});
