import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { trainingOrder } from '@hadal/protocol/training-order';
import { SandboxPool } from '../graders/sandbox/sandbox-pool.ts';
import { nanoDirectory, taskRows, toyJob } from '../testing/toy-job.ts';
import { problemText } from './data-file.ts';
import { estimateMemory, estimateOrder } from './estimate.ts';
import { checkOrder } from './order-check.ts';

/** What is wrong with an order on these lines, in words. */
async function problemsOf(
  method: object,
  lines: readonly string[],
  {
    heldOut,
    freedBytes = 0,
    ...more
  }: { heldOut?: readonly string[]; maxMemoryBytes?: number; freedBytes?: number } = {},
): Promise<readonly string[]> {
  using job = toyJob({ method, ...more, ...(heldOut && { validationFile: 'valid.jsonl' }) }, {});
  writeFileSync(join(job.path, 'train.jsonl'), lines.join('\n'));
  writeFileSync(join(job.path, 'valid.jsonl'), (heldOut ?? []).join('\n'));
  const order = trainingOrder.parse(JSON.parse(readFileSync(join(job.path, 'order.json'), 'utf8')));
  await using sandboxes = new SandboxPool();
  const problems = await checkOrder(order, (path) => join(job.path, path), { sandboxes, freedBytes });
  return problems.map(problemText);
}

const supervised = { type: 'supervised' };
const good = JSON.stringify({
  messages: [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: 'b' },
  ],
});

test('a file that is not JSON Lines, and rows that are none, are told line by line, all at once', async () => {
  assert.deepEqual(await problemsOf(supervised, [good, '', good]), []);
  const problems = await problemsOf(supervised, [
    good,
    '{"messages": [',
    '{"prompt": "a"}',
    '',
    '{"messages": [{"role": "user", "content": "a"}]}',
  ]);
  assert.equal(problems.length, 3);
  assert.match(problems[0] as string, /^training_file, line 2: expected JSON, /);
  assert.match(problems[1] as string, /^training_file, line 3: .*messages: expected array, but it is missing/);
  assert.match(problems[2] as string, /^training_file, line 5: .*messages: expected an assistant message to learn/);
  assert.match((await problemsOf(supervised, []))[0] as string, /^training_file: the file has no rows/);
  const many = await problemsOf(
    supervised,
    Array.from({ length: 50 }, () => '{'),
  );
  assert.equal(many.length, 21);
});

test('preferences need two answers, prompts a question, tasks a name that there is', async () => {
  const [preference] = await problemsOf({ type: 'dpo' }, [good]);
  assert.match(preference as string, /line 1: .*input: expected object, but it is missing/);
  const grader = {
    type: 'string_check',
    name: 'g',
    input: '{{ sample.output_text }}',
    reference: '{{ item.answer }}',
    operation: 'eq',
  };
  const reinforcement = { type: 'reinforcement', grader, grpo: {} };
  const [prompt] = await problemsOf(reinforcement, [good]);
  assert.match(prompt as string, /line 1: messages\[1\]\.role: expected the last message to be from user or tool/);
  const [task] = await problemsOf(reinforcement, ['{"task": "nothing", "split": "train", "index": 0}']);
  assert.match(task as string, /line 1: .*task: expected one of .*"countdown".*, got "nothing"/);
  const long = JSON.stringify({ messages: [{ role: 'user', content: 'word '.repeat(3000) }], answer: 'a' });
  assert.match(
    (await problemsOf(reinforcement, [long]))[0] as string,
    /line 1: .*expected fewer than 2048 tokens.*got \d{4}/,
  );
});

test('a grader that names nothing, or does not end, is found before a job starts', async () => {
  const row = JSON.stringify({ messages: [{ role: 'user', content: 'a' }], answer: 'b' });
  const grader = { type: 'string_check', name: 'g', input: '{{ item.nothing }}', reference: 'a', operation: 'eq' };
  const [named] = await problemsOf({ type: 'reinforcement', grader, grpo: {} }, [row]);
  assert.match(named as string, /^method\.reinforcement\.grader\.input: .*nothing/);
  // Every row of both files is looked at, and named by its line.
  const lacking = JSON.stringify({ messages: [{ role: 'user', content: 'a' }] });
  const reinforcement = { type: 'reinforcement', grader: { ...grader, input: '{{ item.answer }}' }, grpo: {} };
  const many = Array.from({ length: 150 }, () => row);
  const [late] = await problemsOf(reinforcement, [...many, '', lacking]);
  assert.match(late as string, /input: \{\{ item\.answer \}\} names nothing in the row of line 152$/);
  const [heldOut] = await problemsOf(reinforcement, [row], { heldOut: [row, lacking] });
  assert.match(heldOut as string, /input: validation_file: \{\{ item\.answer \}\} names nothing in the row of line 2$/);
  const endless = { type: 'javascript', name: 'g', source: 'function grade() { for (;;); }' };
  const [looping] = await problemsOf({ type: 'reinforcement', grader: endless, grpo: {} }, [row]);
  assert.match(looping as string, /^method\.reinforcement\.grader\.source: /);
});

