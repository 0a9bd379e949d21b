import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Engine, openEngine } from '@hadal/engine/engine';
import { deepseekV4 } from '@hadal/formats/chat/deepseek-v4';
import type { ChatMessage } from '@hadal/formats/chat/message';
import { openCheckpointDirectory } from '@hadal/formats/checkpoint';
import type { Sample } from './graders/sample.ts';
import { conversationDocument } from './jobs/conversation-documents.ts';
import { JobFailure, JobStopped } from './jobs/job-failure.ts';
import { runJob } from './jobs/run-job.ts';
import { taskNamed } from './tasks/registry.ts';
import type { ChatProblem } from './tasks/task.ts';
import { engineTeacher, type Teacher } from './teacher.ts';
import { metricsOf, nanoDirectory, type ToyJob, taskJudge, taskRows, toyJob } from './testing/toy-job.ts';

const heldOut = { 'valid.jsonl': taskRows('add-and-subtract', 3, 0, 'validation') };
const sequence = { type: 'distillation', source: 'file', objective: 'sequence', logits: {}, epochs: 1 };

/** A teacher who says the same to everybody. */
function plainTeacher(answer: () => Promise<Partial<Sample>>): () => Promise<Teacher> {
  return async () => ({
    name: 'far',
    async answer() {
      const sample = { text: 'plankton', reasoning: '', toolCalls: [], isTruncated: false, ...(await answer()) };
      const { text: content, reasoning, toolCalls } = sample;
      const said = [{ role: 'assistant' as const, content, reasoning, toolCalls }];
      return { sample, said, promptTokens: 40, completionTokens: 3 };
    },
  });
}

const told = (job: ToyJob) => job.entries().flatMap((entry) => (entry.type === 'message' ? [entry.message] : []));

test('a student learns from a teacher by its logits, on policy or not, and by its words; in the end both are compared', async () => {
  await using engine = await openEngine({
    checkpoint: openCheckpointDirectory(nanoDirectory),
    threads: 1,
    dtype: 'f32',
  });
  const tokenizer = engine.tokenizer;
  const stopTokens = [tokenizer.tokenId('<｜end▁of▁sentence｜>') as number];
  const openTeacher = async () => engineTeacher({ engine, dialect: deepseekV4, stopTokens });
  const prices = { currency: 'CNY', teacher: { input: 2_000_000, output: 8_000_000 } };
  const distillation = { type: 'distillation', teacher: { model: 'hadal-nano' }, batchSize: 2, epochs: 1, prices };
  const few = { 'train.jsonl': taskRows('add-and-subtract', 4), ...heldOut };
  const common = { logits: { topK: 8 }, maxCompletionTokens: 64 };
  const services = { judge: taskJudge, openTeacher };
  for (const method of [
    { ...distillation, source: 'on_policy', objective: 'logits', onPolicyFraction: 1, ...common },
    { ...distillation, source: 'file', objective: 'logits', ...common },
    { ...distillation, source: 'file', objective: 'sequence', ...common, samplesPerPrompt: 2, minScore: 0 },
  ]) {
    using job = toyJob({ method, validationFile: 'valid.jsonl' }, few);
    assert.equal(await runJob(job.path, services), 'succeeded', JSON.stringify(job.entries().at(-1)));
    const metrics = metricsOf(job.entries()).filter(({ data }) => data.loss !== undefined);
    if (method.objective === 'logits') {
      // The student began as the teacher itself, whose weights the engine holds in other bits.
      assert.ok(Math.abs(metrics[0]?.data.loss as number) < 1e-5, `${metrics[0]?.data.loss}`);
    }
    const [teacher, student] = JSON.parse(readFileSync(join(job.path, 'comparison.json'), 'utf8'));
    assert.equal(teacher.model, 'hadal-nano');
    assert.ok(student.score >= 0 && student.tokensPerSecond > 0);
    // 8 yuan for a million tokens that are written, 2 for one that are read, of which a prompt has some tens.
    const read = teacher.costPer1000Answers - (8 * teacher.meanCompletionTokens) / 1000;
    assert.ok(read > 2 * 0.01 && read < 2 * 0.1, `${read}`);
    assert.deepEqual([teacher.currency, student.costPer1000Answers], ['CNY', undefined]);
  }
});

