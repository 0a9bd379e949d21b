import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openSafetensorsDirectory } from '../safetensors.ts';
import { writeGguf } from '../testing/write-gguf.ts';
import { openGgufCheckpoint } from './checkpoint.ts';
import { openGguf } from './gguf-file.ts';
import { ggufWeights } from './weights.ts';

const goldens = fileURLToPath(new URL('../../../test/golden', import.meta.url));

for (const name of ['qwen2-one-key-head-tied', 'llama', 'deepseek-v2-lite']) {
  test(`${name}: every weight of a converted file is that of the original, bit for bit, whole and in any rows`, async () => {
    const original = openSafetensorsDirectory(join(goldens, name));
    const weights = (await openGgufCheckpoint(join(goldens, 'gguf', `${name}.gguf`))).weights();
    for (const [key, { shape }] of original.tensors) {
      const expected = original.readFloat32(key);
      const weight = weights.find(key);
      assert.deepEqual(weight.shape, shape, key);
      assert.deepEqual(weights.readFloat32(weight), expected, key);
      const rows = shape[0] ?? 1;
      const width = expected.length / rows;
      for (const [begin, end] of [
        [1, rows],
        [0, rows - 1],
        [Math.floor(rows / 3), Math.floor(rows / 2) + 1],
      ] as const) {
        assert.deepEqual(weights.readFloat32(weight, [begin, end]), expected.slice(begin * width, end * width), key);
      }
    }
    assert.equal(weights.has('model.layers.0.mlp.other_proj.weight'), false);
    assert.equal(weights.has('model.layers.9.input_layernorm.weight'), false);
  });
}

const f32 = (length: number, first: number) => Float32Array.from({ length }, (_, i) => first + i);

test('gate and up in one tensor, a bias of the router and the older form of latent attention are found', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'hadal-gguf-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'model.gguf');
  const tensor = (name: string, shape: number[], first: number) => {
    const values = f32(
      shape.reduce((product, n) => product * n, 1),
      first,
    );
    return { name, type: 0, shape, data: new Uint8Array(values.buffer) };
  };
  writeGguf(path, {
    tensors: [
      tensor('blk.1.ffn_gate_up_exps.weight', [2, 6, 4], 0),
      tensor('blk.1.exp_probs_b.bias', [2], 100),
      tensor('blk.1.attn_kv_b.weight', [6, 4], 200),
    ],
  });
  const weights = ggufWeights(await openGguf(path), { architecture: 'deepseek2', heads: 2, keyHeads: 2 });
  const read = (name: string) => weights.readFloat32(weights.find(`model.layers.1.${name}`));
  assert.deepEqual(read('mlp.experts.1.gate_proj.weight'), f32(12, 24));
  assert.deepEqual(read('mlp.experts.1.up_proj.weight'), f32(12, 36));
  assert.deepEqual(weights.find('model.layers.1.mlp.experts.0.up_proj.weight').shape, [3, 4]);
  assert.deepEqual(read('mlp.gate.e_score_correction_bias'), f32(2, 100));
  assert.deepEqual(read('self_attn.kv_b_proj.weight'), f32(24, 200));
  assert.throws(
    () => weights.find('model.layers.1.mlp.experts.0.down_proj.weight'),
    /mlp\.experts\.0\.down_proj\.weight: expected as blk\.1\.ffn_down_exps\.weight, absent in .*model\.gguf$/,
  );
});
