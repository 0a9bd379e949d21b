// Jobs from the command line, against a server whose trainer trains nothing.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { serveToy } from '@hadal/server/testing/serve-toy';
import OpenAI, { toFile } from 'openai';
import { hadal, startHadal } from './hadal.ts';

test('a job is listed, shown with its curve, followed, paused, resumed and cancelled from the command line', async () => {
  await using toy = await serveToy({ script: () => ['ok'], trains: true });
  const { url } = toy.server;
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any' });
  const run = async (...args: string[]) => await hadal(['jobs', ...args, '--url', url]);
  assert.equal((await run('list')).stdout, 'There are no jobs.\n');
  const create = async (row: object) => {
    const file = await toFile(Buffer.from(JSON.stringify({ toy: row })));
    const { id } = await client.files.create({ file, purpose: 'fine-tune' });
    return (await client.fineTuning.jobs.create({ model: 'toy', training_file: id, suffix: 'mine' })).id;
  };
  const short = await create({ steps: 6, stepMs: 100 });
  await using following = startHadal(['jobs', 'events', short, '--follow', '--url', url]);
  const { stdout: told, code } = await following.ended;
  assert.equal(code, 0);
  assert.match(told, /Created fine-tuning job.*\n(.*\n)*.*Step 6\/6: reward=1, loss=0\.1667\n/);
  assert.match(told, /Talk with it: hadal chat --url \S+ --model ft:toy:mine:\w{12}\n$/);
  const shown = (await run('show', short)).stdout;
  assert.match(
    shown,
    /^ftjob-\w+: supervised of toy, succeeded\nstep 6\/6\nmodel: ft:toy:mine:\w+\n\nreward\n +1 +█\n/,
  );
  assert.match(shown, /\nloss\n +1 █\n(.*\n)+ +1 +6\n$/);
  assert.match((await run('checkpoints', short)).stdout, /\n +6 +ft:toy:mine:\w+:ckpt-step-6 +train_loss 0\.1667\n/);
  assert.equal(JSON.parse((await run('list', '--json')).stdout).id, short);
  assert.match((await run('list')).stdout, /^id .*\nftjob-\w+ +supervised +toy +succeeded +6\/6 /);

  const rollouts = (await run('rollouts', short, '--step', '2', '--limit', '1')).stdout;
  assert.equal(rollouts, 'step 2\n\na\n\n  1, accuracy 1, 3 tokens\n  hm\n  2\n');

  const long = await create({ steps: 10_000 });
  assert.equal((await run('pause', long)).stdout, `${long} is paused.\n`);
  assert.equal((await run('resume', long)).stdout.replace(/queued|validating_files/, 'x'), `${long} is x.\n`);
  while (((await client.fineTuning.jobs.retrieve(long)) as { step?: number }).step === undefined) await delay(20);
  assert.equal((await run('cancel', long)).stdout, `${long} is cancelled.\n`);
  const again = await run('cancel', long);
  assert.match(again.stderr, /^hadal: http:\S+: id: expected a job that is not over, ftjob-\w+ is cancelled\n$/);
  assert.equal(again.code, 1);
});

