// What jobs are asked for with, and what is said of that before they start.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { APIError, toFile } from 'openai';
import type { ChatCompletionCreateParamsNonStreaming } from 'openai/resources';
import type { JobCreateParams } from 'openai/resources/fine-tuning/jobs/jobs';
import { noPrices } from './prices.ts';
import { serveToy } from './testing/serve-toy.ts';
import { openToyTraining } from './testing/toy-desk.ts';
import { create, ended, upload } from './testing/toy-jobs.ts';
import { clientOf, hello } from './testing/toy-requests.ts';

const script = () => ['ok'];

test('a mistake in the request names its field', async () => {
  await using trainer = await openToyTraining();
  await using toy = await serveToy({ script, training: trainer.training, names: [{ id: 'elsewhere', model: 'toy' }] });
  const client = clientOf(toy, '/v1');
  const training_file = await upload(client);
  const asked = (more: object) =>
    client.fineTuning.jobs.create({ model: 'toy', training_file, ...more } as JobCreateParams);
  const grader = { type: 'string_check', name: 'g', operation: 'eq', input: 'a', reference: 'a' };
  const grpo = (options: object) => ({ method: { type: 'reinforcement', reinforcement: { grader, grpo: options } } });
  const distilled = (options: object) => ({
    method: { type: 'distillation', distillation: { teacher: { model: 'toy' }, ...options } },
  });
  const batch = await client.files.create({ file: await toFile(Buffer.from('{}')), purpose: 'batch' });
  const mistakes: [object, RegExp, string | null][] = [
    [{ model: 'gpt-9' }, /supported API model names are toy, elsewhere, but you passed gpt-9/, 'model'],
    [{ training_file: 'file-0' }, /File with id 'file-0' not found/, 'training_file'],
    [
      { training_file: batch.id },
      /^400 training_file: expected a file uploaded with purpose "fine-tune"/,
      'training_file',
    ],
    [{ training_file: null }, /training_file: expected string, but it is missing/, 'training_file'],
    [{ validation_file: 'file-0' }, /not found/, 'validation_file'],
    [{ suffix: 'a'.repeat(65) }, /suffix: expected at most 64 characters/, 'suffix'],
    [{ integrations: [{ type: 'wandb' }] }, /integrations: expected none/, 'integrations'],
    [
      { hyperparameters: { n_epochs: 51 } },
      /hyperparameters\.n_epochs: expected "auto" or integer from 1 to 50, got 51/,
      'hyperparameters.n_epochs',
    ],
    [{ method: { type: 'magic' } }, /method\.type: expected one of "supervised", "dpo"/, 'method.type'],
    [{ method: { type: 'reinforcement' } }, /method\.reinforcement: expected object/, 'method.reinforcement'],
    [
      { method: { type: 'supervised', supervised: { hyperparameters: { epochs: 1 } } } },
      /method\.supervised\.hyperparameters\.epochs: is not known/,
      'method.supervised.hyperparameters.epochs',
    ],
    [
      { method: { type: 'dpo', dpo: { hyperparameters: { beta: 3 } } } },
      /method\.dpo\.hyperparameters\.beta: expected "auto" or number from 0 to 2, got 3/,
      'method.dpo.hyperparameters.beta',
    ],
    [
      grpo({ clip_low: 2 }),
      /^400 method\.reinforcement\.grpo\.clip_low: expected number from 0 to 1, got 2$/,
      'method.reinforcement.grpo.clip_low',
    ],
    [grpo({ loss_type: 'x' }), /grpo\.loss_type: expected one of "grpo"/, 'method.reinforcement.grpo.loss_type'],
    [
      { method: { type: 'reinforcement', reinforcement: { grader: { ...grader, input: '{{ item.nothing }}' } } } },
      /^400 method\.reinforcement\.grader\.input: item\.nothing: no row has it$/,
      'method.reinforcement.grader.input',
    ],
    [
      distilled({ teacher: { model: 'r9' } }),
      /distillation\.teacher\.model: expected one of the models here/,
      'method.distillation.teacher.model',
    ],
    [
      distilled({ teacher: { model: 'a', base_url: 'https://a.example', api_key_env: 'DATABASE_URL' } }),
      /api_key_env: expected a variable of the server whose name begins with HADAL_TEACHER_/,
      'method.distillation.teacher.api_key_env',
    ],
    [
      distilled({ filter: { model: 'a', min_score: 0.5 } }),
      /filter\.model: only allowed with source "stored_completions"/,
      'method.distillation.filter.model',
    ],
    [
      { ...distilled({ source: 'stored_completions' }), training_file: undefined },
      /expected one that lets a stored completion through/,
      'method.distillation.filter',
    ],
  ];
  for (const [more, message, param] of mistakes) {
    await assert.rejects(asked(more), (error) => {
      assert.ok(error instanceof APIError, String(error));
      assert.match(error.message, message);
      assert.equal(error.param, param);
      return true;
    });
  }
  assert.equal((await client.fineTuning.jobs.list()).data.length, 0);
  await assert.rejects(client.fineTuning.jobs.retrieve('ftjob-0'), /Fine-tuning job with id 'ftjob-0' not found/);
});

