// A process that trains nothing: `node toy-training.ts train-job DIRECTORY`.
//
// Owns a journal as a real one would be: steps, checkpoints, rollouts and an end, gone on with from the last checkpoint when it
// is started again. What else happens is in the field `toy` of the first line of its training file. Never used outside tests.

import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import type { ChannelReply, ToServer, ToTrainer } from '@hadal/protocol/job-channel';
import type { JournalEntry } from '@hadal/protocol/training-order';

export interface ToyTraining {
  readonly steps?: number;
  readonly stepMs?: number;
  /** Dies at this step, in the midst of a line: the first time, or each time. */
  readonly dieAt?: number;
  readonly isMortal?: boolean;
  readonly failAt?: number;
  /** Asks this model at its first step, and tells what it says. */
  readonly asks?: string;
  /** Takes so much memory, and so much in a process that it has started. */
  readonly bytes?: number;
  readonly childBytes?: number;
}

const [, directory = ''] = process.argv.slice(2);
const file = (name: string) => join(directory, name);
const [line = ''] = readFileSync(file('training.jsonl'), 'utf8').split('\n');
const { toy = {} } = JSON.parse(line) as { toy?: ToyTraining };
const { steps = 4, stepMs = 10, dieAt, isMortal = false, failAt, asks, bytes = 0, childBytes = 0 } = toy;

process.on('disconnect', () => process.exit());
let isStopping = false;
process.on('SIGTERM', () => {
  isStopping = true;
});
writeFileSync(file('lock'), JSON.stringify({ pid: process.pid }));
appendFileSync(file('starts'), `${process.pid}\n`);
const held = Buffer.alloc(bytes, 1);
const child = `const held = Buffer.alloc(${childBytes}, 1); process.stdin.resume().on('end', () => process.exit(held.length))`;
if (childBytes > 0) spawn(process.execPath, ['-e', child], { stdio: ['pipe', 'ignore', 'ignore'] });

type Told = JournalEntry extends infer E ? (E extends unknown ? Omit<E, 'atMs'> : never) : never;
const tell = (entry: Told) =>
  appendFileSync(file('journal.jsonl'), `${JSON.stringify({ ...entry, atMs: Date.now() })}\n`);
async function ask(model: string): Promise<ChannelReply> {
  const question = { model, messages: [{ role: 'user', content: 'Hello' }], seed: 1, thinking: false } as const;
  const reply = new Promise<ToTrainer>((resolve) => process.once('message', resolve));
  process.send?.({ type: 'ask', id: 7, question } satisfies ToServer);
  const { id, reply: said } = await reply;
  if (id !== 7) throw new Error(`expected the answer to question 7, got ${id}`);
  return said;
}

/** As it is shown in `step`. */
function rolloutOf(step: number) {
  return {
    ...{ prompt: 0, sample: 0, messages: [{ role: 'user', content: 'a' }], reward: 1, sub_rewards: { accuracy: 1 } },
    answer: { reasoning_content: 'hm', content: `${step}`, tool_calls: [] },
    ...{ completion_tokens: 3, turns: 1, is_truncated: false },
  };
}

const state = file('state/latest.json');
mkdirSync(file('state'), { recursive: true });
const first = existsSync(state) ? Number(readFileSync(state, 'utf8')) + 1 : 1;
if (first === 1) tell({ type: 'settled', epochs: 1, batchSize: 1, learningRateMultiplier: 1, steps, more: {} });

for (let step = first; step <= steps; step++) {
  await delay(stepMs);
  if (asks !== undefined && step === 1) {
    const reply = await ask(asks);
    tell({ type: 'message', level: 'info', message: JSON.stringify(reply) });
  }
  if (step === dieAt && (isMortal || !existsSync(file('died')))) {
    writeFileSync(file('died'), '');
    appendFileSync(file('journal.jsonl'), '{"type": "metrics", "st');
    process.kill(process.pid, 'SIGKILL');
  }
  if (step === failAt) {
    tell({ type: 'failed', code: 'grader_failed', message: 'the grader fails', param: null, trainedTokens: 10 * step });
    process.exit();
  }
  tell({ type: 'metrics', step, data: { loss: 1 / step, reward: step / steps } });
  writeFileSync(file(`rollouts-${step}.jsonl`), `${JSON.stringify(rolloutOf(step))}\n`.repeat(3));
  tell({ type: 'rollouts', step, file: `rollouts-${step}.jsonl` });
  if (step % 2 === 0 || step === steps || isStopping) {
    const checkpoint = `step-${step}`;
    mkdirSync(file(checkpoint), { recursive: true });
    writeFileSync(join(file(checkpoint), 'config.json'), JSON.stringify({ model_type: 'deepseek_v4' }));
    writeFileSync(state, `${step}`);
    tell({ type: 'checkpoint', step, directory: checkpoint, isAdapter: false, metrics: { train_loss: 1 / step } });
  }
  if (isStopping) {
    tell({ type: 'stopped', step, trainedTokens: 10 * step });
    process.exit();
  }
}
writeFileSync(file('metrics.csv'), 'step,loss\n');
const resultFiles = [{ name: 'metrics.csv', path: 'metrics.csv' }];
tell({ type: 'succeeded', trainedTokens: 10 * steps + 0 * held.length, resultFiles });
process.exit();
