// score_model: a model says how good an answer is.
//
// Owns what the model is asked and how a score is read from what it says. The model arrives as a function: which one that is, and
// how it is reached, is not known here. A score outside the range is a problem, not a reward.

import type { efforts } from '@hadal/protocol/effort';
import type { GraderUsage } from '@hadal/protocol/grader-run';
import type { GraderOfType } from '@hadal/protocol/graders';
import { readJson, readLastNumber } from '../tasks/evaluate-answer.ts';
import type { Graded } from './graded.ts';
import type { Namespaces } from './sample.ts';
import { fill } from './template.ts';

type ScoreModel = GraderOfType<'score_model'>;

export interface ModelQuestion {
  readonly model: string;
  readonly messages: readonly { readonly role: ScoreModel['input'][number]['role']; readonly content: string }[];
  /** undefined: what is usual for the model. */
  readonly seed: number | undefined;
  readonly topP: number | undefined;
  readonly temperature: number | undefined;
  readonly maxTokens: number | undefined;
  readonly effort: keyof typeof efforts | undefined;
  /** JSON Schema of the answer, for models that can be held to one. */
  readonly schema: object;
}

export type ModelReply =
  | { readonly type: 'answer' | 'refusal'; readonly content: string; readonly usage: GraderUsage }
  | { readonly type: 'failure'; readonly message: string };

export type AskModel = (question: ModelQuestion, signal: AbortSignal | undefined) => Promise<ModelReply>;

export async function gradeScoreModel(
  grader: ScoreModel,
  namespaces: Namespaces,
  ask: AskModel,
  signal: AbortSignal | undefined,
): Promise<Graded> {
  const [low = 0, high = 1] = grader.range ?? [];
  const reply = await ask(questionOf(grader, namespaces, low, high), signal);
  if (reply.type === 'failure') return { type: 'problem', kind: 'model-server', message: reply.message };
  const usage = { model: grader.model, ...reply.usage };
  if (reply.type === 'refusal') return { type: 'problem', kind: 'model-refusal', message: reply.content, usage };
  const score = readScore(reply.content);
  if (score === undefined || !(score >= low && score <= high)) {
    const message = `expected a number from ${low} to ${high}, the model said ${excerpt(reply.content)}`;
    return { type: 'problem', kind: 'model-parse', message, usage };
  }
  return { type: 'reward', reward: score, parts: {}, usage };
}

function questionOf(grader: ScoreModel, namespaces: Namespaces, low: number, high: number): ModelQuestion {
  const { model, sampling_params: sampling } = grader;
  const asked = `Answer with JSON and nothing else: {"result": <a number from ${low} to ${high}>}`;
  return {
    model,
    messages: grader.input.map(({ role, content }, i) => {
      const text = textsOf(content)
        .map((part) => fill(part, namespaces))
        .join('\n');
      return { role, content: i === grader.input.length - 1 ? `${text}\n\n${asked}` : text };
    }),
    ...{ seed: sampling?.seed ?? undefined, topP: sampling?.top_p ?? undefined },
    ...{ temperature: sampling?.temperature ?? undefined, maxTokens: sampling?.max_completions_tokens ?? undefined },
    effort: sampling?.reasoning_effort ?? undefined,
    schema: {
      ...{ type: 'object', properties: { result: { type: 'number' } } },
      ...{ required: ['result'], additionalProperties: false },
    },
  };
}

/** The texts of a message, each a template. */
export function textsOf(content: ScoreModel['input'][number]['content']): string[] {
  if (!Array.isArray(content)) return [typeof content === 'string' ? content : content.text];
  return content.map((part) => (typeof part === 'string' ? part : part.text));
}

/** `result` of a JSON object, else the last number of the text. */
function readScore(content: string): number | undefined {
  const json = readJson(content);
  if (typeof json === 'object' && json !== null && 'result' in json) {
    return typeof json.result === 'number' ? json.result : undefined;
  }
  return readLastNumber(content);
}

function excerpt(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}...` : text);
}
