// What a grader says of an answer.
//
// Owns the three ways in which grading ends, for every kind of grader alike. Knows no kind.

import type { GraderProblemKind, GraderUsage } from '@hadal/protocol/grader-run';

/** A problem is one of grading, not a bad answer: that has a reward. */
export type Graded =
  | { readonly type: 'reward'; readonly reward: number; readonly parts: Parts; readonly usage?: ModelUsage }
  | {
      readonly type: 'problem';
      readonly kind: GraderProblemKind;
      readonly message: string;
      readonly usage?: ModelUsage;
    };

/** Parts of a reward by their names. */
export type Parts = Readonly<Record<string, number>>;

export interface ModelUsage extends GraderUsage {
  readonly model: string;
}

export function rewarded(reward: number, parts: Parts = {}): Graded {
  return { type: 'reward', reward, parts };
}

export function failed(kind: GraderProblemKind, message: string): Graded {
  return { type: 'problem', kind, message };
}
