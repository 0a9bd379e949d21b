import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GraderRun } from '@hadal/protocol/grader-run';
import { type Grader, graderSchema } from '@hadal/protocol/graders';
import { expertAnswer } from '../tasks/evaluate-answer.ts';
import { taskNamed } from '../tasks/registry.ts';
import { type GraderResources, grade, isSound } from './grader.ts';
import { type Sample, textSample } from './sample.ts';
import type { SandboxOutcome, SandboxRequest } from './sandbox/sandbox-pool.ts';
import type { ModelQuestion, ModelReply } from './score-model.ts';
import { languageConsistency } from './task-grader.ts';
import { validateGrader } from './validate.ts';
import type { WebhookPost, WebhookReply } from './webhook.ts';

interface World {
  readonly model?: (question: ModelQuestion) => ModelReply;
  readonly hook?: (post: WebhookPost) => WebhookReply;
  readonly program?: (request: SandboxRequest) => SandboxOutcome;
}

function resources({ model, hook, program }: World = {}): GraderResources {
  let nowMs = 0;
  const absent = (): never => assert.fail('not expected to be asked');
  return {
    ask: async (question) => (model ?? absent)(question),
    post: async (post) => (hook ?? absent)(post),
    sandboxes: { run: async (_language, request) => (program ?? absent)(request) },
    nowMs: () => (nowMs += 5),
  };
}

const run = (grader: unknown, item: unknown, sample: string | Sample, world?: World): Promise<GraderRun> =>
  grade(
    graderSchema.parse(grader),
    { item, sample: typeof sample === 'string' ? textSample(sample) : sample },
    resources(world),
  );

const check = (operation: string, input = '{{ sample.output_text }}', reference = '{{ item.answer }}') => {
  return { type: 'string_check', name: 'check', input, reference, operation };
};
const usage = { promptTokens: 10, completionTokens: 2, cachedTokens: 0 };
const kinds = ({ problems }: GraderRun): string[] => problems.map(({ kind }) => kind);

test('string_check compares texts that templates have filled', async () => {
  const cases: [string, string, string, number][] = [
    ['eq', 'Paris', 'Paris', 1],
    ['eq', 'paris', 'Paris', 0],
    ['ne', 'paris', 'Paris', 1],
    ['like', 'It is Paris.', 'Paris', 1],
    ['like', 'It is paris.', 'Paris', 0],
    ['ilike', 'It is paris.', 'Paris', 1],
  ];
  for (const [operation, output, answer, reward] of cases) {
    const came = await run(check(operation), { answer }, output);
    assert.deepEqual(came, {
      ...{ name: 'check', type: 'string_check', reward, subRewards: {}, problems: [], executionMs: 5, usage: {} },
    });
  }
});

test('templates reach into rows and answers, and what is no text becomes JSON', async () => {
  const item = { answer: { list: [1, { 'b c': true }] }, 名: 'x' };
  const calls = [{ id: 'c', name: 'f', arguments: '{}' }];
  const sample: Sample = { text: '{"a": {"b": [1.5]}}', reasoning: 'hm', toolCalls: calls, isTruncated: true };
  const filled: [string, string][] = [
    ['{{item.answer.list[1]["b c"]}}', 'true'],
    ['{{ item.answer.list.0 }}{{item.名}}', '1x'],
    ['{{ item.answer.list }}', '[1,{"b c":true}]'],
    ['{{ sample.output_json.a.b[0] }}', '1.5'],
    ['{{ sample.output_tools[0].function.name }}', 'f'],
    ['{{ sample.choices[0].message.reasoning_content }} {{ sample.choices[0].finish_reason }}', 'hm length'],
    ['plain { text } with $& and {{ item.名 }}', 'plain { text } with $& and x'],
  ];
  for (const [template, expected] of filled) {
    const came = await run(check('eq', template, '{{ item.expected }}'), { ...item, expected }, sample);
    assert.equal(came.reward, 1, template);
  }
});

