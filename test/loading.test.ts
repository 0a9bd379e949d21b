// Models of any size, from the command line: what they are, in which form they run, converted ahead, and refused.

import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
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
import { openSafetensors, writeSafetensors } from '@hadal/formats/safetensors';
import { hadal, startHadal } from './hadal.ts';
import { writeTinyCheckpoint } from './tiny-checkpoint.ts';

const directory = mkdtempSync(join(tmpdir(), 'hadal-'));
after(() => rmSync(directory, { recursive: true }));
const checkpoint = join(directory, 'tiny');
writeTinyCheckpoint(checkpoint);
const nano = join(import.meta.dirname, '../models/hadal-nano');

/** What a model says, always the same for the same model. */
async function answerOf(path: string, ...options: string[]): Promise<string> {
  const args = ['ask', '--json', '--threads', '1', '--model', path, '--max-tokens', '24', '--seed', '3', ...options];
  const { stdout, stderr } = await hadal([...args, 'hello']);
  assert.equal(stderr, '');
  const { content, reasoning_content: reasoning } = JSON.parse(stdout);
  return reasoning + content;
}

test('inspect says what a checkpoint is and what it takes in every form, to a person and as JSON', async () => {
  const { stdout, code } = await hadal(['inspect', checkpoint, '--context', '256']);
  assert.equal(code, 0);
  assert.match(
    stdout,
    /^architecture +deepseek_v3, DeepseekV3ForCausalLM\nparameters +[\d,]+, [\d,]+ for each token\n/,
  );
  assert.match(stdout, /\nstored as +BF16 [\d.]+ kB, F32 \d+ B\ncontext +512 tokens\nattention +expanded\n/);
  assert.match(stdout, /\nint4 +[\d.]+ kB +\d+ MB +256 +\d+ MB +\d+ MB +fits\n$/);
  const report = JSON.parse((await hadal(['inspect', checkpoint, '--json'])).stdout);
  assert.deepEqual(
    report.runs.map(({ dtype }: { dtype: string }) => dtype),
    ['f32', 'bf16', 'int8', 'int4'],
  );
  const [f32, bf16, int8, int4] = report.runs.map(({ weights_bytes: bytes }: { weights_bytes: number }) => bytes);
  assert.ok(f32 > bf16 && bf16 > int8 && int8 > int4);
  for (const run of report.runs) {
    const parts = run.weights_bytes + run.tables_bytes + run.cache_bytes + run.scratch_bytes;
    assert.ok(Math.abs(run.total_bytes - parts) <= 2);
  }
  // As many parameters as numbers in the file: each of two bytes, but for the biases of one mixture layer and the module.
  const file = openSafetensors(join(checkpoint, 'model.safetensors'));
  const numbers = file.tensors.values().reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  assert.equal(report.parameters.total, numbers);
  assert.equal(report.stored_bytes.BF16 + report.stored_bytes.F32, numbers * 2 + report.stored_bytes.F32 / 2);
});

test('the dtype is chosen, and a converted model says what the original says in that dtype', async () => {
  const converted = join(directory, 'tiny-int4');
  const done = await hadal(['convert', checkpoint, converted, '--to', 'int4', '--threads', '1']);
  assert.equal(done.stderr, '');
  assert.match(done.stdout, /tiny-int4 is ready: int4, [\d.]+ kB in 1 file\n$/);
  const [bf16, int4, opened, paged] = await Promise.all([
    answerOf(checkpoint),
    answerOf(checkpoint, '--dtype', 'int4'),
    answerOf(converted),
    answerOf(converted, '--page', '--dtype', 'int4'),
  ]);
  assert.notEqual(int4, bf16);
  assert.deepEqual([opened, paged], [int4, int4]);
  assert.match((await hadal(['inspect', converted])).stdout, /\nconverted to int4 +/);
  const again = await hadal(['convert', checkpoint, converted, '--to', 'int4']);
  assert.match(again.stdout, /is there already: int4/);
});

