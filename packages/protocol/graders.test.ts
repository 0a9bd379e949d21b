import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { wireGraderRun } from './grader-run.ts';
import { type Grader, graderSchema } from './graders.ts';
import { checkShape } from './shape-error.ts';

const check = { type: 'string_check', name: 'exact', input: 'a', reference: 'b', operation: 'eq' };
const score = { type: 'score_model', name: 's', model: 'm', input: [{ role: 'user', content: 'x' }] };

const parse = (grader: unknown): Grader => checkShape(z.object({ grader: graderSchema }), { grader }).grader;

test('a grader of every kind is taken as it came, and may be parsed again', () => {
  const graders = [
    check,
    { type: 'text_similarity', name: 't', input: 'a', reference: 'b', evaluation_metric: 'rouge_l' },
    { ...score, range: [-1, 1], sampling_params: { temperature: 0, seed: null, max_completions_tokens: 10 } },
    { ...score, input: [{ type: 'message', role: 'developer', content: [{ type: 'input_text', text: 'x' }, 'y'] }] },
    { type: 'python', name: 'p', source: 'x', image_tag: '2025-05-08' },
    { type: 'javascript', name: 'j', source: 'x' },
    { type: 'webhook', name: 'w', url: 'https://example.com/grade', timeout_s: 5 },
    { type: 'task', name: 'c', task: 'countdown' },
    { type: 'multi', name: 'm', graders: { a: check, b: score }, calculate_output: 'a + b' },
  ];
  for (const grader of graders) {
    assert.deepEqual(parse(grader), grader);
    assert.deepEqual(parse(parse(grader)), grader);
  }
});

test('a formula over the one grader that the types of the SDKs have room for knows it by its name', () => {
  const parsed = parse({ type: 'multi', name: 'm', graders: check, calculate_output: 'exact' });
  assert.deepEqual(parsed, { type: 'multi', name: 'm', graders: { exact: check }, calculate_output: 'exact' });
});

test('a mistake names the field that it is in', () => {
  const cases: [unknown, RegExp][] = [
    [{ ...check, foo: 1 }, /grader\.foo: is not known/],
    [{ type: 'label_model', name: 'x' }, /grader\.type: expected one of "string_check".*got "label_model"/],
    [{}, /grader\.type: expected one of .*missing/],
    [5, /grader: expected object, got number/],
    [{ ...check, operation: 'is' }, /grader\.operation: expected one of "eq", "ne", "like", "ilike", got "is"/],
    [{ ...check, name: '' }, /grader\.name: expected a name/],
    [{ type: 'multi', name: 'm', graders: { a: { ...check, bar: 1 } }, calculate_output: 'a' }, /graders\.a\.bar: is/],
    [
      { type: 'multi', name: 'm', graders: { 'a-b': check }, calculate_output: 'a' },
      /graders\.a-b: expected a name of/,
    ],
    [{ type: 'multi', name: 'm', graders: {}, calculate_output: 'a' }, /graders: expected at least one grader/],
    [{ type: 'multi', name: 'm', graders: { a: { type: 'multi' } }, calculate_output: 'a' }, /a\.type: .*"multi"/],
    [{ ...score, range: [1, 0] }, /grader\.range: expected two numbers, the lower one first/],
    [{ ...score, sampling_params: { max_tokens: 1 } }, /sampling_params\.max_tokens: is not known/],
    [{ ...score, input: [{ role: 'user', content: [{ type: 'input_image', image_url: '' }] }] }, /content\[0\]\.type/],
    [{ type: 'webhook', name: 'w', url: 'file:///etc/passwd' }, /grader\.url: expected a URL of http or https/],
    [{ type: 'webhook', name: 'w', url: 'https://a.b', timeout_s: 601 }, /timeout_s: expected number of seconds/],
    [{ type: 'python', name: 'p', source: 'x'.repeat(300_000) }, /grader\.source: expected a program of at most/],
  ];
  for (const [grader, expected] of cases) assert.throws(() => parse(grader), expected);
});

test('what came of grading is shown with every flag that OpenAI has', () => {
  const wire = wireGraderRun({
    ...{ name: 'm', type: 'multi', reward: 0.5, subRewards: { a: 1, b: 0 }, executionMs: 1500 },
    problems: [
      { kind: 'python-runtime', grader: 'b', message: 'NameError' },
      { kind: 'invalid-variable', grader: 'c', message: 'item.x' },
    ],
    usage: { judge: { promptTokens: 10, completionTokens: 5, cachedTokens: 2 } },
  });
  const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15, cached_tokens: 2 };
  assert.deepEqual(wire, {
    reward: 0.5,
    metadata: {
      name: 'm',
      type: 'multi',
      errors: {
        formula_parse_error: false,
        sample_parse_error: false,
        truncated_observation_error: false,
        unresponsive_reward_error: false,
        invalid_variable_error: true,
        other_error: false,
        python_grader_server_error: false,
        python_grader_server_error_type: null,
        python_grader_runtime_error: true,
        python_grader_runtime_error_details: 'b: NameError',
        model_grader_server_error: false,
        model_grader_server_error_details: null,
        model_grader_refusal_error: false,
        model_grader_parse_error: false,
        other_error_details: 'c: item.x',
      },
      execution_time: 1.5,
      scores: { a: 1, b: 0 },
      token_usage: 15,
      sampled_model_name: 'judge',
    },
    sub_rewards: { a: 1, b: 0 },
    model_grader_token_usage_per_model: { judge: usage },
  });
});
