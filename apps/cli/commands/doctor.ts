// `hadal doctor`: whether a server would run well here.
//
// Owns which things are looked at, in which order, and how findings are shown. How they are looked at and judged stands in
// doctor/. Changes nothing: what is tried is undone.

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { availableMemory } from '@hadal/engine/available-memory';
import { fitModel } from '@hadal/engine/fit-model';
import { openCheckpoint } from '@hadal/formats/checkpoint';
import { supportedIsas } from '@hadal/kernels/device';
import { type Configuration, defaultConfiguration } from '@hadal/server/configuration';
import { openTokenCounter } from '@hadal/server/upstream/token-counter';
import type { ConfiguredUpstream } from '@hadal/server/upstream/upstream-configuration';
import { Command, Option } from 'commander';
import { configurationPath, readConfiguration } from '../configuration-file.ts';
import { dataDirectory } from '../data-directory.ts';
import {
  addressFinding,
  compilerFinding,
  configurationFindings,
  diskFinding,
  type Finding,
  filesFinding,
  memoryFinding,
  modelFinding,
  nodeFinding,
  processorFinding,
  reachableFinding,
  type Tried,
  tokenizerFinding,
  upstreamFindings,
  verdict,
} from '../doctor/findings.ts';
import {
  attempt,
  compilerVersion,
  isOurs,
  openFilesLimit,
  seeDisk,
  tryCalling,
  tryListening,
} from '../doctor/machine.ts';
import { seeUpstreamServer } from '../doctor/upstream-server.ts';
import { exitCodes } from '../failure.ts';
import { addFitOptions, fitOptions, type ModelOptions } from '../model-options.ts';
import { integerFrom, numberFrom } from '../option-parsers.ts';
import { ownCheckpoint } from '../own-checkpoint.ts';
import type { Terminal } from '../terminal.ts';
import { defaultPort } from './serve.ts';

interface DoctorOptions extends ModelOptions {
  readonly port?: number;
  readonly host?: string;
  readonly diskCache: number;
  readonly config?: string;
  readonly json?: true;
}

export function doctorCommand(terminal: Terminal): Command {
  const command = new Command('doctor').option(
    '-m, --model <path>',
    'the checkpoint that would be served: a directory, or a .gguf file',
  );
  return addFitOptions(command)
    .description('Say whether a server would run well here, and what to do where it would not')
    .addOption(new Option('-p, --port <number>', 'where it would listen').env('PORT').argParser(integerFrom(0, 65535)))
    .option('--host <address>', 'who may connect')
    .option('--disk-cache <gigabytes>', 'what prefixes may take on disk', numberFrom(0, 1e6), 4)
    .option('--config <file>', 'the configuration (default: hadal.yaml in HADAL_HOME, if there)')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Exit status: 0 also with warnings, 1 where something would not work.

Examples:
  hadal doctor
  hadal doctor --model DeepSeek-R1-Distill-Qwen-7B --context 16384
  hadal doctor --config hadal.yaml --json | jq '.findings[] | select(.status != "ok")'`,
    )
    .action((options: DoctorOptions) => doctor(options, terminal));
}

async function doctor(options: DoctorOptions, terminal: Terminal): Promise<void> {
  const { configuration, findings: ofConfiguration } = readForFindings(options.config);
  const findings: Finding[] = [...machineFindings(), await ofModel(options), ...ofConfiguration];
  findings.push(diskFinding(seeDisk(dataDirectory(), options.diskCache * 1e9)), filesFinding(openFilesLimit()));
  findings.push(...(await addressFindings(options, configuration)));
  const { traces } = configuration;
  if (typeof traces === 'object') {
    findings.push(reachableFinding('traces', traces.endpoint, await tryCalling(traces.endpoint)));
  }
  findings.push(...(await Promise.all(configuration.upstreams.map(ofUpstream))).flat());

  const status = verdict(findings);
  terminal.out(options.json ? `${JSON.stringify({ status, findings })}\n` : findings.map(shown).join(''));
  if (status === 'problem') process.exitCode = exitCodes.failure;
}

/** The mistakes of a configuration do not keep the rest from being looked at. */
function readForFindings(named: string | undefined): { configuration: Configuration; findings: Finding[] } {
  const path = configurationPath(named);
  try {
    const configuration = readConfiguration(named);
    return { configuration, findings: configurationFindings(existsSync(path) ? path : undefined, []) };
  } catch (error) {
    const mistakes = error instanceof Error ? error.message.split('\n') : [String(error)];
    return { configuration: defaultConfiguration, findings: configurationFindings(path, mistakes) };
  }
}

function machineFindings(): Finding[] {
  let isas: readonly string[] = [];
  const built = attempt(() => {
    isas = supportedIsas();
  });
  const { devDependencies } = createRequire(import.meta.url)('../../../package.json');
  return [
    nodeFinding(process.versions.node, devDependencies.node),
    compilerFinding({ compiler: compilerVersion(process.env.CXX || 'c++'), built }),
    processorFinding(built, isas, cpus()[0]?.model.trim() || process.arch, availableParallelism()),
    memoryFinding(availableMemory(), totalmem()),
  ];
}

async function ofModel(options: DoctorOptions): Promise<Finding> {
  const path = options.model ?? ownCheckpoint();
  try {
    const { plan } = fitModel(await openCheckpoint(path), fitOptions(options));
    return modelFinding(path, { type: 'done' }, { bytes: plan.total, context: plan.contextLength });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return modelFinding(path, { type: 'failed', reason }, { bytes: 0, context: 0 });
  }
}

async function addressFindings(options: DoctorOptions, { host, port, metricsAt }: Configuration): Promise<Finding[]> {
  const server = {
    what: 'server',
    host: options.host ?? host ?? '127.0.0.1',
    port: options.port ?? port ?? defaultPort,
  };
  const metrics = typeof metricsAt === 'object' ? [{ what: 'metrics', ...metricsAt }] : [];
  return await Promise.all(
    [server, ...metrics].map(async (address) => {
      const listening = await tryListening(address.host, address.port);
      const ours = listening.type === 'failed' && (await isOurs(address.host, address.port));
      return addressFinding({ ...address, listening, isOurs: ours });
    }),
  );
}

async function ofUpstream(upstream: ConfiguredUpstream): Promise<Finding[]> {
  const { id, model, servers, tokenizer } = upstream;
  const seen = await Promise.all(servers.map((server) => seeUpstreamServer(upstream, server, process.env)));
  const findings = upstreamFindings(id, model, seen);
  if (tokenizer === undefined) return findings;
  const opened = await openCheckpoint(tokenizer)
    .then((checkpoint) => attempt(() => openTokenCounter(checkpoint)))
    .catch((error: Error): Tried => ({ type: 'failed', reason: error.message }));
  return [...findings, tokenizerFinding(id, tokenizer, opened)];
}

function shown(finding: Finding): string {
  const line = `${finding.status.padEnd(8)} ${finding.check}: ${finding.message}\n`;
  return finding.status === 'ok' ? line : `${line}${' '.repeat(9)}${finding.remedy}\n`;
}
