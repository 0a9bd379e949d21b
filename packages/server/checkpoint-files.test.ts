import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkpointFingerprint, readGenerationDefaults } from './checkpoint-files.ts';

async function withFiles(files: Record<string, string | Uint8Array>, use: (directory: string) => Promise<void>) {
  const directory = await mkdtemp(join(tmpdir(), 'hadal-checkpoint-'));
  try {
    for (const [name, content] of Object.entries(files)) await writeFile(join(directory, name), content);
    await use(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

test('defaults are what the publisher wrote, and 1 where he wrote nothing', async () => {
  const cases: [object | undefined, object][] = [
    [undefined, { temperature: 1, topP: 1, stopTokens: undefined }],
    [
      { temperature: 0.6, top_p: 0.95, eos_token_id: 1 },
      { temperature: 0.6, topP: 0.95, stopTokens: [1] },
    ],
    [
      { do_sample: false, temperature: 0.6 },
      { temperature: 0, topP: 1, stopTokens: undefined },
    ],
    [
      { eos_token_id: [1, 9], max_length: 20 },
      { temperature: 1, topP: 1, stopTokens: [1, 9] },
    ],
  ];
  for (const [config, expected] of cases) {
    const files = config === undefined ? {} : { 'generation_config.json': JSON.stringify(config) };
    await withFiles(files, async (directory) => {
      assert.deepEqual(await readGenerationDefaults(directory), expected);
    });
  }
});

test('a damaged generation_config.json is named in one line', async () => {
  for (const [content, message] of [
    ['{', /generation_config\.json: expected JSON, [^\n]*$/],
    ['{"temperature": "hot"}', /generation_config\.json: [^\n]*expected number[^\n]*temperature$/],
  ] as const) {
    await withFiles({ 'generation_config.json': content }, async (directory) => {
      await assert.rejects(readGenerationDefaults(directory), message);
    });
  }
});

test('the fingerprint is the same for the same files and another for other weights', async () => {
  const fingerprintOf = async (weights: Uint8Array) => {
    let fingerprint = '';
    await withFiles({ 'config.json': '{}', 'model.safetensors': weights }, async (directory) => {
      fingerprint = await checkpointFingerprint(directory);
    });
    return fingerprint;
  };
  const weights = new Uint8Array(200_000);
  const first = await fingerprintOf(weights);
  assert.match(first, /^fp_[0-9a-f]{10}$/);
  assert.equal(await fingerprintOf(weights), first);
  assert.notEqual(await fingerprintOf(weights.with(199_999, 1)), first);
  assert.notEqual(await fingerprintOf(new Uint8Array(200_001)), first);
});
