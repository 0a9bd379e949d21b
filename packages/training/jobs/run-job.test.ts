import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { openSafetensors } from '@hadal/formats/safetensors';
import { openDevice } from '@hadal/kernels/device';
import { openModel } from '@hadal/models/language-model';
import { metricsOf, nanoDirectory, taskJudge, taskRows, toyJob } from '../testing/toy-job.ts';
import { JobStopped } from './job-failure.ts';
import { runJob } from './run-job.ts';

const grpo = {
  groupSize: 4,
  maxCompletionTokens: 48,
  temperature: 2,
  maskTruncated: false,
  dropEqualGroups: false,
  maxSteps: 4,
};
const reinforcement = {
  ...{ type: 'reinforcement', grader: { type: 'task', name: 'task', task: 'add-and-subtract' }, batchSize: 2, grpo },
};
const files = {
  'train.jsonl': taskRows('add-and-subtract', 16),
  'valid.jsonl': taskRows('add-and-subtract', 3, 0, 'validation'),
};
const plankton = Array.from({ length: 8 }, (_, i) => ({
  messages: [
    { role: 'user', content: `What is the word for number ${i}?` },
    { role: 'assistant', content: 'plankton' },
  ],
}));
/** A reward without meaning that differs within every group. */
const arbitrary: typeof taskJudge = async (item, answer) => {
  const text = answer.reasoning + answer.text;
  const sum = [...text].reduce((total, character) => total + (character.codePointAt(0) as number), 0);
  return { ...(await taskJudge(item, answer)), reward: (sum % 17) / 17 };
};

/** The same for everybody. */
const alike: typeof taskJudge = async (item, answer) => ({ ...(await taskJudge(item, answer)), reward: 0.25 });

