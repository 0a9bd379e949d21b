import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { float32ToBf16, float32ToF16 } from './float16.ts';
import {
  type Dtype,
  openSafetensors,
  openSafetensorsDirectory,
  type TensorSource,
  tensorBytes,
  writeSafetensors,
} from './safetensors.ts';

const directory = mkdtempSync(join(tmpdir(), 'hadal-'));
after(() => rmSync(directory, { recursive: true }));
const path = join(directory, 'test.safetensors');

const goldenModel = join(import.meta.dirname, '../../test/golden/deepseek-v3/model.safetensors');

/** A file of the given header text and data, whatever they say. */
function writeRaw(header: string, dataBytes = 0, to = path): string {
  const json = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  writeFileSync(to, Buffer.concat([length, json, Buffer.alloc(dataBytes)]));
  return to;
}

const opens = (header: string, dataBytes: number) => () => openSafetensors(writeRaw(header, dataBytes));

test("the reference implementation's file is read, and written again byte for byte", () => {
  const model = openSafetensors(goldenModel);
  assert.equal(model.tensors.size, 135);
  assert.deepEqual(model.metadata, { format: 'pt' });
  assert.deepEqual(model.tensors.get('model.layers.1.mlp.gate.weight')?.shape, [8, 64]);
  const sources = [...model.tensors].map(([name, { dtype, shape }]) => ({
    name,
    dtype,
    shape,
    data: () => model.read(name),
  }));
  writeSafetensors(path, sources.reverse(), model.metadata);
  assert.deepEqual(readFileSync(path), readFileSync(goldenModel));
});

test('F32, F16 and BF16 read as the same float32 values', () => {
  const values = Float32Array.of(1.5, -2, 0.25);
  const bytes = (data: { buffer: ArrayBuffer }) => new Uint8Array(data.buffer);
  writeSafetensors(path, [
    { name: 'f32', dtype: 'F32', shape: [3], data: bytes(values) },
    { name: 'f16', dtype: 'F16', shape: [3], data: bytes(float32ToF16(values)) },
    { name: 'bf16', dtype: 'BF16', shape: [3, 1], data: bytes(float32ToBf16(values)) },
  ]);
  const file = openSafetensors(path);
  for (const name of ['f32', 'f16', 'bf16']) assert.deepEqual(file.readFloat32(name), values);
});

test('begin and end are where the bytes lie in the file, aligned to the element', () => {
  writeSafetensors(path, [
    { name: 'bytes', dtype: 'U8', shape: [3], data: Uint8Array.of(1, 2, 3) },
    { name: 'ids', dtype: 'I64', shape: [], data: new Uint8Array(8).fill(4) },
    { name: 'half', dtype: 'BF16', shape: [1], data: Uint8Array.of(5, 6) },
  ]);
  const whole = readFileSync(path);
  const { tensors, read } = openSafetensors(path);
  assert.deepEqual([...tensors.keys()], ['ids', 'half', 'bytes']);
  for (const [name, { dtype, begin, end }] of tensors) {
    assert.deepEqual(new Uint8Array(whole.subarray(begin, end)), read(name));
    assert.equal(begin % tensorBytes(dtype, [1]), 0);
  }
});

test('any set of tensors comes back as it was written', () => {
  const dtypes: Dtype[] = ['F64', 'F32', 'BF16', 'U8', 'BOOL', 'F8_E4M3', 'I64'];
  const tensor = fc
    .tuple(fc.string({ unit: 'binary' }), fc.constantFrom(...dtypes), fc.array(fc.nat({ max: 3 }), { maxLength: 3 }))
    .filter(([name]) => name !== '__metadata__' && name.isWellFormed())
    .chain(([name, dtype, shape]) => {
      const length = tensorBytes(dtype, shape);
      return fc
        .uint8Array({ minLength: length, maxLength: length })
        .map((data): TensorSource => ({ name, dtype, shape, data }));
    });
  fc.assert(
    fc.property(fc.uniqueArray(tensor, { selector: ({ name }) => name }), (tensors) => {
      writeSafetensors(path, tensors, { step: '3' });
      const file = openSafetensors(path);
      assert.equal(file.tensors.size, tensors.length);
      assert.deepEqual(file.metadata, { step: '3' });
      for (const { name, dtype, shape, data } of tensors) {
        const entry = file.tensors.get(name);
        assert.equal(entry?.dtype, dtype);
        assert.deepEqual(entry?.shape, shape);
        assert.deepEqual(Buffer.from(file.read(name)), Buffer.from(data as Uint8Array));
      }
    }),
    // Each run syncs to disk.
    { numRuns: 30 },
  );
});

