import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { BatchDetails } from '@hadal/protocol/batches';
import { unboundedScope } from '@hadal/store/keys';
import { openStore } from '@hadal/store/store';
import OpenAI, { toFile } from 'openai';
import type { JobCreateParams } from 'openai/resources/fine-tuning/jobs/jobs';
import { noPrices } from './prices.ts';
import { serveToy } from './testing/serve-toy.ts';
import { openToyTraining } from './testing/toy-desk.ts';
import { create, ended, untilJob } from './testing/toy-jobs.ts';
import { clientOf, hello, until } from './testing/toy-requests.ts';

async function messagesOf(client: OpenAI, id: string): Promise<string[]> {
  const events = await Array.fromAsync(client.fineTuning.jobs.listEvents(id, { limit: 3 }));
  return events.map(({ message }) => message).reverse();
}

const script = () => ['ok'];
const stepOf = (job: object) => (job as { step?: number }).step ?? 0;

test('a job goes from its files to a model that answers, and tells of it on the way', async () => {
  await using trainer = await openToyTraining();
  await using toy = await serveToy({ script, training: trainer.training });
  const client = clientOf(toy, '/v1');
  const created = await create(client, {}, { suffix: 'my model', seed: 7, metadata: { team: 'a' } });
  assert.equal(created.status, 'validating_files');
  assert.equal(created.seed, 7);
  assert.deepEqual(created.method, {
    type: 'supervised',
    supervised: {
      hyperparameters: { n_epochs: 'auto', batch_size: 'auto', learning_rate_multiplier: 'auto' },
      checkpoint_steps: 'auto',
    },
  });
  const job = await ended(client, created.id);
  assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
  assert.equal(job.fine_tuned_model, `ft:toy:my-model:${created.id.slice(6, 18)}`);
  assert.equal(job.trained_tokens, 40);
  assert.deepEqual(job.hyperparameters, { n_epochs: 1, batch_size: 1, learning_rate_multiplier: 1 });
  assert.ok((job.finished_at ?? 0) >= job.created_at);
  const [result = ''] = job.result_files;
  assert.equal(await (await client.files.content(result)).text(), 'step,loss\n');
  assert.equal((await client.files.retrieve(result)).purpose, 'fine-tune-results');

  const messages = await messagesOf(client, job.id);
  assert.deepEqual(
    messages.filter((message) => !message.startsWith('Step') && !message.includes('Checkpoint')),
    [
      `Created fine-tuning job: ${job.id}`,
      `Validating training file: ${job.training_file}`,
      'Files validated, moving job to queued state',
      'Fine-tuning job started',
      '4 steps: 1 epochs, batches of 1, learning rate times 1',
      `New fine-tuned model created: ${job.fine_tuned_model}`,
      'The job has successfully completed',
    ],
  );
  assert.ok(messages.includes('Step 2/4: reward=0.5, loss=0.5'), messages.join('\n'));

  const checkpoints = await Array.fromAsync(client.fineTuning.jobs.checkpoints.list(job.id, { limit: 1 }));
  assert.deepEqual(
    checkpoints.map(({ step_number, metrics, fine_tuned_model_checkpoint: name }) => [step_number, metrics, name]),
    [4, 2].map((step) => [step, { step, train_loss: 1 / step }, `${job.fine_tuned_model}:ckpt-step-${step}`]),
  );
  const models = (await client.models.list()).data.map(({ id }) => id);
  for (const [name, text] of [
    [job.fine_tuned_model ?? '', 'I am step-4'],
    [`${job.fine_tuned_model}:ckpt-step-2`, 'I am step-2'],
  ] as const) {
    assert.ok(models.includes(name), name);
    assert.equal((await client.models.retrieve(name)).id, name);
    const answer = await client.chat.completions.create({ ...hello, model: name });
    assert.deepEqual([answer.model, answer.choices[0]?.message.content], [name, text]);
  }
  const rollouts = async (query: string) =>
    (await (await fetch(`${toy.server.url}/v1/fine_tuning/jobs/${job.id}/rollouts${query}`)).json()) as {
      step: number;
      data: object[];
      has_more: boolean;
    };
  const saidIn = (page: { data: object[] }) =>
    page.data.map((rollout) => (rollout as { answer: { content: string } }).answer.content);
  assert.deepEqual(saidIn(await rollouts('')), ['4', '4', '4']);
  const page = await rollouts('?step=2&limit=1&after=1');
  assert.deepEqual([page.step, saidIn(page), page.has_more], [2, ['2'], true]);
});

