// string_check: whether an answer is, or contains, a text.
//
// Owns the four comparisons. As OpenAI documents them, `like` asks whether the input contains the reference.

import type { GraderOfType } from '@hadal/protocol/graders';
import { type Graded, rewarded } from './graded.ts';
import type { Namespaces } from './sample.ts';
import { fill } from './template.ts';

type StringCheck = GraderOfType<'string_check'>;

const operations: Readonly<Record<StringCheck['operation'], (input: string, reference: string) => boolean>> = {
  eq: (input, reference) => input === reference,
  ne: (input, reference) => input !== reference,
  like: (input, reference) => input.includes(reference),
  ilike: (input, reference) => input.toLowerCase().includes(reference.toLowerCase()),
};

/** 1 or 0. */
export function gradeStringCheck(grader: StringCheck, namespaces: Namespaces): Graded {
  const holds = operations[grader.operation](fill(grader.input, namespaces), fill(grader.reference, namespaces));
  return rewarded(holds ? 1 : 0);
}
