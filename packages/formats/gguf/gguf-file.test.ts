import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeGguf } from '../testing/write-gguf.ts';
import { openGguf } from './gguf-file.ts';

const directory = mkdtempSync(join(tmpdir(), 'hadal-gguf-'));
after(() => rmSync(directory, { recursive: true }));
const path = join(directory, 'model.gguf');

const f32 = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);
const tensors = [
  { name: 'a', type: 0, shape: [2, 3], data: f32(1, 2, 3, 4, 5, 6) },
  { name: 'b', type: 8, shape: [2, 32], data: new Uint8Array(68).fill(7) },
];
const metadata = { 'general.architecture': 'llama', 'llama.block_count': 2, 'llama.eps': 1e-6, names: ['x', 'ü'] };

test('tensors are found with their shapes outermost first and with their bytes', async () => {
  writeGguf(path, { metadata, tensors });
  const file = await openGguf(path);
  const { shape, type, begin, end } = file.find('a');
  assert.deepEqual([shape, type, end - begin], [[2, 3], 'F32', 24]);
  assert.deepEqual(new Float32Array(file.read(file.find('a'), 12, 24).buffer), Float32Array.of(4, 5, 6));
  assert.deepEqual([file.find('b').type, file.find('b').shape], ['Q8_0', [2, 32]]);
  assert.ok(file.has('b') && !file.has('c'));
  assert.throws(() => file.find('c'), /model\.gguf: expected a tensor named c, found none$/);
});

test('metadata is asked for by key; a float is the number that was meant', async () => {
  writeGguf(path, { metadata, tensors });
  const { metadata: read } = await openGguf(path);
  assert.equal(read.number('llama.block_count'), 2);
  assert.equal(read.number('llama.eps'), 1e-6);
  assert.deepEqual(read.strings('names'), ['x', 'ü']);
  assert.equal(read.optionalString('none'), undefined);
  assert.throws(() => read.number('none'), /model\.gguf: none: expected a number, found nothing$/);
  assert.throws(() => read.string('llama.block_count'), /llama\.block_count: expected a text, found 2$/);
});

test('a file cut off anywhere is refused in one line, and so is what is no GGUF', async () => {
  writeGguf(path, { metadata, tensors });
  const whole = readFileSync(path);
  for (let length = 0; length < whole.length - 32; length += 13) {
    writeFileSync(path, whole);
    truncateSync(path, length);
    await assert.rejects(openGguf(path), (error: Error) => {
      assert.match(error.message, /^\/[^\n]*model\.gguf: (\w+: )?expected [^\n]+$/);
      return true;
    });
  }
  writeFileSync(path, 'not a model at all, but long enough to be looked at');
  await assert.rejects(openGguf(path), /model\.gguf: expected a GGUF file, /);
  await assert.rejects(openGguf(join(directory, 'none.gguf')), /none\.gguf: expected a GGUF file, found nothing$/);
});

test('an unknown type is an error of the tensor that has it, once somebody asks', async () => {
  writeGguf(path, { metadata, tensors: [...tensors, { name: 'c', type: 16, shape: [256], data: new Uint8Array(66) }] });
  const file = await openGguf(path);
  assert.equal(file.find('a').type, 'F32');
  assert.throws(() => file.find('c'), /model\.gguf: c: expected one of the types F32, F16, .*Q6_K; found IQ2_XXS$/);
});

test('a tensor whose description cannot be is refused with file and tensor', async () => {
  const refuses = async (tensor: Partial<(typeof tensors)[0]> & { offset?: number }, message: RegExp) => {
    writeGguf(path, { metadata, tensors: [{ ...tensors[0]!, ...tensor }, tensors[1]!] });
    await assert.rejects(openGguf(path), message);
  };
  await refuses({ offset: 1000 }, /model\.gguf: a: expected bytes \d+ to \d+, file has \d+$/);
  await refuses({ offset: 48 }, /model\.gguf: a: begins at byte \d+, inside of b, which ends at \d+$/);
  await refuses({ type: 2 }, /model\.gguf: a: expected rows of whole Q4_0 blocks of 32 values, found rows of 3$/);
});

test('one of several files stands for all of them, and all must be there', async () => {
  const shard = (i: number) => join(directory, `big-0000${i}-of-00002.gguf`);
  writeGguf(shard(1), { metadata: { ...metadata, 'split.tensors.count': 2 }, tensors: [tensors[0]!] });
  await assert.rejects(openGguf(shard(1)), /big-00002-of-00002\.gguf: expected a GGUF file, found nothing$/);
  writeGguf(shard(2), { tensors: [tensors[1]!] });
  for (const given of [shard(1), shard(2)]) {
    const file = await openGguf(given);
    assert.equal(file.path, shard(1));
    assert.equal(file.metadata.number('llama.block_count'), 2);
    assert.equal(file.find('b').path, shard(2));
    assert.deepEqual(file.paths, [shard(1), shard(2)]);
  }
  writeGguf(shard(2), { tensors: [tensors[0]!] });
  await assert.rejects(
    openGguf(shard(1)),
    /big-00002-of-00002\.gguf: a: expected once, .*big-00001-of-00002\.gguf has it too$/,
  );
  writeGguf(shard(2), {});
  await assert.rejects(openGguf(shard(1)), /big-00001-of-00002\.gguf: expected 2 tensors in 2 files, found 1$/);
});

test('a file that was replaced after it was opened is not read', async () => {
  writeGguf(path, { metadata, tensors });
  const file = await openGguf(path);
  utimesSync(path, new Date(0), new Date(0));
  assert.throws(() => file.read(file.find('a'), 0, 4), /the file was replaced after its header was read/);
});
