import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { serveToy } from './testing/serve-toy.ts';
import { openToyTraining } from './testing/toy-desk.ts';
import { create, ended } from './testing/toy-jobs.ts';
import { clientOf, hello } from './testing/toy-requests.ts';

const script = () => ['ok'];

test('a model that a job has made is loaded when it is asked, and closed for another one', async () => {
  await using trainer = await openToyTraining({ openCheckpoints: 1, idleMs: 100 });
  await using toy = await serveToy({ script, training: trainer.training });
  const client = clientOf(toy, '/v1');
  const job = await ended(client, (await create(client)).id);
  const { desk } = trainer;
  assert.deepEqual(desk.opened, []);
  const ask = (name: string) => client.chat.completions.create({ ...hello, model: name });
  const names = [
    job.fine_tuned_model ?? '',
    `${job.fine_tuned_model}:ckpt-step-4`,
    `${job.fine_tuned_model}:ckpt-step-2`,
  ];
  for (const name of names) await ask(name);
  assert.deepEqual(desk.opened, ['step-4', 'step-2'], 'one model under two names is loaded once');
  await Promise.all(names.flatMap((name) => [ask(name), ask(name)]));
  assert.equal(desk.open.size, 1);
  while (desk.open.size > 0) await delay(20);
  const stream = await client.chat.completions.create({ ...hello, model: names[0] as string, stream: true });
  assert.ok((await Array.fromAsync(stream)).length > 2);
  assert.deepEqual(await Array.fromAsync(desk.open), ['step-4']);
});

test('a model that a job has made can be deleted, with its other name, unless somebody builds on it', async () => {
  await using trainer = await openToyTraining();
  await using toy = await serveToy({ script, training: trainer.training });
  const client = clientOf(toy, '/v1');
  const model = (await ended(client, (await create(client)).id)).fine_tuned_model ?? '';
  const names = async () => (await Array.fromAsync(await client.models.list())).map(({ id }) => id);
  const before = await names();
  assert.ok(before.includes(model));
  await client.chat.completions.create({ ...hello, model });
  const builder = await create(client, { steps: 1000 }, { model });
  await assert.rejects(client.models.delete(model), { status: 409, message: /is not over and needs it/ });
  await client.fineTuning.jobs.cancel(builder.id);
  assert.deepEqual(await client.models.delete(model), { id: model, object: 'model', deleted: true });
  const gone = [model, `${model}:ckpt-step-4`];
  assert.deepEqual(
    await names(),
    before.filter((name) => !gone.includes(name)),
  );
  assert.equal(trainer.desk.open.size, 0);
  for (const name of gone) {
    await assert.rejects(client.chat.completions.create({ ...hello, model: name }), /Model Not Exist|supported/i);
    await assert.rejects(client.models.delete(name));
  }
  assert.equal(
    (await client.chat.completions.create({ ...hello, model: `${model}:ckpt-step-2` })).choices[0]?.message.content,
    'I am step-2',
  );
  await assert.rejects(client.models.delete('toy'), { status: 409, message: /no job of this server has made it/ });
});

test('the files of a model that a job has made can be fetched, and nothing beside them', async () => {
  await using trainer = await openToyTraining();
  await using toy = await serveToy({ script, training: trainer.training });
  const client = clientOf(toy, '/v1');
  const { id, fine_tuned_model: model } = await ended(client, (await create(client)).id);
  const path = `/models/${encodeURIComponent(model ?? '')}/files`;
  const { data } = await client.get<{ data: { name: string; bytes: number }[] }>(path);
  const config = readFileSync(join(trainer.training.directory, id, 'step-4', 'config.json'));
  assert.deepEqual(data, [{ object: 'model.file', name: 'config.json', bytes: config.length }]);
  const fetched = await client.get<Response>(`${path}/content?name=config.json`, { __binaryResponse: true });
  assert.deepEqual(Buffer.from(await fetched.arrayBuffer()), config);
  assert.equal(fetched.headers.get('content-length'), `${config.length}`);
  for (const name of ['', '../order.json', '..%2Forder.json', '/etc/passwd', 'nothing']) {
    await assert.rejects(client.get(`${path}/content?name=${name}`), { status: 404, message: /^404 File with id/ });
  }
  await assert.rejects(client.get('/models/toy/files'), { status: 404, message: /Checkpoint with id 'toy' not found/ });
  await assert.rejects(client.get('/models/ft%3Anobody/files'), /Model Not Exist|supported/i);
});

test('one who leaves while there is no room for a model is no failure', async () => {
  await using trainer = await openToyTraining({ openCheckpoints: 1 });
  const { desk } = trainer;
  const go = Promise.withResolvers<void>();
  const openCheckpoint: typeof desk.openCheckpoint = async (checkpoint) => {
    await go.promise;
    return await desk.openCheckpoint(checkpoint);
  };
  await using toy = await serveToy({ script, training: { ...trainer.training, desk: { ...desk, openCheckpoint } } });
  const client = clientOf(toy, '/v1');
  const job = await ended(client, (await create(client)).id);
  const model = job.fine_tuned_model ?? '';
  const first = client.chat.completions.create({ ...hello, model });
  const hasLeft = () => toy.log.some(({ isComplete }) => isComplete === false);
  for (let waitMs = 50; !hasLeft(); waitMs *= 2) {
    assert.ok(waitMs < 30_000, 'expected a request that was begun and left');
    const leaving = new AbortController();
    const second = client.chat.completions.create(
      { ...hello, model: `${model}:ckpt-step-2` },
      { signal: leaving.signal },
    );
    // On a busy machine it may not have come to the server by then.
    await delay(waitMs);
    leaving.abort();
    await assert.rejects(second);
    await delay(waitMs);
  }
  go.resolve();
  assert.equal((await first).choices[0]?.finish_reason, 'stop');
  assert.deepEqual(
    toy.log.filter(({ msg }) => msg === 'request failed'),
    [],
  );
});
