// Learning rates over a run.

/** Linear warm-up, a plateau, linear decay to zero over the last `decayShare` of the steps. */
export interface Schedule {
  readonly steps: number;
  readonly warmupSteps: number;
  /** 0 never decays, 1 decays from the end of the warm-up. */
  readonly decayShare: number;
}

/** Factor on the peak learning rate at `step`, which counts from 1 to `steps`. */
export function scheduleFactor({ steps, warmupSteps, decayShare }: Schedule, step: number): number {
  const warm = Math.min(1, step / Math.max(1, warmupSteps));
  const decaySteps = Math.max(1, Math.round((steps - warmupSteps) * decayShare));
  const left = (steps - step + 1) / decaySteps;
  return decayShare === 0 ? warm : Math.min(warm, left);
}
