import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Checkpoint, openCheckpoint, openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { openSafetensors, writeSafetensors } from '@hadal/formats/safetensors';
import { type Device, openDevice } from '@hadal/kernels/device';
import { Arena } from '@hadal/tensor/arena';
import { Graph } from '@hadal/tensor/graph';
import { type PackedDtype, packedDtypes } from '@hadal/tensor/packed-matrix';
import { type OpenModelOptions, openModel, openWeights } from '../language-model.ts';
import { PackedDocuments } from '../layers/attention-memory.ts';
import { type ConvertOptions, convertCheckpoint } from './convert.ts';

const goldens = join(import.meta.dirname, '../../../test/golden');
const scratch = mkdtempSync(join(tmpdir(), 'hadal-'));
after(() => rmSync(scratch, { recursive: true }));
let directories = 0;

/** A name in the scratch directory that nothing has yet. */
function fresh(): string {
  return join(scratch, String(directories++));
}

async function convert(device: Device, name: string, out: string, options: ConvertOptions) {
  return await convertCheckpoint(device, openCheckpointDirectory(join(goldens, name)), out, options);
}

/** Logits of a few tokens. */
function logits(device: Device, directory: string, options: OpenModelOptions): Float32Array {
  return logitsOf(device, openCheckpointDirectory(directory), options);
}

function logitsOf(device: Device, checkpoint: Checkpoint, options: OpenModelOptions): Float32Array {
  using model = openModel(device, checkpoint, options);
  using arena = new Arena(device.memory, 2 ** 20);
  const g = new Graph(device, arena, 'inference');
  const documents = new PackedDocuments(arena, [9, 4]);
  const ids = arena.integers(Int32Array.from({ length: 13 }, (_, i) => (i * 37) % model.vocabularySize));
  const y = g.linear(model.forward(g, ids, documents.positions, documents), model.head);
  g.run();
  const values = new Float32Array(y.length);
  device.memory.read(y, values);
  return values;
}

test('a converted checkpoint answers with the bits of the original opened in that dtype, and holds no weight in memory', async () => {
  using device = openDevice({ threads: 2 });
  const dtypesOf = {
    'deepseek-v3': packedDtypes,
    'deepseek-v3-fp8': ['int4'],
    'qwen2-one-key-head-tied': ['int8'],
  } as const;
  for (const [name, dtypes] of Object.entries(dtypesOf)) {
    for (const dtype of dtypes) {
      const out = fresh();
      const outcome = await convert(device, name, out, { dtype, shardBytes: 200_000 });
      assert.equal(outcome.kind, 'converted');
      const options = { contextLength: 64 };
      const expected = logits(device, join(goldens, name), { ...options, dtype });
      assert.deepEqual(logits(device, out, options), expected, `${name} ${dtype}`);
      assert.deepEqual(logits(device, out, { ...options, dtype, experts: 'paged' }), expected);
      {
        using _ = openModel(device, openCheckpointDirectory(out), options);
        // Rotary tables and expert counters.
        assert.ok(device.memory.stats().bytesInUse < 20_000, `${device.memory.stats().bytesInUse}`);
      }
      assert.deepEqual(device.memory.stats(), { bytesInUse: 0, buffers: 0 });
      assert.equal(existsSync(`${out}.partial`), false);
      assert.equal(existsSync(join(out, 'conversion.json')), false);
      const sizes = readdirSync(out).map((file) =>
        file.endsWith('.safetensors') ? statSync(join(out, file)).size : 0,
      );
      assert.equal(
        outcome.bytes,
        sizes.reduce((sum, size) => sum + size, 0),
      );
      assert.equal(outcome.shards, sizes.filter((size) => size > 0).length);
    }
  }
});

test('a GGUF file becomes a directory with its tokenizer, with the bits that the file gives', async () => {
  using device = openDevice({ threads: 2 });
  for (const name of ['llama', 'deepseek-v2-lite']) {
    const file = await openCheckpoint(join(goldens, `gguf/${name}.gguf`));
    const out = fresh();
    assert.equal((await convertCheckpoint(device, file, out, { dtype: 'int8' })).kind, 'converted');
    const converted = openCheckpointDirectory(out);
    const options = { contextLength: 64, dtype: 'int8' } as const;
    assert.deepEqual(logitsOf(device, converted, options), logitsOf(device, file, options));
    assert.deepEqual(converted.tokenizer().encode('hello'), file.tokenizer().encode('hello'));
    assert.deepEqual(converted.generationConfig()?.value, file.generationConfig()?.value);
  }
});

