import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { openDevice } from '@hadal/kernels/device';
import { openModel } from '@hadal/models/language-model';
import { convertCheckpoint } from '@hadal/models/packed/convert';
import { type PackedDtype, packedDtypes } from '@hadal/tensor/packed-matrix';
import { fitModel, prospectOf } from './fit-model.ts';
import { KvCache } from './kv-cache.ts';

const scratch = mkdtempSync(join(tmpdir(), 'hadal-'));
after(() => rmSync(scratch, { recursive: true }));
const golden = (name: string) => openCheckpointDirectory(join(import.meta.dirname, '../../test/golden', name));

test('the estimate is what loading takes, for every architecture and dtype', () => {
  const predictor = 'present';
  for (const name of ['deepseek-v2', 'deepseek-v3', 'deepseek-v3.2', 'deepseek-v4-fp4', 'qwen2-one-key-head-tied']) {
    const { estimate, form } = prospectOf(golden(name), undefined, predictor);
    for (const dtype of packedDtypes) {
      using device = openDevice({ threads: 1 });
      const contextLength = 128;
      using model = openModel(device, golden(name), { dtype, form, contextLength, predictor });
      const { weights, tablesPerToken, cachePerToken } = estimate(dtype);
      const loaded = device.memory.stats().bytesInUse;
      assert.equal(loaded, weights + tablesPerToken * (contextLength - 1), `${name} ${dtype}`);
      using _ = new KvCache(device, model.cache, 128 * cachePerToken);
      assert.ok(Math.abs(device.memory.stats().bytesInUse - loaded - 128 * cachePerToken) < 64 * cachePerToken);
    }
  }
});

test('a model that does not fit is refused in one line with what it needs and what there is', () => {
  const needed = prospectOf(golden('deepseek-v3'), undefined, 'present').plan('bf16', 'resident').total;
  assert.equal(fitModel(golden('deepseek-v3'), {}, 2 * needed).dtype, 'bf16');
  assert.throws(
    () => fitModel(golden('deepseek-v3'), {}, 1e8),
    new RegExp(
      '^Error: \\S+/deepseek-v3: expected to fit into 0\\.10 GB of the 0\\.10 GB available, needs 0\\.1\\d GB in bf16 ' +
        '\\(weights 0\\.00 GB, cache and tables of 2048 tokens 0\\.0\\d GB, scratch 0\\.1\\d GB\\); int8 needs 0\\.1\\d GB; ' +
        'int4 needs 0\\.1\\d GB; --page, with experts on disk, needs 0\\.1\\d GB$',
    ),
  );
  assert.throws(() => fitModel(golden('qwen2'), { dtype: 'int4' }, 1e8), /in int4 \([^;]*\)$/);
});

test('experts are paged from a converted mixture, and from nothing else', async () => {
  using device = openDevice({ threads: 1 });
  const convert = async (name: string, dtype: PackedDtype) => {
    const out = join(scratch, name);
    await convertCheckpoint(device, golden(name), out, { dtype });
    return openCheckpointDirectory(out);
  };
  const mixture = await convert('deepseek-v3', 'int4');
  assert.deepEqual(fitModel(mixture, { experts: 'paged' }, 1e9).experts, 'paged');
  assert.equal(fitModel(mixture, {}, 1e9).dtype, 'int4');
  const paged = { experts: 'paged' } as const;
  assert.throws(() => fitModel(golden('deepseek-v3'), paged, 1e9), /as it was published: hadal convert \S+ OUT$/);
  const dense = await convert('qwen2', 'int8');
  assert.throws(() => fitModel(dense, paged, 1e9), /found a model without experts$/);
});
