// text_similarity: how much an answer is like a reference.
//
// Owns which metric a name stands for; each metric is a file of similarity/. All are from 0 to 1. Two of them differ from OpenAI's for
// want of a model and a database: `cosine` is over word counts, `meteor` without WordNet.

import type { GraderOfType, SimilarityMetric } from '@hadal/protocol/graders';
import { type Graded, rewarded } from './graded.ts';
import type { Namespaces } from './sample.ts';
import { bleu } from './similarity/bleu.ts';
import { cosine } from './similarity/cosine.ts';
import { fuzzyMatch } from './similarity/fuzzy-match.ts';
import { gleu } from './similarity/gleu.ts';
import { meteor } from './similarity/meteor.ts';
import { rougeL, rougeN } from './similarity/rouge.ts';
import { fill } from './template.ts';

type Metric = (input: string, reference: string) => number;

const metrics: Readonly<Record<SimilarityMetric, Metric>> = {
  cosine,
  fuzzy_match: fuzzyMatch,
  bleu,
  gleu,
  meteor,
  rouge_1: (input, reference) => rougeN(input, reference, 1),
  rouge_2: (input, reference) => rougeN(input, reference, 2),
  rouge_3: (input, reference) => rougeN(input, reference, 3),
  rouge_4: (input, reference) => rougeN(input, reference, 4),
  rouge_5: (input, reference) => rougeN(input, reference, 5),
  rouge_l: rougeL,
};

/** From 0 to 1. */
export function similarity(metric: SimilarityMetric, input: string, reference: string): number {
  return metrics[metric](input, reference);
}

export function gradeTextSimilarity(grader: GraderOfType<'text_similarity'>, namespaces: Namespaces): Graded {
  const input = fill(grader.input, namespaces);
  const reference = fill(grader.reference, namespaces);
  return rewarded(similarity(grader.evaluation_metric, input, reference));
}
