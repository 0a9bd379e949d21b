// What all reinforcement of the R1 story has in common.
//
// Sixteen prompts a step and sixteen answers to each, for few are right at first; no length is favoured and no group divided by its
// spread (Dr. GRPO, arXiv 2503.20783). The divergence from the base counts as much as in DeepSeekMath (arXiv 2402.03300): without it a
// policy soon adds only, since sums are right most often, and does not try much else. Held-out answers are drawn, twice to each prompt: a
// policy that searches by chance would greedily try the same thing over and over.

import type { Grader } from '@hadal/protocol/graders';
import { type JobRecipe, taskRows } from '@hadal/training/job-recipe';

export const promptsPerStep = 16;

/** `referenceRefresh`: steps after which the policy itself becomes what it is held to (R1-Zero's 400); 0: never. */
export function countdownGrpo(
  grader: Grader,
  referenceRefresh: number,
): Pick<JobRecipe, 'method' | 'heldOut' | 'checkpointSteps'> {
  return {
    heldOut: () => taskRows('countdown', 'validation', 0, 200, 3),
    checkpointSteps: 50,
    method: {
      ...{ type: 'reinforcement', grader, batchSize: promptsPerStep, learningRateMultiplier: 1.5 },
      ...{ evalInterval: 20, evalSamples: 2 },
      grpo: {
        groupSize: 16,
        lossType: 'dr_grpo',
        scaleRewards: 'none',
        klCoefficient: 0.04,
        referenceRefresh,
        maxCompletionTokens: 384,
        maskTruncated: false,
      },
    },
  };
}
