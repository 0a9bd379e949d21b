// Logits of tokens that may not come next.
//
// Owns the bits of a mask and their effect: a forbidden token gets the logit -infinity, which no way of choosing takes.
// Knows nothing of why a token is forbidden. Invariant: allowed logits keep their bits, and rows without a mask are not
// touched.

import type { Commands } from './commands.ts';
import type { Floats } from './elementwise.ts';
import type { Ref } from './memory.ts';

/** `N` rows of `V` logits, `M` masks. */
export interface MaskLogitsOptions {
  readonly N: number;
  readonly V: number;
  readonly M: number;
}

/**
 * logits[n, v] = -infinity where mask which[n] does not have bit v. logits [N, V]; masks int32 [M, ceil(V / 32)], token v
 * being bit v mod 32 of word v div 32; which int32 [N], where a number that is no mask's leaves the row as it is.
 */
export function maskLogits(c: Commands, logits: Ref, masks: Ref, which: Ref, { N, V, M }: MaskLogitsOptions): void {
  c.begin('maskLogits');
  c.tensor(logits, N * V);
  c.tensor(masks, M * Math.ceil(V / 32));
  c.tensor(which, N);
  c.int(N);
  c.int(V);
  c.int(M);
  c.end();
}

export function maskLogitsTwin(
  logits: Floats,
  masks: Int32Array,
  which: Int32Array,
  { N, V, M }: MaskLogitsOptions,
): void {
  const words = Math.ceil(V / 32);
  for (let n = 0; n < N; n++) {
    const mask = which[n]!;
    if (mask < 0 || mask >= M) continue;
    for (let v = 0; v < V; v++) {
      const isAllowed = ((masks[mask * words + (v >>> 5)]! >>> (v & 31)) & 1) === 1;
      if (!isAllowed) logits[n * V + v] = -Infinity;
    }
  }
}
