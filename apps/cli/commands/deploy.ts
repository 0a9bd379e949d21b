// `hadal deploy`: what it takes to serve a model with vLLM or SGLang, and what starts it.
//
// Owns the options and where a model is found: a directory, a config.json, or the name of one that was published. The arithmetic
// is the models package's, the files are made in `deployment`. Nothing is downloaded and nothing is started.

import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { DeploymentRequest } from '@hadal/models/deployment/deployment-plan';
import { Argument, Command, Option } from 'commander';
import type { ComparisonRow, Prices } from '../deployment/hardware-comparison.ts';
import { exitCodes, UsageError } from '../failure.ts';
import { integerFrom, numberFrom } from '../option-parsers.ts';
import { tableText } from '../table.ts';
import type { Terminal } from '../terminal.ts';

interface DeployOptions {
  readonly model: string;
  readonly gpus?: string;
  readonly context?: number;
  readonly users?: number;
  readonly quantization: DeploymentRequest['quantization'];
  readonly cache?: 'bf16' | 'fp8';
  readonly mtp?: true;
  readonly utilization: number;
  readonly gpusPerNode: number;
  readonly format: 'command' | 'compose' | 'kubernetes' | 'hadal';
  readonly compare?: true;
  readonly price?: readonly string[];
  readonly json?: true;
}

export function deployCommand(terminal: Terminal): Command {
  return new Command('deploy')
    .description('Plan a model on GPUs with vLLM or SGLang, and print what starts it')
    .addArgument(new Argument('<engine>', 'what serves it').choices(['vllm', 'sglang']))
    .requiredOption('--model <model>', 'a directory or config.json, or the name of a published model')
    .option('--gpus <fleet>', 'such as 4xA100-80G, 2x8xH100 (nodes of eight) or 8x48GB')
    .option('--context <tokens>', 'of each conversation; as many as the model allows and as fit', integerFrom(1))
    .option('--users <number>', 'conversations at once', integerFrom(1))
    .addOption(
      new Option('--quantization <kind>', 'how matrices are kept')
        .choices(['published', 'bf16', 'fp8', 'awq'])
        .default('published'),
    )
    .addOption(new Option('--cache <dtype>', 'how the cache is kept').choices(['bf16', 'fp8']))
    .option('--mtp', 'draft with the prediction module')
    .option('--utilization <share>', 'of the memory that vLLM may take', numberFrom(0.1, 1), 0.9)
    .option('--gpus-per-node <number>', 'where --gpus does not say', integerFrom(1, 64), 8)
    .addOption(
      new Option('--format <format>', 'what is printed')
        .choices(['command', 'compose', 'kubernetes', 'hadal'])
        .default('command'),
    )
    .option('--compare', 'the smallest fleet of each kind of GPU, and what it costs')
    .option('--price <gpu=dollars>', 'of a GPU and an hour, may be given again', collect)
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Weights and cache are exact, working memory is an estimate. The files of compose, kubernetes and hadal go to standard output
and the plan to standard error. Published models are known by name: V4-Flash, V4-Pro, V3.2, V3.1, V3, R1, R1-0528,
R1-Distill-Qwen-1.5B, -7B, -14B and -32B, R1-Distill-Llama-8B and -70B, V2, V2-Lite.

Examples:
  hadal deploy vllm --model V3 --gpus 8xH200
  hadal deploy vllm --model R1-Distill-Qwen-32B --gpus 1xA100-80G --context 16384
  hadal deploy sglang --model R1 --gpus 2x8xH100 --users 8 --context 32768 --format kubernetes > r1.yaml
  hadal deploy vllm --model V4-Flash --gpus 4xH200 --users 60 --format compose > compose.yaml
  hadal deploy vllm --model ./my-model --compare --context 32768 --users 10 --price H100=2.5`,
    )
    .action((engine: 'vllm' | 'sglang', options: DeployOptions) => deploy(engine, options, terminal));
}

async function deploy(engine: 'vllm' | 'sglang', options: DeployOptions, terminal: Terminal): Promise<void> {
  const [{ planDeployment }, { parseFleet }, report, files] = await Promise.all([
    import('@hadal/models/deployment/deployment-plan'),
    import('@hadal/models/deployment/gpu-fleet'),
    import('../deployment/plan-report.ts'),
    import('../deployment/launch-files.ts'),
  ]);
  const wishes = {
    ...{ model: await findModel(options.model), engine, context: options.context, users: options.users },
    ...{ quantization: options.quantization, cacheDtype: options.cache, utilization: options.utilization },
    predictor: options.mtp ? ('present' as const) : ('absent' as const),
  };
  if (options.compare) return await compare(wishes, options, terminal);
  if (options.gpus === undefined) throw new UsageError('--gpus: expected a fleet such as 8xH200, or --compare');
  const fleet = asOption('--gpus', () => parseFleet(options.gpus as string, options.gpusPerNode));
  const plan = planDeployment({ ...wishes, fleet });
  if (plan.kind === 'refused') {
    process.exitCode = exitCodes.failure;
    if (options.json) terminal.out(`${JSON.stringify(report.planJson(plan))}\n`);
    else terminal.err(report.refusalReport(plan));
    return;
  }
  const host = options.format === 'kubernetes' ? files.deploymentName(plan) : '127.0.0.1';
  const configuration = files.hadalConfiguration(plan, host);
  if (options.json) {
    const texts = { command: files.launchCommands(plan), hadal_configuration: configuration };
    terminal.out(`${JSON.stringify({ ...report.planJson(plan), ...texts })}\n`);
    return;
  }
  const text = report.planReport(plan);
  switch (options.format) {
    case 'command':
      terminal.out(`${text}\n${files.launchCommands(plan)}\n# hadal.yaml\n${configuration}`);
      break;
    case 'compose':
      terminal.err(`${text}\n# hadal.yaml\n${configuration}`);
      terminal.out(files.composeFile(plan));
      break;
    case 'kubernetes':
      terminal.err(`${text}\n# hadal.yaml\n${configuration}`);
      terminal.out(files.kubernetesManifests(plan));
      break;
    case 'hadal':
      terminal.err(text);
      terminal.out(configuration);
      break;
    default:
      options.format satisfies never;
  }
}

