// ROUGE.
//
// Owns ROUGE-N and ROUGE-L (Lin 2004) as F1 of one text against one reference, without stemming: rouge-score's numbers.

import { commonSubsequenceLength } from './common-subsequence.ts';
import { harmonicMean, ngramCounts, sharedCount, wordsOf } from './words.ts';

/** F1 of the runs of `n` words that both have; 0 where either has none. */
export function rougeN(input: string, reference: string, n: number): number {
  const a = wordsOf(input);
  const b = wordsOf(reference);
  const shared = sharedCount(ngramCounts(a, n), ngramCounts(b, n));
  return shared === 0 ? 0 : harmonicMean(shared / (a.length - n + 1), shared / (b.length - n + 1));
}

/** F1 of the longest common subsequence of words; 0 where either text has none. */
export function rougeL(input: string, reference: string): number {
  const a = wordsOf(input);
  const b = wordsOf(reference);
  const shared = commonSubsequenceLength(a, b);
  return shared === 0 ? 0 : harmonicMean(shared / a.length, shared / b.length);
}
