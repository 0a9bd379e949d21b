import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeScaledRows, e2m1Values, e4m3Values, e8m0Values } from './quantized-layouts.ts';

test('E4M3 bytes have the values of the standard: largest 448, smallest 2^-9, signed zeros, NaN, in order', () => {
  assert.equal(e4m3Values[0x7e], 448);
  assert.equal(e4m3Values[0x08], 2 ** -6);
  assert.equal(e4m3Values[0x01], 2 ** -9);
  assert.equal(e4m3Values[0x38], 1);
  assert.equal(e4m3Values[0x3d], 1.625);
  assert.ok(Object.is(e4m3Values[0x00], 0) && Object.is(e4m3Values[0x80], -0));
  for (const byte of [0x7f, 0xff]) assert.ok(Number.isNaN(e4m3Values[byte]));
  for (let byte = 0; byte < 0x7e; byte++) {
    assert.ok(e4m3Values[byte]! < e4m3Values[byte + 1]!, `byte ${byte}`);
    assert.equal(e4m3Values[byte + 0x80], -e4m3Values[byte]!);
  }
});

test('E2M1 nibbles and E8M0 bytes have the values of the standard', () => {
  assert.deepEqual([...e2m1Values.subarray(0, 8)], [0, 0.5, 1, 1.5, 2, 3, 4, 6]);
  assert.deepEqual([...e2m1Values.subarray(8)], [-0, -0.5, -1, -1.5, -2, -3, -4, -6]);
  assert.equal(e8m0Values[0], 2 ** -127);
  assert.equal(e8m0Values[127], 1);
  assert.equal(e8m0Values[254], 2 ** 127);
  assert.ok(Number.isNaN(e8m0Values[255]));
  assert.equal(new Uint32Array(e8m0Values.buffer, 0, 1)[0], 0x00400000);
});

test('an element of E4M3 takes the scale of its block, partial blocks at the edges too', () => {
  // [3, 5] in blocks of 2 x 2: 2 by 3 scales.
  const one = 0x38;
  const values = decodeScaledRows({
    element: 'e4m3',
    bytes: new Uint8Array(15).fill(one),
    columns: 5,
    firstRow: 0,
    scales: Float32Array.of(1, 2, 3, 4, 5, 6),
    block: { rows: 2, columns: 2 },
  });
  assert.deepEqual([...values], [1, 1, 2, 2, 3, 1, 1, 2, 2, 3, 4, 4, 5, 5, 6]);
});

test('the low nibble is the even column, and 32 columns of a row share a scale', () => {
  const bytes = new Uint8Array(66); // [2, 66]
  bytes[0] = 0x21;
  bytes[32] = 0xf2; // columns 64 and 65, the partial last block
  bytes[33] = 0x09;
  const source = { element: 'e2m1', bytes, columns: 66, firstRow: 0, block: { rows: 1, columns: 32 } } as const;
  const values = decodeScaledRows({ ...source, scales: Float32Array.of(1, 2, 4, 8, 16, 32) });
  assert.deepEqual([values[0], values[1], values[64], values[65], values[66], values[67]], [0.5, 1, 4, -24, -4, 0]);
});

test('any rows decode to the same values as they do within the whole', () => {
  const sizes = fc.record({
    rows: fc.integer({ min: 1, max: 12 }),
    columns: fc.integer({ min: 1, max: 9 }),
    blockRows: fc.integer({ min: 1, max: 5 }),
    blockColumns: fc.integer({ min: 1, max: 5 }),
    element: fc.constantFrom('e4m3' as const, 'e2m1' as const),
    cut: fc.tuple(fc.nat(11), fc.nat(11)),
  });
  fc.assert(
    fc.property(sizes, ({ rows, columns: width, blockRows, blockColumns, element, cut }) => {
      const columns = element === 'e2m1' ? 2 * width : width;
      const rowBytes = element === 'e2m1' ? columns / 2 : columns;
      const bytes = Uint8Array.from({ length: rows * rowBytes }, (_, i) => (i * 37) % 0x7f);
      const across = Math.ceil(columns / blockColumns);
      const scales = Float32Array.from({ length: Math.ceil(rows / blockRows) * across }, (_, i) => 1 + i);
      const block = { rows: blockRows, columns: blockColumns };
      const [a, b] = cut.map((row) => row % (rows + 1)) as [number, number];
      const [begin, end] = [Math.min(a, b), Math.max(a, b)];
      const whole = decodeScaledRows({ element, bytes, columns, firstRow: 0, scales, block });
      const part = decodeScaledRows({
        ...{ element, columns, block, firstRow: begin },
        bytes: bytes.subarray(begin * rowBytes, end * rowBytes),
        scales: scales.subarray(Math.floor(begin / blockRows) * across),
      });
      assert.deepEqual(part, whole.slice(begin * columns, end * columns));
    }),
  );
});