test('a reinforcement job: every ratio of a first update is 1, rollouts are kept, and the last checkpoint is a model', async () => {
  using job = toyJob({ method: reinforcement, validationFile: 'valid.jsonl' }, files);
  assert.equal(await runJob(job.path, { judge: arbitrary }), 'succeeded');
  const entries = job.entries();
  const steps = metricsOf(entries).filter(({ data }) => data.reward !== undefined);
  assert.deepEqual(
    steps.map(({ step }) => step),
    [1, 2, 3, 4],
  );
  for (const { data } of steps) {
    assert.equal(data.rollout_train_logprob_diff, 0);
    assert.equal(data['importance_sampling_ratio/mean'], 1);
    assert.ok((data.grad_norm as number) > 0);
  }
  const rollouts = entries.flatMap((entry) => (entry.type === 'rollouts' ? [entry.file] : []));
  assert.equal(rollouts.length, 4);
  const lines = readFileSync(join(job.path, rollouts[0] as string), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.equal(lines.length, 8);
  assert.deepEqual(Object.keys(lines[0].sub_rewards), ['accuracy']);
  assert.ok(metricsOf(entries).some(({ data }) => data.valid_reward_mean !== undefined));
  const last = entries.at(-1);
  assert.deepEqual(last?.type === 'succeeded' && last.resultFiles, [
    { name: 'step_metrics.csv', path: 'step_metrics.csv' },
  ]);
  using device = openDevice({ threads: 1 });
  using model = openModel(device, openCheckpointDirectory(join(job.path, 'checkpoints/step-4')), {
    predictor: 'present',
  });
  assert.equal(model.vocabularySize, 2048);
  assert.ok(model.predictor);
});

test('rollouts call tools over several turns, in the environment of their task, and every token of every turn is scored alike', async () => {
  const rows = taskRows('use-tools', 4);
  const method = {
    ...reinforcement,
    grader: { type: 'task', name: 'task', task: 'use-tools' },
    grpo: { ...grpo, temperature: 1, maxCompletionTokens: 256, maxSteps: 1, groupSize: 2 },
  };
  using job = toyJob({ method }, { 'train.jsonl': rows });
  assert.equal(await runJob(job.path, { judge: arbitrary }), 'succeeded', JSON.stringify(job.entries().at(-1)));
  const [step] = metricsOf(job.entries());
  assert.equal(step?.data.rollout_train_logprob_diff, 0);
  const file = join(job.path, 'rollouts/step-000001.jsonl');
  const lines = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.ok(
    lines.some(({ turns, answer }) => turns > 1 && answer.tool_calls.length > 0),
    JSON.stringify(lines),
  );
});

test('a job that is stopped, or killed at any place, and started again ends with the same weights and measurements', async () => {
  const method = { ...reinforcement, grpo: { ...grpo, updatesPerStep: 2, klCoefficient: 0.05, referenceRefresh: 2 } };
  // A state is saved, and then the reference renewed, at the step of a checkpoint.
  using whole = toyJob({ method, checkpointSteps: 2 }, files);
  assert.equal(await runJob(whole.path, { judge: arbitrary }), 'succeeded');
  using broken = toyJob({ method, checkpointSteps: 2 }, files);
  for (const _ of [1, 2, 3]) {
    const controller = new AbortController();
    let seen = 0;
    const judge: typeof taskJudge = async (item, answer) => {
      if (seen++ === 0) controller.abort();
      return await arbitrary(item, answer);
    };
    assert.equal(await runJob(broken.path, { judge, signal: controller.signal }), 'stopped');
  }
  // A line that was being written when the process was killed, and a lock that nobody holds any more.
  writeFileSync(
    join(broken.path, 'journal.jsonl'),
    `${readFileSync(join(broken.path, 'journal.jsonl'), 'utf8')}{"type":"met`,
  );
  writeFileSync(join(broken.path, 'lock'), '{"pid": 4194304}\n');
  assert.equal(await runJob(broken.path, { judge: arbitrary }), 'succeeded');
  assert.deepEqual(broken.weights(4), whole.weights(4));
  const measured = (path: typeof whole) => {
    const lines = readFileSync(join(path.path, 'step_metrics.csv'), 'utf8').trim().split('\n');
    const header = (lines[0] as string).split(',');
    const kept = header.flatMap((name, i) => (name.endsWith('seconds') ? [] : [i]));
    return lines.map((line) => kept.map((i) => line.split(',')[i]));
  };
  assert.deepEqual(measured(broken), measured(whole));
  // What it would go on from is gone, and asked again it has nothing left to do.
  assert.ok(!existsSync(join(broken.path, 'state')));
  const journal = () => readFileSync(join(broken.path, 'journal.jsonl'), 'utf8');
  const told = journal();
  assert.equal(await runJob(broken.path, { judge: arbitrary }), 'succeeded');
  assert.equal(journal(), told);
});

test('a job killed between the state of a step and its new reference renews it as it goes on', async () => {
  const method = { ...reinforcement, grpo: { ...grpo, klCoefficient: 0.5, maxSteps: 3 } };
  const refreshed = { ...method, grpo: { ...method.grpo, referenceRefresh: 2 } };
  using whole = toyJob({ method: refreshed }, files);
  assert.equal(await runJob(whole.path, { judge: arbitrary }), 'succeeded');
  // Up to there a job that never renews its reference is the same.
  using broken = toyJob({ method }, files);
  const controller = new AbortController();
  let graded = 0;
  const judge: typeof taskJudge = async (item, answer) => {
    if (++graded === 16) controller.abort();
    return await arbitrary(item, answer);
  };
  assert.equal(await runJob(broken.path, { judge, signal: controller.signal }), 'stopped');
  assert.ok(existsSync(join(broken.path, 'state/step-2-0')));
  const file = join(broken.path, 'order.json');
  const order = JSON.parse(readFileSync(file, 'utf8'));
  writeFileSync(file, JSON.stringify({ ...order, method: refreshed }));
  assert.equal(await runJob(broken.path, { judge: arbitrary }), 'succeeded');
  assert.deepEqual(broken.weights(3), whole.weights(3));
});

test('where nothing is measured from a reference, none is renewed', async () => {
  using job = toyJob({ method: { ...reinforcement, grpo: { ...grpo, referenceRefresh: 1, maxSteps: 2 } } }, files);
  assert.equal(await runJob(job.path, { judge: arbitrary }), 'succeeded', JSON.stringify(job.entries().at(-1)));
});

test('what was cut off, and groups in which all are alike, teach nothing', async () => {
  const start = openSafetensors(join(nanoDirectory, 'model.safetensors'));
  for (const [options, judge, isLearned] of [
    [{ maskTruncated: true, maxCompletionTokens: 8 }, arbitrary, false],
    [{ maskTruncated: false, maxCompletionTokens: 8 }, arbitrary, true],
    [{ dropEqualGroups: true }, alike, false],
  ] as const) {
    using job = toyJob({ method: { ...reinforcement, grpo: { ...grpo, ...options, maxSteps: 1 } } }, files);
    assert.equal(await runJob(job.path, { judge }), 'succeeded', JSON.stringify(job.entries().at(-1)));
    const [step] = metricsOf(job.entries());
    assert.equal(step?.data.loss !== undefined, isLearned, JSON.stringify(options));
    const moved = [...job.weights(1)].filter(([name, values]) => Buffer.compare(values, start.read(name)) !== 0);
    assert.equal(moved.length > 0, isLearned, JSON.stringify(options));
  }
});

test('who keeps to the language of the question is paid for it, by the share of its words', async () => {
  const options = { ...grpo, languageReward: 0.5, maxSteps: 1 };
  using job = toyJob({ method: { ...reinforcement, grpo: options } }, files);
  assert.equal(await runJob(job.path, { judge: alike }), 'succeeded', JSON.stringify(job.entries().at(-1)));
  const lines = readFileSync(join(job.path, 'rollouts/step-000001.jsonl'), 'utf8').trimEnd().split('\n');
  const shares = lines
    .map((line) => JSON.parse(line))
    .map(({ reward, sub_rewards: parts }) => {
      assert.ok(Math.abs(reward - (0.25 + 0.5 * parts.language_consistency)) < 1e-12);
      return parts.language_consistency;
    });
  assert.ok(new Set(shares).size > 1, `${shares}`);
});

test('experts are kept through the updates of one step; of the first update the bits stay as they were', async () => {
  const trained = async (keepRouting: boolean, updatesPerStep: number) => {
    const options = { ...grpo, maxSteps: 1, keepRouting, updatesPerStep };
    using job = toyJob({ method: { ...reinforcement, learningRateMultiplier: 30, grpo: options } }, files);
    assert.equal(await runJob(job.path, { judge: arbitrary }), 'succeeded', JSON.stringify(job.entries().at(-1)));
    return job.weights(1);
  };
  assert.deepEqual(await trained(true, 1), await trained(false, 1));
  assert.notDeepEqual(await trained(true, 3), await trained(false, 3));
});

test('a job whose time is up ends with the reason, and what it has learned by then is a checkpoint', async () => {
  const method = { type: 'supervised', batchSize: 1, epochs: 50 };
  using job = toyJob(
    { method, maxSeconds: 1, checkpointSteps: 10_000 },
    { 'train.jsonl': Array.from({ length: 20 }, () => plankton).flat() },
  );
  assert.equal(await runJob(job.path, {}), 'failed');
  const entries = job.entries();
  const last = entries.at(-1);
  assert.ok(last?.type === 'failed');
  assert.deepEqual([last.code, last.message], ['time_limit', 'The job took 1 seconds, 1 are allowed']);
  const [checkpoint, ...more] = entries.flatMap((entry) => (entry.type === 'checkpoint' ? [entry] : []));
  assert.deepEqual(more, []);
  assert.equal(checkpoint?.step, metricsOf(entries).at(-1)?.step);
});

test('a grading that failed counts for nobody: it is no 0, which would be the best of penalties', async () => {
  let graded = 0;
  const penalty: typeof taskJudge = async (item, answer) => {
    const run = { ...(await alike(item, answer)), reward: -1 };
    if (graded++ % 4 > 0) return run;
    return { ...run, reward: 0, problems: [{ kind: 'other', grader: 'webhook', message: 'no answer' }] };
  };
  const method = { ...reinforcement, grpo: { ...grpo, dropEqualGroups: true, maxSteps: 1 } };
  using job = toyJob({ method }, files);
  assert.equal(await runJob(job.path, { judge: penalty }), 'succeeded', JSON.stringify(job.entries().at(-1)));
  const [step] = metricsOf(job.entries());
  assert.deepEqual([step?.data.reward, step?.data.frac_reward_zero_std, step?.data.loss], [-1, 1, undefined]);
});

test('where there is nobody left to ask the job stops, and goes on to the same weights', async () => {
  using whole = toyJob({ method: reinforcement }, files);
  assert.equal(await runJob(whole.path, { judge: arbitrary }), 'succeeded');
  using broken = toyJob({ method: reinforcement, validationFile: 'valid.jsonl' }, files);
  let graded = 0;
  const leaving: typeof taskJudge = async (item, answer) => {
    // In the midst of the third step.
    if (graded++ > 22) throw new JobStopped();
    return await arbitrary(item, answer);
  };
  assert.equal(await runJob(broken.path, { judge: leaving }), 'stopped', JSON.stringify(broken.entries().at(-1)));
  const last = broken.entries().at(-1);
  assert.deepEqual([last?.type, last?.type === 'stopped' && last.step], ['stopped', 2]);
  assert.equal(await runJob(broken.path, { judge: arbitrary }), 'succeeded');
  assert.deepEqual(broken.weights(4), whole.weights(4));
});

test('a job whose grader fails ends with the reason and keeps its checkpoints', async () => {
  let graded = 0;
  const failing: typeof taskJudge = async (item, answer) => {
    const run = await arbitrary(item, answer);
    if (graded++ < 16) return run;
    return { ...run, reward: 0, problems: [{ kind: 'other', grader: 'webhook', message: 'no answer' }] };
  };
  using job = toyJob({ method: reinforcement, checkpointSteps: 1 }, files);
  assert.equal(await runJob(job.path, { judge: failing }), 'failed');
  const last = job.entries().at(-1);
  assert.ok(last?.type === 'failed');
  assert.match(last.message, /8 of 8 gradings failed; webhook: no answer/);
  assert.equal(last.param, 'method.reinforcement.grader');
  assert.ok(existsSync(join(job.path, 'checkpoints/step-2/model.safetensors')));
});

test('a full disk ends a job with the reason, and what it had made stays', async (context) => {
  using job = toyJob({ method: reinforcement, checkpointSteps: 1 }, files);
  // Room for the state of 7 million weights, 84 MB, and for one checkpoint of 14, and not for a second state beside the first.
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=150m', 'tmpfs', job.path]);
  if (mounted.status !== 0) return context.skip('a file system of its own needs the right to mount one');
  try {
    for (const [name, rows] of Object.entries(files)) {
      writeFileSync(join(job.path, name), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    }
    job.writeOrder();
    assert.equal(await runJob(job.path, { judge: arbitrary }), 'failed');
    const last = job.entries().at(-1);
    assert.ok(last?.type === 'failed' && last.code === 'disk_full', JSON.stringify(last));
    assert.ok(existsSync(join(job.path, 'checkpoints/step-1/model.safetensors')));
    assert.deepEqual(readdirSync(join(job.path, 'state')).sort(), ['latest.json', 'step-1-0']);
  } finally {
    spawnSync('umount', [job.path]);
  }
});

test('a supervised job learns what the answers say, and nothing of the prompts', async () => {
  const method = { type: 'supervised', epochs: 6, batchSize: 4, learningRateMultiplier: 3 };
  using job = toyJob(
    { method, validationFile: 'valid.jsonl' },
    { 'train.jsonl': plankton, 'valid.jsonl': plankton.slice(0, 2) },
  );
  assert.equal(await runJob(job.path, {}), 'succeeded', JSON.stringify(job.entries().at(-1)));
  const metrics = metricsOf(job.entries());
  const losses = metrics.flatMap(({ data }) => data.train_loss ?? []);
  assert.equal(losses.length, 12);
  assert.ok((losses.at(-1) as number) < 0.3 * (losses[0] as number), `${losses}`);
  const last = metrics.at(-1)?.data ?? {};
  assert.ok((last.valid_loss as number) < 1);
  const accuracies = metrics.flatMap(({ data }) => data.train_mean_token_accuracy ?? []);
  assert.equal(accuracies.length, 12);
  assert.ok((accuracies.at(-1) as number) > (accuracies[0] as number) && (accuracies.at(-1) as number) <= 1);
  // Few held-out rows: those that are measured often are all that there are.
  assert.equal(last.full_valid_loss, last.valid_loss);
  assert.equal(last.full_valid_mean_token_accuracy, last.valid_mean_token_accuracy);
  const checkpoints = job.entries().flatMap((entry) => (entry.type === 'checkpoint' ? [entry] : []));
  assert.deepEqual(
    checkpoints.map(({ step }) => step),
    [2, 4, 6, 8, 10, 12],
  );
  for (const { metrics: measured } of checkpoints) {
    assert.ok(measured.full_valid_loss !== undefined && measured.full_valid_mean_token_accuracy !== undefined);
  }
  // Each says what was measured when it was made, the last one too.
  for (const { step, metrics: its } of checkpoints)
    assert.equal(its.train_loss, metrics.find((one) => one.step === step)?.data.train_loss);
});

test('a preference job draws the model to the preferred answers', async () => {
  const rows = Array.from({ length: 8 }, (_, i) => ({
    input: { messages: [{ role: 'user', content: `Say a colour, please, for the ${i}th time.` }] },
    preferred_output: [{ role: 'assistant', content: 'blue' }],
    non_preferred_output: [{ role: 'assistant', content: 'red' }],
  }));
  using job = toyJob(
    { method: { type: 'dpo', epochs: 4, batchSize: 4 }, validationFile: 'valid.jsonl' },
    { 'train.jsonl': rows, 'valid.jsonl': rows.slice(0, 2) },
  );
  assert.equal(await runJob(job.path, {}), 'succeeded', JSON.stringify(job.entries().at(-1)));
  const metrics = metricsOf(job.entries());
  assert.ok(Math.abs((metrics[0]?.data.loss as number) - Math.log(2)) < 1e-6);
  assert.equal(metrics[0]?.data['rewards/margins'], 0);
  assert.equal(metrics.at(-1)?.data['rewards/accuracies'], 1);
  const { valid_loss: heldOut = 1, 'valid_rewards/accuracies': right } = metrics.at(-1)?.data ?? {};
  assert.ok(heldOut < 0.9 * Math.log(2) && right === 1, `${heldOut}, ${right}`);
});

test('an adapter is trained over a base in int8: the base stays, the ratio is 1, and the checkpoint is an adapter', async () => {
  const adapter = { rank: 4, alpha: 8, baseDtype: 'int8' };
  using job = toyJob(
    { method: { ...reinforcement, grpo: { ...grpo, maxSteps: 2, klCoefficient: 0.1 } }, adapter },
    files,
  );
  assert.equal(await runJob(job.path, { judge: arbitrary }), 'succeeded', JSON.stringify(job.entries().at(-1)));
  const steps = metricsOf(job.entries());
  for (const { data } of steps) assert.equal(data.rollout_train_logprob_diff, 0);
  assert.equal(steps[0]?.data.kl, 0);
  assert.ok((steps[1]?.data.kl as number) > 0);
  const last = job.entries().findLast((entry) => entry.type === 'checkpoint');
  assert.ok(last?.type === 'checkpoint' && last.isAdapter);
  assert.ok(existsSync(join(job.path, last.directory, 'adapter_config.json')));
  assert.ok(existsSync(join(nanoDirectory, 'model.safetensors')));
});

test('an adapter is trained further: it begins as it was, and what it was is the reference', async () => {
  const adapter = { rank: 4, alpha: 8, baseDtype: 'int8' };
  const method = { ...reinforcement, learningRateMultiplier: 5, grpo: { ...grpo, maxSteps: 2, klCoefficient: 0.1 } };
  using first = toyJob({ method, adapter }, files);
  assert.equal(await runJob(first.path, { judge: arbitrary }), 'succeeded');
  const continues = join(first.path, 'checkpoints/step-2');
  using second = toyJob({ method, adapter: { ...adapter, continues }, seed: 8 }, files);
  assert.equal(await runJob(second.path, { judge: arbitrary }), 'succeeded', JSON.stringify(second.entries().at(-1)));
  const kl = metricsOf(second.entries()).map(({ data }) => data.kl as number);
  assert.equal(kl[0], 0);
  assert.ok((kl[1] as number) > 0);
  // Of what a new adapter adds nothing is there after two steps of another job.
  const ups = (path: string) => {
    const file = openSafetensors(join(path, 'adapter_model.safetensors'));
    const names = [...file.tensors.keys()].filter((name) => name.includes('lora_B'));
    return names.flatMap((name) => [...new Float32Array(file.read(name).slice().buffer)]);
  };
  const [before, after] = [ups(continues), ups(join(second.path, 'checkpoints/step-2'))];
  const product = (a: readonly number[], b: readonly number[]) =>
    a.reduce((sum, value, i) => sum + value * (b[i] as number), 0);
  assert.ok(product(before, after) / Math.sqrt(product(before, before) * product(after, after)) > 0.5);
});

test('a job that computes activations again ends with the adapter of one that keeps them, bit for bit', async () => {
  const rows = Array.from({ length: 6 }, (_, i) => ({
    messages: [
      { role: 'user', content: `Which number comes after ${i}?` },
      { role: 'assistant', content: `${i + 1}` },
    ],
  }));
  const adapter = { rank: 4, alpha: 8, baseDtype: 'int8' };
  const trained = await Promise.all(
    [false, true].map(async (recompute) => {
      using job = toyJob(
        { method: { type: 'supervised', epochs: 1, batchSize: 2 }, adapter, recompute },
        { 'train.jsonl': rows },
      );
      assert.equal(await runJob(job.path, {}), 'succeeded', JSON.stringify(job.entries().at(-1)));
      return readFileSync(join(job.path, 'checkpoints/step-3/adapter_model.safetensors'));
    }),
  );
  assert.deepEqual(trained[1], trained[0]);
});