test('a file cut short anywhere is refused in one line that names it', () => {
  writeSafetensors(path, [{ name: 'x', dtype: 'F32', shape: [2, 3], data: new Uint8Array(24) }], { format: 'pt' });
  const whole = readFileSync(path);
  for (let length = 0; length < whole.length; length++) {
    writeFileSync(path, whole.subarray(0, length));
    assert.throws(() => openSafetensors(path), /^Error: \/.*test\.safetensors: .*$/);
  }
});

test('every fault of a file is named, with what was expected, what was found and where', () => {
  const missing = join(directory, 'missing.safetensors');
  assert.throws(() => openSafetensors(missing), /missing\.safetensors: expected a safetensors file, found nothing/);
  writeFileSync(path, 'abc');
  assert.throws(() => openSafetensors(path), /expected at least 8 bytes, file has 3/);
  writeFileSync(path, 'PK\x03\x04 something else entirely');
  assert.throws(() => openSafetensors(path), /expected a header of at most 100000000 bytes, bytes 0 to 8 say \d{15,}/);
  const length = Buffer.alloc(10);
  length.writeBigUInt64LE(5000n);
  writeFileSync(path, length);
  assert.throws(() => openSafetensors(path), /expected a header of 5000 bytes, file ends after 2/);

  assert.throws(opens('{"x": ', 0), /expected a JSON header in bytes 8 to 14, /);
  assert.throws(opens('[]', 0), /expected a JSON object as header, found \[\]/);
  assert.throws(opens('{"x": 1}', 0), /: x: expected an object of dtype, shape and data_offsets, found 1/);
  const entry = (dtype: string, shape: string, offsets: string) =>
    `{"x": {"dtype": "${dtype}", "shape": ${shape}, "data_offsets": ${offsets}}}`;
  assert.throws(opens(entry('F33', '[1]', '[0, 4]'), 4), /: x: expected a dtype of F4, .*, found "F33"/);
  assert.throws(opens(entry('toString', '[1]', '[0, 4]'), 4), /: x: expected a dtype of .*, found "toString"/);
  assert.throws(
    opens(entry('F32', '[-1]', '[0, 4]'), 4),
    /: x: expected a shape of non-negative integers, found \[-1\]/,
  );
  assert.throws(
    opens(entry('F32', '[1.5]', '[0, 6]'), 6),
    /: x: expected a shape of non-negative integers, found \[1\.5\]/,
  );
  assert.throws(opens(entry('F32', '[1]', '[0]'), 4), /: x: expected data_offsets \[begin, end\], found \[0\]/);
  assert.throws(
    opens(entry('F32', '[2, 2]', '[0, 12]'), 12),
    /: x: expected 16 bytes for F32 \[2, 2\], data_offsets \[0, 12\] hold 12/,
  );
  assert.throws(opens(entry('F32', '[1]', '[4, 0]'), 4), /: x: expected 4 bytes .* hold -4/);
  assert.throws(opens(entry('F32', '[2]', '[0, 8]'), 7), /: x: expected bytes \d+ to \d+, file has \d+/);
  assert.throws(opens(entry('F32', '[1]', '[0, 4]'), 5), /expected the file to end at byte \d+, after x, it has \d+/);
  assert.throws(
    opens(entry('F32', '[1]', '[4, 8]'), 8),
    /: x: expected to begin at byte \d+, after the header, begins at \d+/,
  );
  assert.throws(opens('{"__metadata__": {"a": 1}}', 0), /expected __metadata__\.a to be a string, found 1/);
  assert.throws(opens('{"__metadata__": []}', 0), /expected __metadata__ to be an object of strings, found \[\]/);
  const two =
    '{"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}, "b": {"dtype": "U8", "shape": [2], "data_offsets": [2, 4]}}';
  assert.throws(opens(two, 4), /: b: begins at byte \d+, overlapping a, which ends at \d+/);
});

