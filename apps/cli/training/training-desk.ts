// The trainer behind a server: jobs as processes of this program, graders, and checkpoints opened again.
//
// Owns how what the server knows as a desk is made of the training package and of the engine. An adapter to the model that is
// served answers from the same weights; everything else is loaded beside it.

import { resolve } from 'node:path';
import process from 'node:process';
import { openCheckpoint } from '@hadal/formats/checkpoint';
import { openEmbeddedProvider } from '@hadal/server/embedded-provider';
import { startJobProcess } from '@hadal/server/job-process';
import type { Provider } from '@hadal/server/provider';
import type { ServedCheckpoint, TrainingDesk } from '@hadal/server/training-desk';
import { type LocalModel, type LocalModelOptions, openLocalModel } from '../local-model.ts';
import type { Terminal } from '../terminal.ts';
import { graderAsk } from './grader-ask.ts';
import { checkOrderApart, estimateOrderApart } from './order-reader.ts';
import { postWebhook } from './post-webhook.ts';

export interface TrainingDeskOptions {
  readonly local: LocalModel;
  /** How it was loaded, and from where. */
  readonly options: LocalModelOptions & { readonly path: string };
}

/** Loading on somebody's first request is not for the terminal. */
const silent: Terminal = {
  ...{ out() {}, err() {}, dim: (text) => text },
  ...{ isInteractive: false, showsProgress: false },
};

export function openTrainingDesk({ local, options }: TrainingDeskOptions): TrainingDesk & AsyncDisposable {
  const path = resolve(options.path);
  let graders: ReturnType<typeof openGraders> | undefined;
  let adapters = 0;

  async function openAdapter({ directory, base }: ServedCheckpoint): Promise<Provider & AsyncDisposable> {
    await using opened = new AsyncDisposableStack();
    const isServed = resolve(base.directory) === path;
    const { engine } = isServed ? local : opened.use(await openModel(base.directory));
    const adapter = `job ${adapters++}`;
    await engine.loadAdapter(adapter, directory);
    opened.defer(() => engine.unloadAdapter(adapter));
    const provider = await openEmbeddedProvider({
      engine: { ...engine, generate: (request, signal) => engine.generate({ ...request, adapter }, signal) },
      checkpoint: await openCheckpoint(base.directory),
    });
    const owned = opened.move();
    return { ...provider, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  }

  /** As the one that is served, but for what is that one's alone. */
  async function openModel(directory: string): Promise<LocalModel> {
    return await openLocalModel({ ...options, path: directory, prefixes: undefined, draftModel: undefined }, silent);
  }

  return {
    check: checkOrderApart,
    estimate: estimateOrderApart,
    checkpointOf: (model) => (model === local.provider.model.id ? path : undefined),
    start(directory, ask) {
      // Without the flags of the server, which bound its garbage.
      const program = resolve(import.meta.dirname, '../hadal.ts');
      const args = [program, 'train-job', directory];
      return startJobProcess({ program: process.execPath, args }, directory, ask);
    },
    async validateGrader(grader) {
      graders ??= openGraders();
      const { validateGrader, sandboxes } = await graders;
      return await validateGrader(grader, { sandboxes });
    },
    async runGrader({ grader, item, sample, ask, signal }) {
      graders ??= openGraders();
      const { grade, textSample, sandboxes } = await graders;
      const resources = { ask: graderAsk(ask), post: postWebhook, sandboxes, nowMs: () => performance.now(), signal };
      return await grade(grader, { item, sample: textSample(sample) }, resources);
    },
    async openCheckpoint(checkpoint) {
      if (checkpoint.adapter) return await openAdapter(checkpoint);
      const model = await openModel(checkpoint.directory);
      return { ...model.provider, [Symbol.asyncDispose]: () => model[Symbol.asyncDispose]() };
    },
    [Symbol.asyncDispose]: async () => (await graders)?.sandboxes[Symbol.asyncDispose](),
  };
}

/** Read when somebody has a grader. */
async function openGraders() {
  const [{ grade }, { textSample }, { SandboxPool }, { validateGrader }] = await Promise.all([
    import('@hadal/training/graders/grader'),
    import('@hadal/training/graders/sample'),
    import('@hadal/training/graders/sandbox/sandbox-pool'),
    import('@hadal/training/graders/validate'),
  ]);
  return { grade, textSample, validateGrader, sandboxes: new SandboxPool() };
}
