// `hadal inspect`: what a checkpoint is, and what it would take to run it here.
//
// Owns how that is shown, to a person or as JSON. Reads configuration and headers, so it answers at once for the largest
// model. What is known of a model, and whether it fits, is asked of the packages below.

import { availableMemory } from '@hadal/engine/available-memory';
import { prospectOf } from '@hadal/engine/fit-model';
import { type Checkpoint, openCheckpoint } from '@hadal/formats/checkpoint';
import { countParameters, type ModelDefinition } from '@hadal/models/architecture';
import { holdingsOf, openWeights, readDefinition, readPacked, runTimeDtype } from '@hadal/models/language-model';
import type { Manifest } from '@hadal/models/packed/manifest';
import { runTimeWeights } from '@hadal/models/run-time-weights';
import { storedRequests, storedTypes } from '@hadal/models/stored-requests';
import { recordRequests } from '@hadal/models/weight-source';
import { packedDtypes } from '@hadal/tensor/packed-matrix';
import { Command } from 'commander';
import { reportFailure } from '../failure.ts';
import { integerFrom } from '../option-parsers.ts';
import { bytesInWords, countInWords } from '../quantities.ts';
import type { Terminal } from '../terminal.ts';

interface InspectOptions {
  readonly context?: number;
  readonly page?: true;
  readonly json?: true;
}

export function inspectCommand(terminal: Terminal): Command {
  return new Command('inspect')
    .description('Say what a checkpoint is and what memory it would take, without loading it')
    .argument('<checkpoint>', 'a directory, or a .gguf file')
    .option('--context <tokens>', 'reckon with conversations of this length', integerFrom(1))
    .option('--page', 'reckon with experts that stay on disk until they are chosen')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  hadal inspect models/hadal-nano
  hadal inspect DeepSeek-R1-Distill-Qwen-7B --context 32768
  hadal inspect DeepSeek-V3 --json | jq '.runs[] | select(.fits)'`,
    )
    .action((path: string, options: InspectOptions) => inspect(path, options, terminal));
}

async function inspect(path: string, { context, page, json }: InspectOptions, terminal: Terminal): Promise<void> {
  const checkpoint = await openCheckpoint(path);
  const available = availableMemory();
  const definition = readDefinition(checkpoint);
  const parameters = countParameters(definition);
  const converted = readPacked(checkpoint);
  const stored = converted ? packedTypes(checkpoint, converted) : publishedTypes(checkpoint, definition, terminal);
  const { packed, form, estimate, plan } = prospectOf(checkpoint, context, stored ? 'present' : 'absent', available);
  const experts = page ? 'paged' : 'resident';
  const usual = stored && runTimeDtype(checkpoint, undefined);
  const runs = (packed ? [packed.dtype] : packedDtypes).map((dtype) => ({
    dtype,
    isDefault: dtype === usual,
    cachePerToken: estimate(dtype).cachePerToken,
    ...plan(dtype, experts),
  }));
  if (json) {
    const report = {
      ...{ name: checkpoint.name, ...architectureOf(checkpoint), parameters },
      ...{ stored_bytes: stored === undefined ? null : rounded(stored) },
      ...{ converted_to: packed?.dtype ?? null, attention: form, context_length: definition.contextLength },
      ...{ available_bytes: Math.round(available), experts },
      runs: runs.map(({ dtype, isDefault, contextLength, fits, ...bytes }) => ({
        ...{ dtype, is_default: isDefault, fits, context_length: contextLength },
        ...rounded({
          ...{ weights_bytes: bytes.weights, tables_bytes: bytes.tables, cache_bytes: bytes.cache },
          ...{ cache_bytes_per_token: bytes.cachePerToken, scratch_bytes: bytes.scratch, total_bytes: bytes.total },
        }),
      })),
    };
    terminal.out(`${JSON.stringify(report)}\n`);
    return;
  }
  const { model_type: type, architecture } = architectureOf(checkpoint);
  const active = parameters.active < parameters.total ? `, ${countInWords(parameters.active)} for each token` : '';
  const types = stored && Object.entries(stored).map(([name, bytes]) => `${name} ${bytesInWords(bytes)}`);
  const facts = [
    ['architecture', [type, architecture].filter((name) => name !== null).join(', ')],
    ['parameters', `${countInWords(parameters.total)}${active}`],
    [packed ? `converted to ${packed.dtype}` : 'stored as', types?.join(', ') ?? 'not readable'],
    ['context', `${definition.contextLength.toLocaleString('en')} tokens`],
    ['attention', form],
  ] as const;
  for (const [label, text] of facts) terminal.out(`${label.padEnd(18)}${text}\n`);
  terminal.out(`\nin memory, of ${bytesInWords(available)} available${page ? ', experts on disk' : ''}\n`);
  const table = runs.map(({ dtype, isDefault, weights, tables, cache, scratch, total, contextLength, fits }) => [
    ...[dtype, bytesInWords(weights), bytesInWords(tables + cache), contextLength.toLocaleString('en')],
    ...[bytesInWords(scratch), bytesInWords(total), `${fits ? 'fits' : 'does not fit'}${isDefault ? ', default' : ''}`],
  ]);
  printTable(['', 'weights', 'cache', 'context', 'scratch', 'total', ''], table, terminal);
}

function architectureOf(checkpoint: Checkpoint): { model_type: string | null; architecture: string | null } {
  const { model_type, architectures } = checkpoint.config().value as Record<string, unknown>;
  const first: unknown = Array.isArray(architectures) ? architectures[0] : undefined;
  return {
    model_type: typeof model_type === 'string' ? model_type : null,
    architecture: typeof first === 'string' ? first : null,
  };
}

/** Bytes by the encoding of the files; undefined, with the reason told, where they are not what the configuration says. */
function publishedTypes(
  checkpoint: Checkpoint,
  definition: ModelDefinition,
  terminal: Terminal,
): Record<string, number> | undefined {
  try {
    const weights = openWeights(checkpoint);
    return storedTypes(weights, storedRequests(definition, weights, definition.preferredForm));
  } catch (error) {
    // What a model would take is worth knowing before its weights are there.
    process.exitCode = reportFailure(error, terminal.err, { withTrace: false });
    return undefined;
  }
}

/** Bytes by run-time form. */
function packedTypes(checkpoint: Checkpoint, packed: Manifest): Record<string, number> {
  const { dtype, attention: form } = packed;
  const definition = readDefinition(checkpoint);
  const { has, predictor } = holdingsOf(checkpoint, form);
  const { weights } = recordRequests((source) => definition.assemble(source, { form, positions: 1, predictor }), has);
  const types: Record<string, number> = {};
  for (const { form, bytes } of runTimeWeights(weights, dtype)) types[form.dtype] = (types[form.dtype] ?? 0) + bytes;
  return types;
}

function rounded(bytes: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(bytes).map(([key, value]) => [key, Math.round(value)]));
}

/** Columns but the first and the last to the right. */
function printTable(head: readonly string[], rows: readonly (readonly string[])[], terminal: Terminal): void {
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]?.length ?? 0)));
  for (const row of [head, ...rows]) {
    const cells = row.map((text, i) =>
      i === 0 ? text.padEnd(widths[i] ?? 0) : i === row.length - 1 ? text : text.padStart(widths[i] ?? 0),
    );
    terminal.out(`${cells.join('  ').trimEnd()}\n`);
  }
}
