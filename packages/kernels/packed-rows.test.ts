import { test } from 'node:test';
import { type PackedDtype, packedBytes, packWeightsTwin } from './matmul.ts';
import { packedRows, packedRowsTwin } from './packed-rows.ts';
import { checkParity, normals, uniforms } from './parity.ts';
import { type QuantizedDtype, quantizedBytes, quantizeWeightsTwin } from './quantized.ts';

const sizes = [
  { N: 1, V: 1, D: 1 },
  { N: 7, V: 3, D: 33 },
  { N: 100, V: 65, D: 127 },
  { N: 33, V: 100, D: 257 },
  { N: 0, V: 40, D: 8 },
];

test('rows of a packed table are the values that products multiply by, zeros for ids outside', () => {
  for (const dtype of ['f32', 'bf16', 'int8', 'int4'] as const) {
    for (const o of sizes) {
      const next = uniforms(o.N);
      checkParity({
        name: `packedRows ${dtype} ${JSON.stringify(o)}`,
        tensors: {
          packed: packed(normals(o.V * o.D, o.V), o.V, o.D, dtype),
          ids: Int32Array.from({ length: o.N }, () => Math.floor(next() * (o.V + 2)) - 1),
          y: normals(o.N * o.D, 2),
        },
        native: (c, t) => packedRows(c, words(t.packed, dtype), t.ids, t.y, { ...o, dtype }),
        twin: (a) => packedRowsTwin(a.packed, a.ids, a.y, { ...o, dtype }),
        tolerance: 0,
      });
    }
  }
});

/** A packed tensor counts words; bfloat16 is uploaded as halves, behind a guard of whole words. */
function words(ref: { handle: number; offset: number; length: number }, dtype: PackedDtype | QuantizedDtype) {
  return dtype === 'bf16' ? { handle: ref.handle, offset: ref.offset / 2, length: ref.length / 2 } : ref;
}

function packed(w: Float32Array, N: number, K: number, dtype: PackedDtype | QuantizedDtype) {
  switch (dtype) {
    case 'f32':
    case 'bf16': {
      const bytes = packedBytes(N, K, dtype);
      const into = dtype === 'f32' ? new Float32Array(bytes / 4) : new Uint16Array(bytes / 2);
      packWeightsTwin(w, into, { N, K, dtype });
      return into;
    }
    case 'int8':
    case 'int4': {
      const into = new Int32Array(quantizedBytes(N, K, dtype) / 4);
      quantizeWeightsTwin(w, into, { N, K, dtype });
      return into;
    }
  }
}
