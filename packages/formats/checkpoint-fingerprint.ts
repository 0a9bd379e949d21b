// A short text that tells checkpoints apart.
//
// Owns what goes into it: every file that decides what a model says, weights only at their ends, so that it costs the same for
// a large model as for a small one. Knows nothing of architectures or layouts.

import { createHash, type Hash } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import type { Checkpoint } from './checkpoint.ts';

/** `fp_` and ten hexadecimal digits that differ for different configurations, tokenizers or weights. */
export async function checkpointFingerprint(checkpoint: Checkpoint): Promise<string> {
  const hash = createHash('sha256');
  for (const path of checkpoint.files()) {
    if (/\.(safetensors|gguf)$/.test(path)) await hashEnds(hash, path);
    else hash.update(await readFile(path));
  }
  return `fp_${hash.digest('hex').slice(0, 10)}`;
}

async function hashEnds(hash: Hash, path: string): Promise<void> {
  await using file = await open(path);
  const { size } = await file.stat();
  const length = Math.min(size, 65536);
  for (const position of [0, size - length]) {
    const { buffer } = await file.read({ buffer: new Uint8Array(length), position });
    hash.update(buffer);
  }
  hash.update(String(size));
}
