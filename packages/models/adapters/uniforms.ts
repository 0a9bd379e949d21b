// First values of an adapter.
//
// Owns how a text seed becomes numbers: SHA-256 of it keys AES in counter mode, so that a matrix's first values depend on its
// seed alone and are the same on every machine.

import { createCipheriv, createHash } from 'node:crypto';

/** `count` numbers in (0, 1]. */
export function uniforms(seed: string, count: number): Float32Array {
  const key = createHash('sha256').update(seed).digest();
  const bytes = createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(4 * count));
  return Float32Array.from({ length: count }, (_, i) => (bytes.readUInt32LE(4 * i) + 0.5) / 2 ** 32);
}
