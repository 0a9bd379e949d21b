// A plan as a person reads it, and as a program does.
//
// Owns the words: which line is exact and which is estimated, why a layout was chosen, what would make a refused one fit. Shows
// the numbers of the plan and computes none, but for sums that are shown to add up.

import type { CacheDtype } from '@hadal/models/deployment/cache-demand';
import {
  type Change,
  type DeploymentPlan,
  type DeploymentRequest,
  demandOf,
  pagesOf,
  type RankMemory,
  type Refusal,
} from '@hadal/models/deployment/deployment-plan';
import { type Gpu, narrowest } from '@hadal/models/deployment/gpu-fleet';
import { gpusOf, type Layout } from '@hadal/models/deployment/layout';
import { countInWords } from '../quantities.ts';
import { engineNames } from './engine-arguments.ts';

/** GPUs are sold and reported in units of 2^30. */
function gibInWords(bytes: number): string {
  const gib = bytes / 2 ** 30;
  if (Math.abs(gib) < 0.1) return `${Math.round(gib * 1024)} MiB`;
  return `${Math.abs(gib) < 99.95 ? gib.toFixed(1) : Math.round(gib).toLocaleString('en')} GiB`;
}

function tokensInWords(tokens: number): string {
  return `${tokens.toLocaleString('en')} tokens`;
}

export function layoutInWords({ tensor, pipeline, data, expert }: Layout): string {
  const sizes = [
    `tensor ${tensor}`,
    ...(pipeline > 1 ? [`pipeline ${pipeline}`] : []),
    ...(data > 1 ? [`data ${data}`] : []),
  ];
  return `${sizes.join(' x ')}${expert > 1 ? `, experts dealt to ${expert}` : ''}`;
}

export function planReport(plan: DeploymentPlan): string {
  const { request, layout, rank, context, largestContext, users, sequences, cacheDtype, wider } = plan;
  const { model, utilization, engine } = request;
  const share = engine === 'vllm' ? `${Math.round(utilization * 100)} % of ` : '';
  const isWhole = context === model.contextLength;
  const alone = largestContext > context ? `; one alone could have ${tokensInWords(largestContext)}` : '';
  const limit = users > sequences * layout.data ? `; ${sequences * layout.data} run at once` : '';
  const lines = [
    `${headline(request)}: fits`,
    parametersLine(request),
    '',
    row('layout', layoutInWords(layout), reasonFor(plan)),
    ...memoryRows(rank, share),
    row('cache', cacheInWords(rank, cacheDtype), `exact: ${cacheBasis(request, cacheDtype, layout)}`),
    row(
      'context',
      tokensInWords(context),
      `${isWhole ? 'all that the model has' : `of ${model.contextLength.toLocaleString('en')}`}${alone}`,
    ),
    row(
      'users',
      `${users.toLocaleString('en')} at once`,
      `with ${tokensInWords(context)} each; more where they are shorter${limit}`,
    ),
    ...(wider
      ? [
          row(
            '',
            '',
            `${layoutInWords(wider.layout)} would hold ${wider.users.toLocaleString('en')}: ask for more with --users`,
          ),
        ]
      : []),
    ...notesFor(request, layout).map((note) => row('note', '', note)),
  ];
  return `${lines.join('\n')}\n`;
}

export function refusalReport(refusal: Refusal): string {
  const { request, closest, changes } = refusal;
  const lines = [`${headline(request)}: does not fit`, parametersLine(request), ''];
  if (closest) {
    const { layout, rank, context, usersPerGroup } = closest;
    const tokens = pagesOf(request.model, context);
    const demand = demandOf(rank, tokens, usersPerGroup);
    const cache = demand - rank.weights - rank.working.bytes;
    lines.push(
      row('closest', layoutInWords(layout), 'on each GPU:'),
      row('  weights', gibInWords(rank.weights), 'exact'),
      row('  working memory', gibInWords(rank.working.bytes), `estimate: ${partsInWords(rank)}`),
      row(
        '  cache',
        gibInWords(cache),
        `${usersPerGroup} x ${tokensInWords(context)}, ${cacheInWords(rank, request.cacheDtype)}`,
      ),
      row(
        '  together',
        gibInWords(demand),
        `of ${gibInWords(rank.budget)} that ${engineNames[request.engine]} has: ${gibInWords(demand - rank.budget)} too much`,
      ),
    );
  } else {
    lines.push('No division of this model over so many GPUs can be carried out.');
  }
  lines.push('', changes.length > 0 ? 'Any one of these would do:' : 'No single change would do.');
  lines.push(...changes.map((change) => `  ${changeInWords(change, request)}`));
  return `${lines.join('\n')}\n`;
}