/** A directory or file is taken for what it is before a name is. */
async function findModel(text: string): Promise<DeploymentRequest['model']> {
  const [{ findPublishedModel, publishedModels }, { servedModel }] = await Promise.all([
    import('@hadal/models/deployment/published-models'),
    import('@hadal/models/deployment/served-model'),
  ]);
  if (existsSync(text)) {
    const file = statSync(text).isDirectory() ? join(text, 'config.json') : text;
    return servedModel(resolve(dirname(file)), readJson(file), file);
  }
  const published = findPublishedModel(text);
  if (published) return servedModel(published.repository, published.config, published.repository);
  const names = publishedModels.map(({ repository }) => repository.replace(/^.*\//, '').replace(/^DeepSeek-/, ''));
  throw new UsageError(
    `--model: expected a directory, a config.json or one of ${names.join(', ')}; nothing is called ${text}`,
  );
}

function readJson(file: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`${file}: expected a configuration (${(error as Error).message})`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${file}: expected JSON (${(error as Error).message})`);
  }
}

async function compare(
  wishes: Omit<DeploymentRequest, 'fleet'>,
  options: DeployOptions,
  terminal: Terminal,
): Promise<void> {
  const [{ compareHardware, listedPrices, parsePrice }, { layoutInWords }] = await Promise.all([
    import('../deployment/hardware-comparison.ts'),
    import('../deployment/plan-report.ts'),
  ]);
  const own = asOption('--price', () => (options.price ?? []).map(parsePrice));
  const prices: Prices = new Map([
    ...listedPrices.perHour,
    ...own.map(({ name, dollars }) => [name, dollars] as const),
  ]);
  const rows = compareHardware(wishes, prices);
  if (options.json) {
    terminal.out(
      `${JSON.stringify({ model: wishes.model.source, prices_from: listedPrices.source, rows: rows.map(rowJson) })}\n`,
    );
    return;
  }
  const table = rows.map(({ gpu, plan, dollarsPerHour, doubt }) => [
    plan ? `${plan.request.fleet.count} x ${gpu.name}` : gpu.name,
    ...(plan
      ? [
          plan.context.toLocaleString('en'),
          plan.users.toLocaleString('en'),
          money(dollarsPerHour),
          money(dollarsPerHour && dollarsPerHour / plan.users),
        ]
      : ['', '', '', '']),
    plan ? [layoutInWords(plan.layout), ...(doubt ? [doubt] : [])].join('; ') : 'not on 64 or fewer',
  ]);
  const head = ['GPUs', 'context', 'users', '$ an hour', '$ a user', 'layout'];
  terminal.out(`${tableText(head, table)}\nprices: ${listedPrices.source}; --price says others\n`);
}

function rowJson({ gpu, plan, dollarsPerHour, doubt }: ComparisonRow) {
  return {
    ...{ gpu: gpu.name, fits: plan !== undefined, gpus: plan?.request.fleet.count ?? null },
    ...{ context: plan?.context ?? null, users: plan?.users ?? null, dollars_per_hour: dollarsPerHour ?? null },
    doubt: doubt ?? null,
  };
}

function money(dollars: number | undefined): string {
  return dollars === undefined ? '' : dollars.toFixed(2);
}

function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

/** What a package says of a text is the caller's mistake here. */
function asOption<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new UsageError(`${name}: ${(error as Error).message}`);
  }
}