test('the prediction module is converted where the checkpoint has it', async () => {
  using device = openDevice({ threads: 1 });
  const without = fresh();
  cpSync(join(goldens, 'deepseek-v3'), without, { recursive: true });
  const file = openSafetensors(join(without, 'model.safetensors'));
  const main = [...file.tensors].filter(([name]) => !name.startsWith('model.layers.3.'));
  writeSafetensors(
    file.path,
    main.map(([name, { dtype, shape }]) => ({ name, dtype, shape, data: file.read(name) })),
  );
  const hasPredictor = async (directory: string) => {
    const out = fresh();
    await convertCheckpoint(device, openCheckpointDirectory(directory), out, { dtype: 'int8' });
    const { tensors } = JSON.parse(readFileSync(join(out, 'packed.json'), 'utf8'));
    const isThere = Object.keys(tensors).some((name) => name.startsWith('model.layers.3.eh_proj.weight:0/'));
    // Opened with its module where it is there, as the original is.
    for (const path of [out, directory]) {
      using model = openModel(device, openCheckpointDirectory(path), { dtype: 'int8', predictor: 'present' });
      assert.equal(model.predictor !== undefined, isThere);
      assert.equal(model.cache.length, isThere ? 4 : 3);
    }
    return isThere;
  };
  assert.equal(await hasPredictor(join(goldens, 'deepseek-v3')), true);
  assert.equal(await hasPredictor(without), false);
});

test('an interrupted conversion leaves no model, and going on makes the bytes of one that was not interrupted', async () => {
  using device = openDevice({ threads: 1 });
  const options = { dtype: 'int8', shardBytes: 100_000 } as const;
  const whole = fresh();
  await convert(device, 'deepseek-v3', whole, options);
  const pieces = 7;
  for (let stopAt = 0; stopAt < 60; stopAt += pieces) {
    const out = fresh();
    const runs: string[] = [];
    let stops = stopAt;
    while (runs.at(-1) !== 'converted') {
      const controller = new AbortController();
      let seen = 0;
      const onProgress = () => {
        if (seen++ === stops) controller.abort();
      };
      const { kind } = await convert(device, 'deepseek-v3', out, { ...options, signal: controller.signal, onProgress });
      runs.push(kind);
      assert.ok(kind === 'converted' || !existsSync(out));
      // Later runs get further, or the test would not end.
      stops += 20;
    }
    assert.deepEqual(contents(out), contents(whole), `stopped at ${stopAt}, ${runs}`);
  }
});

test('finished shards are kept as they are, one that changed since is written again', async () => {
  using device = openDevice({ threads: 1 });
  const out = fresh();
  const options = { dtype: 'int4', shardBytes: 60_000 } as const;
  const controller = new AbortController();
  const onProgress = ({ doneBytes, totalBytes }: { doneBytes: number; totalBytes: number }) => {
    if (doneBytes > totalBytes / 2) controller.abort();
  };
  await convert(device, 'deepseek-v3', out, { ...options, signal: controller.signal, onProgress });
  const partial = `${out}.partial`;
  const finished = readdirSync(partial).filter((name) => name.endsWith('.safetensors'));
  assert.ok(finished.length >= 2, `${finished}`);
  const [kept, changed] = finished as [string, string];
  const before = statSync(join(partial, kept));
  const bytes = readFileSync(join(partial, changed));
  writeFileSync(join(partial, changed), bytes.with(bytes.length - 1, (bytes.at(-1) as number) ^ 1));
  // What a killed process leaves behind.
  writeFileSync(join(partial, '.packed-00009.safetensors.123.tmp'), 'half');
  assert.equal((await convert(device, 'deepseek-v3', out, options)).kind, 'converted');
  const now = statSync(join(out, kept));
  assert.deepEqual([now.ino, now.mtimeMs], [before.ino, before.mtimeMs]);
  assert.deepEqual(readFileSync(join(out, changed)), bytes);
  assert.ok(!readdirSync(out).some((name) => name.endsWith('.tmp')));
});

