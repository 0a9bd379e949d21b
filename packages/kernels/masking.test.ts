import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDevice } from './device.ts';
import { maskLogits, maskLogitsTwin } from './masking.ts';
import { checkParity, normals, runOn, uniforms } from './parity.ts';
import { sample } from './sampling.ts';

/** Words of which a third forbids everything and a third nothing. */
function someMasks(words: number, seed: number): Int32Array {
  const next = uniforms(seed);
  return Int32Array.from({ length: words }, () => [0, -1, Math.floor(next() * 2 ** 32)][Math.floor(next() * 3)]!);
}

test('maskLogits forbids as its twin, keeps the bits of what is allowed, and leaves rows without a mask alone', () => {
  for (const [N, V, M] of [
    [1, 1, 1],
    [3, 31, 2],
    [7, 33, 3],
    [2, 64, 1],
    [17, 1000, 5],
    [5, 5003, 4],
  ] as const) {
    const logits = normals(N * V, V);
    logits[0] = Number.NaN;
    checkParity({
      name: `maskLogits ${N} ${V} ${M}`,
      tensors: {
        logits,
        masks: someMasks(M * Math.ceil(V / 32), V),
        // Every mask, none (-1), and one beyond the last.
        which: Int32Array.from({ length: N }, (_, n) => (n % (M + 2)) - 1),
      },
      native: (c, t) => maskLogits(c, t.logits, t.masks, t.which, { N, V, M }),
      twin: (a) => maskLogitsTwin(a.logits, a.masks, a.which, { N, V, M }),
      tolerance: 0,
    });
  }
});

test('sampling after masking never takes a forbidden token', () => {
  const [N, V] = [64, 517];
  const allowed = [3, 32, 200, 516];
  const masks = new Int32Array(Math.ceil(V / 32));
  for (const id of allowed) masks[id >>> 5]! |= 1 << (id & 31);
  const next = uniforms(1);
  using device = openDevice({ threads: 2 });
  const tensors = {
    logits: normals(N * V, 1),
    masks,
    which: new Int32Array(N),
    temperature: Float32Array.from({ length: N }, (_, n) => (n % 2 === 0 ? 0 : 5)),
    ...{ minP: new Float32Array(N), topK: new Int32Array(N), topP: new Float32Array(N).fill(1) },
    uniform: Float32Array.from({ length: N }, next),
    ids: new Int32Array(N),
    logprobs: new Float32Array(N),
  };
  const { ids } = runOn(device, tensors, (c, t) => {
    maskLogits(c, t.logits, t.masks, t.which, { N, V, M: 1 });
    sample(c, t.logits, t, t.ids, t.logprobs, { N, V });
  });
  assert.deepEqual(
    [...new Set(ids)].sort((a, b) => a - b),
    allowed,
  );
});
