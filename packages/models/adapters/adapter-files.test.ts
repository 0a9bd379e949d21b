import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { openSafetensors, writeSafetensors } from '@hadal/formats/safetensors';
import { writeRandomAdapter } from '../testing/random-adapter.ts';
import type { AdapterConfig } from './adapter-config.ts';
import { type Adapter, openAdapter } from './adapter-files.ts';
import { downName, upName } from './low-rank-specs.ts';

const golden = (name: string) =>
  openCheckpointDirectory(fileURLToPath(new URL(`../../../test/golden/${name}`, import.meta.url)));
const all: AdapterConfig = { rank: 3, alpha: 4, scaling: 'byRank', targets: 'all-linear' };

function inDirectory<T>(use: (directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), 'hadal-adapter-'));
  try {
    return use(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Every pair that an adapter has: scale, A and B. */
function contents({ modules, pairOf, weights }: Adapter) {
  const read = (name: string) => weights.readFloat32(weights.find(name));
  return new Map(
    modules
      .toSorted()
      .map((module) => [module, { ...pairOf(module), a: read(downName(module)), b: read(upName(module)) }]),
  );
}

test('experts lie by module or by parameter, and come back as the same pairs', () => {
  for (const config of [all, { ...all, scaling: 'byRoot' as const }, { ...all, targets: ['up_proj', 'q_a_proj'] }]) {
    const [byModule, byParameter] = (['byModule', 'byParameter'] as const).map((experts) =>
      inDirectory((directory) => {
        writeRandomAdapter(directory, golden('deepseek-v3'), config, { seed: 1, experts });
        return {
          names: [...openSafetensors(join(directory, 'adapter_model.safetensors')).tensors.keys()],
          pairs: contents(openAdapter(directory)),
        };
      }),
    );
    assert.ok(byModule && byParameter && byModule.names.length > byParameter.names.length);
    assert.deepEqual([...byParameter.pairs.keys()], [...byModule.pairs.keys()]);
    for (const [module, { a, b, scale = 0, rank }] of byModule.pairs) {
      const found = byParameter.pairs.get(module);
      assert.ok(Math.abs((found?.scale ?? 0) - scale) < 1e-12, module);
      assert.deepEqual([found?.rank, found?.a, found?.b], [rank, a, b], module);
    }
  }
});

test('what an adapter says beside plain pairs is refused, by its key or by its tensor', () => {
  inDirectory((directory) => {
    writeRandomAdapter(directory, golden('qwen2'), all, { seed: 1 });
    const path = join(directory, 'adapter_config.json');
    const config = JSON.parse(readFileSync(path, 'utf8')) as object;
    const withKeys = (keys: object) => () => {
      writeFileSync(path, JSON.stringify({ ...config, ...keys }));
      return openAdapter(directory);
    };
    for (const keys of [{ use_dora: true }, { modules_to_save: ['lm_head'] }, { bias: 'all' }, { peft_type: 'LOHA' }]) {
      const [key] = Object.keys(keys);
      assert.throws(withKeys(keys), new RegExp(`adapter_config.json: ${key}: `));
    }
    const harmless = { use_dora: false, modules_to_save: null, layers_to_transform: null, megatron_config: null };
    assert.equal(withKeys(harmless)().modules.length, 14);
    const scaled = withKeys({ alpha_pattern: { 'layers.1.self_attn.q_proj': 9, down_proj: 6 } })();
    const scaleOf = (module: string) => scaled.pairOf(`model.layers.${module}`)?.scale;
    assert.deepEqual(['0.self_attn.q_proj', '1.self_attn.q_proj', '0.mlp.down_proj'].map(scaleOf), [4 / 3, 3, 2]);
    const weights = join(directory, 'adapter_model.safetensors');
    const name = 'base_model.model.model.embed_tokens.lora_embedding_A';
    writeSafetensors(weights, [{ name, dtype: 'F32', shape: [1], data: new Uint8Array(4) }]);
    assert.throws(withKeys({}), /expected pairs of lora_A.weight and lora_B.weight, found .*embed_tokens/);
  });
});
