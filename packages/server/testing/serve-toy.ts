// A running server with a toy model behind it, for tests over real HTTP.
//
// Owns the set-up and its end: `await using` stops the server. Never used outside tests.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { beginOfSentence, endOfSentence } from '@hadal/formats/special-tokens';
import type { BatchDetails } from '@hadal/protocol/batches';
import { openStore, type Store } from '@hadal/store/store';
import { pino } from 'pino';
import { openEmbeddedProvider } from '../embedded-provider.ts';
import { deepseekNames, type ModelName, namedProviders } from '../model-names.ts';
import type { Provider } from '../provider.ts';
import { type HttpServer, type ServerOptions, startServer } from '../server.ts';
import { openToyTraining } from './toy-desk.ts';
import { openToyEngine, type ToyEngine, type ToyEngineOptions } from './toy-engine.ts';

export interface ToyServer extends AsyncDisposable {
  readonly server: HttpServer;
  readonly engine: ToyEngine;
  /** Of the toy model, under its own name. */
  readonly provider: Provider;
  readonly store: Store<BatchDetails>;
  /** The lines of the log so far, parsed. */
  readonly log: Record<string, unknown>[];
}

type Options = ToyEngineOptions &
  Partial<ServerOptions> & {
    readonly generationConfig?: object;
    /** Whether the model also answers to DeepSeek's names, or to which others. */
    readonly names?: boolean | readonly ModelName[];
    readonly missingReasoning?: 'recover' | 'refuse';
    readonly startTimeoutMs?: number;
    /** Of a model with an encoding of its own; `deepseek_v4` where absent. */
    readonly modelType?: string;
    /** Whether there is a trainer, which trains nothing. */
    readonly trains?: boolean;
    /** In Jinja; the model type's encoding where absent. */
    readonly chatTemplate?: string;
  };

export async function serveToy(options: Options): Promise<ToyServer> {
  const engine = openToyEngine(options);
  const directory = await mkdtemp(join(tmpdir(), 'hadal-toy-'));
  const write = (name: string, json: object) => writeFile(join(directory, name), JSON.stringify(json));
  if (options.generationConfig !== undefined) await write('generation_config.json', options.generationConfig);
  await write('config.json', {
    model_type: options.chatTemplate === undefined ? (options.modelType ?? 'deepseek_v4') : 'llama',
  });
  if (options.chatTemplate !== undefined) {
    const tokens = { bos_token: beginOfSentence, eos_token: { content: endOfSentence } };
    await write('tokenizer_config.json', { ...tokens, chat_template: options.chatTemplate, add_bos_token: true });
  }
  const provider = await openEmbeddedProvider({
    ...{ engine, checkpoint: openCheckpointDirectory(directory), missingReasoning: options.missingReasoning },
    startTimeoutMs: options.startTimeoutMs,
  });
  await rm(directory, { recursive: true });

  const log: Record<string, unknown>[] = [];
  const logger = pino({ level: 'debug' }, { write: (line) => void log.push(JSON.parse(line)) });
  const providers = namedProviders([provider], options.names === true ? deepseekNames : options.names || []);
  const store = options.store ?? (await openStore<BatchDetails>({ path: ':memory:' }));
  const toyTraining = options.trains ? await openToyTraining() : undefined;
  const training = options.training ?? toyTraining?.training;
  const server = await startServer({ host: '127.0.0.1', port: 0, providers, logger, ...options, store, training });
  return {
    ...{ server, engine, provider, store, log },
    async [Symbol.asyncDispose]() {
      await server.close(0);
      await toyTraining?.[Symbol.asyncDispose]();
      if (options.store === undefined) await store[Symbol.asyncDispose]();
    },
  };
}
