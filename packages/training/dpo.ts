// Direct preference optimization (Rafailov et al. 2023, arXiv 2305.18290).
//
// The loop of a job, to be read from top to bottom: of two answers to one prompt, the preferred one is to gain on the other,
// measured from what the model thought of both before. Both answers of a pair share a row, whose loss depends on both.

import type { TrainingMethod } from '@hadal/protocol/training-order';
import { EpochOrder } from './jobs/epoch-order.ts';
import type { JobPosition } from './jobs/job-directory.ts';
import type { JobRun } from './jobs/job-run.ts';
import { jobRowTokens, type PackedRow, type TrainingDocument, tokenCount } from './packing.ts';
import { meanOf } from './policy-objective.ts';
import { heldOutDocuments, isValidationTime } from './supervised.ts';
import type { RowLoss } from './trainer.ts';

type Dpo = Extract<TrainingMethod, { type: 'dpo' }>;
export type PreferencePair = readonly [preferred: TrainingDocument, rejected: TrainingDocument];

export interface DpoData {
  readonly pairs: readonly PreferencePair[];
  readonly heldOut: readonly PreferencePair[];
}

/** Runs the job from `at` until it is done or is to stop. Returns where it stands then. */
export async function dpo(job: JobRun, method: Dpo, { pairs, heldOut }: DpoData, at: JobPosition) {
  const beta = method.beta === 'auto' ? 0.1 : method.beta;
  const { batchSize, steps } = job.settleEpochs(method, pairs.length, { beta });
  const order = new EpochOrder(pairs.length, `${job.order.seed}/pairs`);
  const reference = job.openReference(0);
  const validation = packPairs(heldOut.slice(0, heldOutDocuments)).map(
    (row) => [row, reference.logprobs(row)] as const,
  );
  while (job.goesOn(at)) {
    const seen = Array.from({ length: batchSize }, (_, i) => pairs[order.at(at.next + i)] as PreferencePair);
    const rows = packPairs(seen);
    const references = rows.map((row) => reference.logprobs(row));
    const measured: PairLoss[] = [];
    const ofRow = (row: number, logprobs_D_T: readonly Float32Array[]): RowLoss => {
      const losses = pairLosses(logprobs_D_T, references[row] as readonly Float32Array[], beta);
      measured.push(...losses);
      return {
        loss: losses.reduce((sum, { loss }) => sum + loss, 0) / batchSize,
        derivative_D_T: losses.flatMap(({ derivatives }) =>
          derivatives.map((values) => values.map((value) => value / batchSize)),
        ),
      };
    };
    const { gradientNorm } = job.update(at, rows, { type: 'logprobs', ofRow });
    const isTime = validation.length > 0 && isValidationTime(at.step + 1, steps);
    at = await job.finishStep(
      {
        ...{ ...at, step: at.step + 1, update: at.update + 1, next: at.next + batchSize },
        trainedTokens: at.trainedTokens + tokenCount(rows),
      },
      { ...pairMeasures('', measured), grad_norm: gradientNorm, ...(isTime && pairMeasures('valid_', evaluate())) },
    );
  }
  return at;

  function evaluate(): PairLoss[] {
    return validation.flatMap(([row, references_D_T]) => pairLosses(job.trainer.logprobs(row), references_D_T, beta));
  }
}

/** In TRL's names. */
function pairMeasures(prefix: '' | 'valid_', pairs: readonly PairLoss[]): Record<string, number> {
  return {
    [`${prefix}loss`]: meanOf(pairs.map(({ loss }) => loss)),
    [`${prefix}rewards/margins`]: meanOf(pairs.map(({ margin }) => margin)),
    [`${prefix}rewards/accuracies`]: meanOf(pairs.map(({ margin }) => Number(margin > 0))),
  };
}

type PairLoss = ReturnType<typeof preferenceLoss>;

/** Of the pairs of one row, whose answers lie side by side. */
function pairLosses(
  logprobs_D_T: readonly Float32Array[],
  references_D_T: readonly Float32Array[],
  beta: number,
): PairLoss[] {
  const of = (d: number) => [logprobs_D_T[d], references_D_T[d]] as [Float32Array, Float32Array];
  return Array.from({ length: logprobs_D_T.length / 2 }, (_, pair) =>
    preferenceLoss(of(2 * pair), of(2 * pair + 1), beta),
  );
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
