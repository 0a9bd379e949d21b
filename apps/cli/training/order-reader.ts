// Orders, looked at before they are carried out.
//
// Owns that this happens in a thread of its own: a large file takes seconds to read, in which the server answers others. A model
// that cannot be trained is a mistake in the order, not a failure.

import { join } from 'node:path';
import process from 'node:process';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import type { OrderProblem, TrainingEstimate } from '@hadal/protocol/fine-tuning';
import type { TrainingOrder } from '@hadal/protocol/training-order';
import { teacherKey } from './teacher-key.ts';

interface Task {
  readonly kind: 'check' | 'estimate';
  readonly order: TrainingOrder;
  readonly directory: string;
  /** Memory that jobs before it are going to give back. */
  readonly freedBytes?: number;
}

type Result =
  | { readonly type: 'problems'; readonly problems: readonly OrderProblem[] }
  | { readonly type: 'estimate'; readonly estimate: TrainingEstimate };

/** What is wrong with an order whose files lie in `directory`. */
export async function checkOrderApart(
  order: TrainingOrder,
  directory: string,
  freedBytes: number,
): Promise<readonly OrderProblem[]> {
  const result = await inThread({ kind: 'check', order, directory, freedBytes });
  return result.type === 'problems' ? result.problems : [];
}

/** What it takes, of an order in which nothing is wrong. */
export async function estimateOrderApart(order: TrainingOrder, directory: string): Promise<TrainingEstimate> {
  const result = await inThread({ kind: 'estimate', order, directory });
  if (result.type === 'estimate') return result.estimate;
  throw new Error(result.problems[0]?.message ?? 'expected an estimate, got none');
}

async function inThread(task: Task): Promise<Result> {
  const { promise, resolve, reject } = Promise.withResolvers<Result>();
  const worker = new Worker(new URL(import.meta.url), { workerData: task });
  worker.once('message', resolve).once('error', reject);
  worker.once('exit', (code) => reject(new Error(`orders: the thread that reads them has ended (${code})`)));
  try {
    return await promise;
  } finally {
    await worker.terminate();
  }
}

async function carryOut({ kind, order, directory, freedBytes = 0 }: Task): Promise<Result> {
  const at = (path: string) => join(directory, path);
  try {
    if (kind === 'estimate') {
      const { estimateOrder } = await import('@hadal/training/jobs/estimate');
      return { type: 'estimate', estimate: estimateOrder(order, at) };
    }
    const [{ checkOrder }, { SandboxPool }] = await Promise.all([
      import('@hadal/training/jobs/order-check'),
      import('@hadal/training/graders/sandbox/sandbox-pool'),
    ]);
    await using sandboxes = new SandboxPool();
    const problems = await checkOrder(order, at, { sandboxes, freedBytes });
    return { type: 'problems', problems: [...teacherProblems(order), ...problems] };
  } catch (error) {
    // Packages throw an `Error` for what is wrong outside of them; the language's own kinds are bugs.
    if (!(error instanceof Error) || error.constructor !== Error) throw error;
    return {
      type: 'problems',
      problems: [{ code: 'invalid_model', message: error.message, param: 'model', line: null }],
    };
  }
}

/** What is wrong with how a teacher elsewhere is to be asked. */
function teacherProblems({ method }: TrainingOrder): OrderProblem[] {
  if (method.type !== 'distillation') return [];
  try {
    teacherKey(method.teacher, process.env);
    return [];
  } catch (error) {
    const param = 'method.distillation.teacher.api_key_env';
    return [{ code: 'invalid_value', message: `${param}: ${(error as Error).message}`, param, line: null }];
  }
}

if (!isMainThread) parentPort?.postMessage(await carryOut(workerData as Task));
