// Graders on the wire: what turns an answer into a reward.
//
// Owns the shape of every kind: OpenAI's (string_check, text_similarity, score_model, python, multi), and ours (javascript,
// webhook, task). A grader is kept, shown and passed on just as it came, so parsing changes nothing in it and may be done again.
// Unlike in other bodies, a field that is not known is a mistake: a misspelled one would be noticed after hours of training.
// Knows nothing of what a template names, of the languages of sources or of how any of them grades.

import { z } from 'zod';
import { effortNames } from './effort.ts';
import { expecting, integer, modelName } from './sampling-fields.ts';

const filled = (what: string) => z.string(expecting(what)).min(1, expecting(what));
const maxSourceCharacters = 256 * 1024;

const name = filled('a name').describe('What its reward is called.');
const template = z
  .string()
  .describe('Text with `{{ item.x }}` for fields of the row and `{{ sample.output_text }}` for the answer.');
const source = filled('a program').max(
  maxSourceCharacters,
  expecting(`a program of at most ${maxSourceCharacters} characters`),
);

const stringCheck = z.strictObject({
  ...{ type: z.literal('string_check'), name, input: template, reference: template },
  operation: z
    .enum(['eq', 'ne', 'like', 'ilike'])
    .describe('Equal, not equal, or that the input has the reference in it; `ilike`: in whatever case.'),
});

const textSimilarity = z.strictObject({
  ...{ type: z.literal('text_similarity'), name, input: template, reference: template },
  evaluation_metric: z.enum([
    ...(['cosine', 'fuzzy_match', 'bleu', 'gleu', 'meteor'] as const),
    ...(['rouge_1', 'rouge_2', 'rouge_3', 'rouge_4', 'rouge_5', 'rouge_l'] as const),
  ]),
});

const python = z.strictObject({
  ...{ type: z.literal('python'), name },
  source: source.describe('Defines `grade(sample, item)`, which returns a number.'),
  image_tag: z.string().optional().describe('Has no effect: there is one Python here.'),
});

const javascript = z.strictObject({
  ...{ type: z.literal('javascript'), name },
  source: source.describe('Defines `grade(sample, item)`, which returns a number.'),
});

const textPart = z.strictObject({ type: z.enum(['input_text', 'output_text']), text: template });
const scoreMessage = z.strictObject({
  type: z.literal('message').optional(),
  role: z.enum(['system', 'developer', 'user', 'assistant']),
  content: z.union(
    [template, textPart, z.array(z.union([template, textPart], expecting('a text'))).min(1, expecting('a text'))],
    expecting('string or parts of text'),
  ),
});
const bounds = expecting('two numbers, the lower one first');
const topP = expecting('number above 0 and at most 1');
const temperature = expecting('number from 0 to 2');
const scoreModel = z.strictObject({
  ...{ type: z.literal('score_model'), name },
  model: modelName,
  input: z.array(scoreMessage).min(1, expecting('at least one message')),
  range: z
    .array(z.number(bounds), bounds)
    .refine(
      ([low, high, ...rest]) => low !== undefined && high !== undefined && low < high && rest.length === 0,
      bounds,
    )
    .optional()
    .describe('What scores there are. Default: 0 to 1.'),
  sampling_params: z
    .strictObject({
      seed: integer(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER).nullish(),
      top_p: z.number(topP).gt(0, topP).max(1, topP).nullish(),
      temperature: z.number(temperature).min(0, temperature).max(2, temperature).nullish(),
      // As OpenAI spells it.
      max_completions_tokens: integer(1, Number.MAX_SAFE_INTEGER).nullish(),
      reasoning_effort: z.enum(effortNames).nullish(),
    })
    .nullish(),
});

const timeout = expecting('number of seconds from 0.1 to 600');
const webhook = z.strictObject({
  ...{ type: z.literal('webhook'), name },
  url: z
    .url({ protocol: /^https?$/, error: 'expected a URL of http or https' })
    .describe('Is sent `{grader, item, sample}` with POST and answers `{"reward": number}`.'),
  timeout_s: z.number(timeout).min(0.1, timeout).max(600, timeout).optional().describe('Default: 30.'),
});

const task = z.strictObject({
  ...{ type: z.literal('task'), name },
  task: filled('the name of a built-in task').describe(
    'The row has `split` and `index` of the problem; a `task` of its own goes first.',
  ),
  part: z
    .enum(['accuracy', 'format', 'language'])
    .optional()
    .describe('Which part of the judgement is the reward, for formulas that weigh them. Default: `accuracy`.'),
});

const singleGraders = [stringCheck, textSimilarity, scoreModel, python, javascript, webhook, task] as const;
const singleGrader = z.discriminatedUnion('type', singleGraders);

const variable = expecting('a name of letters, digits and _ for the formula');
const multi = z.strictObject({
  ...{ type: z.literal('multi'), name },
  // The documentation has a grader for each name; the types of the SDKs have room for one without.
  graders: z
    .preprocess(
      (value) => (isNamedGrader(value) ? { [value.name]: value } : value),
      z.record(z.string(), singleGrader).superRefine((graders, context) => {
        const names = Object.keys(graders);
        if (names.length === 0) context.addIssue({ code: 'custom', message: expecting('at least one grader').error });
        for (const each of names) {
          if (!/^[A-Za-z_]\w{0,63}$/.test(each)) {
            context.addIssue({ code: 'custom', message: variable.error, path: [each] });
          }
        }
      }),
    )
    .describe('Graders by the names that the formula has for them.'),
  calculate_output: filled('a formula').describe('A formula over the names of `graders`, such as `0.7 * a + 0.3 * b`.'),
});

export const graderSchema = z.discriminatedUnion('type', [...singleGraders, multi]);

export type Grader = z.output<typeof graderSchema>;
export type SingleGrader = z.output<typeof singleGrader>;
export type GraderOfType<T extends Grader['type']> = Extract<Grader, { readonly type: T }>;
export type SimilarityMetric = GraderOfType<'text_similarity'>['evaluation_metric'];

function isNamedGrader(value: unknown): value is { readonly name: string } {
  if (typeof value !== 'object' || value === null) return false;
  return 'type' in value && typeof value.type === 'string' && 'name' in value && typeof value.name === 'string';
}
