// Cosine similarity.
//
// Owns it over vectors of word counts (Salton, Wong and Yang 1975). OpenAI's grader of this name compares embeddings of a model that
// we do not have: texts that say the same in other words score lower here.

import { ngramCounts, wordsOf } from './words.ts';

/** The cosine of the angle between the two vectors that have how often each word occurs; from 0 to 1. */
export function cosine(input: string, reference: string): number {
  const a = ngramCounts(wordsOf(input), 1);
  const b = ngramCounts(wordsOf(reference), 1);
  let product = 0;
  for (const [word, count] of a) product += count * (b.get(word) ?? 0);
  return product === 0 ? 0 : product / Math.sqrt(squares(a) * squares(b));
}

function squares(counts: ReadonlyMap<string, number>): number {
  return counts.values().reduce((sum, count) => sum + count * count, 0);
}
