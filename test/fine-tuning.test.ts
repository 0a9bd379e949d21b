// Training as a service, whole: the real program, its trainer and its models, with the official client; killed on the way.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';
import { type Running, startHadal } from './hadal.ts';
import { writeTinyCheckpoint } from './tiny-checkpoint.ts';

const directory = mkdtempSync(join(tmpdir(), 'hadal-'));
const started = new Set<Running>();
after(async () => {
  for (const server of started) await server[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, maxRetries: 5 });
});
const checkpoint = join(directory, 'tiny');
writeTinyCheckpoint(checkpoint);

async function start(home: string): Promise<{ readonly server: Running; readonly client: OpenAI }> {
  const args = ['serve', '--port', '0', '--threads', '1', '--disk-cache', '0', '--model', checkpoint];
  const server = startHadal(args, { env: { HADAL_HOME: join(directory, home) } });
  started.add(server);
  const [, url] = await server.untilOutput(/is ready at (http:\S+)\n/);
  return { server, client: new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0 }) };
}

type Job = OpenAI.FineTuning.FineTuningJob & { readonly step?: number };

async function until(client: OpenAI, id: string, isSo: (job: Job) => boolean): Promise<Job> {
  for (;;) {
    const job = await client.fineTuning.jobs.retrieve(id);
    if (isSo(job) || job.status === 'failed') return job;
    await delay(20);
  }
}
const isOver = ({ status }: Job) => ['succeeded', 'cancelled'].includes(status);

const rows = Array.from({ length: 24 }, (_, i) =>
  JSON.stringify({
    messages: [
      { role: 'user', content: `${i}?` },
      { role: 'assistant', content: 'yes yes yes' },
    ],
  }),
);

async function create(client: OpenAI, more: object, model = 'tiny'): Promise<Job> {
  const { id } = await client.files.create({ file: await toFile(Buffer.from(rows.join('\n'))), purpose: 'fine-tune' });
  const method = { type: 'supervised', supervised: more };
  return await client.fineTuning.jobs.create({ ...{ model, training_file: id, seed: 1 }, method } as never);
}

async function ask(client: OpenAI, model: string): Promise<string> {
  const asked = { model, messages: [{ role: 'user' as const, content: '1?' }], max_tokens: 8, temperature: 0 };
  const { choices } = await client.chat.completions.create({ ...asked, thinking: { type: 'disabled' } } as never);
  return choices[0]?.message.content ?? '';
}

const few = { hyperparameters: { n_epochs: 3, batch_size: 4 }, limits: { threads: 1 }, checkpoint_steps: 6 };

/** Of the process that trains: it has no time to save anything. */
function killTrainer(home: string, id: string): void {
  const { pid } = JSON.parse(readFileSync(join(directory, home, 'jobs', id, 'lock'), 'utf8')) as { pid: number };
  process.kill(pid, 'SIGKILL');
}

test('a model is trained further and asked at once, and it was also where trainer and server were killed on the way', async () => {
  const steps: Record<string, [number, number][]> = {};
  for (const home of ['calm', 'killed']) {
    let { server, client } = await start(home);
    const { id } = await create(client, few);
    if (home === 'killed') {
      for (const { step, trainer = false, itself = false } of [
        { step: 2, itself: true },
        { step: 7, trainer: true },
        { step: 13, trainer: true, itself: true },
      ]) {
        await until(client, id, (job) => (job.step ?? 0) >= step);
        if (trainer) killTrainer(home, id);
        if (!itself) continue;
        server.kill();
        await server.ended;
        ({ server, client } = await start(home));
      }
    }
    const job = await until(client, id, isOver);
    assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
    const events = await Array.fromAsync(client.fineTuning.jobs.listEvents(id, { limit: 100 }));
    const died = events.filter(({ message }) => message.includes('(signal SIGKILL)'));
    // The second one may go unseen: the server was killed right after it.
    assert.ok(home === 'killed' ? died.length >= 1 : died.length === 0, `${died.length} deaths`);
    steps[home] = events
      .filter(({ type }) => type === 'metrics')
      .map(({ data }) => data as { step: number; loss: number })
      .map(({ step, loss }) => [step, loss] as [number, number])
      .reverse();
    const { data: checkpoints } = await client.fineTuning.jobs.checkpoints.list(id);
    assert.ok(checkpoints.length >= 3, `${checkpoints.length}`);
    const answers = await Promise.all(
      [job.fine_tuned_model ?? '', checkpoints[0]?.fine_tuned_model_checkpoint ?? ''].map((name) => ask(client, name)),
    );
    assert.equal(answers[0], answers[1], 'the last checkpoint is the model');
    await server[Symbol.asyncDispose]();
  }
  assert.equal(steps.calm?.length, 18);
  assert.deepEqual(steps.killed, steps.calm, 'the same losses, each told once');
});

test('an adapter answers beside its base, and is trained further', async () => {
  const { server, client } = await start('adapter');
  const { id } = await create(client, { ...few, adapter: { rank: 4 } });
  const job = await until(client, id, isOver);
  assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
  const model = job.fine_tuned_model ?? '';
  const [base] = await Promise.all([ask(client, 'tiny'), ask(client, model)]);
  assert.equal(await ask(client, 'tiny'), base);
  await assert.rejects(
    create(client, { ...few, adapter: { rank: 8 } }, model),
    /adapter: expected what ft:.* has: rank 4/,
  );
  const further = await until(client, (await create(client, few, model)).id, isOver);
  assert.equal(further.status, 'succeeded', JSON.stringify(further.error));
  assert.notEqual(further.fine_tuned_model, model);
  await ask(client, further.fine_tuned_model ?? '');
  await server[Symbol.asyncDispose]();
});
