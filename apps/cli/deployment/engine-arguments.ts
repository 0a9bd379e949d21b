// The command line of vLLM or SGLang for a plan.
//
// Owns the flags: everything that the plan's arithmetic rests on is said, even where it is the engine's default today, so that
// another version does not quietly do something else. One list of words for each node; how they are quoted or put into a file
// is the business of whoever writes them.

import { windowShare } from '@hadal/models/deployment/cache-demand';
import type { DeploymentPlan } from '@hadal/models/deployment/deployment-plan';
import { gpusOf } from '@hadal/models/deployment/layout';
import { graphSequences, stepTokens } from '@hadal/models/deployment/working-memory';

export interface LaunchOptions {
  /** Where the engine finds the model: a repository or a directory, as it is called where it runs. */
  readonly model: string;
  /** Address that it listens at, and the one by which nodes find the first. */
  readonly host: string;
  readonly headAddress: string;
}

export interface NodeLaunch {
  readonly rank: number;
  readonly gpus: number;
  /** Whether it answers requests: the first node does. */
  readonly isHead: boolean;
  readonly words: readonly string[];
}

export const enginePorts = { vllm: 8000, sglang: 30_000 } as const;
export const engineNames = { vllm: 'vLLM', sglang: 'SGLang' } as const;
const rendezvousPort = 29_500;

/** What a client asks for: the name of the model, without where it lies. */
export function servedName({ request }: DeploymentPlan): string {
  const { source, name } = request.model;
  return /^[\w.-]+\/[\w.-]+$/.test(source) ? source : name;
}

/** A launch for each node. */
export function nodeLaunches(plan: DeploymentPlan, options: LaunchOptions): NodeLaunch[] {
  const total = gpusOf(plan.layout);
  const { perNode } = plan.request.fleet;
  const nodes = Math.ceil(total / perNode);
  return Array.from({ length: nodes }, (_, rank) => ({
    ...{ rank, gpus: Math.min(total, perNode), isHead: rank === 0 },
    words: plan.request.engine === 'vllm' ? vllm(plan, options, rank, nodes) : sglang(plan, options, rank, nodes),
  }));
}

function vllm(
  plan: DeploymentPlan,
  { model, host, headAddress }: LaunchOptions,
  rank: number,
  nodes: number,
): string[] {
  const { layout, request, context, sequences, cacheDtype } = plan;
  const { tensor, pipeline, data, expert } = layout;
  const { type, attention } = request.model;
  const isSparse = attention.kind === 'compressed' || type === 'deepseek_v32';
  const words = ['vllm', 'serve', model, '--served-model-name', servedName(plan)];
  const add = (condition: boolean, ...more: string[]) => condition && words.push(...more);
  add(true, '--tensor-parallel-size', `${tensor}`);
  add(pipeline > 1, '--pipeline-parallel-size', `${pipeline}`);
  add(data > 1, '--data-parallel-size', `${data}`);
  add(expert > 1, '--enable-expert-parallel');
  add(true, '--max-model-len', `${context}`, '--max-num-seqs', `${sequences}`);
  add(true, '--max-num-batched-tokens', `${stepTokens(request.fleet.gpu)}`);
  add(true, '--gpu-memory-utilization', `${request.utilization}`);
  add(request.quantization === 'fp8', '--quantization', 'fp8');
  add(cacheDtype === 'fp8', '--kv-cache-dtype', 'fp8');
  add(cacheDtype === 'bf16' && isSparse, '--kv-cache-dtype', 'bfloat16');
  add(attention.kind === 'compressed', '--block-size', '256');
  add(isSparse, '--tokenizer-mode', type === 'deepseek_v32' ? 'deepseek_v32' : 'deepseek_v4');
  const { reasoning, tools } = parsersOf(plan);
  add(tools !== undefined, '--enable-auto-tool-choice', '--tool-call-parser', `deepseek_${tools}`);
  add(reasoning !== undefined, '--reasoning-parser', `deepseek_${reasoning}`);
  add(request.predictor === 'present', '--speculative-config', '{"method":"mtp","num_speculative_tokens":1}');
  if (nodes > 1 && data > 1) {
    const local = data / nodes;
    add(true, '--data-parallel-size-local', `${local}`, '--data-parallel-address', headAddress);
    add(true, '--data-parallel-rpc-port', `${rendezvousPort}`);
    add(rank > 0, '--data-parallel-start-rank', `${rank * local}`);
  } else if (nodes > 1) {
    add(true, '--distributed-executor-backend', 'mp', '--nnodes', `${nodes}`, '--node-rank', `${rank}`);
    add(true, '--master-addr', headAddress, '--master-port', `${rendezvousPort}`);
  }
  add(rank > 0, '--headless');
  add(rank === 0, '--host', host, '--port', `${enginePorts.vllm}`);
  return words;
}

