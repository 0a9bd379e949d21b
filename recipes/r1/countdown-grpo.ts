// What all reinforcement of the R1 story has in common.
//
// Sixteen prompts a step and eight answers to each; no length is favoured and no group divided by its spread (Dr. GRPO, arXiv
// 2503.20783), no divergence from a reference, as in R1-Zero's successors.

import type { Grader } from '@hadal/protocol/graders';
import { type JobRecipe, taskRows } from '@hadal/training/job-recipe';

export function countdownGrpo(grader: Grader): Pick<JobRecipe, 'method' | 'heldOut' | 'checkpointSteps'> {
  return {
    heldOut: () => taskRows('countdown', 'validation', 0, 200, 3),
    checkpointSteps: 100,
    method: {
      ...{ type: 'reinforcement', grader, batchSize: 16, evalInterval: 25 },
      grpo: { groupSize: 8, lossType: 'dr_grpo', scaleRewards: 'none', maxCompletionTokens: 384, maskTruncated: false },
    },
  };
}
