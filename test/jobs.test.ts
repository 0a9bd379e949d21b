// Jobs from the command line, against a server whose trainer trains nothing.

import assert from 'node:assert/strict';
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

  const long = await create({ steps: 10_000 });
  assert.equal((await run('pause', long)).stdout, `${long} is paused.\n`);
  assert.equal((await run('resume', long)).stdout.replace(/queued|validating_files/, 'x'), `${long} is x.\n`);
  while (((await client.fineTuning.jobs.retrieve(long)) as { step?: number }).step === undefined) await delay(20);
  assert.equal((await run('cancel', long)).stdout, `${long} is cancelled.\n`);
  const again = await run('cancel', long);
  assert.match(again.stderr, /^hadal: http:\S+: id: expected a job that is not over, ftjob-\w+ is cancelled\n$/);
  assert.equal(again.code, 1);
});