test('a row that lacks what a template names is a problem of the grader, an answer that lacks it is worth nothing', async () => {
  const row = await run(check('eq'), {}, 'x');
  assert.deepEqual(
    [row.reward, row.problems],
    [0, [{ kind: 'invalid-variable', grader: 'check', message: 'the item has no item.answer' }]],
  );
  assert.equal(isSound(row), false);
  const inherited = await run(check('eq', '{{ item.constructor }}', ''), {}, 'x');
  assert.deepEqual(kinds(inherited), ['invalid-variable']);
  for (const text of ['no JSON', '{"a": 1}', 'null']) {
    const answer = await run(check('eq', '{{ sample.output_json.b }}', 'x'), {}, text);
    assert.deepEqual([answer.reward, kinds(answer), isSound(answer)], [0, ['sample-parse'], true]);
  }
});

test('score_model asks the model and reads its score', async () => {
  const asked: ModelQuestion[] = [];
  const grader = {
    ...{ type: 'score_model', name: 's', model: 'judge', range: [0, 10] },
    input: [
      { role: 'system', content: 'Be strict.' },
      { role: 'user', content: [{ type: 'input_text', text: 'Q: {{ item.q }}' }, 'A: {{ sample.output_text }}'] },
    ],
    sampling_params: { temperature: 0, max_completions_tokens: 50, reasoning_effort: 'low' },
  };
  const says = (content: string): World => ({
    model: (question) => {
      asked.push(question);
      return { type: 'answer', content, usage };
    },
  });
  const came = await run(grader, { q: '1+1' }, '2', says('{"result": 7.5}'));
  assert.deepEqual([came.reward, came.usage, came.problems], [7.5, { judge: usage }, []]);
  const [question] = asked;
  assert.equal(question?.messages[0]?.content, 'Be strict.');
  assert.match(question?.messages[1]?.content ?? '', /^Q: 1\+1\nA: 2\n\nAnswer with JSON.*from 0 to 10/s);
  assert.deepEqual([question?.temperature, question?.maxTokens, question?.effort], [0, 50, 'low']);
  assert.equal((await run(grader, { q: '' }, '', says('I think it deserves 3'))).reward, 3);
  for (const content of ['{"result": 11}', '{"result": "high"}', 'good', '', '-1']) {
    const bad = await run(grader, { q: '' }, '', says(content));
    assert.deepEqual([bad.reward, kinds(bad), bad.usage], [0, ['model-parse'], { judge: usage }], content);
  }
  const refused = await run(grader, { q: '' }, '', { model: () => ({ type: 'refusal', content: 'no', usage }) });
  assert.deepEqual(kinds(refused), ['model-refusal']);
  const failing = await run(grader, { q: '' }, '', { model: () => ({ type: 'failure', message: 'gone' }) });
  assert.deepEqual(kinds(failing), ['model-server']);
});

test('a webhook is sent row and answer, and its number is the reward', async () => {
  const posts: WebhookPost[] = [];
  const grader = { type: 'webhook', name: 'w', url: 'https://example.com/g', timeout_s: 2 };
  const answers = (body: string, status = 200): World => ({
    hook: (post) => {
      posts.push(post);
      return { type: 'answer', status, body };
    },
  });
  const came = await run(grader, { q: 1 }, '2', answers('{"reward": 0.25, "sub_rewards": {"style": 1}}'));
  assert.deepEqual([came.reward, came.subRewards], [0.25, { style: 1 }]);
  const [post] = posts;
  assert.deepEqual([post?.url, post?.timeoutMs], ['https://example.com/g', 2000]);
  const sent = JSON.parse(post?.body ?? '');
  assert.deepEqual([sent.grader, sent.item, sent.sample.output_text, sent.sample.output_json], ['w', { q: 1 }, '2', 2]);
  for (const world of [answers('{"reward": "1"}'), answers('1e999'), answers('nonsense'), answers('{}', 500)]) {
    assert.deepEqual(kinds(await run(grader, {}, '', world)), ['other']);
  }
  assert.deepEqual(kinds(await run(grader, {}, '', { hook: () => ({ type: 'late' }) })), ['unresponsive-reward']);
});