test('jobs are listed in pages, and by what is attached to them', async () => {
  await using trainer = await openToyTraining();
  await using toy = await serveToy({ script, training: trainer.training });
  const client = clientOf(toy, '/v1');
  const made: string[] = [];
  for (const team of ['a', 'b', 'a']) made.unshift((await create(client, { steps: 1 }, { metadata: { team } })).id);
  const listed = await Array.fromAsync(client.fineTuning.jobs.list({ limit: 2 }));
  assert.deepEqual(
    listed.map(({ id }) => id),
    made,
  );
  const ofA = await Array.fromAsync(client.fineTuning.jobs.list({ metadata: { team: 'a' } }));
  assert.deepEqual(
    ofA.map(({ id }) => id),
    [made[0], made[2]],
  );
  for (const id of made) assert.equal((await ended(client, id)).status, 'succeeded');
  // One at a time, in their order.
  const spans = await Promise.all(
    made.toReversed().map(async (id) => (await toy.store.jobs.get(id))?.details.since ?? {}),
  );
  for (const [i, { running = 0 }] of spans.entries()) assert.ok(running >= (spans[i - 1]?.succeeded ?? 0), `${i}`);
});

test('a job is paused, resumed and cancelled, and what it has made stays', async () => {
  await using trainer = await openToyTraining();
  await using toy = await serveToy({ script, training: trainer.training });
  const client = clientOf(toy, '/v1');
  const { id } = await create(client, { steps: 500, stepMs: 10 });
  await untilJob(client, id, (job) => stepOf(job) >= 3);
  const paused = await client.fineTuning.jobs.pause(id);
  assert.deepEqual([paused.status, (paused as { paused?: boolean }).paused], ['queued', true]);
  await assert.rejects(client.fineTuning.jobs.pause(id), /expected a job that is on its way, ftjob-\w+ is paused/);
  // Others have their turn meanwhile.
  const other = await create(client, { steps: 1 });
  assert.equal((await ended(client, other.id)).status, 'succeeded');
  const stopped = stepOf(await client.fineTuning.jobs.retrieve(id));
  await client.fineTuning.jobs.resume(id);
  await untilJob(client, id, (job) => stepOf(job) > stopped + 2);
  const messages = await messagesOf(client, id);
  assert.ok(messages.includes(`Stopped and saved at step ${stopped}`), messages.join('\n'));
  assert.ok(messages.includes('Fine-tuning job goes on'));
  const steps = messages.flatMap((message) => /^Step (\d+)/.exec(message)?.[1] ?? []).map(Number);
  assert.deepEqual(
    steps,
    steps.map((_, i) => i + 1),
    'each step is told once',
  );
  const cancelled = await client.fineTuning.jobs.cancel(id);
  assert.deepEqual([cancelled.status, cancelled.fine_tuned_model], ['cancelled', null]);
  await assert.rejects(client.fineTuning.jobs.cancel(id), /is not over/);
  await assert.rejects(client.fineTuning.jobs.resume(id), /is paused, ftjob-\w+ is cancelled/);
  const [last] = (await client.fineTuning.jobs.checkpoints.list(id)).data;
  const answer = await client.chat.completions.create({ ...hello, model: last?.fine_tuned_model_checkpoint ?? '' });
  assert.equal(answer.choices[0]?.message.content, `I am step-${last?.step_number}`);
});

test('events can be followed from the first, or from one of them, until the job is over', async () => {
  await using trainer = await openToyTraining();
  await using toy = await serveToy({ script, training: trainer.training, keepAliveMs: 100 });
  const client = clientOf(toy, '/v1');
  const { id } = await create(client, { steps: 3, stepMs: 150 });
  const follow = async (query: string) =>
    await (await fetch(`${toy.server.url}/v1/fine_tuning/jobs/${id}/events?stream=true${query}`)).text();
  const text = await follow('');
  const events = [...text.matchAll(/^event: fine_tuning\.job\.event\ndata: (.*)$/gm)].map(([, json = '']) =>
    JSON.parse(json),
  );
  assert.deepEqual(
    events.map(({ message }) => message),
    await messagesOf(client, id),
  );
  assert.match(text, /data: \[DONE\]\n\n$/);
  assert.match(text, /^: keep-alive$/m);
  const rest = await follow(`&after=${events.at(-3).id}`);
  assert.equal(rest.match(/^event: /gm)?.length, 2);
  const metrics = events.find(({ type }) => type === 'metrics');
  assert.deepEqual(metrics.data, { step: 1, loss: 1, reward: 1 / 3 });
});