function sglang(
  plan: DeploymentPlan,
  { model, host, headAddress }: LaunchOptions,
  rank: number,
  nodes: number,
): string[] {
  const { layout, rank: memory, request, context, sequences, cacheDtype } = plan;
  const { tensor, pipeline, data, expert } = layout;
  const { mixture, attention } = request.model;
  const words = [
    'python3',
    '-m',
    'sglang.launch_server',
    '--model-path',
    model,
    '--served-model-name',
    servedName(plan),
  ];
  const add = (condition: boolean, ...more: string[]) => condition && words.push(...more);
  // Groups of one mixture are parts of its tensor parallelism; a dense model is there as often as there are groups.
  add(true, '--tp-size', `${mixture ? tensor * data : tensor}`);
  add(pipeline > 1, '--pp-size', `${pipeline}`);
  add(data > 1, '--dp-size', `${data}`);
  add(data > 1 && mixture !== undefined, '--enable-dp-attention');
  add(data > 1, '--cuda-graph-max-bs', `${graphSequences(request.fleet.gpu, layout, sequences)}`);
  add(expert > 1, '--ep-size', `${expert}`);
  add(true, '--context-length', `${context}`, '--max-running-requests', `${sequences * data}`);
  add(true, '--chunked-prefill-size', `${stepTokens(request.fleet.gpu)}`);
  const fraction = Math.floor((1 - memory.working.bytes / memory.usable) * 1000) / 1000;
  add(true, '--mem-fraction-static', `${fraction}`);
  add(attention.kind === 'compressed', '--swa-full-tokens-ratio', `${windowShare}`);
  add(request.quantization === 'fp8', '--quantization', 'fp8');
  add(cacheDtype === 'fp8', '--kv-cache-dtype', 'fp8_e4m3');
  const { reasoning, tools } = parsersOf(plan);
  add(tools !== undefined, '--tool-call-parser', `deepseek${tools}`);
  add(reasoning !== undefined, '--reasoning-parser', `deepseek-${reasoning}`);
  add(request.predictor === 'present', '--speculative-algorithm', 'EAGLE', '--speculative-num-steps', '1');
  add(request.predictor === 'present', '--speculative-eagle-topk', '1', '--speculative-num-draft-tokens', '2');
  if (nodes > 1) {
    add(true, '--nnodes', `${nodes}`, '--node-rank', `${rank}`);
    add(true, '--dist-init-addr', `${headAddress}:${rendezvousPort}`);
  }
  add(rank === 0, '--host', host, '--port', `${enginePorts.sglang}`);
  return words;
}

type Parser = 'r1' | 'v3' | 'v31' | 'v32' | 'v4';

/** A configuration does not say whether a V3 reasons, so the name does; distills and R1 always reason. */
function parsersOf({ request }: DeploymentPlan): { readonly reasoning?: Parser; readonly tools?: Parser } {
  const { type, name } = request.model;
  const isR1 = /(^|[^a-z])r1([^a-z0-9]|$)/i.test(name);
  switch (type) {
    case 'deepseek_v4':
      return { reasoning: 'v4', tools: 'v4' };
    case 'deepseek_v32':
      return { reasoning: 'v3', tools: 'v32' };
    case 'deepseek_v3':
      if (isR1) return { reasoning: 'r1', tools: 'v3' };
      return /v3\.1/i.test(name) ? { reasoning: 'v3', tools: 'v31' } : { tools: 'v3' };
    default:
      return isR1 ? { reasoning: 'r1' } : {};
  }
}