test('a distillation that is stopped while its teacher speaks learns from whole answers when it goes on', async () => {
  await using engine = await openEngine({
    checkpoint: openCheckpointDirectory(nanoDirectory),
    threads: 1,
    dtype: 'f32',
  });
  const stopTokens = [engine.tokenizer.tokenId('<｜end▁of▁sentence｜>') as number];
  const teacherOver = (speaker: Engine) => engineTeacher({ engine: speaker, dialect: deepseekV4, stopTokens });
  const common = { teacher: { model: 'hadal-nano' }, batchSize: 2, epochs: 1, logits: { topK: 8 } };
  for (const objective of ['logits', 'sequence']) {
    const method = { type: 'distillation', source: 'file', objective, ...common, maxCompletionTokens: 64 };
    const few = { 'train.jsonl': taskRows('add-and-subtract', 4) };
    using whole = toyJob({ method }, few);
    assert.equal(await runJob(whole.path, { openTeacher: async () => teacherOver(engine) }), 'succeeded');
    using broken = toyJob({ method }, few);
    const controller = new AbortController();
    const interrupted = speaking(engine, () => controller.abort());
    const services = { openTeacher: async () => teacherOver(interrupted), signal: controller.signal };
    const end = await runJob(broken.path, services);
    assert.equal(end, 'stopped', JSON.stringify(broken.entries().at(-1)));
    assert.equal(await runJob(broken.path, { openTeacher: async () => teacherOver(engine) }), 'succeeded');
    const steps = metricsOf(whole.entries()).length;
    assert.ok(steps > 0);
    assert.deepEqual(broken.weights(steps), whole.weights(steps), objective);
  }
});

test('where a teacher fails once, what it has answered beside that is not asked for again', async () => {
  using job = toyJob(
    { method: { ...sequence, teacher: { model: 'far' } } },
    { 'train.jsonl': taskRows('multiply', 4) },
  );
  let asked = 0;
  const openTeacher = plainTeacher(async () => {
    if (++asked === 2) throw new Error('away');
    return {};
  });
  assert.equal(await runJob(job.path, { openTeacher }), 'failed');
  assert.equal(asked, 4);
  assert.equal(await runJob(job.path, { openTeacher }), 'succeeded', JSON.stringify(job.entries().at(-1)));
  assert.equal(asked, 5);
});

test('of the answers of a teacher those are learned that come to an end and are graded well enough', async () => {
  for (const [minScore, learned] of [
    [0.5, 3],
    [0.9, 1],
  ]) {
    const method = { ...sequence, teacher: { model: 'far' }, minScore, samplesPerPrompt: 6 };
    using job = toyJob({ method }, { 'train.jsonl': taskRows('multiply', 1) });
    let asked = 0;
    const openTeacher = plainTeacher(async () => ({ text: `${asked++}`, isTruncated: asked === 6 }));
    // 0, 0.2, 0.4 up to 1 for what was cut off.
    const judge: typeof taskJudge = async (item, answer) => ({
      ...(await taskJudge(item, answer)),
      reward: Number(answer.text) / 5 + (answer.text === '4' ? 0.1 : 0),
    });
    const end = await runJob(job.path, { openTeacher, judge });
    assert.equal(end, 'succeeded', JSON.stringify(job.entries().at(-1)));
    assert.ok(told(job).includes(`${learned === 3 ? 2 : 1} of 6 answers of far are learned`), told(job).join('\n'));
  }
});

test('an answer whose grading failed is not learned, however little is asked of it', async () => {
  const method = { ...sequence, teacher: { model: 'far' }, minScore: 0 };
  using job = toyJob({ method }, { 'train.jsonl': taskRows('multiply', 4) });
  let graded = 0;
  const problems = [{ kind: 'other', grader: 'webhook', message: 'no answer' }] as const;
  const judge: typeof taskJudge = async (item, answer) => ({
    ...(await taskJudge(item, answer)),
    ...(graded++ === 0 && { problems }),
  });
  assert.equal(await runJob(job.path, { openTeacher: plainTeacher(async () => ({})), judge }), 'succeeded');
  assert.ok(told(job).includes('3 of 4 answers of far are learned'), told(job).join('\n'));
});

test('an answer that takes tools is learned with what they told it, turn by turn', async () => {
  await using engine = await openEngine({ checkpoint: openCheckpointDirectory(nanoDirectory), threads: 1 });
  const stopTokens = [engine.tokenizer.tokenId('<｜end▁of▁sentence｜>') as number];
  const openTeacher = async () => engineTeacher({ engine, dialect: deepseekV4, stopTokens });
  const method = { ...sequence, teacher: { model: 'hadal-nano' }, batchSize: 8, maxCompletionTokens: 256 };
  using job = toyJob({ method }, { 'train.jsonl': taskRows('use-tools', 8) });
  const end = await runJob(job.path, { openTeacher, judge: taskJudge });
  assert.equal(end, 'succeeded', JSON.stringify(job.entries().at(-1)));
  const lines = readFileSync(join(job.path, 'teacher-answers.jsonl'), 'utf8').trimEnd().split('\n');
  const right = lines.map((line) => JSON.parse(line)).filter(({ score }) => score === 1);
  const roles = right.map(({ said }) => said.map(({ role }: ChatMessage) => role).join(' '));
  assert.ok(roles.includes('assistant tool assistant'), roles.join('\n'));
  const sizes = right.map(({ prompt, said }) => {
    const problem = taskNamed('use-tools').generate('train', prompt) as ChatProblem;
    const messages = [...problem.messages, ...said];
    const { tools, thinking } = problem;
    const isLearned = messages.map(({ role }, i) => role === 'assistant' && i >= problem.messages.length);
    const renderer = { tokenizer: engine.tokenizer, dialect: deepseekV4 };
    const { tokens, weights } = conversationDocument({ messages, tools, thinking, isLearned }, renderer, 2048);
    // Every turn that was said is learned, and only that.
    const learned = tokens.flatMap((token, i) => (weights[i] === 1 ? [token] : []));
    const text = engine.tokenizer.decode(learned);
    for (const { role, content } of said as ChatMessage[]) {
      if (role === 'assistant') assert.ok(text.includes(content), content);
    }
    return tokens.length;
  });
  const total = metricsOf(job.entries()).reduce((sum, { data }) => sum + (data.num_tokens ?? 0), 0);
  assert.equal(
    total,
    sizes.reduce((sum, size) => sum + size, 0),
  );
});