test('a process that dies goes on from its last checkpoint, and one that does not get on is given up', async () => {
  await using trainer = await openToyTraining();
  await using toy = await serveToy({ script, training: trainer.training });
  const client = clientOf(toy, '/v1');
  const once = await ended(client, (await create(client, { steps: 6, dieAt: 4 })).id);
  assert.equal(once.status, 'succeeded');
  const messages = await messagesOf(client, once.id);
  assert.ok(messages.includes('The training process ended (signal SIGKILL); it goes on from its last checkpoint'));
  const steps = messages.flatMap((message) => /^Step (\d+)/.exec(message)?.[1] ?? []).map(Number);
  assert.deepEqual(steps, [1, 2, 3, 4, 5, 6]);
  const mortal = await ended(client, (await create(client, { steps: 6, dieAt: 4, isMortal: true })).id);
  assert.deepEqual(mortal.error, {
    code: 'process_died',
    message: 'The training process ended 4 times without getting on: signal SIGKILL',
    param: null,
  });
  assert.equal((await client.fineTuning.jobs.checkpoints.list(mortal.id)).data.length, 1);
});

test('a job that takes more than it may, or whose grader fails, ends with the reason and keeps its checkpoints', async () => {
  await using trainer = await openToyTraining();
  await using toy = await serveToy({ script, training: trainer.training });
  const client = clientOf(toy, '/v1');
  const limited = (limits: object) =>
    ({ method: { type: 'supervised', supervised: { limits } } }) as Partial<JobCreateParams>;
  for (const toy of [{ bytes: 300e6 }, { childBytes: 300e6 }]) {
    const large = await create(client, { steps: 1000, ...toy }, limited({ memory_bytes: 200_000_000 }));
    const { error } = await ended(client, large.id);
    assert.equal(error?.code, 'memory_limit');
    assert.match(error?.message ?? '', /^The job took \d{9} bytes of memory, 200000000 are allowed$/);
  }
  const long = await ended(client, (await create(client, { steps: 1000 }, limited({ seconds: 1 }))).id);
  assert.deepEqual([long.error?.code, long.status], ['time_limit', 'failed']);
  assert.ok((await client.fineTuning.jobs.checkpoints.list(long.id)).data.length > 0);
  const failing = await ended(client, (await create(client, { failAt: 3 })).id);
  assert.deepEqual(failing.error, { code: 'grader_failed', message: 'the grader fails', param: null });
  assert.deepEqual([failing.trained_tokens, failing.fine_tuned_model], [30, null]);
  assert.equal((await client.fineTuning.jobs.checkpoints.list(failing.id)).data.length, 1);
});

test('a job may take what the operator allows, who asks for more learns how much that is', async () => {
  await using trainer = await openToyTraining({ limits: { maxSeconds: 1, threads: 1 } });
  await using toy = await serveToy({ script, training: trainer.training });
  const client = clientOf(toy, '/v1');
  const limited = (limits: object) =>
    ({ method: { type: 'supervised', supervised: { limits } } }) as Partial<JobCreateParams>;
  await assert.rejects(create(client, {}, limited({ seconds: 3600 })), {
    ...{ status: 400, param: 'method.supervised.limits.seconds' },
    message: /expected at most the 1 that this server allows, got 3600/,
  });
  const silent = await create(client, { steps: 1000 });
  assert.equal((await ended(client, silent.id)).error?.code, 'time_limit');
  const order = JSON.parse(readFileSync(join(trainer.training.directory, silent.id, 'order.json'), 'utf8'));
  assert.deepEqual([order.maxSeconds, order.threads, order.maxMemoryBytes], [1, 1, undefined]);
  const modest = await create(client, { steps: 1 }, limited({ threads: 1 }));
  const { method } = (await client.fineTuning.jobs.retrieve(modest.id)) as { method?: object };
  assert.deepEqual(Reflect.get(method ?? {}, 'supervised').limits, { threads: 1, seconds: 1 });
});