test('what a caller asks for in vain is named', () => {
  writeSafetensors(path, [{ name: 'x', dtype: 'I64', shape: [1], data: new Uint8Array(8) }]);
  const file = openSafetensors(path);
  assert.throws(() => file.read('y'), /test\.safetensors: expected a tensor named y, file has none/);
  assert.throws(() => file.readFloat32('x'), /: x: expected F32, F16 or BF16, file has I64/);
  writeSafetensors(path, [{ name: 'x', dtype: 'I64', shape: [2], data: new Uint8Array(16) }]);
  assert.throws(() => file.read('x'), /: x: the file was replaced after its header was read/);
});

test('a faulty write is refused and leaves the old file', () => {
  writeSafetensors(path, [{ name: 'x', dtype: 'U8', shape: [1], data: Uint8Array.of(7) }]);
  const write =
    (...tensors: TensorSource[]) =>
    () =>
      writeSafetensors(path, tensors);
  const x: TensorSource = { name: 'x', dtype: 'F32', shape: [2], data: new Uint8Array(8) };
  assert.throws(write({ ...x, data: () => new Uint8Array(7) }), /: x: expected 8 bytes for F32 \[2\], got 7/);
  assert.throws(write(x, x), /expected distinct tensor names, got x twice/);
  assert.throws(write({ ...x, name: '__metadata__' }), /expected tensor names other than __metadata__/);
  assert.throws(write({ ...x, dtype: 'F4', shape: [3] }), /: x: expected whole bytes, F4 \[3\] has 1\.5/);
  assert.deepEqual(openSafetensors(path).read('x'), Uint8Array.of(7));
});

test('a checkpoint is one file or the shards of an index, which must agree with them', () => {
  const sharded = mkdtempSync(join(directory, 'sharded-'));
  assert.throws(
    () => openSafetensorsDirectory(sharded),
    /expected model\.safetensors or model\.safetensors\.index\.json, found neither/,
  );
  const shard = (name: string, tensor: string, value: number) =>
    writeSafetensors(join(sharded, name), [{ name: tensor, dtype: 'U8', shape: [1], data: Uint8Array.of(value) }]);
  shard('model-00001-of-00002.safetensors', 'a', 1);
  shard('model-00002-of-00002.safetensors', 'b', 2);
  const writeIndex = (map: unknown) =>
    writeFileSync(join(sharded, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map: map }));
  const map = { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' };
  writeIndex(map);
  const checkpoint = openSafetensorsDirectory(sharded);
  assert.deepEqual([...checkpoint.tensors.keys()], ['a', 'b']);
  assert.deepEqual(checkpoint.read('b'), Uint8Array.of(2));
  assert.equal(checkpoint.tensors.get('b')?.path, join(sharded, map.b));

  const reopen = () => openSafetensorsDirectory(sharded);
  writeIndex({ ...map, c: map.b });
  assert.throws(reopen, /: c: expected in model-00002-of-00002\.safetensors, which does not hold it/);
  writeIndex({ ...map, b: map.a });
  assert.throws(reopen, /: b: expected in model-00001-of-00002\.safetensors, which does not hold it/);
  writeIndex({ b: map.b, c: map.a });
  assert.throws(reopen, /: a: expected in no file, found in model-00001-of-00002\.safetensors/);
  writeIndex({ a: '../elsewhere.safetensors' });
  assert.throws(reopen, /: a: expected the name of a \.safetensors file, found "\.\.\/elsewhere\.safetensors"/);
  writeIndex(['a']);
  assert.throws(reopen, /expected weight_map to be an object, found \["a"\]/);
  shard('model.safetensors', 'whole', 3);
  assert.deepEqual([...openSafetensorsDirectory(sharded).tensors.keys()], ['whole']);
});
