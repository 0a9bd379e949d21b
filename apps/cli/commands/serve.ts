// `hadal serve`: a model behind the HTTP API.
//
// Owns how the server is started and stopped from a terminal. The server itself, and what it says when it cannot have its
// address, is the server package's.

import { type DrafterName, drafterNames } from '@hadal/engine/speculation';
import type { BatchDetails } from '@hadal/protocol/batches';
import type { Configuration } from '@hadal/server/configuration';
import type { Logger } from '@hadal/server/logger';
import type { ChangeableOptions } from '@hadal/server/server';
import type { Tracing } from '@hadal/server/tracing';
import type { TrainingDesk } from '@hadal/server/training-desk';
import { Command, Option } from 'commander';
import { jobsDirectory, prefixDirectory, storePlace } from '../data-directory.ts';
import { UsageError } from '../failure.ts';
import type { LocalModel, LocalModelOptions } from '../local-model.ts';
import { addModelOptions, localModelOptions, type ModelOptions } from '../model-options.ts';
import { integerFrom, numberFrom } from '../option-parsers.ts';
import { listenForSignals } from '../signals.ts';
import type { Terminal } from '../terminal.ts';

/** The depth of the Challenger Deep, in metres. */
export const defaultPort = 10935;

const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;

interface ServeOptions extends ModelOptions {
  readonly port: number;
  readonly host: string;
  readonly log: (typeof logLevels)[number];
  readonly diskCache: number;
  readonly draftModel?: string;
  readonly strictReasoning?: true;
  readonly config?: string;
  readonly speculative?: DrafterName | 'none';
}

export function serveCommand(terminal: Terminal): Command {
  return addModelOptions(new Command('serve'), 'the checkpoint to serve: a directory, or a .gguf file')
    .description('Serve a model over HTTP, to any client that speaks chat completions')
    .addOption(
      new Option('-p, --port <number>', 'where to listen; 0 takes any free port')
        .env('PORT')
        .default(defaultPort)
        .argParser(integerFrom(0, 65535)),
    )
    .option(
      '--host <address>',
      'where to listen: 0.0.0.0 for other machines too, which needs a key (hadal keys)',
      '127.0.0.1',
    )
    .option(
      '--disk-cache <gigabytes>',
      'how much of the prompts read stays on disk, under HADAL_HOME, for later starts; 0: nothing',
      numberFrom(0, 1e6),
      4,
    )
    .option('--draft-model <path>', 'a smaller checkpoint with the same tokenizer, to guess ahead with')
    .addOption(
      new Option(
        '--speculative <method>',
        'who guesses ahead where a request does not say (default: the best there is)',
      ).choices([...drafterNames, 'none']),
    )
    .option(
      '--config <file>',
      'names of models and settings of the server (default: hadal.yaml in HADAL_HOME, if there)',
    )
    .option('--strict-reasoning', 'refuse calls of tools that come back without their reasoning, as DeepSeek does')
    .addOption(new Option('--log <level>', 'what to write to standard error').choices(logLevels).default('warn'))
    .addHelpText(
      'after',
      `
Environment:
  HADAL_HOME    where everything is kept that outlives the server (default: ~/.hadal)
  DATABASE_URL  a PostgreSQL database for files, batches, keys and usage, instead of a file in HADAL_HOME:
                postgres://user:password@host/name

Examples:
  hadal serve
  hadal keys create team && hadal serve --port 8080 --host 0.0.0.0
  hadal serve --model runs/my-model/checkpoint --log info
  hadal serve --model DeepSeek-R1-Distill-Qwen-7B --dtype int8 --context 16384
  hadal serve --model DeepSeek-R1-Distill-Qwen-1.5B-Q8_0.gguf
  hadal serve --config hadal.yaml
  DATABASE_URL=postgres://hadal@db.example/hadal hadal serve
  hadal serve --model DeepSeek-R1-Distill-Qwen-14B --draft-model DeepSeek-R1-Distill-Qwen-1.5B
  curl http://127.0.0.1:${defaultPort}/chat/completions -H 'content-type: application/json' \\
    -d '{"model": "hadal-nano", "messages": [{"role": "user", "content": "Hello"}]}'`,
    )
    .action((options: ServeOptions, command: Command) => {
      const isSaid = (name: string) => command.getOptionValueSource(name) !== 'default';
      return serve(options, isSaid, terminal);
    });
}