test('what a job would go on from is kept while it may go on, and no longer', async () => {
  await using trainer = await openToyTraining();
  await using store = await openStore<BatchDetails>({ path: ':memory:' });
  const stateOf = (id: string) => join(trainer.training.directory, id, 'state');
  let over = '';
  {
    await using toy = await serveToy({ script, training: trainer.training, store });
    const client = clientOf(toy, '/v1');
    for (const options of [{}, { failAt: 3 }]) {
      over = (await create(client, options)).id;
      await ended(client, over);
      await until(() => !existsSync(stateOf(over)));
    }
    const { id } = await create(client, { steps: 500, stepMs: 10 });
    await untilJob(client, id, (job) => stepOf(job) >= 3);
    await client.fineTuning.jobs.pause(id);
    // The next one has its turn when the process is gone.
    await ended(client, (await create(client, { steps: 1 })).id);
    assert.ok(existsSync(join(stateOf(id), 'latest.json')));
    await client.fineTuning.jobs.cancel(id);
    await until(() => !existsSync(stateOf(id)));
  }
  // As if the server had been killed before it could.
  mkdirSync(stateOf(over));
  await using _ = await serveToy({ script, training: trainer.training, store });
  await until(() => !existsSync(stateOf(over)));
});

test('a mistake in the files is told with its line before anything starts', async () => {
  await using trainer = await openToyTraining();
  await using toy = await serveToy({ script, training: trainer.training });
  const client = clientOf(toy, '/v1');
  const file = await client.files.create({ file: await toFile(Buffer.from('{}\nodd\nodd\n')), purpose: 'fine-tune' });
  const job = await ended(client, (await client.fineTuning.jobs.create({ model: 'toy', training_file: file.id })).id);
  assert.deepEqual(job.error, {
    code: 'invalid_training_file',
    message: 'training_file, line 2: expected an object',
    param: 'training_file',
  });
  assert.ok((await messagesOf(client, job.id)).includes('training_file, line 3: expected an object'));
  assert.ok(!existsSync(join(trainer.training.directory, job.id, 'starts')));
});

test('a server without a trainer says so, and still shows what there was', async () => {
  await using toy = await serveToy({ script });
  const client = clientOf(toy, '/v1');
  await assert.rejects(create(client), /400 Nothing is trained on this server: it has no trainer/);
  assert.deepEqual((await client.fineTuning.jobs.list()).data, []);
});

