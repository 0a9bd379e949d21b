import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { openSafetensors, writeSafetensors } from '@hadal/formats/safetensors';
import { openDevice } from '@hadal/kernels/device';
import { deepseekV4, parseDeepseekV4Config } from './deepseek-v4.ts';
import { openModel } from './language-model.ts';

const golden = fileURLToPath(new URL('../../test/golden/deepseek-v4-fp4', import.meta.url));
const json = JSON.parse(readFileSync(join(golden, 'config.json'), 'utf8')) as Record<string, unknown>;
const parse = (change: object) => parseDeepseekV4Config({ ...json, ...change }, 'DIR/config.json');

test('both styles of configuration say the same', () => {
  const layerTypes = {
    0: 'sliding_attention',
    4: 'compressed_sparse_attention',
    128: 'heavily_compressed_attention',
  };
  const ratios = (json.compress_ratios as (keyof typeof layerTypes)[]).slice(0, 5);
  const common = {
    ...{ compress_ratios: undefined, layer_types: ratios.map((ratio) => layerTypes[ratio]) },
    ...{ compress_rate_hca: undefined, compress_rates: { heavily_compressed_attention: 16 } },
    ...{ num_hash_layers: undefined, mlp_layer_types: ['hash_moe', 'hash_moe', 'moe', 'moe', 'moe'] },
    ...{ qk_rope_head_dim: undefined, partial_rotary_factor: 0.5, rope_scaling: undefined },
  };
  const yarn = { factor: 16, beta_fast: 32, beta_slow: 1, original_max_position_embeddings: 64 };
  const released = parse({});
  assert.deepEqual(parse({ ...common, rope_parameters: { rope_type: 'yarn', ...yarn } }), released);
  const nested = {
    main: { rope_type: 'default', rope_theta: 10_000 },
    compress: { rope_type: 'yarn', rope_theta: 160_000, attention_factor: 1, ...yarn },
  };
  const elsewhere = { rope_theta: 3, compress_rope_theta: 3 };
  assert.deepEqual(parse({ ...common, ...elsewhere, rope_parameters: nested }), released);
});

test('layers are of the kinds that the released configurations list, and only those that compress have YaRN', () => {
  const { layers, rope } = parse({ compress_rate_hca: undefined });
  assert.deepEqual(
    layers.map(({ compression }) => compression),
    [
      { kind: 'windowed' },
      { kind: 'windowed' },
      { kind: 'compressedSparse', ratio: 4 },
      { kind: 'heavilyCompressed', ratio: 128 },
      { kind: 'compressedSparse', ratio: 4 },
    ],
  );
  assert.deepEqual(
    layers.map(({ experts }) => experts),
    ['byToken', 'byToken', 'byScore', 'byScore', 'byScore'],
  );
  assert.deepEqual(rope.windowed.table, { dim: 64, theta: 10_000, scaling: undefined });
  const { theta, scaling } = rope.compressed.table;
  assert.equal(theta, 160_000);
  assert.ok(scaling?.type === 'yarn' && scaling.attentionFactor === 1);
});

test('a layer keeps the window of every token, entries at its ratio, and one state for each page', () => {
  const layout = deepseekV4.define({ ...json, compress_rate_hca: undefined }, 'x').cacheLayout('standard', 'f32');
  assert.deepEqual(layout[0], { keys: { width: 128 } });
  assert.deepEqual(layout[2], {
    keys: { width: 128 },
    entries: { width: 128, tokensPerRow: 4 },
    pools: { width: 2 * 3 * 128, tokensPerRow: 64 },
    indexEntries: { width: 64, tokensPerRow: 4 },
    indexPools: { width: 2 * 3 * 64, tokensPerRow: 64 },
  });
  assert.deepEqual(layout[3], {
    keys: { width: 128 },
    entries: { width: 128, tokensPerRow: 128 },
    pools: { width: 3 * 128, tokensPerRow: 64 },
  });
});

test('configurations that cannot be are refused with the key', () => {
  const refused = (change: object) => () => parse(change);
  assert.throws(refused({ swiglu_limit: undefined }), /^Error: DIR\/config\.json: swiglu_limit: /);
  assert.throws(refused({ num_key_value_heads: 4 }), /^Error: DIR\/config\.json: num_key_value_heads: /);
  assert.throws(refused({ compress_ratios: [0, 0, 2] }), /^Error: DIR\/config\.json: compress_ratios\.2: /);
  assert.throws(refused({ compress_ratios: [0, 4] }), /: compress_ratios or layer_types: expected 5 layers, got 2 of/);
  assert.throws(refused({ compress_ratios: undefined }), /: expected 5 layers, got neither$/);
  assert.throws(
    refused({ compress_rate_hca: 48 }),
    /: compress_rate_hca: expected a divisor or a multiple of 64 .* 48$/,
  );
  assert.throws(refused({ o_groups: 3 }), /: o_groups: expected a divisor of 4 heads, got 3$/);
  assert.throws(refused({ index_head_dim: 32 }), /: index_head_dim: expected at least qk_rope_head_dim = 64, got 32$/);
  assert.throws(refused({ num_experts_per_tok: 9 }), /: num_experts_per_tok: expected at most 8, got 9$/);
});

test('tensors of the prediction module may be there; a table of experts must fit the configuration', () => {
  const directory = mkdtempSync(join(tmpdir(), 'hadal-v4-'));
  try {
    cpSync(golden, directory, { recursive: true });
    const file = openSafetensors(join(golden, 'model.safetensors'));
    const tensors = [...file.tensors].map(([name, { dtype, shape }]) => ({
      name,
      dtype,
      shape,
      data: file.read(name),
    }));
    const extra = { name: 'mtp.0.enorm.weight', dtype: 'F32', shape: [64], data: new Uint8Array(256) } as const;
    writeSafetensors(join(directory, 'model.safetensors'), [...tensors, extra]);
    using device = openDevice({ threads: 1 });
    openModel(device, openCheckpointDirectory(directory))[Symbol.dispose]();

    const narrow = tensors.map((tensor) =>
      tensor.name === 'layers.1.ffn.gate.tid2eid'
        ? { ...tensor, shape: [128, 1], data: tensor.data.slice(0, 128 * 4) }
        : tensor,
    );
    writeSafetensors(join(directory, 'model.safetensors'), narrow);
    assert.throws(
      () => openModel(device, openCheckpointDirectory(directory)),
      /^Error: layers\.1\.ffn\.gate\.tid2eid: expected \[128, 2\] from config, .* has \[128, 1\]$/,
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});
