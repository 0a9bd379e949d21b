import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { openSafetensors, writeSafetensors } from '@hadal/formats/safetensors';
import { openDevice } from '@hadal/kernels/device';
import { passes, verifyCheckpoint } from './verify.ts';

const golden = fileURLToPath(new URL('../../test/golden/deepseek-v3', import.meta.url));

test("the reference implementation's values are reproduced: states, logits, decode, loss, gradients, prediction", () => {
  using device = openDevice();
  const comparisons = verifyCheckpoint(device, openCheckpointDirectory(golden));
  const names = comparisons.map(({ name }) => name);
  for (const name of ['hidden_states', 'logits', 'loss', 'mtp_logits']) assert.ok(names.includes(name), name);
  for (const form of ['expanded', 'absorbed']) {
    for (const name of ['logits', 'decode_logits', 'greedy_ids']) assert.ok(names.includes(`${name} (${form})`), name);
  }
  assert.ok(names.filter((name) => name.startsWith('grad.')).length > 30);
  for (const comparison of comparisons) assert.ok(passes(comparison), JSON.stringify(comparison));
});

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
