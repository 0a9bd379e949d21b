// Gradients through weights that stay as they are.
//
// Owns dx = dy W for a weight in any form. A packed one is laid out for x WT and cannot be read the other way: a few of its rows
// are unpacked into scratch at a time, and the plain product goes on where the last rows left off. So a gradient through a
// frozen weight takes a few megabytes beside it, of experts one matrix at least, and has the bits of the same values unpacked.

import { groupedMatmul, matmul } from '@hadal/kernels/matmul';
import type { Ref } from '@hadal/kernels/memory';
import type { Graph } from './graph.ts';
import { PackedMatrix, type PlainWeight, panelRows } from './packed-matrix.ts';
import { Tensor } from './tensor.ts';

/** Of unpacked rows: more would leave the caches, fewer would make products too shallow. */
const scratchBytes = 2 ** 22;

/** dx [M, I] (+)= dy [M, O] w, w [O, I]. */
export function multiplyBack(g: Graph, dy: Tensor, w: PlainWeight, dx: Tensor, accumulate: boolean): void {
  const { commands } = g.device;
  const M = dy.rows;
  if (!(w instanceof PackedMatrix)) {
    matmul(commands, dy, w, dx, { M, N: w.dim(1), K: w.dim(0), accumulate });
    return;
  }
  const { N: O, K: I } = w;
  const most = Math.max(panelRows, Math.floor(scratchBytes / (I * 4) / panelRows) * panelRows);
  withScratch(g, [Math.min(O, most), I], (rows) => {
    for (let row = 0; row < O; row += most) {
      const count = Math.min(most, O - row);
      w.gatherRows(commands, g.rowNumbers(O).slice(row, count), rows, count);
      const columns = new Tensor(dy.handle, dy.offset + row, [dy.length - row]);
      matmul(commands, columns, rows, dx, { M, N: I, K: count, lda: O, accumulate: accumulate || row > 0 });
    }
  });
}

/** `multiplyBack` with the matrix of each row's expert: dx [R, I] (+)= dy [R, O] w[e], w [E, O, I], offsets i32 [E + 1]. */
export function multiplyGroupsBack(
  g: Graph,
  dy: Tensor,
  w: PlainWeight,
  dx: Tensor,
  offsets: Tensor,
  accumulate: boolean,
): void {
  const { commands } = g.device;
  const product = (matrices: Ref, E: number, firstExpert: number, N: number, K: number) =>
    groupedMatmul(commands, dy, matrices, dx, offsets.slice(firstExpert, E + 1), {
      ...{ R: dy.rows, E, N, K, accumulate, kind: 'rows' },
    });
  if (!(w instanceof PackedMatrix)) {
    product(w, w.dim(0), 0, w.dim(2), w.dim(1));
    return;
  }
  const { count: E, N: O, K: I } = w;
  const most = Math.min(E, Math.max(1, Math.floor(scratchBytes / (O * I * 4))));
  withScratch(g, [most, O, I], (matrices) => {
    for (let expert = 0; expert < E; expert += most) {
      const count = Math.min(most, E - expert);
      for (let i = 0; i < count; i++) {
        w.matrix(expert + i).gatherRows(commands, g.rowNumbers(O), matrices.slice(i, 1), O);
      }
      product(matrices, count, expert, I, O);
    }
  });
}

/** Memory that is free again for what is recorded afterwards. */
function withScratch(g: Graph, shape: readonly number[], record: (scratch: Tensor) => void): void {
  const mark = g.arena.mark();
  record(g.arena.take(shape));
  g.arena.rewind(mark);
}
