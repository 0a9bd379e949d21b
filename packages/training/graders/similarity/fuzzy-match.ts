// Fuzzy match.
//
// Owns the share of characters that two texts have in common in order: RapidFuzz's `fuzz.ratio`, the normalized Indel similarity.

import { commonSubsequenceLength } from './common-subsequence.ts';

/** 2 LCS(a, b) / (|a| + |b|) over characters; 1 where both are empty. */
export function fuzzyMatch(input: string, reference: string): number {
  const a = Array.from(input);
  const b = Array.from(reference);
  return a.length + b.length === 0 ? 1 : (2 * commonSubsequenceLength(a, b)) / (a.length + b.length);
}
