import { test } from 'node:test';
import { checkParity, normals } from './parity.ts';
import { storeRows, storeRowsTwin } from './rows.ts';

test('storeRows writes each row where the list says, rounded where the target is bfloat16, skips rows outside, and touches nothing else', () => {
  for (const [N, R, D] of [
    [1, 1, 1],
    [3, 7, 17],
    [33, 100, 33],
    [257, 300, 64],
  ] as const) {
    // 11 is coprime to every R here: distinct rows in no simple order; one of them lies outside.
    const rows = Int32Array.from({ length: N }, (_, n) => (n === 2 ? R + 5 : (n * 11 + 3) % R));
    for (const dtype of ['f32', 'bf16'] as const) {
      checkParity({
        name: `storeRows ${N} ${R} ${D} ${dtype}`,
        tensors: {
          x: normals(N * D, 1),
          rows,
          into: dtype === 'f32' ? normals(R * D, 2) : new Uint16Array(R * D).fill(7),
        },
        native: (c, t) => storeRows(c, t.x, t.rows, t.into, { N, R, D, dtype }),
        twin: (a) => storeRowsTwin(a.x, a.rows, a.into as Float32Array, { N, R, D, dtype }),
        tolerance: 0,
      });
    }
  }
});
