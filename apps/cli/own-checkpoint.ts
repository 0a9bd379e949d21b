// The checkpoint that ships with the repository.
//
// Owns where it lies. Knows no engine, for some want its tokenizer and never load the model.

import { join, relative } from 'node:path';

/** As a path that a person can read. */
export function ownCheckpoint(): string {
  return relative(process.cwd(), join(import.meta.dirname, '../../models/hadal-nano'));
}
