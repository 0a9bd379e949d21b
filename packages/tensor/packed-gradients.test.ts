import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDevice } from '@hadal/kernels/device';
import { normals } from '@hadal/kernels/parity';
import { Arena } from './arena.ts';
import { Graph } from './graph.ts';
import { multiplyBack, multiplyGroupsBack } from './packed-gradients.ts';
import { PackedMatrix, packedDtypes } from './packed-matrix.ts';
import { Tensor } from './tensor.ts';

/** Runs `use` with a matrix [count, N, K] packed, and with the values that it multiplies by as a plain tensor. */
function withForms(
  { count, N, K, dtype }: { count: number; N: number; K: number; dtype: (typeof packedDtypes)[number] },
  use: (g: Graph, packed: PackedMatrix, plain: Tensor) => void,
): void {
  using device = openDevice({ threads: 2 });
  using arena = new Arena(device.memory, 2 ** 20);
  const packed = PackedMatrix.pack(device, arena.floats(normals(count * N * K, 1), [count, N, K]), dtype);
  const g = new Graph(device, arena, 'training');
  const plain = arena.take([count, N, K]);
  for (let i = 0; i < count; i++) {
    packed.matrix(i).gatherRows(device.commands, g.rowNumbers(N), plain.slice(i, 1), N);
  }
  use(g, packed, plain);
  device.memory.free(packed.handle);
}

function read(g: Graph, tensor: Tensor): Float32Array {
  g.run();
  const values = new Float32Array(tensor.length);
  g.device.memory.read(tensor, values);
  return values;
}

const shapes = [
  { M: 1, N: 1, K: 1 },
  { M: 5, N: 33, K: 40 },
  // Unpacked in two pieces.
  { M: 3, N: 1100, K: 1024 },
];

test('dy W has the bits of the unpacked matrix, in every form, added or not, however many pieces it takes', () => {
  for (const dtype of packedDtypes) {
    for (const { M, N, K } of shapes) {
      withForms({ count: 1, N, K, dtype }, (g, packed, plain) => {
        const dy = g.arena.floats(normals(M * N, 2), [M, N]);
        for (const accumulate of [false, true]) {
          const results = [packed, new Tensor(plain.handle, plain.offset, [N, K])].map((w) => {
            const dx = g.arena.floats(normals(M * K, 3), [M, K]);
            multiplyBack(g, dy, w, dx, accumulate);
            return read(g, dx);
          });
          assert.deepEqual(results[0], results[1], `${dtype} ${M} ${N} ${K} ${accumulate}`);
        }
      });
    }
  }
});

test("dy W of each row's expert has the bits of the unpacked matrices, and experts without rows change nothing", () => {
  for (const dtype of packedDtypes) {
    for (const { M, N, K } of shapes) {
      withForms({ count: 5, N, K, dtype }, (g, packed, plain) => {
        const dy = g.arena.floats(normals(2 * M * N, 2), [2 * M, N]);
        const offsets = g.arena.integers(Int32Array.of(0, M, M, M + 1, 2 * M, 2 * M));
        for (const accumulate of [false, true]) {
          const results = [packed, plain].map((w) => {
            const dx = g.arena.floats(normals(2 * M * K, 3), [2 * M, K]);
            multiplyGroupsBack(g, dy, w, dx, offsets, accumulate);
            return read(g, dx);
          });
          assert.deepEqual(results[0], results[1], `${dtype} ${M} ${N} ${K} ${accumulate}`);
        }
      });
    }
  }
});

test('the loss over a packed head, and its gradient, have the bits of float32 where the head is', () => {
  const [rows, V, D] = [700, 77, 24];
  for (const dtype of packedDtypes) {
    withForms({ count: 1, N: V, K: D, dtype }, (g, packed, plain) => {
      const targets = g.arena.integers(Int32Array.from({ length: rows }, (_, i) => (i % 7 === 0 ? -1 : i % V)));
      const weights = g.arena.floats(new Float32Array(rows).fill(1 / rows));
      const [found, expected] = [packed, new Tensor(plain.handle, plain.offset, [V, D])].map((head) => {
        const x = g.arena.floats(normals(rows * D, 2), [rows, D]);
        x.needsGrad = true;
        const nll = g.linearCrossEntropy(x, head, targets, weights);
        g.backward();
        return { nll: read(g, nll), dx: read(g, x.grad as unknown as Tensor) };
      });
      if (dtype === 'f32' || dtype === 'bf16') assert.deepEqual(found, expected, dtype);
      // Quantized products round what they multiply too.
      else
        assert.ok(
          found?.dx.every((value, i) => Math.abs(value - (expected?.dx[i] as number)) < 1e-3),
          dtype,
        );
    });
  }
});
