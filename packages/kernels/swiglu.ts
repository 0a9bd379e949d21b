// SwiGLU, the gated activation between the two matrix products of a feed-forward layer, and its gradient.
//
// Owns silu(gate) * up over rows that hold both halves side by side, as one product with stacked weights leaves them.
// Knows nothing of those weights. Invariant: every element stands alone.

import type { Commands } from './commands.ts';
import type { Floats } from './elementwise.ts';
import type { Ref } from './memory.ts';

/** `N` rows; `F` the width of each half. */
export interface SwigluOptions {
  readonly N: number;
  readonly F: number;
}

/**
 * y[n, f] = silu(gateUp[n, f]) * gateUp[n, F + f], silu(g) = g / (1 + exp(-g)).
 * gateUp [N, 2F], y [N, F]. Shazeer 2020, "GLU Variants Improve Transformer".
 */
export function swiglu(c: Commands, gateUp: Ref, y: Ref, { N, F }: SwigluOptions): void {
  c.begin('swiglu');
  c.tensor(gateUp, N * 2 * F);
  c.tensor(y, N * F);
  c.int(N);
  c.int(F);
  c.end();
}

export function swigluTwin(gateUp: Floats, y: Floats, { N, F }: SwigluOptions): void {
  for (let n = 0; n < N; n++) {
    for (let f = 0; f < F; f++) {
      const gate = gateUp[n * 2 * F + f]!;
      y[n * F + f] = (gate / (1 + Math.exp(-gate))) * gateUp[n * 2 * F + F + f]!;
    }
  }
}

/** `limit`: the most a gate may be, and the most magnitude of what it gates. */
export interface ClampedSwigluOptions extends SwigluOptions {
  readonly limit: number;
}

/** `swiglu` of min(gate, limit) and of the other half clamped to [-limit, limit]; no gradient. DeepSeek-V4's experts. */
export function clampedSwiglu(c: Commands, gateUp: Ref, y: Ref, { N, F, limit }: ClampedSwigluOptions): void {
  c.begin('clampedSwiglu');
  c.tensor(gateUp, N * 2 * F);
  c.tensor(y, N * F);
  c.int(N);
  c.int(F);
  c.float(limit);
  c.end();
}

export function clampedSwigluTwin(gateUp: Floats, y: Floats, { N, F, limit }: ClampedSwigluOptions): void {
  const clamped = gateUp.map((value, i) => {
    const isGate = i % (2 * F) < F;
    return Math.min(limit, isGate ? value : Math.max(-limit, value));
  });
  swigluTwin(clamped, y, { N, F });
}

/**
 * With s = sigmoid(gate): dGate = dy * up * s * (1 + gate * (1 - s)); dUp = dy * gate * s.
 * gateUp [N, 2F], dy [N, F], dGateUp [N, 2F] (written; may be `gateUp`).
 */
export function swigluBackward(c: Commands, gateUp: Ref, dy: Ref, dGateUp: Ref, { N, F }: SwigluOptions): void {
  c.begin('swigluBackward');
  c.tensor(gateUp, N * 2 * F);
  c.tensor(dy, N * F);
  c.tensor(dGateUp, N * 2 * F);
  c.int(N);
  c.int(F);
  c.end();
}

export function swigluBackwardTwin(gateUp: Floats, dy: Floats, dGateUp: Floats, { N, F }: SwigluOptions): void {
  for (let n = 0; n < N; n++) {
    for (let f = 0; f < F; f++) {
      const gate = gateUp[n * 2 * F + f]!;
      const up = gateUp[n * 2 * F + F + f]!;
      const s = 1 / (1 + Math.exp(-gate));
      dGateUp[n * 2 * F + f] = dy[n * F + f]! * up * s * (1 + gate * (1 - s));
      dGateUp[n * 2 * F + F + f] = dy[n * F + f]! * gate * s;
    }
  }
}
