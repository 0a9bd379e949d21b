// The plan of a deployment: whether a model fits some GPUs, how it is divided, how long and how many its conversations can be.
//
// Owns the choice among layouts and the arithmetic behind it. Weights and cache are exact as far as their modules are; working
// memory is an estimate. What cannot fit is an outcome with its arithmetic and with the changes that would make it fit, never a
// guess. More GPUs never fit less: every layout of fewer is a layout of more.

import { type CacheDtype, cacheDemand, type Engine, pageTokens, usualCacheDtype } from './cache-demand.ts';
import { type Fleet, usableBytes } from './gpu-fleet.ts';
import { gpusOf, type Layout, layoutsFor, stagesOf } from './layout.ts';
import type { Quantization } from './model-tensors.ts';
import { rankWeights, type WeightTable, weightTable } from './rank-weights.ts';
import type { ServedModel } from './served-model.ts';
import { stepTokens, type WorkingMemory, workingMemory } from './working-memory.ts';

export interface DeploymentRequest {
  readonly model: ServedModel;
  readonly engine: Engine;
  readonly fleet: Fleet;
  /** Tokens of a conversation; the model's, or as many as fit for all users, where undefined. */
  readonly context: number | undefined;
  /** Conversations at once; as many as fit where undefined. */
  readonly users: number | undefined;
  readonly quantization: Quantization;
  /** What the engine takes by itself where undefined. */
  readonly cacheDtype: CacheDtype | undefined;
  readonly predictor: 'present' | 'absent';
  /** Share of the memory that vLLM may take. */
  readonly utilization: number;
}

/** One GPU of the stage that limits a layout. Bytes. */
export interface RankMemory {
  readonly usable: number;
  /** What the engine takes of it for all that follows. */
  readonly budget: number;
  readonly weights: number;
  readonly working: WorkingMemory;
  /** What is left for the cache; less than nothing where the rest does not fit. */
  readonly free: number;
  readonly cachePerToken: number;
  readonly cachePerSequence: number;
}

export interface DeploymentPlan {
  readonly kind: 'fits';
  readonly request: DeploymentRequest;
  readonly layout: Layout;
  readonly rank: RankMemory;
  readonly cacheDtype: CacheDtype;
  /** Tokens that a conversation may have. */
  readonly context: number;
  /** Tokens that one alone could have, at most the model's. */
  readonly largestContext: number;
  /** Conversations of that length for which there is cache, over all groups of ranks. */
  readonly users: number;
  /** Sequences that each group of ranks is told to run at once. */
  readonly sequences: number;
  /** Where there are several groups: whether one of all GPUs cannot be carried out, or does not hold the users. */
  readonly groupedFor: 'division' | 'users';
  /** A layout for more users, where there is one: of groups that have the experts in common. */
  readonly wider: { readonly layout: Layout; readonly users: number } | undefined;
}

export interface Refusal {
  readonly kind: 'refused';
  readonly request: DeploymentRequest;
  /** The layout that comes closest; undefined where none can be carried out. */
  readonly closest:
    | { readonly layout: Layout; readonly rank: RankMemory; readonly context: number; readonly usersPerGroup: number }
    | undefined;
  /** Single changes that would do, the smallest of each kind. */
  readonly changes: readonly Change[];
}

export type Change =
  | { readonly kind: 'gpus'; readonly count: number }
  | { readonly kind: 'quantization'; readonly quantization: 'fp8' | 'awq' }
  | { readonly kind: 'cache'; readonly dtype: 'fp8' }
  | { readonly kind: 'context'; readonly context: number }
  | { readonly kind: 'users'; readonly users: number };

/** Where nobody says how many, each group of ranks is set up for so many sequences. */
export const usualSequences = 256;
/** A shorter conversation is not offered by itself. */
const leastContext = 4096;

/** Throws one line when what is asked contradicts itself; that something does not fit is an outcome. */
export function planDeployment(request: DeploymentRequest): DeploymentPlan | Refusal {
  checkRequest(request);
  const found = search(request);
  if (found.kind === 'fits') return found;
  return { ...found, changes: changesFor(request) };
}