export function planJson(plan: DeploymentPlan | Refusal): Record<string, unknown> {
  const { request } = plan;
  const { model, fleet } = request;
  const about = {
    ...{ fits: plan.kind === 'fits', model: model.source, engine: request.engine, gpu: fleet.gpu.name },
    ...{
      gpus: fleet.count,
      gpus_per_node: fleet.perNode,
      parameters: model.parameters,
      stored_bytes: model.storedBytes,
    },
    ...{ quantization: request.quantization, context_window: model.contextLength },
  };
  if (plan.kind === 'refused') {
    const { closest } = plan;
    return {
      ...about,
      closest: closest && {
        ...{ layout: layoutJson(closest.layout), ...rankJson(closest.rank), context: closest.context },
        needed_bytes: Math.round(demandOf(closest.rank, pagesOf(model, closest.context), closest.usersPerGroup)),
      },
      changes: plan.changes,
    };
  }
  const { wider } = plan;
  return {
    ...{ ...about, layout: layoutJson(plan.layout), gpus_used: gpusOf(plan.layout), ...rankJson(plan.rank) },
    ...{ cache_dtype: plan.cacheDtype, context: plan.context, largest_context: plan.largestContext, users: plan.users },
    ...{ sequences_per_group: plan.sequences },
    wider: wider ? { layout: layoutJson(wider.layout), users: wider.users } : null,
  };
}

function layoutJson({ tensor, pipeline, data, expert }: Layout) {
  return { tensor_parallel: tensor, pipeline_parallel: pipeline, data_parallel: data, expert_parallel: expert };
}

function rankJson(rank: RankMemory) {
  return {
    ...{ usable_bytes: Math.round(rank.usable), budget_bytes: Math.round(rank.budget) },
    ...{ weights_bytes: Math.round(rank.weights), working_bytes_estimate: Math.round(rank.working.bytes) },
    ...{ free_bytes: Math.round(rank.free), cache_bytes_per_token: rank.cachePerToken },
    cache_bytes_per_sequence: rank.cachePerSequence,
  };
}

function headline({ model, fleet, engine }: DeploymentRequest): string {
  return `${model.name} on ${fleet.count} x ${fleet.gpu.name} with ${engineNames[engine]}`;
}

const storedNames = { bf16: 'BF16', fp8: 'FP8', fp4: 'FP8 with FP4 experts' } as const;
const quantizationNames = {
  published: '',
  bf16: ', served in BF16',
  fp8: ', served in FP8',
  awq: ', served in 4 bits (AWQ)',
};

function parametersLine({ model, quantization, predictor }: DeploymentRequest): string {
  const { total, active } = model.parameters;
  const share = active < total && model.mixture ? `, ${countInWords(active)} for each token` : '';
  const draft = predictor === 'present' ? ', drafting with its prediction module' : '';
  return `${countInWords(total)} parameters${share}, stored in ${storedNames[model.stored]}${quantizationNames[quantization]}${draft}`;
}

/** A name, an amount and what it rests on, in columns; the last on a line of its own where the amount is long. */
function row(name: string, amount: string, basis: string): string {
  const [left, width] = [18, 30];
  if (amount === '') return `${name.padEnd(left)}${basis}`;
  const separator = amount.length > width ? `\n${' '.repeat(left + width + 1)}` : ' '.repeat(width + 1 - amount.length);
  return `${name.padEnd(left)}${amount}${separator}${basis}`.trimEnd();
}

function memoryRows(rank: RankMemory, share: string): string[] {
  return [
    row(
      'on each GPU',
      gibInWords(rank.budget),
      `${share}${share ? gibInWords(rank.usable) : 'what the driver leaves'}`,
    ),
    row('  weights', gibInWords(rank.weights), 'exact'),
    row('  working memory', gibInWords(rank.working.bytes), `estimate: ${partsInWords(rank)}`),
    row('  for the cache', gibInWords(rank.free), ''),
  ];
}

function partsInWords({ working }: RankMemory): string {
  return working.parts.map(({ name, bytes }) => `${name} ${(bytes / 2 ** 30).toFixed(1)}`).join(', ');
}

function cacheInWords(rank: RankMemory, dtype: CacheDtype | undefined): string {
  const perToken = Math.round(rank.cachePerToken).toLocaleString('en');
  const fixed = rank.cachePerSequence > 0 ? ` + ${gibInWords(rank.cachePerSequence)} a user` : '';
  return `${perToken} B a token${dtype === 'fp8' ? ' (FP8)' : ''}${fixed}`;
}