test('a conversion that is killed leaves no model, and the same command goes on to the same bytes', async () => {
  const args = ['--to', 'int8', '--shard-size', '1', '--threads', '1'];
  const whole = join(directory, 'whole');
  assert.equal((await hadal(['convert', nano, whole, ...args])).code, 0);
  let kills = 0;
  for (let attempt = 0; attempt < 8 && kills < 2; attempt++) {
    const out = join(directory, `killed-${attempt}`);
    const shards = () => (existsSync(`${out}.partial`) ? readdirSync(`${out}.partial`) : []).filter(isShard);
    await using converting = startHadal(['convert', nano, out, ...args]);
    // Somewhere in the middle: after one file, or after more.
    while (shards().length <= kills && !existsSync(out)) await new Promise((resolve) => setTimeout(resolve, 1));
    converting.kill();
    await converting.ended;
    if (existsSync(out)) continue; // It was faster.
    kills++;
    const left = shards();
    assert.ok(!existsSync(out));
    const { stderr } = await hadal(['ask', '--model', `${out}.partial`, 'hi']);
    assert.match(stderr, /expected a checkpoint, found no config\.json/);
    const before = left.map((name) => statSync(join(`${out}.partial`, name)).ino);
    assert.equal((await hadal(['convert', nano, out, ...args])).code, 0);
    assert.deepEqual(contents(out), contents(whole));
    // All but perhaps the last were noted as whole, and are the very files.
    const kept = left.map((name) => statSync(join(out, name)).ino);
    assert.ok(before.filter((ino, i) => kept[i] === ino).length >= left.length - 1);
  }
  assert.equal(kills, 2, 'no conversion could be killed while it ran');
});

test('Ctrl-C stops a conversion with a code of its own, and leaves no temporary file', async () => {
  const out = join(directory, 'stopped');
  const args = ['convert', nano, out, '--to', 'int4', '--shard-size', '1', '--threads', '1'];
  await using converting = startHadal(args);
  while (!existsSync(`${out}.partial`) && !existsSync(out)) await new Promise((resolve) => setTimeout(resolve, 1));
  converting.interrupt();
  const { code, stdout } = await converting.ended;
  if (code === 130) {
    assert.match(stdout, /^stopped after \d.* of \d.* MB; the same command goes on\n$/);
    assert.ok(!existsSync(out));
    assert.deepEqual(
      readdirSync(`${out}.partial`).filter((name) => !isShard(name)),
      ['conversion.json'],
    );
  } else {
    assert.equal(code, 0);
  }
  assert.equal((await hadal(args)).code, 0);
});