function checkRequest({ model, context, quantization, predictor }: DeploymentRequest): void {
  if (context !== undefined && context > model.contextLength) {
    throw new Error(`context: ${model.name} has at most ${model.contextLength} tokens, got ${context}`);
  }
  if (predictor === 'present' && model.predictor === 'absent') {
    throw new Error(`${model.name} has no prediction module to draft with`);
  }
  if (quantization === 'fp8' && model.stored !== 'bf16') {
    throw new Error(`quantization: ${model.name} is stored in ${model.stored} already, got fp8`);
  }
  if (quantization !== 'published' && model.stored === 'fp4') {
    throw new Error(`quantization: ${model.name} is served as it is stored, in fp4, got ${quantization}`);
  }
}

function search(request: DeploymentRequest): DeploymentPlan | Omit<Refusal, 'changes'> {
  const { model, fleet } = request;
  const table = weightTable(model, request.quantization, request.predictor);
  const candidates = layoutsFor(model, fleet.count, { ...request, perNode: fleet.perNode })
    .map((layout) => assess(request, table, layout))
    .sort((a, b) => compareLayouts(request, a.layout, b.layout));
  // Without a wish, as long as the model allows or as so many conversations can be.
  const wanted = request.users ?? 1;
  const longest = Math.max(0, ...candidates.map(({ contextFor }) => contextFor(wanted)));
  const context = request.context ?? (longest >= leastContext ? longest : model.contextLength);
  const chosen = candidates.find((candidate) => candidate.usersAt(context) >= wanted);
  if (!chosen) {
    const shortage = ({ layout, rank }: Candidate) =>
      demandOf(rank, pagesOf(model, context), Math.ceil(wanted / layout.data)) - rank.budget;
    const [closest] = [...candidates].sort((a, b) => shortage(a) - shortage(b));
    return {
      ...{ kind: 'refused', request },
      closest: closest && {
        ...{ layout: closest.layout, rank: closest.rank, context },
        usersPerGroup: Math.ceil(wanted / closest.layout.data),
      },
    };
  }
  const users = chosen.usersAt(context);
  const isOneGroup = ({ layout }: Candidate) => layout.tensor === gpusOf(chosen.layout);
  const [widest] = candidates
    .filter(({ layout }) => layout.data > chosen.layout.data && layout.pipeline === 1)
    .sort((a, b) => b.usersAt(context) - a.usersAt(context));
  return {
    ...{ kind: 'fits', request, layout: chosen.layout, rank: chosen.rank, context, users },
    cacheDtype: request.cacheDtype ?? usualCacheDtype(model),
    largestContext: chosen.contextFor(1),
    groupedFor: candidates.some(isOneGroup) ? 'users' : 'division',
    sequences: sequencesOf(request, chosen.layout),
    wider:
      widest && widest.usersAt(context) > users ? { layout: widest.layout, users: widest.usersAt(context) } : undefined,
  };
}

/**
 * The quickest answer first: all GPUs, then the widest tensor parallelism. Where that reaches no further, a dense model has copies
 * of itself; a mixture, which copies would cost most, has a stage for each node, and then groups that share their experts.
 */
function compareLayouts({ model, fleet }: DeploymentRequest, a: Layout, b: Layout): number {
  const stages = ({ pipeline, tensor, data }: Layout) =>
    model.mixture ? Math.max(0, pipeline - Math.ceil((tensor * pipeline * data) / fleet.perNode)) : pipeline - 1;
  return (
    gpusOf(b) - gpusOf(a) || stages(a) - stages(b) || a.data - b.data || a.pipeline - b.pipeline || b.tensor - a.tensor
  );
}

interface Candidate {
  readonly layout: Layout;
  readonly rank: RankMemory;
  /** Tokens that each of so many conversations can have, at most the model's. */
  readonly contextFor: (users: number) => number;
  readonly usersAt: (context: number) => number;
}

function assess(request: DeploymentRequest, table: WeightTable, layout: Layout): Candidate {
  const { model } = request;
  const ranks = rankMemories(request, table, layout);
  const page = pageTokens(model);
  const contextOf = ({ free, cachePerToken, cachePerSequence }: RankMemory, users: number) =>
    Math.max(0, Math.floor((free / users - cachePerSequence) / (cachePerToken * page)) * page);
  const usersOf = (rank: RankMemory, tokens: number) =>
    Math.max(0, Math.floor(rank.free / (rank.cachePerSequence + rank.cachePerToken * tokens)));
  const [limiting] = [...ranks].sort((a, b) => contextOf(a, 1) - contextOf(b, 1) || a.free - b.free) as [RankMemory];
  return {
    ...{ layout, rank: limiting },
    contextFor: (users) => {
      const perGroup = Math.ceil(users / layout.data);
      return Math.min(model.contextLength, ...ranks.map((rank) => contextOf(rank, perGroup)));
    },
    usersAt: (context) => {
      const tokens = pagesOf(model, context);
      return layout.data * Math.min(...ranks.map((rank) => usersOf(rank, tokens)));
    },
  };
}