test('a finished conversion is not done again, and nothing else is overwritten', async () => {
  using device = openDevice({ threads: 1 });
  const out = fresh();
  mkdirSync(out);
  assert.equal((await convert(device, 'qwen2', out, { dtype: 'int8' })).kind, 'converted');
  const before = contents(out);
  assert.equal((await convert(device, 'qwen2', out, { dtype: 'int8' })).kind, 'already');
  await assert.rejects(
    convert(device, 'qwen2', out, { dtype: 'int4' }),
    /: expected nothing there, found qwen2 in int8, converted earlier$/,
  );
  await assert.rejects(convert(device, 'llama', out, { dtype: 'int8' }), /found qwen2 in int8/);
  assert.deepEqual(contents(out), before);

  const other = fresh();
  mkdirSync(other);
  writeFileSync(join(other, 'notes.txt'), 'mine');
  await assert.rejects(convert(device, 'qwen2', other, { dtype: 'int8' }), /found other files \(notes\.txt\)$/);
  const file = fresh();
  writeFileSync(file, 'mine');
  await assert.rejects(convert(device, 'qwen2', file, { dtype: 'int8' }), /found a file$/);
  const unfinished = fresh();
  mkdirSync(`${unfinished}.partial`);
  writeFileSync(`${unfinished}.partial/notes.txt`, 'mine');
  await assert.rejects(convert(device, 'qwen2', unfinished, { dtype: 'int8' }), /found other files: remove it first$/);
  assert.deepEqual(readdirSync(`${unfinished}.partial`), ['notes.txt']);
  await assert.rejects(
    convertCheckpoint(device, openCheckpointDirectory(out), fresh(), { dtype: 'int4' }),
    /expected a checkpoint as it was published, found one converted to int8, which can only be run$/,
  );
});

test('a checkpoint that is not what its configuration says is refused before anything is written', async () => {
  using device = openDevice({ threads: 1 });
  const broken = fresh();
  cpSync(join(goldens, 'qwen2'), broken, { recursive: true });
  const config = join(broken, 'config.json');
  writeFileSync(config, readFileSync(config, 'utf8').replace('"intermediate_size": 96', '"intermediate_size": 97'));
  const out = fresh();
  const checkpoint = openCheckpointDirectory(broken);
  await assert.rejects(
    convertCheckpoint(device, checkpoint, out, { dtype: 'int8' }),
    /model\.layers\.0\.mlp\.gate_proj\.weight: expected \[97, 64\] from config, .*model\.safetensors has \[96, 64\]$/,
  );
  assert.ok(!existsSync(out) && !existsSync(`${out}.partial`));
});

test('a directory that is damaged, of another layout or of another dtype is one line that says so', async () => {
  using device = openDevice({ threads: 1 });
  const converted = fresh();
  await convert(device, 'deepseek-v3', converted, { dtype: 'int8', shardBytes: 200_000 });
  const cases: [spoil: (path: string) => void, message: RegExp, dtype?: PackedDtype][] = [
    [
      (path) => rmSync(join(path, 'packed-00002.safetensors')),
      /packed-00002\.safetensors: expected a .* found nothing$/,
    ],
    [
      (path) => truncateSync(join(path, 'packed-00002.safetensors'), 50_000),
      /packed-00002\.safetensors: .* file has 50000$/,
    ],
    [
      (path) => replaceIn(path, '"layout": 1', '"layout": 0'),
      /packed\.json: layout: expected layout 1, found 0: convert/,
    ],
    [
      (path) => replaceIn(path, '"expanded"', '"standard"'),
      /expected attention form expanded or absorbed, got standard$/,
    ],
    [
      (path) => replaceIn(path, '"expanded"', '"absorbed"'),
      /kv_b_proj\.weight:0\/f32: expected from config, absent \(converted to int8, absorbed attention\)$/,
    ],
    [
      (path) => replaceIn(path, '"dtype": "int8"', '"dtype": "int4"'),
      /absent \(converted to int4, expanded attention\)$/,
    ],
    [() => {}, /expected dtype int8, which it was converted to, got int4: convert the original again$/, 'int4'],
  ];
  for (const [spoil, message, dtype] of cases) {
    const path = fresh();
    cpSync(converted, path, { recursive: true });
    spoil(path);
    assert.throws(
      () => openModel(device, openCheckpointDirectory(path), { dtype }),
      (error: Error) => {
        assert.match(error.message, message);
        return !error.message.includes('\n');
      },
    );
    assert.deepEqual(device.memory.stats(), { bytesInUse: 0, buffers: 0 });
  }
  assert.throws(() => openWeights(openCheckpointDirectory(converted)), /converted to int8, which can only be run$/);
});

function contents(directory: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(directory)
      .sort()
      .map((name) => [name, readFileSync(join(directory, name)).toString('base64')]),
  );
}

function replaceIn(directory: string, from: string, to: string): void {
  const path = join(directory, 'packed.json');
  const text = readFileSync(path, 'utf8');
  assert.ok(text.includes(from), from);
  writeFileSync(path, text.replace(from, to));
}
