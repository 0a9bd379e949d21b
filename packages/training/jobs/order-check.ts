// What is wrong with an order, before anything starts.
//
// Owns the checks that need the model's files or the rows: everything that can be known without training. Whatever a field alone
// can say was checked when the order was parsed.

import { availableMemory } from '@hadal/engine/available-memory';
import { openCheckpointDirectory } from '@hadal/formats/checkpoint';
import type { Tokenizer } from '@hadal/formats/tokenizer';
import { readDefinition } from '@hadal/models/language-model';
import type { TrainingOrder } from '@hadal/protocol/training-order';
import type { GraderMistake, ValidationResources } from '../graders/validate.ts';
import { validateGrader } from '../graders/validate.ts';
import type { OrderProblem } from './data-file.ts';
import { estimateMemory } from './estimate.ts';
import { type JobData, readJobData, rendererOf } from './job-data.ts';
import { trainedContext } from './job-run.ts';

export interface OrderResources extends ValidationResources {
  /** Memory that jobs before this one are going to give back. */
  readonly freedBytes?: number;
}

/** All mistakes; none where the job can start. `at` completes the order's paths. */
export async function checkOrder(
  order: TrainingOrder,
  at: (path: string) => string,
  { freedBytes = 0, ...resources }: OrderResources,
): Promise<readonly OrderProblem[]> {
  const base = openCheckpointDirectory(order.model.directory);
  const definition = readDefinition(base);
  const context = trainedContext(definition);
  const { data, problems } = readJobData(order, rendererOf(base), context, at);
  return [
    ...problems,
    ...methodProblems(order, context),
    ...teacherProblems(order),
    // Of a file that cannot be read nothing is known.
    ...(problems.length === 0 ? memoryProblems(order, at, freedBytes) : []),
    ...(await graderProblems(order, data, resources)),
  ];
}

function methodProblems({ method, adapter }: TrainingOrder, context: number): OrderProblem[] {
  const problems: OrderProblem[] = [];
  const wrong = (param: string, message: string) =>
    problems.push({ code: 'invalid_value', message: `${param}: ${message}`, param, line: null });
  if (method.type === 'reinforcement') {
    const { maxCompletionTokens, referenceRefresh } = method.grpo;
    const at = 'method.reinforcement.grpo';
    if (maxCompletionTokens >= context) {
      wrong(
        `${at}.max_completion_tokens`,
        `expected fewer than the model's ${context} tokens, got ${maxCompletionTokens}`,
      );
    }
    if (referenceRefresh > 0 && adapter) {
      wrong(`${at}.reference_refresh`, 'expected 0 with an adapter, whose reference is what it began with');
    }
  }
  if (method.type === 'distillation') {
    const at = 'method.distillation';
    const { tail, temperature } = method.logits;
    if (method.objective === 'logits' && tail === 'bucket' && temperature !== 1) {
      const problem = `expected 1 with a tail, which is known at no other temperature, got ${temperature}`;
      wrong(`${at}.logits.temperature`, `${problem}; or tail "renormalize"`);
    }
    if (method.source === 'on_policy' && method.objective === 'sequence') {
      wrong(`${at}.objective`, 'expected "logits" on policy: the teacher scores what the student says');
    }
  }
  return problems;
}

/** Whether a teacher can say what it would have expected of the student's tokens. */
function teacherProblems({ method, model }: TrainingOrder): OrderProblem[] {
  if (method.type !== 'distillation' || method.objective !== 'logits') return [];
  const param = 'method.distillation.teacher';
  const wrong = (problem: string) => [{ code: 'invalid_value', message: `${param}: ${problem}`, param, line: null }];
  const { directory, model: name } = method.teacher;
  if (directory === undefined)
    return wrong('expected a model of this machine for objective "logits": of one elsewhere only its words can be had');
  const [student, teacher] = [model.directory, directory].map((path) => openCheckpointDirectory(path).tokenizer());
  if (student && teacher && hasSameTokens(student, teacher)) return [];
  return wrong(
    `expected the tokens of the student for objective "logits", ${name} has others; "sequence" needs its words only`,
  );
}

function hasSameTokens(a: Tokenizer, b: Tokenizer): boolean {
  if (a.vocabularySize !== b.vocabularySize) return false;
  for (let id = 0; id < a.vocabularySize; id++) if (Buffer.compare(a.bytes(id), b.bytes(id)) !== 0) return false;
  return true;
}

function memoryProblems(order: TrainingOrder, at: (path: string) => string, freedBytes: number): OrderProblem[] {
  const needed = estimateMemory(order, at);
  const { maxMemoryBytes = Infinity } = order;
  const room = Math.min(maxMemoryBytes, availableMemory() + freedBytes);
  if (needed <= room) return [];
  const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
  const advice = order.adapter ? 'a smaller base dtype' : 'an adapter';
  const message = `model: expected training to fit into ${gigabytes(room)}, it is estimated to need ${gigabytes(needed)}; it needs less with recompute, or with ${advice}`;
  return [{ code: 'insufficient_memory', message, param: 'model', line: null }];
}

/** Mistakes of a grader on the rows of both files. */
async function graderProblems(
  { method }: TrainingOrder,
  data: JobData,
  resources: ValidationResources,
): Promise<OrderProblem[]> {
  const grader = 'grader' in method ? method.grader : undefined;
  if (!grader) return [];
  const problems = (mistakes: readonly GraderMistake[], place: string) =>
    mistakes.map(({ field, problem }): OrderProblem => {
      const param = `method.${method.type}.grader${field === '' ? '' : `.${field}`}`;
      return { code: 'invalid_grader', message: `${param}: ${place}${problem}`, param, line: null };
    });
  const learned = data.type === 'prompts' ? data.prompts : data.type === 'answered' ? data.learned : [];
  const found = problems(await validateGrader(grader, resources, learned), '');
  const heldOut = data.type === 'prompts' || data.type === 'answered' ? data.heldOut : [];
  if (found.length > 0 || heldOut.length === 0) return found;
  return problems(await validateGrader(grader, resources, heldOut), 'validation_file: ');
}
