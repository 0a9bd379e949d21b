import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openGguf } from '@hadal/formats/gguf/gguf-file';
import { ggufWeights } from '@hadal/formats/gguf/weights';
import { writeGguf } from '@hadal/formats/testing/write-gguf';
import { blockSizes } from '@hadal/kernels/decode-blocks';
import { openDevice } from '@hadal/kernels/device';
import { normals } from '@hadal/kernels/parity';
import { CheckpointWeights } from './checkpoint-weights.ts';
import { whole } from './weight-source.ts';

const path = new URL('../../test/golden/gguf/blocks.json', import.meta.url);
const goldens: Record<string, { blocks: string }> = JSON.parse(readFileSync(path, 'utf8'));
/** ggml's numbers of the types. */
const types = {
  Q4_0: 2,
  Q4_1: 3,
  Q5_0: 6,
  Q5_1: 7,
  Q8_0: 8,
  Q2_K: 10,
  Q3_K: 11,
  Q4_K: 12,
  Q5_K: 13,
  Q6_K: 14,
} as const;

test('what is loaded from a GGUF file, where it is mapped, has the bits of plain reading', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'hadal-gguf-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'model.gguf');
  const blocksOf = (type: keyof typeof types, name: string, shape: number[]) => {
    const { values, bytes } = blockSizes[type];
    const golden = Buffer.from(goldens[type]?.blocks ?? '', 'base64');
    const size = (shape.reduce((product, n) => product * n, 1) / values) * bytes;
    return {
      name,
      type: types[type],
      shape,
      data: Uint8Array.from({ length: size }, (_, i) => golden[i % golden.length]!),
    };
  };
  const plain = (name: string, shape: number[]) => {
    const values = normals(
      shape.reduce((product, n) => product * n, 1),
      name.length,
    );
    return { name, type: 0, shape, data: new Uint8Array(values.buffer) };
  };
  const all = Object.keys(types) as (keyof typeof types)[];
  writeGguf(file, {
    tensors: [
      ...all.map((type, layer) => blocksOf(type, `blk.${layer}.ffn_up.weight`, [37, 512])),
      blocksOf('Q8_0', 'blk.0.attn_q.weight', [36, 64]),
      plain('blk.0.attn_k.weight', [12, 20]),
      plain('blk.0.attn_k.bias', [12]),
      blocksOf('Q4_0', 'blk.0.ffn_gate_exps.weight', [3, 5, 64]),
      plain('blk.1.attn_k_b.weight', [3, 24, 8]),
      plain('blk.1.attn_v_b.weight', [3, 12, 24]),
    ],
  });
  const weights = ggufWeights(await openGguf(file), { architecture: 'llama', heads: 3, keyHeads: 2 });
  using device = openDevice({ threads: 2 });
  using source = new CheckpointWeights(device, weights, { dtype: 'f32' });
  const names = [
    ...all.map((_, layer) => `${layer}.mlp.up_proj.weight`),
    ...['0.self_attn.q_proj.weight', '0.self_attn.k_proj.weight', '0.self_attn.k_proj.bias'],
    ...['0.mlp.experts.0.gate_proj.weight', '0.mlp.experts.2.gate_proj.weight', '1.self_attn.kv_b_proj.weight'],
  ];
  for (const name of names.map((rest) => `model.layers.${rest}`)) {
    const weight = weights.find(name);
    const expected = weights.readFloat32(weight);
    const tensor = source.tensor(whole('norm', name, ...weight.shape));
    const actual = new Float32Array(expected.length);
    device.memory.read(tensor, actual);
    assert.deepEqual(new Uint32Array(actual.buffer), new Uint32Array(expected.buffer), name);
  }
});
