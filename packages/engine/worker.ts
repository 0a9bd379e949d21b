// The engine's own thread.
//
// Owns the model and the runner; hears requests and tells events. Between two steps it listens once, so an abort takes
// effect within a step and the other thread never waits on arithmetic.

import { setImmediate } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { openCheckpoint } from '@hadal/formats/checkpoint';
import { checkpointFingerprint } from '@hadal/formats/checkpoint-fingerprint';
import { openDevice } from '@hadal/kernels/device';
import { type LoadProgress, openModel, readDefinition } from '@hadal/models/language-model';
import { fitModel, stepTokens } from './fit-model.ts';
import type { FromWorker, ToWorker, WorkerOptions } from './messages.ts';
import { PageFiles } from './page-files.ts';
import { Runner } from './runner.ts';

/** To be raised when kernels make other bits of the same weights: rows on disk are then another model's. */
const rowsVersion = 1;
/** How often loading tells how far it is. */
const progressMs = 50;

if (!parentPort) throw new Error('worker.ts runs as a worker thread only');
const port = parentPort;
const tell = (message: FromWorker) => port.postMessage(message);

try {
  await serve(workerData as WorkerOptions);
} catch (error) {
  tell({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
  port.close();
}

async function serve({ path, threads, fit, prefixes }: WorkerOptions): Promise<void> {
  const checkpoint = await openCheckpoint(path);
  // What can be known without reading weights, first: they may be hundreds of gigabytes.
  const tokenizer = checkpoint.tokenizer();
  const rows = readDefinition(checkpoint).vocabularySize;
  if (tokenizer.vocabularySize > rows) {
    const has = tokenizer.vocabularySize;
    throw new Error(
      `${path}: expected a tokenizer of at most ${rows} tokens, the rows of the embedding, it has ${has}`,
    );
  }
  const { dtype, form, experts, plan } = fitModel(checkpoint, fit);
  const device = openDevice({ threads });
  let toldMs = performance.now();
  const onProgress = (progress: LoadProgress) => {
    if (performance.now() - toldMs < progressMs) return;
    toldMs = performance.now();
    tell({ type: 'progress', progress });
  };
  const { contextLength } = plan;
  const model = openModel(device, checkpoint, {
    ...{ dtype, form, experts, contextLength, onProgress, predictor: 'present' },
  });
  const prefixFiles = prefixes && {
    files: new PageFiles(prefixes),
    // Whatever the bits of a row depend on.
    fingerprint: [await checkpointFingerprint(checkpoint), model.dtype, model.form, device.isa, rowsVersion].join(' '),
  };
  const runner = new Runner(device, model, tokenizer, { cacheBytes: plan.cache, stepTokens, prefixFiles });
  const { vocabularySize, parameters } = model;
  tell({ type: 'opened', model: { contextLength, vocabularySize, parameters, dtype, drafters: runner.drafters } });

  let isRunning = false;
  port.on('message', (message: ToWorker) => {
    switch (message.type) {
      case 'generate': {
        const { key, request, seed } = message;
        runner.add(key, request, seed, (event) => tell({ type: 'event', key, event }));
        if (!isRunning) run();
        break;
      }
      case 'abort':
        runner.abort(message.key);
        break;
      case 'close':
        port.close();
        void runner.flush().then(() => {
          runner[Symbol.dispose]();
          model[Symbol.dispose]();
          device[Symbol.dispose]();
          process.exit();
        });
    }
  });

  async function run(): Promise<void> {
    isRunning = true;
    while (runner.hasWork) {
      runner.step();
      await setImmediate();
    }
    isRunning = false;
  }
}