function rankMemories(request: DeploymentRequest, table: WeightTable, layout: Layout): RankMemory[] {
  const { model, engine, fleet, predictor } = request;
  const { gpu } = fleet;
  const usable = usableBytes(gpu);
  const sequences = sequencesOf(request, layout);
  const working = workingMemory(model, layout, { engine, gpu, sequences, predictor });
  const budget = engine === 'vllm' ? usable * request.utilization : usable;
  const weights = rankWeights(model, table, layout, engine);
  const dtype = request.cacheDtype ?? usualCacheDtype(model);
  return stagesOf(model.layers, layout.pipeline).map(({ begin, end }, stage) => {
    const last = end === model.layers && predictor === 'present' ? end + 1 : end;
    const options = { engine, dtype, ranks: layout.tensor, stepTokens: stepTokens(gpu) };
    const { perToken, perSequence } = cacheDemand(model, { begin, end: last }, options);
    const bytes = weights[stage] as number;
    const free = budget - bytes - working.bytes;
    return { usable, budget, weights: bytes, working, free, cachePerToken: perToken, cachePerSequence: perSequence };
  });
}

/** What a GPU would have to hold for so many conversations of so many tokens. */
export function demandOf(rank: RankMemory, tokens: number, users: number): number {
  return rank.weights + rank.working.bytes + users * (rank.cachePerSequence + rank.cachePerToken * tokens);
}

/** A conversation's tokens in whole pages. */
export function pagesOf(model: ServedModel, context: number): number {
  const page = pageTokens(model);
  return Math.ceil(context / page) * page;
}

function sequencesOf({ users }: DeploymentRequest, { data }: Layout): number {
  return users === undefined ? usualSequences : Math.ceil(users / data);
}

/** Tries one change at a time. */
function changesFor(request: DeploymentRequest): Change[] {
  const { model, fleet, quantization } = request;
  const fits = (change: Partial<DeploymentRequest>) => search({ ...request, ...change }).kind === 'fits';
  const changes: Change[] = [];
  const enoughGpus = fleetSizes(fleet.perNode).find(
    (count) => count > fleet.count && fits({ fleet: { ...fleet, count } }),
  );
  if (enoughGpus) changes.push({ kind: 'gpus', count: enoughGpus });
  const narrower =
    model.stored === 'bf16' ? (['fp8', 'awq'] as const) : model.stored === 'fp8' ? (['awq'] as const) : [];
  const isWide = quantization === 'published' || quantization === 'bf16';
  const enough = isWide ? narrower.find((to) => fits({ quantization: to })) : undefined;
  if (enough) changes.push({ kind: 'quantization', quantization: enough });
  const dtype = request.cacheDtype ?? usualCacheDtype(model);
  if (dtype === 'bf16' && fleet.gpu.generation !== 'Ampere' && fits({ cacheDtype: 'fp8' })) {
    changes.push({ kind: 'cache', dtype: 'fp8' });
  }
  const context = largest(request.context ?? model.contextLength, (tokens) => fits({ context: tokens }));
  if (context >= pageTokens(model)) changes.push({ kind: 'context', context });
  const users = largest(request.users ?? 1, (count) => fits({ users: count }));
  if (users > 0) changes.push({ kind: 'users', users });
  return changes;
}

/** As GPUs come: even parts of a node, then whole nodes, up to eight. */
export function fleetSizes(perNode: number): number[] {
  const parts = Array.from({ length: perNode }, (_, i) => i + 1).filter((count) => perNode % count === 0);
  return [...parts, ...Array.from({ length: 7 }, (_, i) => perNode * (i + 2))];
}

/** The largest whole number below `limit` that is fine, where all smaller ones are; 0 where none is. */
function largest(limit: number, isFine: (n: number) => boolean): number {
  let [low, high] = [0, limit];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (isFine(middle)) low = middle;
    else high = middle;
  }
  return low;
}
