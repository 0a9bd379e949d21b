// Texts as words and as runs of words.
//
// Owns how a text is divided for the metrics that compare words: lower case, a word is a run of letters and digits, and every
// Chinese character is a word of its own, as nothing stands between them. For English that is rouge-score's way.

/** 'Hi, 3.5 of 猫咪!' -> hi, 3, 5, of, 猫, 咪. */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/\p{Script=Han}|(?:(?!\p{Script=Han})[\p{L}\p{M}\p{N}])+/gu) ?? [];
}

/** How often each run of `n` words occurs. Runs are joined by a character that no word has. */
export function ngramCounts(words: readonly string[], n: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i + n <= words.length; i++) {
    const ngram = words.slice(i, i + n).join('\0');
    counts.set(ngram, (counts.get(ngram) ?? 0) + 1);
  }
  return counts;
}

/** How many runs the two have in common, each as often as both have it. */
export function sharedCount(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): number {
  let shared = 0;
  for (const [ngram, count] of a) shared += Math.min(count, b.get(ngram) ?? 0);
  return shared;
}

export function harmonicMean(precision: number, recall: number): number {
  return precision + recall === 0 ? 0 : (2 * precision * recall) / (precision + recall);
}