test('options of every method reach the order as its names have them', async () => {
  await using trainer = await openToyTraining();
  await using toy = await serveToy({ script, training: trainer.training });
  const client = clientOf(toy, '/v1');
  const grader = { type: 'string_check', name: 'g', operation: 'eq', input: 'a', reference: 'a' };
  const orderOf = async (method: object) => {
    const { id } = await create(client, { steps: 1 }, { method } as Partial<JobCreateParams>);
    await ended(client, id);
    return JSON.parse(readFileSync(join(trainer.training.directory, id, 'order.json'), 'utf8'));
  };
  // No two values of a kind are the same, and none is what holds where nothing is said.
  const hyperparameters = { n_epochs: 2, batch_size: 7, learning_rate_multiplier: 0.5 };
  const order = await orderOf({
    type: 'reinforcement',
    reinforcement: {
      grader,
      hyperparameters: {
        ...hyperparameters,
        ...{ reasoning_effort: 'none', compute_multiplier: 1.5, eval_interval: 11, eval_samples: 12 },
      },
      grpo: {
        ...{ group_size: 4, prompts_per_step: 3, num_iterations: 2, loss_type: 'bnpo', clip_low: 0.1, clip_high: 0.3 },
        ...{ kl_coef: 0.04, kl_estimator: 'unbiased', scale_rewards: 'batch', importance_sampling_level: 'sequence' },
        ...{ mask_truncated: false, drop_zero_variance_groups: false, reference_refresh: 13, keep_routing: true },
        ...{ language_reward: 0.6, max_completion_tokens: 100, temperature: 0.9, max_steps: 9, max_turns: 5 },
      },
      adapter: { rank: 4, alpha: 9, targets: ['q_proj'], base_dtype: 'int8' },
      limits: { threads: 1, memory_bytes: 8e9, seconds: 1000 },
      recompute: true,
      checkpoint_steps: 5,
    },
  });
  const { method, model, seed, id, suffix, ...rest } = order;
  assert.deepEqual(method, {
    ...{ type: 'reinforcement', grader, epochs: 2, batchSize: 3, learningRateMultiplier: 0.5, reasoning: 'off' },
    ...{ computeMultiplier: 1.5, evalInterval: 11, evalSamples: 12 },
    grpo: {
      ...{ groupSize: 4, updatesPerStep: 2, lossType: 'bnpo', clipLow: 0.1, clipHigh: 0.3 },
      ...{ klCoefficient: 0.04, klEstimator: 'unbiased', scaleRewards: 'batch', importanceLevel: 'sequence' },
      ...{ maskTruncated: false, dropEqualGroups: false, referenceRefresh: 13, keepRouting: true },
      ...{ languageReward: 0.6, maxCompletionTokens: 100, temperature: 0.9, maxSteps: 9, maxTurns: 5 },
    },
  });
  assert.deepEqual(model, { name: 'toy', directory: '/toy' });
  assert.deepEqual(rest, {
    ...{ trainingFile: 'training.jsonl', threads: 1, maxMemoryBytes: 8e9, maxSeconds: 1000 },
    ...{ recompute: true, checkpointSteps: 5 },
    adapter: { rank: 4, alpha: 9, targets: ['q_proj'], baseDtype: 'int8' },
  });
  const distilled = await orderOf({
    type: 'distillation',
    distillation: {
      ...{ hyperparameters, teacher: { model: 'a', base_url: 'http://b', api_key_env: 'HADAL_TEACHER_C' } },
      ...{ source: 'on_policy', objective: 'logits', on_policy_fraction: 0.7, samples_per_prompt: 3, grader },
      logits: { top_k: 5, temperature: 1.2, divergence: 'jsd', jsd_beta: 0.3, tail: 'renormalize' },
      ...{ filter: { min_score: 0.8 }, max_completion_tokens: 99 },
    },
  });
  assert.deepEqual(distilled.method, {
    ...{ type: 'distillation', epochs: 2, batchSize: 7, learningRateMultiplier: 0.5 },
    teacher: { model: 'a', baseUrl: 'http://b', apiKeyEnv: 'HADAL_TEACHER_C' },
    ...{ source: 'on_policy', objective: 'logits', onPolicyFraction: 0.7, samplesPerPrompt: 3, grader },
    logits: { topK: 5, temperature: 1.2, divergence: 'jsd', jsdBeta: 0.3, tail: 'renormalize' },
    ...{ minScore: 0.8, maxCompletionTokens: 99 },
  });
  assert.deepEqual((await orderOf({ type: 'dpo', dpo: { hyperparameters: { beta: 0.2 } } })).method, {
    ...{ type: 'dpo', epochs: 'auto', batchSize: 'auto', learningRateMultiplier: 'auto', beta: 0.2 },
  });
});

