// The AdamW update.
//
// Owns one fused pass over a parameter, its gradient and its two moments. Knows nothing of schedules, of clipping
// (it receives a factor for the gradient) or of which parameters decay. Invariant: a parameter's new bits depend on
// its own four numbers and the options only.

import type { Commands } from './commands.ts';
import type { Floats } from './elementwise.ts';
import type { Ref } from './memory.ts';

/** `n` parameters; `step` counts from 1. */
export interface AdamwOptions {
  readonly n: number;
  readonly lr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  /** Decoupled: a parameter shrinks by lr * weightDecay of itself before the step. */
  readonly weightDecay: number;
  readonly step: number;
  /** Multiplies the gradient first: clipping, or 1 / accumulated micro-batches. */
  readonly gradScale: number;
}

/**
 * One step of AdamW, in place on p, m, v [n] with gradient g [n]:
 *
 *   m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
 *   p = p (1 - lr weightDecay) - lr m' / (sqrt(v') + eps),  m' = m / (1 - beta1^step), v' = v / (1 - beta2^step).
 *
 * A moment smaller than 2^-120 becomes 0. Without a gradient it would shrink to a denormal number that rounding keeps
 * alive for ever, and arithmetic on those is twenty times slower; no eps in use sees the difference.
 *
 * Loshchilov & Hutter 2019.
 */
export function adamw(c: Commands, p: Ref, g: Ref, m: Ref, v: Ref, o: AdamwOptions): void {
  const correction1 = 1 - o.beta1 ** o.step;
  const correction2 = 1 - o.beta2 ** o.step;
  c.begin('adamw');
  c.tensor(p, o.n);
  c.tensor(g, o.n);
  c.tensor(m, o.n);
  c.tensor(v, o.n);
  c.int(o.n);
  c.float(o.beta1);
  c.float(o.beta2);
  c.float(1 - o.lr * o.weightDecay);
  c.float(o.lr / correction1);
  c.float(1 / Math.sqrt(correction2));
  c.float(o.eps);
  c.float(o.gradScale);
  c.end();
}

export function adamwTwin(p: Floats, g: Floats, m: Floats, v: Floats, o: AdamwOptions): void {
  for (let i = 0; i < o.n; i++) {
    const gradient = o.gradScale * g[i]!;
    const mean = withoutRemnants(o.beta1 * m[i]! + (1 - o.beta1) * gradient);
    const square = withoutRemnants(o.beta2 * v[i]! + (1 - o.beta2) * gradient * gradient);
    const correctedMean = mean / (1 - o.beta1 ** o.step);
    const correctedSquare = square / (1 - o.beta2 ** o.step);
    m[i] = mean;
    v[i] = square;
    p[i] = p[i]! * (1 - o.lr * o.weightDecay) - (o.lr * correctedMean) / (Math.sqrt(correctedSquare) + o.eps);
  }
}

function withoutRemnants(moment: number): number {
  return Math.abs(moment) < 2 ** -120 ? 0 : moment;
}
