// `hadal deploy` as a person and a program use it. The documentation's examples are run, and are what is printed.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { hadal } from './hadal.ts';

const directory = mkdtempSync(join(tmpdir(), 'hadal-'));
after(() => rmSync(directory, { recursive: true }));
const deploy = (...args: string[]) => hadal(['deploy', ...args]);

test('the examples of docs/deploy.md are what the commands print', async () => {
  const text = readFileSync(join(import.meta.dirname, '../docs/deploy.md'), 'utf8');
  const examples = [...text.matchAll(/```console\n\$ npx hadal (.+)\n([\s\S]*?)```/g)];
  assert.equal(examples.length, 4);
  for (const [, command = '', expected] of examples) {
    const { stdout, stderr } = await hadal(command.split(' '));
    assert.equal(stdout + stderr, expected, command);
  }
});

test('the table of docs/deploy.md has the numbers that the plans have', async () => {
  const text = readFileSync(join(import.meta.dirname, '../docs/deploy.md'), 'utf8');
  const plan = async (...args: string[]) => JSON.parse((await deploy('vllm', ...args, '--json')).stdout);
  const gib = (bytes: number, digits: number) => `${(bytes / 2 ** 30).toFixed(digits)} GiB`;
  const [v3, flash, two, small, drafting] = await Promise.all([
    plan('--model', 'V3', '--gpus', '8xH200'),
    plan('--model', 'V4-Flash', '--gpus', '8xB200', '--utilization', '0.95'),
    plan('--model', 'R1-Distill-Qwen-32B', '--gpus', '2xH20'),
    plan('--model', 'R1-Distill-Qwen-14B', '--gpus', '2xRTX-4090', '--utilization', '0.98', '--users', '1'),
    plan('--model', 'V4-Flash', '--gpus', '2xH20', '--utilization', '0.95', '--mtp', '--context', '912128'),
  ]);
  const rows: [string, string][] = [
    ["V3's repository", `${v3.stored_bytes.toLocaleString('en')} bytes of tensors`],
    ["V4-Flash's repository", gib(flash.stored_bytes, 2)],
    ["V4-Flash's block", `${(flash.cache_bytes_per_token * 256).toLocaleString('en')} bytes`],
    ['R1-Distill-Qwen-32B on two GPUs', gib(two.weights_bytes, 2)],
    ['R1-Distill-Qwen-14B on two RTX 4090', `${small.largest_context.toLocaleString('en')} tokens`],
    ['V4-Flash on eight B200', `| ${flash.users} |`],
    ['V4-Flash on two H20', gib(drafting.free_bytes, 1)],
  ];
  for (const [name, number] of rows) {
    const row = text.split('\n').find((line) => line.startsWith(`| ${name}`)) ?? assert.fail(name);
    assert.ok(row.includes(number), `${row} has no ${number}`);
  }
});

test('a directory and its config.json are the same model, and a program gets one object', async () => {
  const checkpoint = join(import.meta.dirname, 'golden/deepseek-v3');
  const [one, two] = await Promise.all(
    [checkpoint, join(checkpoint, 'config.json')].map((path) =>
      deploy('vllm', '--model', path, '--gpus', '2xL4', '--json'),
    ),
  );
  assert.deepEqual([one?.code, one?.stderr], [0, '']);
  assert.equal(one?.stdout, two?.stdout);
  const plan = JSON.parse(one?.stdout ?? '');
  assert.equal(plan.fits, true);
  assert.equal(plan.model, checkpoint);
  assert.equal(plan.free_bytes, Math.round(plan.budget_bytes - plan.weights_bytes - plan.working_bytes_estimate));
  assert.match(plan.command, /^vllm serve /);
  assert.ok(parse(plan.hadal_configuration).upstreams['deepseek-v3']);
});

test('files go to standard output alone, and parse', async () => {
  const args = ['sglang', '--model', 'R1', '--gpus', '2x8xH100', '--format'];
  const [kubernetes, compose, own] = await Promise.all(
    ['kubernetes', 'compose', 'hadal'].map((f) => deploy(...args, f)),
  );
  const kinds = parseAllDocuments(kubernetes?.stdout ?? '').map((document) => document.toJS().kind);
  assert.deepEqual(kinds, ['PersistentVolumeClaim', 'Deployment', 'Deployment', 'Service', 'Service']);
  assert.deepEqual(Object.keys(parse(compose?.stdout ?? '').services), ['sglang-0', 'sglang-1']);
  assert.deepEqual(Object.keys(parse(own?.stdout ?? '')), ['upstreams', 'models']);
  for (const run of [kubernetes, compose, own])
    assert.match(run?.stderr ?? '', /^DeepSeek-R1 on 16 x H100 with SGLang: fits\n/);
});

test('what does not fit ends with status 1 and its arithmetic, for a program too', async () => {
  const args = ['vllm', '--model', 'V3', '--gpus', '8xH100'];
  const [said, json] = await Promise.all([deploy(...args), deploy(...args, '--json')]);
  assert.deepEqual([said.code, said.stdout], [1, '']);
  assert.match(said.stderr, /does not fit\n[\s\S]+ GiB too much\n[\s\S]+--gpus 16xH100\n/);
  const { fits, closest, changes } = JSON.parse(json.stdout);
  assert.deepEqual([json.code, fits], [1, false]);
  assert.ok(closest.needed_bytes > closest.budget_bytes);
  assert.deepEqual(changes[0], { kind: 'gpus', count: 16 });
});

test('a comparison has the cheapest first, with prices of the caller before those that are listed', async () => {
  const args = ['vllm', '--model', 'R1-Distill-Llama-8B', '--compare', '--context', '8192', '--users', '4', '--json'];
  const rows = JSON.parse((await deploy(...args, '--price', 'B300=0.1', '--price', 'L4=0.2')).stdout).rows;
  assert.deepEqual([rows[0].gpu, rows[0].dollars_per_hour], ['B300', 0.1]);
  assert.deepEqual([rows[1].gpu, rows[1].dollars_per_hour], ['L4', rows[1].gpus * 0.2]);
  const unpriced = rows.findIndex((row: { dollars_per_hour: number | null }) => row.dollars_per_hour === null);
  assert.ok(rows.slice(unpriced).every((row: { dollars_per_hour: number | null }) => row.dollars_per_hour === null));
});

test('what is called the wrong way is told in one line with what would be right', async () => {
  const broken = join(directory, 'config.json');
  writeFileSync(broken, '{');
  const cases: [string[], number, RegExp][] = [
    [
      ['vllm', '--model', 'V3', '--gpus', '8xX100'],
      2,
      /--gpus: expected one of the GPUs .*, or a memory such as 8x141GB/,
    ],
    [['vllm', '--model', 'V3'], 2, /--gpus: expected a fleet such as 8xH200, or --compare/],
    [['vllm', '--model', 'V9', '--gpus', '8xH200'], 2, /--model: expected a directory, .*R1-Distill-Qwen-32B.* V9/],
    [['vllm', '--model', 'V3', '--compare', '--price', 'H100'], 2, /--price: expected a price such as A100-80G=1\.9/],
    [['vllm', '--model', broken, '--gpus', '8xH200'], 1, /config\.json: expected JSON/],
    [['vllm', '--model', 'V3', '--gpus', '8xH200', '--context', '200000'], 1, /context: .* at most 163840 tokens/],
  ];
  for (const [args, status, message] of cases) {
    const { code, stdout, stderr } = await deploy(...args);
    assert.match(stderr, /^hadal: [^\n]+\n$/);
    assert.match(stderr, message);
    assert.deepEqual([code, stdout], [status, '']);
  }
});
