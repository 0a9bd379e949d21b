// A trainer for tests, whose models say which checkpoint they are of. Never used outside tests.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import process from 'node:process';
import { openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { thinkEnd } from '@hadal/formats/special-tokens';
import { openEmbeddedProvider } from '../embedded-provider.ts';
import { startJobProcess } from '../job-process.ts';
import type { Training, TrainingDesk } from '../training-desk.ts';
import { openToyEngine } from './toy-engine.ts';

export interface ToyDesk extends TrainingDesk {
  /** Checkpoints that are open now, and all that ever were, by their directories' names. */
  readonly open: Set<string>;
  readonly opened: string[];
  /** Of each order that was checked, the memory that others are to give back. */
  readonly freed: number[];
}

export function openToyDesk(): ToyDesk {
  const open = new Set<string>();
  const opened: string[] = [];
  const freed: number[] = [];
  return {
    ...{ open, opened, freed },
    checkpointOf: (model) => (model === 'toy' ? '/toy' : undefined),
    async check({ trainingFile }, directory, freedBytes) {
      freed.push(freedBytes);
      const lines = (await readFile(join(directory, trainingFile), 'utf8')).trimEnd().split('\n');
      return lines.flatMap((text, i) => {
        if (text.startsWith('{') && text.endsWith('}')) return [];
        const problem = { code: 'invalid_training_file', message: 'expected an object' };
        return [{ ...problem, param: 'training_file', line: i + 1 }];
      });
    },
    async estimate({ trainingFile }, directory) {
      const { length } = await readFile(join(directory, trainingFile));
      return { tokens: length, steps: 4, memoryBytes: 1000, seconds: 1.5 };
    },
    start(directory, ask) {
      const script = join(import.meta.dirname, 'toy-training.ts');
      return startJobProcess({ program: process.execPath, args: [script, 'train-job', directory] }, directory, ask);
    },
    validateGrader: async (grader) =>
      'input' in grader && String(grader.input).includes('{{ item.nothing }}')
        ? [{ field: 'input', problem: 'item.nothing: no row has it' }]
        : [],
    async runGrader({ grader, item, sample, ask, signal }) {
      const run = { name: grader.name, type: grader.type, subRewards: {}, problems: [], executionMs: 2 };
      if (grader.type !== 'score_model') {
        const { answer } = item as { answer?: string };
        return { ...run, reward: answer === sample ? 1 : 0, usage: {} };
      }
      const sampling = { seed: 1, maxTokens: 9, effort: 'none' } as const;
      const messages = [{ role: 'user', content: sample }] as const;
      const reply = await ask({ model: grader.model, messages, ...sampling, schema: { type: 'object' } }, signal);
      if (reply.type === 'failure' || reply.type === 'gone') throw new Error(JSON.stringify(reply));
      return { ...run, reward: Number(reply.content), usage: { [grader.model]: reply.usage } };
    },
    async openCheckpoint({ directory }) {
      const name = basename(directory);
      const checkpoint = openCheckpointDirectory(directory);
      const engine = openToyEngine({ script: () => [`hm${thinkEnd}`, `I am ${name}`] });
      const provider = await openEmbeddedProvider({ engine, checkpoint });
      open.add(name);
      opened.push(name);
      return { ...provider, [Symbol.asyncDispose]: async () => void open.delete(name) };
    },
  };
}

/** A trainer in a directory of its own, gone in the end. */
export async function openToyTraining(
  more: Partial<Training> = {},
): Promise<{ readonly training: Training; readonly desk: ToyDesk } & AsyncDisposable> {
  const directory = await mkdtemp(join(tmpdir(), 'hadal-jobs-'));
  const desk = openToyDesk();
  return {
    training: { desk, directory, pollMs: 50, restartDelaysMs: [1, 1, 1], stopMs: 5000, timeLeewayMs: 0, ...more },
    desk,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true, maxRetries: 3 }),
  };
}