test('a teacher that takes more time than the job has ends it with the reason', async () => {
  const method = { ...sequence, teacher: { model: 'far' } };
  using job = toyJob({ method, maxSeconds: 1 }, { 'train.jsonl': taskRows('multiply', 40) });
  let asked = 0;
  const openTeacher = plainTeacher(async () => {
    asked++;
    await delay(1000);
    return {};
  });
  assert.equal(await runJob(job.path, { openTeacher }), 'failed');
  const last = job.entries().at(-1);
  assert.ok(last?.type === 'failed' && last.code === 'time_limit', JSON.stringify(last));
  assert.ok(asked <= 32, `${asked}`);
});

test('a teacher whose server is gone leaves the job to be gone on with, with the answers that came', async () => {
  const method = { ...sequence, teacher: { model: 'far' } };
  using job = toyJob({ method, validationFile: 'valid.jsonl' }, { 'train.jsonl': taskRows('multiply', 4), ...heldOut });
  let asked = 0;
  let goneAt = 2;
  const openTeacher = plainTeacher(async () => {
    if (++asked === goneAt) throw new JobStopped();
    return {};
  });
  assert.equal(await runJob(job.path, { openTeacher }), 'stopped', JSON.stringify(job.entries().at(-1)));
  assert.equal(asked, 4);
  // Then in the comparison.
  goneAt = 6;
  assert.equal(await runJob(job.path, { openTeacher }), 'stopped', JSON.stringify(job.entries().at(-1)));
  assert.ok(!existsSync(join(job.path, 'comparison.json')));
  assert.equal(await runJob(job.path, { openTeacher }), 'succeeded', JSON.stringify(job.entries().at(-1)));
  assert.equal(JSON.parse(readFileSync(join(job.path, 'comparison.json'), 'utf8')).length, 2);
});

test('answers that are there already are graded too, and what they were called with is read', async () => {
  const rows = [0, 1, 2, 3].map((score) => ({
    messages: [
      { role: 'user', content: 'What swims?' },
      { role: 'assistant', content: 'plankton' },
    ],
    metadata: { score: `${score}` },
  }));
  const method = { ...sequence, source: 'stored_completions', teacher: { model: 'far' }, minScore: 2 };
  using job = toyJob({ method }, { 'train.jsonl': rows });
  let graded = 0;
  const judge: typeof taskJudge = async (item, { text }) => {
    graded++;
    assert.equal(text, 'plankton');
    const { score } = item.metadata as { score: string };
    return { name: 'a', type: 'task', reward: Number(score), subRewards: {}, problems: [], executionMs: 0, usage: {} };
  };
  const openTeacher = plainTeacher(async () => ({}));
  assert.equal(await runJob(job.path, { openTeacher, judge }), 'succeeded', JSON.stringify(job.entries().at(-1)));
  assert.ok(told(job).includes('2 of 4 stored answers are learned'), told(job).join('\n'));
  assert.equal(metricsOf(job.entries()).length, 2);
  assert.equal(graded, 4);
});

test('a teacher that is away in the end leaves the student without the comparison, and with what it has learned', async () => {
  const method = { ...sequence, teacher: { model: 'far' } };
  using job = toyJob({ method, validationFile: 'valid.jsonl' }, { 'train.jsonl': taskRows('multiply', 4), ...heldOut });
  let asked = 0;
  const openTeacher = plainTeacher(async () => {
    if (++asked > 4) throw new JobFailure('teacher_failed', 'away');
    return {};
  });
  assert.equal(await runJob(job.path, { openTeacher }), 'succeeded', JSON.stringify(job.entries().at(-1)));
  assert.ok(told(job).includes('teacher and student could not be compared: away'));
  const last = job.entries().findLast((entry) => entry.type === 'checkpoint');
  assert.ok(last?.type === 'checkpoint' && existsSync(join(job.path, last.directory, 'model.safetensors')));
  assert.ok(!existsSync(join(job.path, 'comparison.json')));
});

/** `engine`, whose every token is told. */
function speaking(engine: Engine, onToken: () => void): Engine {
  return {
    ...{ model: engine.model, tokenizer: engine.tokenizer },
    async *generate(request, signal) {
      for await (const event of engine.generate(request, signal)) {
        if (event.type === 'token') onToken();
        yield event;
      }
    },
    load: () => engine.load(),
    loadAdapter: (...given) => engine.loadAdapter(...given),
    unloadAdapter: (...given) => engine.unloadAdapter(...given),
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}