test('the outcome of a program is a reward or tells which flag it is', async () => {
  const outcomes: [string, SandboxOutcome, string[]][] = [
    ['python', { type: 'fine', reward: 0.5 }, []],
    ['python', { type: 'mistake', message: 'x' }, ['python-runtime']],
    ['python', { type: 'memory', message: 'x' }, ['python-runtime']],
    ['python', { type: 'late', message: 'x' }, ['unresponsive-reward']],
    ['python', { type: 'died', message: 'x' }, ['python-server']],
    ['javascript', { type: 'mistake', message: 'x' }, ['other']],
  ];
  for (const [type, outcome, expected] of outcomes) {
    const came = await run({ type, name: 'p', source: 'x' }, { a: 1 }, 'y', {
      program: (request) => {
        assert.deepEqual([request.type, 'item' in request && request.item], ['grade', { a: 1 }]);
        return outcome;
      },
    });
    assert.deepEqual([came.reward, kinds(came)], [outcome.type === 'fine' ? 0.5 : 0, expected]);
  }
});

test('a built-in task judges its own problem, and looks at format and language', async () => {
  for (const name of ['countdown', 'use-tools', 'extract-json', 'arithmetic']) {
    for (let index = 0; index < 10; index++) {
      const problem = taskNamed(name).generate('validation', index);
      assert.ok(problem.kind === 'chat');
      const { content, reasoning, toolCalls } = expertAnswer(problem);
      const grader = { type: 'task', name: 't', task: name };
      const item = { split: 'validation', index };
      const came = await run(grader, item, { text: content, reasoning, toolCalls, isTruncated: false });
      assert.equal(came.reward, 1, `${name} ${index}: ${content}`);
      assert.deepEqual([came.subRewards.accuracy, came.subRewards.format], [1, 1]);
      const wrong = await run(grader, item, { text: '', reasoning, toolCalls: [], isTruncated: true });
      assert.deepEqual([wrong.reward, wrong.subRewards.accuracy, wrong.subRewards.format], [0, 0, 0]);
    }
  }
  const thought = await run(
    { type: 'task', name: 't', task: 'repeat-text' },
    { task: 'nonsense', split: 'test', index: 0 },
    '',
  );
  assert.match(thought.problems[0]?.message ?? '', /there is no task nonsense; there are compare-decimals/);
  const lacking = await run({ type: 'task', name: 't', task: 'countdown' }, { split: 'test' }, '');
  assert.match(lacking.problems[0]?.message ?? '', /index/);
});

test('thinking that an answer has in its text is taken apart from it', async () => {
  let index = 0;
  while (!isThinking(index)) index++;
  const problem = taskNamed('countdown').generate('train', index);
  assert.ok(problem.kind === 'chat');
  const { content, reasoning } = expertAnswer(problem);
  const grader = { type: 'task', name: 't', task: 'countdown' };
  const came = await run(grader, { split: 'train', index }, `<think>\n${reasoning}\n</think>\n${content}`);
  assert.deepEqual([came.subRewards.accuracy, came.subRewards.format], [1, 1]);
  const without = await run(grader, { split: 'train', index }, content);
  assert.deepEqual([without.subRewards.accuracy, without.subRewards.format], [1, 0]);
});

function isThinking(index: number): boolean {
  const problem = taskNamed('countdown').generate('train', index);
  return problem.kind === 'chat' && problem.thinking;
}

test('language consistency is the share of words of the language', () => {
  assert.equal(languageConsistency('We try 3 * 4 = 12.', 'en'), 1);
  assert.equal(languageConsistency('We try 三乘四', 'en'), 2 / 5);
  assert.equal(languageConsistency('目标 12，试一下', 'zh'), 1);
  assert.equal(languageConsistency('12 + 3 = x', 'zh'), 1);
});

