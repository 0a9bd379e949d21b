// Direct preference optimization (Rafailov et al. 2023, arXiv 2305.18290).
//
// The loop of a job, to be read from top to bottom: of two answers to one prompt, the preferred one is to gain on the other,
// measured from what the model thought of both before. Both answers of a pair share a row, whose loss depends on both.

import type { TrainingMethod } from '@hadal/protocol/training-order';
import { EpochOrder } from './jobs/epoch-order.ts';
import type { JobPosition } from './jobs/job-directory.ts';
import type { JobRun } from './jobs/job-run.ts';
import { jobRowTokens, type PackedRow, type TrainingDocument, tokenCount } from './packing.ts';
import type { RowLoss } from './trainer.ts';

type Dpo = Extract<TrainingMethod, { type: 'dpo' }>;
export type PreferencePair = readonly [preferred: TrainingDocument, rejected: TrainingDocument];

/** Runs the job from `at` until it is done or is to stop. Returns where it stands then. */
export async function dpo(job: JobRun, method: Dpo, pairs: readonly PreferencePair[], at: JobPosition) {
  const beta = method.beta === 'auto' ? 0.1 : method.beta;
  const { batchSize } = job.settleEpochs(method, pairs.length, { beta });
  const order = new EpochOrder(pairs.length, `${job.order.seed}/pairs`);
  const reference = job.openReference(0);
  while (job.goesOn(at)) {
    const seen = Array.from({ length: batchSize }, (_, i) => pairs[order.at(at.next + i)] as PreferencePair);
    const rows = packPairs(seen);
    const references = rows.map((row) => reference.logprobs(row));
    const sums = { margin: 0, right: 0 };
    const ofRow = (row: number, logprobs_D_T: readonly Float32Array[]): RowLoss => {
      const derivative_D_T: Float32Array[] = [];
      let loss = 0;
      for (let d = 0; d < logprobs_D_T.length; d += 2) {
        const of = (i: number) => [logprobs_D_T[i], references[row]?.[i]] as [Float32Array, Float32Array];
        const pair = preferenceLoss(of(d), of(d + 1), beta);
        loss += pair.loss / batchSize;
        sums.margin += pair.margin / batchSize;
        if (pair.margin > 0) sums.right += 1 / batchSize;
        derivative_D_T.push(...pair.derivatives.map((values) => values.map((value) => value / batchSize)));
      }
      return { loss, derivative_D_T };
    };
    const { loss, gradientNorm } = job.update(at, rows, { type: 'logprobs', ofRow });
    at = await job.finishStep(
      {
        ...{ ...at, step: at.step + 1, update: at.update + 1, next: at.next + batchSize },
        trainedTokens: at.trainedTokens + tokenCount(rows),
      },
      // TRL's names.
      { loss, grad_norm: gradientNorm, 'rewards/margins': sums.margin, 'rewards/accuracies': sums.right },
    );
  }
  return at;
}

type Measured = readonly [logprobs: Float32Array, reference: Float32Array];

/**
 * -log sigmoid(margin) and its derivatives by the log-probabilities of both answers' tokens; margin = beta ((log pi - log ref) of
 * the preferred less that of the rejected), of whole answers. Equation 7.
 */
export function preferenceLoss(
  preferred: Measured,
  rejected: Measured,
  beta: number,
): { readonly loss: number; readonly margin: number; readonly derivatives: readonly [Float32Array, Float32Array] } {
  const gain = ([logprobs, reference]: Measured) =>
    logprobs.reduce((sum, value, t) => sum + value - (reference[t] as number), 0);
  const margin = beta * (gain(preferred) - gain(rejected));
  // Softplus and sigmoid of -margin, in forms that do not overflow.
  const loss = Math.max(0, -margin) + Math.log1p(Math.exp(-Math.abs(margin)));
  const slope = -beta / (1 + Math.exp(margin));
  return {
    ...{ loss, margin },
    derivatives: [preferred[0].map(() => slope), rejected[0].map(() => -slope)],
  };
}

/** Rows of whole pairs, one answer after the other. */
function packPairs(pairs: readonly PreferencePair[]): PackedRow[] {
  const rows: { documents: TrainingDocument[]; tokens: number }[] = [];
  for (const pair of pairs) {
    const tokens = pair[0].tokens.length + pair[1].tokens.length;
    let row = rows.at(-1);
    if (!row || row.tokens + tokens > jobRowTokens) {
      row = { documents: [], tokens: 0 };
      rows.push(row);
    }
    row.documents.push(...pair);
    row.tokens += tokens;
  }
  return rows;
}