test('whoever is to be told of jobs that are over is told until they hear it, in words that are signed', async () => {
  await using trainer = await openToyTraining();
  const secret = `whsec_${Buffer.from('a secret of ours').toString('base64')}`;
  const heard: { readonly text: string; readonly headers: Record<string, string> }[] = [];
  const receiver = createServer(async (request, response) => {
    const text = (await request.setEncoding('utf8').toArray()).join('');
    heard.push({ text, headers: request.headers as Record<string, string> });
    response.writeHead(heard.length <= 2 ? 500 : 204).end();
  });
  receiver.listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`;
  const place = { url, secret, events: undefined, isPrivate: true };
  await using toy = await serveToy({
    ...{ script, training: trainer.training, webhookDelaysMs: [10, 20, 30] },
    webhooks: [place, { ...place, url: 'http://127.0.0.1:1/refused', events: ['fine_tuning.job.failed'] }],
  });
  const client = clientOf(toy, '/v1');
  const job = await ended(client, (await create(client)).id);
  while (heard.length < 3) await delay(10);
  const ids = new Set(heard.map(({ headers }) => headers['webhook-id']));
  assert.equal(ids.size, 1, 'the same each time');
  for (const { text, headers } of heard) {
    const event = await client.webhooks.unwrap(text, headers, secret);
    assert.deepEqual([event.type, event.data], ['fine_tuning.job.succeeded', { id: job.id }]);
    await assert.rejects(client.webhooks.unwrap(`${text} `, headers, secret));
    await assert.rejects(client.webhooks.unwrap(text, headers, 'whsec_AAAA'));
  }
  const cancelled = await create(client, { steps: 1000 });
  await client.fineTuning.jobs.cancel(cancelled.id);
  while (heard.length < 4) await delay(10);
  assert.equal(JSON.parse(heard[3]?.text ?? '').type, 'fine_tuning.job.cancelled');
  await delay(50);
  assert.deepEqual([heard.length, await toy.store.deliveries.due(1e15, 9)], [4, []]);
  // An address of this machine is for those alone who are said to be there.
  toy.server.replace({ providers: [toy.provider], webhooks: [{ ...place, isPrivate: false }] });
  await ended(client, (await create(client, { failAt: 1 })).id);
  while (!toy.log.some(({ msg }) => msg === 'webhook given up')) await delay(10);
  assert.equal(heard.length, 4);
  assert.match(String(toy.log.find(({ msg }) => msg === 'webhook given up')?.problem), /not on the public internet/);
  receiver.close();
});

test('a server that is started again goes on with its jobs, and no step is told twice', async () => {
  await using trainer = await openToyTraining();
  await using store = await openStore<BatchDetails>({ path: ':memory:' });
  let id = '';
  for (let life = 0; life < 3; life++) {
    await using toy = await serveToy({ script, training: trainer.training, store });
    const client = clientOf(toy, '/v1');
    if (life === 0) id = (await create(client, { steps: 40, stepMs: 10 })).id;
    if (life === 2) assert.equal((await ended(client, id)).status, 'succeeded');
    else await untilJob(client, id, (job) => stepOf(job) >= 5 + 10 * life);
    if (life < 2) continue;
    const messages = await messagesOf(client, id);
    const steps = messages.flatMap((message) => /^Step (\d+)/.exec(message)?.[1] ?? []).map(Number);
    assert.deepEqual(
      steps,
      Array.from({ length: 40 }, (_, i) => i + 1),
    );
    assert.equal(messages.filter((message) => message === 'Fine-tuning job started').length, 1);
  }
  await using toy = await serveToy({ script, training: trainer.training, store });
  const client = clientOf(toy, '/v1');
  const { fine_tuned_model: model } = await client.fineTuning.jobs.retrieve(id);
  const answer = await client.chat.completions.create({ ...hello, model: model ?? '' });
  assert.equal(answer.choices[0]?.message.content, 'I am step-40');
});

test('a server that is killed leaves no process behind that works beside the next one', async () => {
  await using trainer = await openToyTraining();
  const { directory } = trainer.training;
  await using store = await openStore<BatchDetails>({ path: join(directory, 'hadal.db') });
  let id = '';
  const script = join(import.meta.dirname, 'testing/training-server.ts');
  const start = async () => {
    const child = fork(script, [join(directory, 'hadal.db'), directory]);
    const [url] = (await once(child, 'message')) as [string];
    return { child, client: new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0 }) };
  };
  for (let life = 0; life < 4; life++) {
    const { child, client } = await start();
    if (life === 0) id = (await create(client, { steps: 60, stepMs: 20 })).id;
    if (life < 3) await untilJob(client, id, (job) => stepOf(job) >= 4 + 10 * life);
    else assert.equal((await ended(client, id)).status, 'succeeded');
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  const { rows = [] } = (await store.jobs.events(id, { owner: '', limit: 1000, order: 'asc' })) ?? {};
  const steps = rows.flatMap(({ message }) => /^Step (\d+)/.exec(message)?.[1] ?? []).map(Number);
  assert.deepEqual(
    steps,
    Array.from({ length: 60 }, (_, i) => i + 1),
  );
  const starts = readFileSync(join(directory, id, 'starts'), 'utf8')
    .trim()
    .split('\n');
  assert.ok(starts.length >= 4, `${starts.length}`);
  // Each process wrote its lines alone: told in order, repeated only from a checkpoint on.
  const journal = readFileSync(join(directory, id, 'journal.jsonl'), 'utf8')
    .trimEnd()
    .split('\n');
  const told = journal
    .map((line) => JSON.parse(line))
    .filter(({ type }) => type === 'metrics')
    .map(({ step }) => step);
  for (const [i, step] of told.entries())
    assert.ok(i === 0 || step === told[i - 1] + 1 || step <= told[i - 1], `${told}`);
  assert.ok(told.length < 60 + 4 * 4, `${told.length} steps told in all`);
});

test('a job asks in the name of a key for as long as that is valid and has something to pay with', async () => {
  await using trainer = await openToyTraining();
  const models = new Map([['toy', { cacheHit: 1_000_000, cacheMiss: 1_000_000, output: 1_000_000, windows: [] }]]);
  const prices = { ...noPrices, models };
  await using toy = await serveToy({ script: () => ['yes'], training: trainer.training, prices });
  const clientWith = async (secret: string, scope: object = {}) => {
    await toy.store.keys.add(
      {
        ...{ id: `key_${secret}`, organization: '', member: undefined, role: 'member', name: secret, createdMs: 0 },
        ...{ expiresMs: undefined, keepsText: false, scope: { ...unboundedScope, ...scope } },
      },
      secret,
    );
    return new OpenAI({ baseURL: `${toy.server.url}/v1`, apiKey: secret, maxRetries: 0 });
  };
  const looking = await clientWith('sk-looking');
  const askedBy = async (client: OpenAI, meanwhile: () => Promise<unknown>) => {
    const { id } = await create(client, { asks: 'toy', stepMs: 500 });
    await meanwhile();
    await ended(looking, id);
    return JSON.parse((await messagesOf(looking, id)).find((message) => message.startsWith('{')) ?? '');
  };
  const poor = await clientWith('sk-poor', { budget: 1 });
  const spent = await askedBy(poor, async () => await poor.chat.completions.create(hello));
  assert.deepEqual([spent.type, /budget/.test(spent.message)], ['failure', true], JSON.stringify(spent));
  const revoked = await askedBy(await clientWith('sk-old'), () => toy.store.keys.revoke('key_sk-old', 1));
  assert.deepEqual([revoked.type, /no longer valid/.test(revoked.message)], ['failure', true], JSON.stringify(revoked));
});

test('a job that waits behind another one may need what that one holds', async () => {
  await using trainer = await openToyTraining();
  await using toy = await serveToy({ script: () => ['yes'], training: trainer.training });
  const client = clientOf(toy, '/v1');
  const first = await create(client, { steps: 10_000, bytes: 100_000_000 });
  await untilJob(client, first.id, (job) => (job as { step?: number }).step !== undefined);
  await create(client);
  while (trainer.desk.freed.length < 2) await delay(10);
  assert.ok(trainer.desk.freed[0] === 0 && (trainer.desk.freed[1] ?? 0) > 100_000_000, `${trainer.desk.freed}`);
  await client.fineTuning.jobs.cancel(first.id);
});

test('an answer that the end of the server cuts short is none, and is told as such', async () => {
  await using trainer = await openToyTraining();
  const begun = Promise.withResolvers<void>();
  async function* script() {
    yield 'half of';
    begun.resolve();
    await new Promise(() => {});
  }
  const toy = await serveToy({ script, training: trainer.training });
  const { id } = await create(clientOf(toy, '/v1'), { asks: 'toy' });
  await begun.promise;
  await toy[Symbol.asyncDispose]();
  const journal = readFileSync(join(trainer.training.directory, id, 'journal.jsonl'), 'utf8');
  assert.match(journal, /"message":"{\\"type\\":\\"gone\\"}"/);
});

test('the process of a job asks models by its server, in the name of whoever ordered it', async () => {
  await using trainer = await openToyTraining();
  await using toy = await serveToy({ script: () => ['yes'], training: trainer.training });
  await toy.store.keys.add(
    {
      ...{ id: 'key_1', organization: '', member: undefined, role: 'member', name: 'a', createdMs: 0 },
      ...{ expiresMs: undefined, keepsText: false, scope: { ...unboundedScope, models: ['toy'] } },
    },
    'sk-one',
  );
  const client = new OpenAI({ baseURL: `${toy.server.url}/v1`, apiKey: 'sk-one', maxRetries: 0 });
  const answers = [];
  for (const asks of ['toy', 'r9']) {
    const { id } = await ended(client, (await create(client, { asks })).id);
    answers.push(JSON.parse((await messagesOf(client, id)).find((message) => message.startsWith('{')) ?? ''));
  }
  const [right, wrong] = answers;
  assert.deepEqual([right.type, right.content, right.usage.completionTokens], ['answer', 'yes', 4]);
  assert.deepEqual([wrong.type, wrong.message.includes('you passed r9')], ['failure', true]);
  // What a key is not for it is not for as a teacher or a grader either.
  const { fine_tuned_model: made } = await ended(client, (await create(client)).id);
  const teacher = { model: made };
  const grader = { type: 'score_model', name: 'a', model: made, input: [{ role: 'user', content: 'a' }] };
  for (const method of [
    { type: 'distillation', distillation: { teacher } },
    { type: 'reinforcement', reinforcement: { grader } },
  ])
    await assert.rejects(create(client, {}, { method } as object), /this key is not for the model ft:toy/);
  const [used] = await toy.store.ledger.usage({ fromMs: 0, toMs: 1e15, by: ['key', 'model'] });
  assert.deepEqual([used?.axes.key, used?.requests, used?.completion], ['key_1', 1, 4]);
});
