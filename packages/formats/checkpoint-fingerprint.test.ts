import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Checkpoint, openCheckpointDirectory } from './checkpoint.ts';
import { checkpointFingerprint } from './checkpoint-fingerprint.ts';

test('the fingerprint is the same for the same files and another for other weights or another template', async () => {
  const fingerprintOf = async (weights: Uint8Array, template = '') => {
    let fingerprint = '';
    await withFiles({ 'model.safetensors': weights, 'chat_template.jinja': template }, async (checkpoint) => {
      fingerprint = await checkpointFingerprint(checkpoint);
    });
    return fingerprint;
  };
  const weights = new Uint8Array(200_000);
  const first = await fingerprintOf(weights);
  assert.match(first, /^fp_[0-9a-f]{10}$/);
  assert.equal(await fingerprintOf(weights), first);
  assert.notEqual(await fingerprintOf(weights.with(199_999, 1)), first);
  assert.notEqual(await fingerprintOf(new Uint8Array(200_001)), first);
  assert.notEqual(await fingerprintOf(weights, 'other'), first);
});

async function withFiles(files: Record<string, string | Uint8Array>, use: (checkpoint: Checkpoint) => unknown) {
  const directory = await mkdtemp(join(tmpdir(), 'hadal-checkpoint-'));
  try {
    for (const [name, content] of Object.entries({ 'config.json': '{}', ...files })) {
      await writeFile(join(directory, name), content);
    }
    await use(openCheckpointDirectory(directory));
  } finally {
    await rm(directory, { recursive: true });
  }
}
