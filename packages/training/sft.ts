// Supervised fine-tuning: predict what the assistant says.
//
// The loop of one stage, to be read from top to bottom. Prompts are read and not learned: the loss is taken over the
// assistant's tokens alone. Now and then the loss on problems of the validation split shows whether the model learns the
// tasks or the documents.

import { documentStream } from './documents.ts';
import { packStep } from './packing.ts';
import type { Stage } from './recipe.ts';
import type { Position } from './run-directory.ts';
import type { TrainingRun } from './training-run.ts';

const validationEvery = 250;

/** Runs `stage` from `at` to its end, or until the run is asked to stop. Returns where it stands then. */
export async function sft(run: TrainingRun, stage: Stage, at: Position): Promise<Position> {
  const seed = `${run.recipe.seed}/${at.stage}`;
  const stream = documentStream(stage.mixture, seed, run, 'assistant');
  const heldOut = documentStream(stage.mixture, seed, run, 'assistant', 'validation');
  while (run.goesOn(stage, at)) {
    const packed = packStep(stream, at.nextDocument, stage.rows, stage.rowTokens);
    at = await run.step(stage, at, packed);
    if (at.stageStep % validationEvery === 0) {
      const loss = run.validate(packStep(heldOut, 0, stage.rows, stage.rowTokens));
      run.note(`step ${at.step}: validation loss ${loss.toFixed(4)}`);
    }
  }
  return at;
}
