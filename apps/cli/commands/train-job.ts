// `hadal train-job`: the process that carries out one job, as the server starts it.
//
// Owns its signals: SIGTERM, or a server that is gone, lets it finish its step, save and say so. What is done is in the journal.

import process from 'node:process';
import { Command } from 'commander';
import type { Terminal } from '../terminal.ts';

export function trainJobCommand(_terminal: Terminal): Command {
  return new Command('train-job')
    .description('Carry out the training job in a directory, or go on with it; the server does this by itself')
    .argument('<directory>', 'where its order.json lies')
    .action(async (directory: string) => {
      const [{ runJob }, { readOrder }, { jobServices }, { openServerChannel }, { SandboxPool }] = await Promise.all([
        import('@hadal/training/jobs/run-job'),
        import('@hadal/training/jobs/job-directory'),
        import('../training/job-services.ts'),
        import('../training/server-channel.ts'),
        import('@hadal/training/graders/sandbox/sandbox-pool'),
      ]);
      const stopping = new AbortController();
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stopping.abort());
      process.once('disconnect', () => stopping.abort());
      if (process.send && !process.connected) stopping.abort();
      await using stack = new AsyncDisposableStack();
      const sandboxes = stack.use(new SandboxPool());
      const services = jobServices(readOrder(directory), openServerChannel(), sandboxes, stack);
      const end = await runJob(directory, { ...services, signal: stopping.signal });
      if (end === 'failed') process.exitCode = 1;
      // Nothing more is to be heard from the server.
      if (process.connected) process.disconnect();
    });
}