test('a formula weighs the rewards of its graders', async () => {
  const multi = (formula: string): unknown => ({
    ...{ type: 'multi', name: 'm', calculate_output: formula },
    graders: {
      exact: check('eq'),
      close: { ...check('eq'), type: 'text_similarity', operation: undefined, evaluation_metric: 'fuzzy_match' },
      json: check('eq', '{{ sample.output_json.a }}', '1'),
    },
  });
  const withoutUndefined = (grader: unknown): unknown => JSON.parse(JSON.stringify(grader));
  const came = await run(withoutUndefined(multi('0.5 * exact + 0.5 * close')), { answer: 'abcd' }, 'abce');
  assert.equal(came.reward, 0.375);
  assert.deepEqual(came.subRewards, { exact: 0, close: 0.75, json: 0 });
  assert.deepEqual([kinds(came), isSound(came)], [['sample-parse'], true]);
  const broken = await run(withoutUndefined(multi('exact + nothing')), { answer: '' }, 'x');
  assert.deepEqual([broken.reward, kinds(broken)], [0, ['sample-parse', 'formula-parse']]);
  const endless = await run(withoutUndefined(multi('1 / exact')), { answer: 'y' }, 'x');
  assert.match(endless.problems.at(-1)?.message ?? '', /expected a finite number, the formula is Infinity/);
  const failing = await run(withoutUndefined(multi('1 - exact')), {}, 'x');
  assert.equal(failing.reward, 0, 'a part that could not be graded must not count as 0');
});

test('all mistakes of a grader are told at once, with their fields', async () => {
  const grader: Grader = graderSchema.parse({
    ...{ type: 'multi', name: 'm', calculate_output: 'a + x' },
    graders: {
      a: check('eq', '{{ smaple.output_text }}', '{{ item.answer }}'),
      b: { type: 'python', name: 'b', source: 'def grade(' },
      c: {
        ...{ type: 'score_model', name: 'c', model: 'm' },
        input: [{ role: 'user', content: '{{ sample.output_text.x }} {{ sample.text }} {{ item.q }}' }],
      },
      d: { type: 'task', name: 'd', task: 'chess' },
      e: { type: 'javascript', name: 'e', source: 'loop' },
    },
  });
  const world: World = {
    program: (request) => {
      if (request.source !== 'loop') return { type: 'mistake', message: 'line 1: SyntaxError' };
      return request.type === 'check' ? { type: 'fine', reward: 0 } : { type: 'late', message: 'did not end' };
    },
  };
  const items = [
    { line: 1, item: { q: 'x', answer: 'y' } },
    { line: 3, item: { answer: 'y' } },
    { line: 4, item: {} },
  ];
  assert.deepEqual(await validateGrader(grader, resources(world), items), [
    {
      field: 'graders.a.input',
      problem: '{{ smaple.output_text }} names nothing: expected a path that begins with item. or sample.',
    },
    { field: 'graders.a.reference', problem: '{{ item.answer }} names nothing in the row of line 4' },
    { field: 'graders.b.source', problem: 'line 1: SyntaxError' },
    {
      field: 'graders.c.input[0].content',
      problem: '{{ sample.output_text.x }} names nothing: sample.output_text is a text',
    },
    {
      field: 'graders.c.input[0].content',
      problem: '{{ sample.text }} names nothing: sample has output_text, output_json, output_tools, choices',
    },
    {
      field: 'graders.c.input[0].content',
      problem: '{{ item.q }} names nothing in the row of line 3 and of 1 more',
    },
    {
      field: 'graders.d.task',
      problem: `expected one of ${'compare-decimals, count-letters, arithmetic, add-and-subtract, multiply, countdown'}, word-problems, extract-json, use-tools, fill-middle, introduce, repeat-text, conversation, extract-parcel, got chess`,
    },
    { field: 'graders.e.source', problem: 'with the row of line 1 and an empty answer: did not end' },
    { field: 'calculate_output', problem: 'position 5: there is no grader x; there are a, b, c, d, e' },
  ]);
  assert.deepEqual(await validateGrader(graderSchema.parse(check('eq')), resources()), []);
});
