// The engine's own thread.
//
// Owns the model and the runner; hears requests and tells events. Between two steps it listens once, so an abort takes
// effect within a step and the other thread never waits on arithmetic.

import { setImmediate } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { openCheckpoint } from '@hadal/formats/checkpoint';
import { checkpointFingerprint } from '@hadal/formats/checkpoint-fingerprint';
import type { Tokenizer } from '@hadal/formats/tokenizer';
import { type Device, openDevice } from '@hadal/kernels/device';
import { type LoadProgress, openModel, readDefinition } from '@hadal/models/language-model';
import { availableMemory } from './available-memory.ts';
import { ModelDrafter } from './drafters/draft-model.ts';
import { fitModel, stepTokens } from './fit-model.ts';
import type { MemoryPlan } from './memory-plan.ts';
import type { FromWorker, KeyedEvent, ToWorker, WorkerOptions } from './messages.ts';
import { PageFiles } from './page-files.ts';
import { Runner, type RunnerOptions } from './runner.ts';
import type { AdapterInfo } from './served-adapters.ts';

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

async function serve({ path, threads, fit, prefixes, drafterPath }: WorkerOptions): Promise<void> {
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
  const drafters: RunnerOptions['drafters'] =
    drafterPath === undefined ? {} : { draft: await openDrafter(device, drafterPath, tokenizer, plan) };
  const runner = new Runner(device, model, tokenizer, { cacheBytes: plan.cache, stepTokens, prefixFiles, drafters });
  const { vocabularySize, parameters } = model;
  tell({ type: 'opened', model: { contextLength, vocabularySize, parameters, dtype, drafters: runner.drafters } });

  let events: KeyedEvent[] = [];
  const tellEvents = () => {
    if (events.length > 0) tell({ type: 'events', events });
    events = [];
  };

  const tellAdapter = (change: () => AdapterInfo | undefined) => {
    try {
      tell({ type: 'adapter', adapter: change() });
    } catch (error) {
      // The caller's mistake: a file that is no adapter of this model, or a name.
      tell({ type: 'noAdapter', message: error instanceof Error ? error.message : String(error) });
    }
  };

  let isRunning = false;
  port.on('message', (message: ToWorker) => {
    switch (message.type) {
      case 'generate': {
        const { key, request, seed } = message;
        runner.add(key, request, seed, (event) => events.push([key, event]));
        tellEvents();
        if (!isRunning) run();
        break;
      }
      case 'abort':
        runner.abort(message.key);
        tellEvents();
        break;
      case 'load':
        tell({ type: 'load', load: runner.load });
        break;
      case 'loadAdapter':
        tellAdapter(() => runner.loadAdapter(message.name, message.directory));
        break;
      case 'unloadAdapter':
        tellAdapter(() => runner.unloadAdapter(message.name));
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
      tellEvents();
      await setImmediate();
    }
    isRunning = false;
  }
}

/** The model that guesses ahead of one with `tokenizer`, which has been loaded and whose cache (`plan`) has not been filled. */
async function openDrafter(
  device: Device,
  path: string,
  tokenizer: Tokenizer,
  plan: MemoryPlan,
): Promise<ModelDrafter> {
  const checkpoint = await openCheckpoint(path);
  const own = checkpoint.tokenizer();
  for (let id = 0; id < Math.max(tokenizer.vocabularySize, own.vocabularySize); id++) {
    const [expected, found] = [tokenizer.bytes(id), own.bytes(id)].map((bytes) => Buffer.from(bytes).toString('utf8'));
    if (expected !== found) {
      const problem = `token ${id} to be ${JSON.stringify(expected)} as in the model that it guesses for`;
      throw new Error(`${path}: expected ${problem}, it is ${JSON.stringify(found)}`);
    }
  }
  const contextLength = Math.min(plan.contextLength, readDefinition(checkpoint).contextLength);
  const fit = fitModel(checkpoint, { contextLength }, availableMemory() - plan.cache);
  const { dtype, form, experts } = fit;
  const model = openModel(device, checkpoint, { dtype, form, experts, contextLength });
  return new ModelDrafter(device, model, fit.plan.cache);
}
