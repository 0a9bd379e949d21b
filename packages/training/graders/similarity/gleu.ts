// GLEU.
//
// Owns Google's BLEU for one sentence (Wu et al. 2016, section 6): over all runs of one to four words, the smaller of precision and
// recall. As NLTK's `sentence_gleu`.

import { ngramCounts, sharedCount, wordsOf } from './words.ts';

const maxOrder = 4;

/** From 0 to 1. */
export function gleu(input: string, reference: string): number {
  const a = wordsOf(input);
  const b = wordsOf(reference);
  let shared = 0;
  let total = 0;
  const longer = Math.max(a.length, b.length);
  for (let n = 1; n <= maxOrder; n++) {
    shared += sharedCount(ngramCounts(a, n), ngramCounts(b, n));
    total += Math.max(0, longer - n + 1);
  }
  return total === 0 ? 0 : shared / total;
}
