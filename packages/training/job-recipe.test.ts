import assert from 'node:assert/strict';
import { appendFileSync, cpSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type JobRecipe, prepareJob, taskRows } from './job-recipe.ts';
import type { JournalNote } from './jobs/job-directory.ts';
import { nanoDirectory, toyJob } from './testing/toy-job.ts';

const recipe: JobRecipe = {
  ...{ name: 'next', model: 'first', seed: 1 },
  rows: () => taskRows('countdown', 'train', 5, 3, 3),
  method: { type: 'supervised' },
};

test('a recipe begins with what the job of another one has made, once that has come to its end', () => {
  using first = toyJob({}, {});
  using next = toyJob({}, {});
  const out = join(next.path, 'next');
  const prepare = () => prepareJob(out, { ...recipe, model: first.path }, '/');
  const note = (entry: JournalNote) =>
    appendFileSync(join(first.path, 'journal.jsonl'), `${JSON.stringify({ atMs: 1, ...entry })}\n`);
  assert.throws(prepare, /expected a job that has come to its end, found one that has not; the command that began it/);
  for (const step of [9, 20]) cpSync(nanoDirectory, join(first.path, `checkpoints/step-${step}`), { recursive: true });
  note({ type: 'stopped', step: 20, trainedTokens: 1 });
  assert.throws(prepare, /expected a job that has come to its end/);
  assert.ok(!existsSync(out));
  note({ type: 'succeeded', trainedTokens: 1, resultFiles: [] });
  assert.equal(prepare().model.directory, join(first.path, 'checkpoints/step-20'));
  assert.deepEqual(
    readFileSync(join(out, 'training.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line)),
    [5, 6, 7].map((index) => ({ task: 'countdown', split: 'train', index, thinking: true, difficulty: 3 })),
  );
  // The same again is found; another is not mixed with it.
  assert.deepEqual(prepare().trainingFile, 'training.jsonl');
  const early = join(first.path, 'checkpoints/step-9');
  assert.throws(
    () => prepareJob(out, { ...recipe, model: early }, '/'),
    /as it is now, found another; name a new --out/,
  );
  assert.equal(prepareJob(join(next.path, 'early'), { ...recipe, model: early }, '/').model.directory, early);
});

test('a recipe says which model it lacks', () => {
  using job = toyJob({}, {});
  const prepare = () => prepareJob(join(job.path, 'out'), { ...recipe, model: join(job.path, 'nothing') }, '/');
  assert.throws(prepare, /nothing: expected a model, found none; train it first/);
});
