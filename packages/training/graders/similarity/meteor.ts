// METEOR.
//
// Owns METEOR (Banerjee and Lavie 2005) with equal words and equal stems (Porter 1980), and NLTK's weights: alpha 0.9, beta 3, gamma
// 0.5. The third stage, synonyms of WordNet, is left out: that database is larger than all else here.

import { stemmer } from 'stemmer';
import { wordsOf } from './words.ts';

/** A word and its place in its text. */
type Placed = readonly [word: string, at: number];

/** From 0 to nearly 1: one run of m matches loses half of 1 / m³. */
export function meteor(input: string, reference: string): number {
  const a = wordsOf(input);
  const b = wordsOf(reference);
  const exact = align(placed(a), placed(b));
  const stems = align(stemmed(exact.restA), stemmed(exact.restB));
  const matches = [...exact.matches, ...stems.matches].sort(([x], [y]) => x - y);
  if (matches.length === 0) return 0;
  const precision = matches.length / a.length;
  const recall = matches.length / b.length;
  const mean = (precision * recall) / (0.9 * precision + 0.1 * recall);
  return (1 - 0.5 * (chunkCount(matches) / matches.length) ** 3) * mean;
}

function placed(words: readonly string[]): Placed[] {
  return words.map((word, at) => [word, at]);
}

function stemmed(words: readonly Placed[]): Placed[] {
  return words.map(([word, at]) => [stemmer(word), at]);
}

/** From the end, each word of `a` takes the last equal one of `b` that is free, as NLTK does. */
function align(a: readonly Placed[], b: readonly Placed[]) {
  const free = Map.groupBy(b, ([word]) => word);
  const matches: [number, number][] = [];
  const restA = a.toReversed().filter(([word, at]) => {
    const match = free.get(word)?.pop();
    if (match !== undefined) matches.push([at, match[1]]);
    return match === undefined;
  });
  const restB = [...free.values()].flat().sort(([, x], [, y]) => x - y);
  return { matches, restA: restA.reverse(), restB };
}

/** Runs of matches that follow each other in both texts. */
function chunkCount(matches: readonly (readonly [number, number])[]): number {
  return matches.filter(([x, y], i) => {
    const before = matches[i - 1];
    return before === undefined || x !== before[0] + 1 || y !== before[1] + 1;
  }).length;
}