test('a model that cannot fit, or cannot be paged, is refused with the numbers', async () => {
  const longer = await hadal(['ask', '--model', checkpoint, '--context', '513', 'hi']);
  assert.match(longer.stderr, /^hadal: context: expected at most 512 tokens, which the model was made for, got 513\n$/);
  const page = await hadal(['ask', '--model', checkpoint, '--page', 'hi']);
  assert.match(page.stderr, /^hadal: \S+ expected a converted mixture of experts to page them from, found [^\n]+\n$/);
  const huge = join(directory, 'huge');
  cpSync(checkpoint, huge, { recursive: true });
  replaceIn(join(huge, 'config.json'), '"max_position_embeddings":512', '"max_position_embeddings":1e12');
  const { stderr, code } = await hadal(['ask', '--model', huge, '--context', '1000000000000', 'hi']);
  assert.match(
    stderr,
    /^hadal: \S+huge: expected to fit into [\d.]+ GB of the [\d.]+ GB available, needs \d+\.\d GB in bf16 \(weights /,
  );
  assert.match(stderr, /; int4 needs [^\n]+\n$/);
  assert.equal(code, 1);
});

test('a broken checkpoint is one line with what was expected, what was found, the file and the tensor', async () => {
  const one = openSafetensors(join(checkpoint, 'model.safetensors'));
  const tensors = [...one.tensors].map(([name, { dtype, shape }]) => ({ name, dtype, shape, data: one.read(name) }));
  const half = Math.floor(tensors.length / 2);
  /** The same weights in two files and an index. */
  const sharded = (path: string) => {
    rmSync(join(path, 'model.safetensors'));
    const files = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'] as const;
    writeSafetensors(join(path, files[0]), tensors.slice(0, half));
    writeSafetensors(join(path, files[1]), tensors.slice(half));
    const entries = tensors.map(({ name }, i) => [name, files[i < half ? 0 : 1]]);
    const index = { metadata: {}, weight_map: Object.fromEntries(entries) };
    writeFileSync(join(path, 'model.safetensors.index.json'), JSON.stringify(index));
  };
  const rewrite = (path: string, change: (tensor: (typeof tensors)[number]) => (typeof tensors)[number]) =>
    writeSafetensors(join(path, 'model.safetensors'), tensors.map(change));
  const norm = 'model.layers.0.input_layernorm.weight';
  const cases: [name: string, spoil: (path: string) => void, message: RegExp][] = [
    [
      'missing-shard',
      (path) => {
        sharded(path);
        rmSync(join(path, 'model-00002-of-00002.safetensors'));
      },
      /model-00002-of-00002\.safetensors: expected a safetensors file, found nothing$/,
    ],
    [
      'cut-shard',
      (path) => {
        sharded(path);
        const shard = join(path, 'model-00001-of-00002.safetensors');
        truncateSync(shard, statSync(shard).size - 100);
      },
      /model-00001-of-00002\.safetensors: \S+: expected bytes \d+ to \d+, file has \d+$/,
    ],
    [
      'index',
      (path) => {
        sharded(path);
        replaceIn(
          join(path, 'model.safetensors.index.json'),
          `"${tensors[0]?.name}":"model-00001`,
          `"${tensors[0]?.name}":"model-00002`,
        );
      },
      /index\.json: \S+: expected in model-00002-of-00002\.safetensors, found in model-00001-of-00002\.safetensors$/,
    ],
    [
      'shape',
      (path) => rewrite(path, (tensor) => (tensor.name === norm ? { ...tensor, shape: [4, 8] } : tensor)),
      /input_layernorm\.weight: expected \[32\] from config, \S+model\.safetensors has \[4, 8\]$/,
    ],
    [
      'absent',
      (path) => rewrite(path, (tensor) => (tensor.name === norm ? { ...tensor, name: 'other' } : tensor)),
      /input_layernorm\.weight: expected \[32\] from config, absent in \S+model\.safetensors$/,
    ],
    [
      'dtype',
      (path) => rewrite(path, (tensor) => (tensor.name === norm ? { ...tensor, dtype: 'U16' } : tensor)),
      /input_layernorm\.weight: expected F32, F16, BF16, F8_E4M3 or I8 \(two FP4\), \S+model\.safetensors has U16$/,
    ],
    [
      'tokenizer',
      (path) => {
        const config = readFileSync(join(path, 'config.json'), 'utf8');
        writeFileSync(join(path, 'config.json'), config.replace(/"vocab_size":\d+/, '"vocab_size":100'));
      },
      /tokenizer: expected a tokenizer of at most 100 tokens, the rows of the embedding, it has \d+$/,
    ],
  ];
  const whole = join(directory, 'sharded');
  cpSync(checkpoint, whole, { recursive: true });
  sharded(whole);
  assert.equal(await answerOf(whole), await answerOf(checkpoint));
  for (const [name, spoil, message] of cases) {
    const path = join(directory, name);
    cpSync(checkpoint, path, { recursive: true });
    spoil(path);
    const { code, stdout, stderr } = await hadal(['ask', '--threads', '1', '--max-tokens', '2', '--model', path, 'hi']);
    assert.match(stderr, /^hadal: [^\n]+\n$/, name);
    assert.match(stderr.trimEnd(), message);
    assert.deepEqual([code, stdout], [1, ''], name);
  }
});

function isShard(name: string): boolean {
  return /^packed-\d+\.safetensors$/.test(name);
}

function contents(path: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(path)
      .sort()
      .map((name) => [name, readFileSync(join(path, name)).toString('base64')]),
  );
}

function replaceIn(path: string, from: string, to: string): void {
  const text = readFileSync(path, 'utf8');
  assert.ok(text.includes(from), `${path} has no ${from}`);
  writeFileSync(path, text.replace(from, to));
}
