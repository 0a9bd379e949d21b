import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { thinkEnd } from '@hadal/formats/special-tokens';
import type { ChannelQuestion, ChannelReply } from '@hadal/protocol/job-channel';
import { trainingOrder } from '@hadal/protocol/training-order';
import { serveToy } from '@hadal/server/testing/serve-toy';
import { greedyExchange } from '@hadal/training/exchange';
import { SandboxPool } from '@hadal/training/graders/sandbox/sandbox-pool';
import { JobStopped } from '@hadal/training/jobs/job-failure';
import { jobServices } from './job-services.ts';

const question = { messages: [{ role: 'user', content: 'Hello' }], tools: [], thinking: true } as const;

/** A teacher that has not been asked before. */
const never = { hasAnswered: false };

function orderFor(teacher: object) {
  return trainingOrder.parse({
    ...{ id: 'a', model: { name: 'a', directory: 'a' }, suffix: 'a', seed: 1, trainingFile: 'a' },
    method: { type: 'distillation', teacher, source: 'file', objective: 'sequence', logits: {} },
  });
}

test('a teacher behind another server answers in words, with its reasoning and what that took', async () => {
  await using toy = await serveToy({ script: () => ['hm', thinkEnd, 'yes'] });
  await using sandboxes = new SandboxPool();
  await using stack = new AsyncDisposableStack();
  const ask = () => Promise.reject(new Error('nobody is to be asked'));
  const order = orderFor({ model: 'toy', baseUrl: `${toy.server.url}/v1` });
  const teacher = await jobServices(order, ask, sandboxes, stack).openTeacher?.(never);
  assert.equal(teacher?.scoring, undefined);
  const taught = await teacher?.answer(question, greedyExchange);
  assert.deepEqual(taught?.sample, { text: 'yes', reasoning: 'hm', toolCalls: [], isTruncated: false });
  assert.ok((taught?.completionTokens ?? 0) > 0);
});

test('a teacher that knows no tools of ours has them executed, and is asked on', async () => {
  await using sandboxes = new SandboxPool();
  await using stack = new AsyncDisposableStack();
  const call = { id: 'call_a', name: 'add', arguments: '{"a": 1}' };
  const usage = { promptTokens: 5, completionTokens: 2, cachedTokens: 0 };
  const asked: ChannelQuestion[] = [];
  const ask = async (one: ChannelQuestion): Promise<ChannelReply> => {
    const toolCalls = asked.push(one) === 1 ? [call] : [];
    return { type: 'answer', content: '2', reasoning: '', toolCalls, isTruncated: false, usage };
  };
  const teacher = await jobServices(orderFor({ model: 'a' }), ask, sandboxes, stack).openTeacher?.(never);
  const taught = await teacher?.answer({ ...question, respond: () => 'it is 2' }, greedyExchange);
  const said = taught?.said ?? [];
  assert.deepEqual(
    said.map(({ role, content }) => [role, content]),
    [
      ['assistant', '2'],
      ['tool', 'it is 2'],
      ['assistant', '2'],
    ],
  );
  assert.deepEqual(asked[1]?.messages, [...question.messages, ...said.slice(0, 2)]);
  assert.deepEqual([taught?.sample.toolCalls, taught?.promptTokens, taught?.completionTokens], [[call], 10, 4]);
});

test('what a teacher elsewhere broke off, for whatever reason, is no whole answer; a server that is gone has given none', async () => {
  await using sandboxes = new SandboxPool();
  await using stack = new AsyncDisposableStack();
  const reasons = ['stop', 'tool_calls', null, 'length', 'content_filter', 'insufficient_system_resource'];
  const left = [...reasons];
  const body = () => JSON.stringify({ choices: [{ message: { content: 'a' }, finish_reason: left.shift() }] });
  const server = createServer((_, response) => response.end(body()));
  stack.defer(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const order = orderFor({ model: 'toy', baseUrl: `http://127.0.0.1:${port}/v1` });
  const gone = async () => ({ type: 'gone' as const });
  const teacher = await jobServices(order, gone, sandboxes, stack).openTeacher?.(never);
  const isCut = [];
  for (const _ of reasons) isCut.push((await teacher?.answer(question, greedyExchange))?.sample.isTruncated);
  assert.deepEqual(isCut, [false, false, false, true, true, true]);
  const known = await jobServices(orderFor({ model: 'a' }), gone, sandboxes, stack).openTeacher?.(never);
  await assert.rejects(async () => await known?.answer(question, greedyExchange), JobStopped);
});

test('a teacher elsewhere is asked again where its failure may pass, and no more where it may not', async () => {
  await using sandboxes = new SandboxPool();
  await using stack = new AsyncDisposableStack();
  const statuses = [503, 429, 200, 401];
  const message = JSON.stringify({ choices: [{ message: { content: 'yes' } }] });
  const server = createServer((_, response) => response.writeHead(statuses.shift() ?? 500).end(message));
  stack.defer(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const order = orderFor({ model: 'toy', baseUrl: `http://127.0.0.1:${port}/v1` });
  const ask = () => Promise.reject(new Error('nobody is to be asked'));
  const teacher = await jobServices(order, ask, sandboxes, stack, [1, 1, 1]).openTeacher?.(never);
  assert.equal((await teacher?.answer(question, greedyExchange))?.sample.text, 'yes');
  await assert.rejects(async () => await teacher?.answer(question, greedyExchange), /teacher toy: status 401/);
  assert.deepEqual(statuses, []);
  await assert.rejects(async () => await teacher?.answer(question, greedyExchange), /teacher toy: status 500/);
});

test('a teacher that has answered before is waited for longer than one whose address may be wrong, and by nobody who stops', async () => {
  await using sandboxes = new SandboxPool();
  await using stack = new AsyncDisposableStack();
  let asked = 0;
  const away = async () => {
    asked++;
    return { type: 'failure' as const, message: 'away', mayPass: true };
  };
  const controller = new AbortController();
  const teacherAfter = async (hasAnswered: boolean, delaysMs: readonly number[]) => {
    const before = { hasAnswered, signal: controller.signal };
    return await jobServices(orderFor({ model: 'a' }), away, sandboxes, stack, delaysMs).openTeacher?.(before);
  };
  for (const [hasAnswered, times] of [
    [false, 3],
    [true, 5],
  ] as const) {
    asked = 0;
    const teacher = await teacherAfter(hasAnswered, [1, 1, 1, 1]);
    await assert.rejects(async () => await teacher?.answer(question, greedyExchange), /teacher a: away/);
    assert.equal(asked, times);
  }
  const waiting = (await teacherAfter(true, [60_000]))?.answer(question, greedyExchange);
  controller.abort();
  await assert.rejects(async () => await waiting, JobStopped);
});

test('a teacher that cannot be had ends with words that name it', async () => {
  await using sandboxes = new SandboxPool();
  await using stack = new AsyncDisposableStack();
  const failing = async () => ({ type: 'failure' as const, message: 'no such model' });
  const known = await jobServices(orderFor({ model: 'nobody' }), failing, sandboxes, stack).openTeacher?.(never);
  await assert.rejects(async () => await known?.answer(question, greedyExchange), /teacher nobody: no such model/);
  const order = orderFor({ model: 'toy', baseUrl: 'http://127.0.0.1:9/v1' });
  const away = await jobServices(order, failing, sandboxes, stack, []).openTeacher?.(never);
  await assert.rejects(async () => await away?.answer(question, greedyExchange), /teacher toy: .*127\.0\.0\.1:9/);
});
