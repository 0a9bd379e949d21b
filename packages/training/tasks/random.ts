// Seeded randomness for problems.
//
// Owns how a text seed becomes a stream of numbers: SHA-256 of the seed starts an sfc32 generator (Doty-Humphrey,
// PractRand), integer arithmetic only, so every machine draws the same corpus. It is our own because an update of a
// library must never change what the shipped model was trained on. Knows nothing about tasks or splits. A fork
// depends on the seed and its label alone, never on how much of the parent was consumed.
import { createHash } from 'node:crypto';

export class Random {
  readonly #seed: string;
  #a: number;
  #b: number;
  #c: number;
  #counter: number;

  constructor(seed: string) {
    const words = createHash('sha256').update(seed).digest();
    this.#seed = seed;
    this.#a = words.readInt32LE(0);
    this.#b = words.readInt32LE(4);
    this.#c = words.readInt32LE(8);
    this.#counter = words.readInt32LE(12);
  }

  /** An independent stream named by `label`. */
  fork(label: string): Random {
    return new Random(`${this.#seed}/${label}`);
  }

  /** An integer in [min, max], both ends included, without modulo bias. */
  integer(min: number, max: number): number {
    const span = max - min + 1;
    if (!(span >= 1 && span <= 0x1_0000_0000)) throw new Error(`random: expected min <= max, got [${min}, ${max}]`);
    const limit = 0x1_0000_0000 - (0x1_0000_0000 % span);
    let word = this.#next();
    while (word >= limit) word = this.#next();
    return min + (word % span);
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.#next() < probability * 0x1_0000_0000;
  }

  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new Error('random: expected at least one item to pick from, got none');
    return items[this.integer(0, items.length - 1)]!;
  }

  /** Picks by weight: each entry is [item, weight], weights are positive integers. */
  weighted<T>(entries: readonly (readonly [T, number])[]): T {
    const total = entries.reduce((sum, [, weight]) => sum + weight, 0);
    let left = this.integer(1, total);
    for (const [item, weight] of entries) {
      left -= weight;
      if (left <= 0) return item;
    }
    throw new Error(`random: expected positive integer weights, got a total of ${total}`);
  }

  /** `count` different items in random order (Fisher-Yates). */
  sample<T>(items: readonly T[], count: number): T[] {
    if (count > items.length) throw new Error(`random: expected at least ${count} items, got ${items.length}`);
    const rest = [...items];
    for (let i = 0; i < count; i++) {
      const j = this.integer(i, rest.length - 1);
      [rest[i], rest[j]] = [rest[j]!, rest[i]!];
    }
    return rest.slice(0, count);
  }

  shuffle<T>(items: readonly T[]): T[] {
    return this.sample(items, items.length);
  }

  #next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }
}