test('a download that is stopped leaves nothing', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'hadal-download-'));
  using _ = { [Symbol.dispose]: () => rmSync(directory, { recursive: true }) };
  const stalled = Promise.withResolvers<void>();
  await using server = createServer(({ url = '' }, response) => {
    const { pathname } = new URL(url, 'http://a');
    const [id, bytes] = ['ft:toy', 1000];
    if (pathname.endsWith('/content')) {
      response.write('the beginning');
      stalled.resolve();
    } else if (pathname.endsWith('/checkpoints')) {
      const data = [{ id, step_number: 1, fine_tuned_model_checkpoint: id, metrics: {} }];
      response.end(JSON.stringify({ data, has_more: false }));
    } else response.end(JSON.stringify({ data: [pathname.endsWith('/files') ? { name: 'a', bytes } : { id }] }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await using running = startHadal(['jobs', 'download', 'ftjob-1', '--to', join(directory, 'mine'), '--url', url]);
  await stalled.promise;
  assert.equal(readdirSync(directory).length, 1);
  running.interrupt();
  const { code, stderr } = await running.ended;
  assert.match(stderr, /^a, 1\.00 kB\nstopped, and nothing of it kept\n$/);
  assert.deepEqual([code, readdirSync(directory)], [130, []]);
});

test('a job is made from files of this machine, estimated before, and followed to its end', async () => {
  await using toy = await serveToy({ script: () => ['ok'], trains: true });
  const { url } = toy.server;
  const directory = mkdtempSync(join(tmpdir(), 'hadal-rows-'));
  using _ = { [Symbol.dispose]: () => rmSync(directory, { recursive: true }) };
  const fileOf = (name: string, value: unknown) => {
    writeFileSync(join(directory, name), `${JSON.stringify(value)}\n`);
    return join(directory, name);
  };
  const rows = fileOf('rows.jsonl', { toy: { steps: 3 } });
  const run = async (...args: string[]) => await hadal(['jobs', 'create', ...args, '--url', url]);
  const { stdout: estimate } = await run(rows, '--estimate');
  assert.match(estimate, /^toy: 4 steps, \d+ tokens, 1\.00 kB of memory, some 2 s\n$/);
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any' });
  assert.deepEqual([(await client.files.list()).data, (await client.fineTuning.jobs.list()).data], [[], []]);

  const grader = { type: 'task', name: 'right', task: 'countdown' };
  const method = fileOf('grpo.json', { type: 'reinforcement', reinforcement: { grader, grpo: { max_steps: 3 } } });
  const made = await run(rows, ...['--method', method, '--validation', rows, '--suffix', 'mine', '--seed', '7']);
  assert.match(made.stdout, /^ftjob-\w+\nWhat it tells: hadal jobs events ftjob-\w+ --follow\n$/);
  const [job] = (await client.fineTuning.jobs.list()).data;
  assert.deepEqual([job?.model, job?.method?.type, job?.seed], ['toy', 'reinforcement', 7]);
  assert.notEqual(job?.validation_file, null);

  const followed = await run(rows, '--follow');
  const [last] = (await client.fineTuning.jobs.list()).data;
  const download = async (...args: string[]) =>
    await hadal(['jobs', 'download', last?.id ?? '', ...args, '--url', url]);
  const to = join(directory, 'models', 'mine');
  const fetched = await download('--to', to);
  assert.equal(fetched.stdout, `${to}\n`);
  assert.match(fetched.stderr, /^config\.json, \d+ B\n$/);
  assert.deepEqual(JSON.parse(readFileSync(join(to, 'config.json'), 'utf8')), { model_type: 'deepseek_v4' });
  assert.deepEqual(readdirSync(dirname(to)), ['mine'], 'no part is left');
  const again = join(directory, 'models', 'again');
  assert.equal(JSON.parse((await download('--to', again, '--json')).stdout).directory, again);
  assert.match((await download('--to', to)).stderr, /expected a directory that is not there yet; see --to\n$/);
  assert.match((await download('--step', '9')).stderr, /expected one of the steps (\d+, )*\d+, got 9\n$/);
  assert.match(followed.stdout, /Step 3\/3: .*\n(.*\n)*Talk with it: hadal chat/);
  assert.equal(followed.code, 0);
  const failing = await run(fileOf('failing.jsonl', { toy: { failAt: 1 } }), '--follow');
  assert.match(failing.stdout, /error: the grader fails\n/);
  assert.equal(failing.code, 1);
  assert.match((await run()).stderr, /training_file: expected string, but it is missing\n$/);
  assert.match((await run(join(directory, 'none'))).stderr, /none: expected a file of JSON Lines, there is none\n$/);
  assert.match((await run(rows, '--method', rows)).stderr, /expected a method in \S+rows\.jsonl, such as/);
  assert.match(
    (await run(rows, '--model', 'r9')).stderr,
    /supported API model names are toy, .*but you passed r9\.\n$/,
  );
  const kept = (await client.files.list()).data.filter(({ purpose }) => purpose === 'fine-tune');
  assert.equal(kept.length, 4, 'those of three jobs, one of which has two');
});