test('options that cannot go together are told with what is expected instead', async () => {
  const prompts = taskRows('countdown', 2).map((row) => JSON.stringify(row));
  const distillation = { type: 'distillation', teacher: { model: 'a' }, source: 'on_policy', objective: 'sequence' };
  const problems = await problemsOf({ ...distillation, logits: {} }, prompts);
  assert.match(problems[0] as string, /^method\.distillation\.objective: expected "logits" on policy/);
  const hot = await problemsOf({ ...distillation, objective: 'logits', logits: { temperature: 2 } }, prompts);
  assert.match(hot[0] as string, /^method\.distillation\.logits\.temperature: expected 1 with a tail/);
  const teachers = async (directory?: string) =>
    await problemsOf({ ...distillation, teacher: { model: 'a', directory }, objective: 'logits', logits: {} }, prompts);
  assert.match((await teachers())[0] as string, /^method\.distillation\.teacher: expected a model of this machine/);
  const base = join(nanoDirectory, '../r1-base');
  assert.match(
    (await teachers(base))[0] as string,
    /^method\.distillation\.teacher: expected the tokens of the student/,
  );
  assert.deepEqual(await teachers(nanoDirectory), []);
});

test('what samples, what is measured from and who teaches is estimated to take its memory', () => {
  const bytesOf = (method: object) => {
    using job = toyJob({ method }, { 'train.jsonl': taskRows('countdown', 4) });
    const order = trainingOrder.parse(JSON.parse(readFileSync(join(job.path, 'order.json'), 'utf8')));
    return estimateMemory(order, (path) => join(job.path, path));
  };
  const grader = { type: 'task', name: 'g', task: 'countdown' };
  const plain = bytesOf({ type: 'reinforcement', grader, grpo: {} });
  const measured = bytesOf({ type: 'reinforcement', grader, grpo: { klCoefficient: 0.1 } });
  // All weights but the prediction module's, in float32.
  assert.ok(measured - plain > 5e6 * 4 && measured - plain < 7.1e6 * 4, `${measured - plain}`);
  const distillation = { type: 'distillation', source: 'file', objective: 'sequence', logits: {} };
  const [far, near] = [{ model: 'a' }, { model: 'a', directory: nanoDirectory }].map((teacher) =>
    bytesOf({ ...distillation, teacher }),
  ) as [number, number];
  assert.ok(plain > far, `${plain}, ${far}`);
  assert.ok(near - far > 7e6 * 2, `${near - far}`);
});

test('a job that does not fit into the memory it may have is refused with the estimate', async () => {
  const [problem] = await problemsOf(supervised, [good], { maxMemoryBytes: 50_000_000 });
  // What others give back counts; here they take it.
  assert.match((await problemsOf(supervised, [good], { freedBytes: -1e15 }))[0] as string, /^model: expected training/);
  assert.match(
    problem as string,
    /^model: expected training to fit into 0\.1 GB, it is estimated to need 0\.[1-9] GB; /,
  );
});

test('an estimate knows tokens and steps exactly where the answers are there, and memory by the largest step', () => {
  using job = toyJob(
    { method: { ...supervised, epochs: 2, batchSize: 4 } },
    {
      'train.jsonl': Array.from({ length: 12 }, () => JSON.parse(good)),
    },
  );
  const order = trainingOrder.parse(JSON.parse(readFileSync(join(job.path, 'order.json'), 'utf8')));
  const { tokens, steps, memoryBytes, seconds } = estimateOrder(order, (path) => join(job.path, path));
  assert.equal(steps, 6);
  assert.equal(tokens % 24, 0);
  // Values, gradients and two moments of 7 million weights at least.
  assert.ok(memoryBytes > 7e6 * 16 && memoryBytes < 1e9, `${memoryBytes}`);
  assert.ok(seconds > 0 && seconds < 60, `${seconds}`);
});

test('what is computed again is estimated to take less memory and more time', () => {
  const long = {
    messages: [
      { role: 'user', content: 'deep sea '.repeat(200) },
      { role: 'assistant', content: 'b' },
    ],
  };
  const [kept, again] = [false, true].map((recompute) => {
    using job = toyJob({ method: supervised, recompute }, { 'train.jsonl': [long, long, long] });
    const order = trainingOrder.parse(JSON.parse(readFileSync(join(job.path, 'order.json'), 'utf8')));
    return estimateOrder(
      order,
      (path) => join(job.path, path),
      () => 1e11,
    );
  });
  assert.ok(kept && again);
  assert.ok(again.memoryBytes < kept.memoryBytes - 2 ** 25, `${again.memoryBytes} of ${kept.memoryBytes}`);
  assert.ok(Math.abs(again.seconds / kept.seconds - 8 / 6) < 1e-9, `${again.seconds} after ${kept.seconds}`);
});