/** Serves until the process is asked to stop; a second request stops it at once. */
async function serve(
  { port, host, log, diskCache, draftModel, speculative, strictReasoning, config, ...model }: ServeOptions,
  isSaid: (option: string) => boolean,
  terminal: Terminal,
): Promise<void> {
  const [
    { startServer },
    { createLogger },
    { namedProviders },
    { openStore },
    { readConfiguration },
    { openMetrics },
    { configurationReload },
    { openUpstreams },
  ] = await Promise.all([
    import('@hadal/server/server'),
    import('@hadal/server/logger'),
    import('@hadal/server/model-names'),
    import('@hadal/store/store'),
    import('../configuration-file.ts'),
    import('@hadal/server/metrics'),
    import('../configuration-reload.ts'),
    import('../upstreams.ts'),
  ]);
  const signals = listenForSignals(terminal);
  const configuration = readConfiguration(config);
  const logger = createLogger(log);
  const metrics = openMetrics();
  await using tracing = await tracingOf(configuration, logger);
  const traceHeaders = tracing && (() => tracing.headers());
  await using upstreams = await openUpstreams(configuration.upstreams, { logger, traceHeaders });
  const isLocal = configuration.localModel !== false || model.model !== undefined;
  await using store = await openStore<BatchDetails>({ ...storePlace(), onError: () => metrics.noteStoreError() });
  const address = isSaid('host') ? host : (configuration.host ?? host);
  if (!isLoopback(address) && !(await store.keys.isAny())) {
    const advice = 'make one first: hadal keys create NAME';
    throw new UsageError(`${address} lets others in, and there are no keys to tell who may come; ${advice}`);
  }
  const prefixes = diskCache > 0 ? { directory: prefixDirectory(), maxBytes: diskCache * 1e9 } : undefined;
  const localOptions = {
    ...localModelOptions(model),
    prefixes,
    draftModel,
    speculation: speculative,
    missingReasoning: strictReasoning ? ('refuse' as const) : configuration.missingReasoning,
    startTimeoutMs: configuration.startTimeoutMs,
  };
  // Imported where a model runs here: what only passes requests on holds no engine in memory.
  const { openLocalModel } = isLocal ? await import('../local-model.ts') : {};
  await using local = await openLocalModel?.(localOptions, terminal);
  // Trained is what is loaded here.
  await using desk = local && (await openDesk(local, localOptions));
  const served = [...(local ? [local.provider] : []), ...upstreams.providers];
  const changeable = ({ models, ...settings }: Configuration): ChangeableOptions => ({
    ...{ keepAliveMs: settings.keepAliveMs, stallTimeoutMs: settings.stallTimeoutMs },
    ...{ prices: settings.prices, retention: settings.retention, webhooks: settings.webhooks },
    providers: namedProviders(served, models),
  });
  await using server = await startServer({
    port: isSaid('port') ? port : (configuration.port ?? port),
    host: address,
    ...changeable(configuration),
    ...{ store, metrics, tracing },
    training: desk && { ...configuration.training, desk, directory: jobsDirectory() },
    ...(configuration.cors !== undefined && { cors: configuration.cors }),
    ...(configuration.metricsAt !== undefined && { metricsAt: configuration.metricsAt }),
    logger,
  });
  terminal.out(`${local?.description ?? upstreams.description} is ready at ${server.url}\n`);
  if (typeof configuration.metricsAt === 'object') terminal.out(`Metrics: ${server.metricsUrl}\n`);
  if (terminal.isInteractive) terminal.out(terminal.dim(`Talk with it: npx hadal chat --url ${server.url}\n`));
  signals.onReload(
    configurationReload(configuration, {
      read: () => readConfiguration(config),
      apply: (changed) => server.replace(changeable(changed)),
      logger,
    }),
  );
  await signals.stopped;
}

async function openDesk(local: LocalModel, options: LocalModelOptions): Promise<TrainingDesk & AsyncDisposable> {
  const [{ openTrainingDesk }, { ownCheckpoint }] = await Promise.all([
    import('../training/training-desk.ts'),
    import('../own-checkpoint.ts'),
  ]);
  return openTrainingDesk({ local, options: { ...options, path: options.path ?? ownCheckpoint() } });
}

/** Whether only this machine can reach it. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** Imports OpenTelemetry only where something is to be sent. */
async function tracingOf({ traces }: Configuration, logger: Logger): Promise<Tracing | undefined> {
  const endpoint = process.env.OTEL_EXPORTER_OTLP_ENDPOINT;
  const place = traces ?? (endpoint ? { endpoint } : 'off');
  if (place === 'off') return undefined;
  const { openTracing } = await import('@hadal/server/tracing');
  return openTracing({ ...place, logger });
}
