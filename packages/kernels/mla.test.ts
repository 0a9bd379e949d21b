import { test } from 'node:test';
import { assertGradient, dot } from './gradient-check.ts';
import { mlaAssemble, mlaAssembleBackward, mlaAssembleBackwardTwin, mlaAssembleTwin } from './mla.ts';
import { checkParity, normals } from './parity.ts';

const shapes = [
  { N: 1, H: 1, nope: 1, rope: 2, vDim: 1, kPeStride: 2 },
  { N: 3, H: 4, nope: 32, rope: 32, vDim: 64, kPeStride: 32 },
  { N: 17, H: 3, nope: 7, rope: 6, vDim: 33, kPeStride: 11 },
  { N: 100, H: 2, nope: 128, rope: 64, vDim: 128, kPeStride: 576 },
];

test('mlaAssemble copies, and its gradient adds the heads of the shared key in order', () => {
  for (const o of shapes) {
    const { N, H, nope, rope, vDim, kPeStride } = o;
    const sizes = { kv: N * H * (nope + vDim), kPe: N * kPeStride, k: N * H * (nope + rope), v: N * H * vDim };
    checkParity({
      name: `mlaAssemble ${JSON.stringify(o)}`,
      tensors: {
        kv: normals(sizes.kv, 1),
        kPe: normals(sizes.kPe, 2),
        k: new Float32Array(sizes.k),
        v: new Float32Array(sizes.v),
      },
      native: (c, t) => mlaAssemble(c, t.kv, t.kPe, t.k, t.v, o),
      twin: (a) => mlaAssembleTwin(a.kv, a.kPe, a.k, a.v, o),
      tolerance: 0,
    });
    checkParity({
      name: `mlaAssembleBackward ${JSON.stringify(o)}`,
      tensors: {
        dk: normals(sizes.k, 1),
        dv: normals(sizes.v, 2),
        dkv: new Float32Array(sizes.kv),
        dkPe: normals(sizes.kPe, 3),
      },
      native: (c, t) => mlaAssembleBackward(c, t.dk, t.dv, t.dkv, t.dkPe, o),
      twin: (a) => mlaAssembleBackwardTwin(a.dk, a.dv, a.dkv, a.dkPe, o),
      tolerance: 3e-7,
    });
  }
});

test("mlaAssemble's gradient agrees with finite differences", () => {
  const o = { N: 2, H: 3, nope: 2, rope: 2, vDim: 3, kPeStride: 2 };
  const kv = Float64Array.from(normals(30, 1));
  const kPe = Float64Array.from(normals(4, 2));
  const [dk, dv] = [normals(24, 3), normals(18, 4)];
  const loss = (kv: Float64Array, kPe: Float64Array) => {
    const [k, v] = [new Float64Array(24), new Float64Array(18)];
    mlaAssembleTwin(kv, kPe, k, v, o);
    return dot(k, dk) + dot(v, dv);
  };
  const [dkv, dkPe] = [new Float64Array(30), new Float64Array(4)];
  mlaAssembleBackwardTwin(dk, dv, dkv, dkPe, o);
  assertGradient((changed) => loss(changed, kPe), kv, dkv, 'dkv');
  assertGradient((changed) => loss(kv, changed), kPe, dkPe, 'dkPe');
});
