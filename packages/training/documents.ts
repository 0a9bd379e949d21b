// Problems turned into training documents.
//
// Owns the mixture of tasks and which tokens of a problem are learned: all of them in pretraining, only what the
// assistant says in supervised fine-tuning. Renders as serving does, in the model's own dialect, so that the two cannot
// disagree.
// Invariant: the document at an index is a pure function of the mixture, its seed and the index.

import type { ChatDialect, Segment } from '@hadal/formats/chat/dialect';
import { renderFillMiddle } from '@hadal/formats/fill-middle';
import type { Tokenizer } from '@hadal/formats/tokenizer';
import type { DocumentStream, TrainingDocument } from './packing.ts';
import { Random } from './tasks/random.ts';
import { taskNamed } from './tasks/registry.ts';
import type { Problem, Split } from './tasks/task.ts';

/** Task name to its share of the documents; shares are positive integers. */
export type Mixture = Readonly<Record<string, number>>;

/** What the loss is taken over. */
export type Supervision = 'everything' | 'assistant';

/** What turns a problem into tokens: the model's tokenizer and how it is talked to. */
export interface Rendering {
  readonly tokenizer: Tokenizer;
  readonly dialect: ChatDialect;
}

/** The endless stream of documents of a mixture. */
export function documentStream(
  mixture: Mixture,
  seed: string,
  rendering: Rendering,
  supervision: Supervision,
  split: Split = 'train',
): DocumentStream {
  return (index) => problemDocument(mixtureProblem(mixture, seed, index, split), rendering, supervision);
}

/** The problem at `index` of the stream: which task is a matter of the seed, which problem of the index. */
export function mixtureProblem(mixture: Mixture, seed: string, index: number, split: Split = 'train'): Problem {
  const task = new Random(`${seed}/mixture/${index}`).weighted(Object.entries(mixture));
  return taskNamed(task).generate(split, index);
}

/** The text of a problem with its solution, in segments; `isOutput` marks what the model is to write itself. */
export function problemSegments(problem: Problem, dialect: ChatDialect): readonly Segment[] {
  if (problem.kind === 'fim') return renderFillMiddle(problem.prefix, problem.middle, problem.suffix);
  const { thinking, tools } = problem;
  const { segments } = dialect.prompt([...problem.messages, ...problem.solution], { thinking, tools });
  // Earlier answers stand in the prompt without the reasoning that led to them; they are not examples of answering.
  if (!thinking || tools.length > 0) return segments;
  const last = segments.findLastIndex((segment) => segment.isOutput);
  return segments.map((segment, i) => ({ ...segment, isOutput: segment.isOutput && i === last }));
}

export function problemDocument(
  problem: Problem,
  { tokenizer, dialect }: Rendering,
  supervision: Supervision,
): TrainingDocument {
  const tokens: number[] = [];
  const weights: number[] = [];
  for (const { text, isOutput } of problemSegments(problem, dialect)) {
    const weight = isOutput || supervision === 'everything' ? 1 : 0;
    for (const token of tokenizer.encode(text)) {
      tokens.push(token);
      weights.push(weight);
    }
  }
  return { tokens, weights };
}
