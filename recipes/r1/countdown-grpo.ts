// What all reinforcement of the R1 story has in common.
//
// Sixteen prompts a step and sixteen answers to each, for few are right at first; no length is favoured and no group divided by its
// spread (Dr. GRPO, arXiv 2503.20783). The divergence from the reference counts as much as in DeepSeekMath (arXiv 2402.03300):
// without it a policy soon adds only, since sums are right most often, and does not try much else. The reference is the policy of
// up to 50 steps before (R1-Zero's 400). Held-out answers are drawn, twice to each prompt: a policy that searches by chance would
// greedily try the same thing over and over.

import type { Grader } from '@hadal/protocol/graders';
import { type JobRecipe, taskRows } from '@hadal/training/job-recipe';

export const promptsPerStep = 16;

/** Sixteen attempts, the most that the base has seen, take some 400. */
export const maxCompletionTokens = 448;

export function countdownGrpo(grader: Grader): Pick<JobRecipe, 'method' | 'heldOut' | 'checkpointSteps'> {
  return {
    heldOut: () => taskRows('countdown', 'validation', 0, 200, 3),
    checkpointSteps: 50,
    method: {
      ...{ type: 'reinforcement', grader, batchSize: promptsPerStep, learningRateMultiplier: 1.5 },
      ...{ evalInterval: 20, evalSamples: 2 },
      grpo: {
        ...{ groupSize: 16, lossType: 'dr_grpo', scaleRewards: 'none', maskTruncated: false, maxCompletionTokens },
        ...{ klCoefficient: 0.04, referenceRefresh: 50 },
      },
    },
  };
}
