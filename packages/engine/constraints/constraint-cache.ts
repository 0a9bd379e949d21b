// The constraints that a model's requests ask for, compiled once.
//
// Owns the table from specifications to compiled constraints, least recently used first, and the masks they share. What is
// refused is remembered too. Memory is bounded: a number of constraints, and bytes of masks for all of them together.

import { createHash } from 'node:crypto';
import { type CompiledConstraint, type ConstraintSpec, compileConstraint } from './constraint.ts';
import { TokenMasks, type TokenMasksOptions } from './token-masks.ts';
import type { Vocabulary } from './vocabulary.ts';

export interface ConstraintCacheOptions extends TokenMasksOptions {
  /** Constraints that are kept; 64 when absent. */
  readonly capacity?: number;
}

export class ConstraintCache {
  readonly #vocabulary: Vocabulary;
  readonly #masks: TokenMasks;
  readonly #capacity: number;
  readonly #compiled = new Map<string, CompiledConstraint>();

  constructor(vocabulary: Vocabulary, { capacity = 64, ...options }: ConstraintCacheOptions = {}) {
    this.#vocabulary = vocabulary;
    this.#masks = new TokenMasks(vocabulary, options);
    this.#capacity = capacity;
  }

  /** Of equal specifications, the second costs a hash of its text. */
  compile(spec: ConstraintSpec): CompiledConstraint {
    const key = createHash('sha256').update(JSON.stringify(spec)).digest('base64');
    const known = this.#compiled.get(key) ?? compileConstraint(spec, this.#vocabulary, this.#masks);
    this.#compiled.delete(key);
    this.#compiled.set(key, known);
    if (this.#compiled.size > this.#capacity) this.#compiled.delete(this.#compiled.keys().next().value!);
    return known;
  }
}
