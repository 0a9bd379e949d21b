// Supervised fine-tuning on a file of documents: predict what the assistant says.
//
// The loop of a job, to be read from top to bottom. `sft` is the same for the endless documents of a recipe's tasks; here there
// are so many as there are, and they are seen again in every epoch, in another order.

import type { TrainingMethod } from '@hadal/protocol/training-order';
import { EpochOrder } from './jobs/epoch-order.ts';
import type { JobPosition } from './jobs/job-directory.ts';
import type { JobRun } from './jobs/job-run.ts';
import { jobRowTokens, packDocuments, type TrainingDocument, tokenCount } from './packing.ts';
import type { Prediction } from './trainer.ts';

type Common = Pick<TrainingMethod, 'epochs' | 'batchSize' | 'learningRateMultiplier'>;

/** Held-out rows that are measured often; of all that there are it is done at a checkpoint. */
export const heldOutDocuments = 64;

export interface SupervisedData {
  readonly documents: readonly TrainingDocument[];
  readonly heldOut: readonly TrainingDocument[];
}

/** Runs the job from `at` until it is done or is to stop. Returns where it stands then. */
export async function supervised(job: JobRun, method: Common, { documents, heldOut }: SupervisedData, at: JobPosition) {
  const { batchSize, steps } = job.settleEpochs(method, documents.length);
  const order = new EpochOrder(documents.length, `${job.order.seed}/documents`);
  const validation = packDocuments(heldOut.slice(0, heldOutDocuments), jobRowTokens);
  const isSmall = heldOut.length <= heldOutDocuments;
  while (job.goesOn(at)) {
    const seen = Array.from({ length: batchSize }, (_, i) => documents[order.at(at.next + i)] as TrainingDocument);
    const { rows } = packDocuments(seen, jobRowTokens);
    const { loss, accuracy, gradientNorm } = job.update(at, rows);
    const tokens = tokenCount(rows);
    const isTime = heldOut.length > 0 && isValidationTime(at.step + 1, steps);
    const isWhole = heldOut.length > 0 && job.isCheckpoint(at.step + 1);
    const valid = isTime || (isWhole && isSmall) ? await job.measure(at, validation.rows) : undefined;
    const whole = isWhole && !isSmall ? await job.measure(at, packDocuments(heldOut, jobRowTokens).rows) : valid;
    at = await job.finishStep(
      {
        ...{ ...at, step: at.step + 1, update: at.update + 1, next: at.next + batchSize },
        trainedTokens: at.trainedTokens + tokens,
      },
      {
        ...{ train_loss: loss, loss, grad_norm: gradientNorm, num_tokens: tokens },
        ...(accuracy !== undefined && { train_mean_token_accuracy: accuracy }),
        ...(isTime && measures('valid', valid)),
        ...(isWhole && measures('full_valid', whole)),
      },
    );
  }
  return at;
}

/** With OpenAI's names; none where the job is to stop. */
function measures(prefix: string, measured: Prediction | undefined): Record<string, number> {
  if (measured === undefined) return {};
  return { [`${prefix}_loss`]: measured.loss, [`${prefix}_mean_token_accuracy`]: measured.accuracy };
}

/** Whether the loss on held-out rows is taken after `step`: some twenty times, and in the end. */
export function isValidationTime(step: number, steps: number): boolean {
  return step === steps || step % Math.max(1, Math.ceil(steps / 20)) === 0;
}