function cacheBasis({ model, engine }: DeploymentRequest, dtype: CacheDtype, { tensor, pipeline }: Layout): string {
  const { attention } = model;
  const layers = pipeline > 1 ? 'the layers of a stage' : `${model.layers} layers`;
  const width = dtype === 'fp8' ? 'FP8' : 'BF16';
  switch (attention.kind) {
    case 'grouped': {
      const heads = Math.ceil(attention.keyHeads / tensor);
      return `keys and values of ${heads} of ${attention.keyHeads} heads of ${attention.headDim} in ${layers}, ${width}`;
    }
    case 'latent': {
      const index = attention.indexWidth ? ` and the indexer's key of ${attention.indexWidth}` : '';
      return `MLA's latent of ${attention.rank + attention.rope}${index} in ${layers}, ${width}, whole on every GPU`;
    }
    case 'compressed':
      return engine === 'vllm'
        ? `vLLM's blocks of 256 tokens; a user's windows and open states are blocks too, for one step of reading`
        : `compressed entries and a tenth as many windows as tokens, ${width}`;
    default:
      return unreachable(attention);
  }
}

function reasonFor({ request, layout, groupedFor }: DeploymentPlan): string {
  const { model, fleet, users } = request;
  const { tensor, pipeline, data } = layout;
  const idle = fleet.count - gpusOf(layout);
  const reasons: string[] = [];
  if (data > 1) {
    const groups = model.mixture ? `${data} groups with the experts in common` : `${data} copies`;
    const why = groupedFor === 'users' ? `as ${users ?? 1} users need` : `as ${tensor} is the most that divides it`;
    reasons.push(`${groups}, ${why}`);
  }
  if (pipeline > 1) reasons.push(`${pipeline} stages, as tensor parallelism stays within a node`);
  if (data === 1 && pipeline === 1 && tensor > 1) reasons.push('every answer from all GPUs: the shortest wait');
  if (gpusOf(layout) === 1) reasons.push('one GPU is enough');
  if (idle > 0) reasons.push(`${idle} stay idle: they do not divide it further`);
  return reasons.join('; ');
}

/** Where an engine publishes no kernels for a card, whatever its memory. */
export function kernelDoubt(
  { model, engine, quantization }: Pick<DeploymentRequest, 'model' | 'engine' | 'quantization'>,
  { name, generation }: Gpu,
): string | undefined {
  const { attention, stored } = model;
  const isSparse =
    attention.kind === 'compressed' || (attention.kind === 'latent' && attention.indexWidth !== undefined);
  if (isSparse && (generation === 'Ampere' || generation === 'Ada')) {
    return `sparse attention is published for Hopper and newer, and ${name} is ${generation}`;
  }
  if (engine === 'sglang' && stored === 'fp8' && quantization === 'published' && generation === 'Ampere') {
    return `SGLang publishes BF16, INT8 and AWQ for ${name}, not FP8: see --quantization`;
  }
  return undefined;
}

function notesFor({ model, fleet, engine, quantization }: DeploymentRequest, layout: Layout): string[] {
  const { gpu } = fleet;
  const notes: string[] = [];
  if (quantization === 'awq')
    notes.push('--model has to name a checkpoint quantized with AWQ in groups of 128 to be launched');
  if (quantization === 'bf16') notes.push('the checkpoint has to be widened to BF16 before it is launched');
  const widest = gpu.generation && narrowest[gpu.generation];
  if (quantization === 'published' && model.stored === 'fp8' && widest === 'bf16' && engine === 'vllm') {
    notes.push(`${gpu.name} does not multiply FP8: vLLM keeps weights in it and widens them as it goes`);
  }
  if (model.stored === 'fp4' && widest !== 'fp4' && widest !== undefined) {
    notes.push(`${gpu.name} does not multiply FP4: experts are kept in it and widened as they are used`);
  }
  const doubt = kernelDoubt({ model, engine, quantization }, gpu);
  if (doubt) notes.push(doubt);
  if (gpusOf(layout) > fleet.perNode) notes.push(`nodes of ${fleet.perNode} exchange over the network at every step`);
  return notes;
}

function changeInWords(change: Change, { fleet, context, users, model }: DeploymentRequest): string {
  switch (change.kind) {
    case 'gpus':
      return `--gpus ${change.count}x${fleet.gpu.name}`;
    case 'quantization':
      return `--quantization ${change.quantization}`;
    case 'cache':
      return `--cache ${change.dtype}`;
    case 'context':
      return `--context ${change.context} (of ${(context ?? model.contextLength).toLocaleString('en')})`;
    case 'users':
      return `--users ${change.users} (of ${users ?? 1})`;
    default:
      return unreachable(change);
  }
}

function unreachable(value: never): never {
  throw new Error(`expected a known kind, got ${JSON.stringify(value)}`);
}
