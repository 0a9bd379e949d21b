// Pretraining: predict every token.
//
// The loop of one stage, to be read from top to bottom. A step is documents in, weights out; what happens around it
// (metrics, checkpoints, progress) is the run's business.

import { documentStream } from './documents.ts';
import { packStep } from './packing.ts';
import type { Stage } from './recipe.ts';
import type { Position } from './run-directory.ts';
import type { TrainingRun } from './training-run.ts';

/** Runs `stage` from `at` to its end, or until the run is asked to stop. Returns where it stands then. */
export async function pretrain(run: TrainingRun, stage: Stage, at: Position): Promise<Position> {
  const stream = documentStream(stage.mixture, `${run.recipe.seed}/${at.stage}`, run, 'everything');
  while (run.goesOn(stage, at)) {
    const packed = packStep(stream, at.nextDocument, stage.rows, stage.rowTokens);
    at = await run.step(stage, at, packed);
  }
  return at;
}