test('what an answer costs is told of models that have a price here, and not of a teacher elsewhere', async () => {
  await using trainer = await openToyTraining();
  const models = new Map([['toy', { cacheHit: 1, cacheMiss: 20, output: 80, windows: [] }]]);
  const prices = { ...noPrices, currency: 'CNY', models };
  await using toy = await serveToy({ script, training: trainer.training, prices });
  const client = clientOf(toy, '/v1');
  const pricesWith = async (teacher: object) => {
    const method = { type: 'distillation', distillation: { teacher } };
    const { id } = await ended(client, (await create(client, {}, { method } as object)).id);
    return JSON.parse(readFileSync(join(trainer.training.directory, id, 'order.json'), 'utf8')).method.prices;
  };
  const toyPrice = { input: 20, output: 80 };
  assert.deepEqual(await pricesWith({ model: 'toy' }), { currency: 'CNY', teacher: toyPrice, student: toyPrice });
  const elsewhere = { model: 'toy', base_url: 'http://b' };
  assert.deepEqual(await pricesWith(elsewhere), { currency: 'CNY', student: toyPrice });
});

test('a student learns from completions that were stored, and from none of others', async () => {
  await using trainer = await openToyTraining();
  await using toy = await serveToy({ script: () => ['o', 'k'], training: trainer.training });
  const client = clientOf(toy, '/v1');
  const tools = [{ type: 'function' as const, function: { name: 'add', parameters: { type: 'object' } } }];
  for (const [task, more] of [
    ['sum', {}],
    ['sum', { tools, messages: [...hello.messages, { role: 'assistant', content: 'no' }, ...hello.messages] }],
    // Cut off: nobody is to learn to end there.
    ['sum', { max_tokens: 1 }],
    ['other', {}],
  ] as const) {
    await client.chat.completions.create({
      ...hello,
      ...more,
      store: true,
      metadata: { task },
    } as ChatCompletionCreateParamsNonStreaming);
  }
  const distillation = {
    teacher: { model: 'toy' },
    source: 'stored_completions',
    filter: { metadata: { task: 'sum' } },
  };
  const job = await client.fineTuning.jobs.create({
    ...{ model: 'toy', method: { type: 'distillation', distillation } },
  } as unknown as JobCreateParams);
  const text = await (await client.files.content(job.training_file)).text();
  const rows = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.equal(rows.length, 2);
  assert.deepEqual(
    rows[0].messages.map(({ role }: { role: string }) => role),
    ['user', 'assistant'],
  );
  // Of a conversation only what was answered in it, not what it was asked with.
  assert.deepEqual(
    rows[1].messages.map(({ role, weight }: { role: string; weight?: number }) => [role, weight]),
    [
      ['user', undefined],
      ['assistant', 0],
      ['user', undefined],
      ['assistant', undefined],
    ],
  );
  assert.deepEqual(
    rows.map(({ tools: its, metadata }) => [its?.[0].function.name, metadata]),
    [undefined, 'add'].map((name) => [name, { task: 'sum' }]),
  );
  assert.equal((await ended(client, job.id)).status, 'succeeded');
});

test('what a job would take can be asked before, and graders tried', async () => {
  await using trainer = await openToyTraining();
  await using toy = await serveToy({ script: () => ['1'], training: trainer.training });
  const client = clientOf(toy, '/v1');
  const body = { model: 'toy', training_file: await upload(client) };
  const estimates = await Promise.all(
    ['/fine_tuning/estimate', '/fine_tuning/jobs/estimate'].map((path) => client.post(path, { body })),
  );
  for (const estimate of estimates as { tokens: number }[]) {
    const { tokens } = estimate;
    assert.ok(tokens > 0);
    assert.deepEqual(estimate, {
      ...{ object: 'fine_tuning.estimate', model: 'toy', tokens, steps: 4, memory_bytes: 1000, seconds: 1.5 },
    });
  }
  const { graders } = client.fineTuning.alpha;
  const grader = { type: 'string_check', name: 'same', operation: 'eq', input: 'a', reference: 'b' } as const;
  const run = await graders.run({ grader, item: { answer: '42' }, model_sample: '42' });
  assert.deepEqual([run.reward, run.metadata.name, run.metadata.errors.other_error], [1, 'same', false]);
  assert.deepEqual(await graders.validate({ grader }), { grader });
  await assert.rejects(
    graders.validate({ grader: { ...grader, input: '{{ item.nothing }}' } }),
    /grader\.input: item\.nothing: no row has it/,
  );
  await assert.rejects(
    graders.validate({ grader: { ...grader, inputs: 'a' } as never }),
    /grader\.inputs: is not known/,
  );
  const input = [{ role: 'user', content: '{{ sample.output_text }}' }] as never;
  const judge = { type: 'score_model', name: 'judge', model: 'toy', input } as const;
  const judged = await graders.run({ grader: judge, model_sample: 'x' });
  assert.equal(judged.reward, 1);
  assert.ok((judged.metadata.token_usage ?? 0) > 0);
  await assert.rejects(graders.run({ grader: { ...judge, model: 'r9' }, model_sample: 'x' }), /you passed r9/);
});
