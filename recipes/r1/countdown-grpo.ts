// What all reinforcement of the R1 story has in common.
//
// Twenty-four prompts a step and sixteen answers to each, for few are right at first; no length is favoured and no group divided by its spread (Dr. GRPO, arXiv
// 2503.20783), no divergence from a reference, as in R1-Zero's successors.

import type { Grader } from '@hadal/protocol/graders';
import { type JobRecipe, taskRows } from '@hadal/training/job-recipe';

export const promptsPerStep = 24;

export function countdownGrpo(grader: Grader): Pick<JobRecipe, 'method' | 'heldOut' | 'checkpointSteps'> {
  return {
    heldOut: () => taskRows('countdown', 'validation', 0, 200, 3),
    checkpointSteps: 50,
    method: {
      ...{ type: 'reinforcement', grader, batchSize: promptsPerStep, evalInterval: 20, learningRateMultiplier: 1.5 },
      grpo: {
        groupSize: 16,
        lossType: 'dr_grpo',
        scaleRewards: 'none',
        maxCompletionTokens: 384,
        maskTruncated: false,
      },
    },
  };
}
